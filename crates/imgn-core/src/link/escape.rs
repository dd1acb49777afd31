//! Other people's text made harmless: a file name or an alt text is shown, and never acts.

/// One line, without what turns the direction of reading or controls a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let is_space = c.is_whitespace() || c.is_control();
        if is_space && !line.ends_with(' ') {
            line.push(' ');
        } else if !is_space && !turns_direction(c) {
            line.push(c);
        }
    }
    line.trim().to_owned()
}

/// Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An address with everything encoded that would end it in one of the formats.
pub(super) fn address(url: &str) -> String {
    let parsed = url::Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    let mut address = String::with_capacity(parsed.len());
    for c in parsed.chars() {
        match c {
            '(' | ')' | '[' | ']' | '<' | '>' | '"' | '\'' | '\\' | '`' | '{' | '}' | '|' | '^' => {
                address.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_control() || c.is_whitespace() || turns_direction(c) => {}
            c => address.push(c),
        }
    }
    address
}

pub(super) fn in_markdown(text: &str) -> String {
    let text = one_line(text);
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let acts = match c {
            // Every ASCII punctuation character may be escaped in CommonMark; these act.
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '!'
            | '|' | '&' | '~' => true,
            // At the beginning of a line they begin a list, a rule or a heading.
            '-' | '+' | '=' => at == 0,
            // So does a number with one of them.
            '.' => at > 0 && text[..at].bytes().all(|b| b.is_ascii_digit()),
            _ => false,
        };
        if acts {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The same between quotes, as titles of links are.
pub(super) fn in_markdown_title(text: &str) -> String {
    in_markdown(text).replace('"', "\\\"").replace('\'', "\\'")
}

/// Code of Markdown has no escape: what would end it becomes a mark that looks like it.
pub(super) fn without_backticks(text: &str) -> String {
    text.replace('`', "\u{2cb}")
}

/// A part of an address (RFC 3986): everything is encoded that could be anything else, or name another scheme.
pub(super) fn in_address(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in one_line(text).bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// In a tag of HTML with no quotes around it.
pub(super) fn in_bare_html(text: &str) -> String {
    references(text, |c| !c.is_alphanumeric())
}

pub(super) fn in_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// For HTML inside of Markdown and the other way round: a character reference is plain text to both.
pub(super) fn in_html_and_markdown(text: &str) -> String {
    references(text, |c| c.is_ascii_punctuation())
}

fn references(text: &str, acts: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if acts(c) {
            escaped.push_str(&format!("&#{};", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// BBCode has no escape: what would open or close a tag becomes the bracket of another script that looks like it.
pub(super) fn in_bbcode(text: &str) -> String {
    let full_width = |c| match c {
        '[' => '\u{ff3b}',
        ']' => '\u{ff3d}',
        '"' => '\u{201d}',
        c => c,
    };
    one_line(text).chars().map(full_width).collect()
}
