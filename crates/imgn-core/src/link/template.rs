//! What a person wrote, with places for what is known of a picture.

use imgn_protocol::Image;
use jiff::{Timestamp, Zoned, fmt::strtime, tz::TimeZone};

use super::{InvalidFormat, escape};

/// A text with placeholders: `{url}`, `{id}`, `{name}`, `{alt}`, `{width}`, `{height}`, `{ext}` and `{date}`. `{{` and
/// `}}` are braces. What is put in is not looked at again for placeholders.
///
/// Names are escaped for what the template looks like: HTML where it has a tag, Markdown where it has a link, an emphasis,
/// code, a heading or a list of it, BBCode where it has a `[img` or `[url`, each of them where it is several; and else as
/// they are, on one line. Where a name stands for an address or a part of one, it is encoded as that. `{name:markdown}`,
/// `{name:html}`, `{name:bbcode}` and `{name:raw}` say it for one place; `{alt:…}` likewise. `{date:%Y-%m-%d}` is when the
/// picture was published, in this computer's time, by the codes of `strftime`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Url(Language),
    Id,
    Width,
    Height,
    Extension,
    Name(Place),
    Alt(Place),
    Date(String),
}

/// What a value is written into; all of them at once where a template is several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Language {
    html: bool,
    markdown: bool,
    bbcode: bool,
    /// In Markdown: whether there are titles of links, or code.
    quotes: bool,
    code: bool,
}

/// What a name stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text(Language),
    /// An attribute of HTML without quotes, which a blank would end.
    Bare,
    /// Between backticks, where Markdown has no escapes.
    Code,
    /// An address, or a part of one.
    Address,
}

/// The day, as ISO 8601 has it.
const DAY: &str = "%Y-%m-%d";

/// What stands before an address.
const BEFORE_ADDRESS: [&str; 12] = [
    "href=", "href=\"", "href='", "src=", "src=\"", "src='", "](", "](<", "[url=", "[url=\"",
    "[url]", "[img]",
];

/// What makes Markdown of a text wherever it stands.
const MARKDOWN: [&str; 8] = ["](", "![", "]:", "**", "__", "~~", "`", "<{url}>"];

/// And at the beginning of a line.
const MARKDOWN_LINES: [&str; 6] = ["#", ">", "|", "- ", "* ", "+ "];

impl Language {
    const HTML: Self = Self {
        html: true,
        ..Self::NONE
    };
    const MARKDOWN: Self = Self {
        markdown: true,
        ..Self::NONE
    };
    const BBCODE: Self = Self {
        bbcode: true,
        ..Self::NONE
    };
    const NONE: Self = Self {
        html: false,
        markdown: false,
        bbcode: false,
        quotes: false,
        code: false,
    };

    /// What the words around the placeholders look like.
    fn of(text: &str) -> Self {
        let html = text.match_indices('<').any(|(at, _)| {
            text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!')
        });
        let begins = |line: &str| {
            let line = line.trim_start();
            MARKDOWN_LINES.iter().any(|mark| line.starts_with(mark))
        };
        let markdown = MARKDOWN.iter().any(|mark| text.contains(mark)) || text.lines().any(begins);
        let lower = text.to_ascii_lowercase();
        Self {
            html,
            markdown,
            bbcode: lower.contains("[img") || lower.contains("[url"),
            quotes: text.contains(['"', '\'']),
            code: text.contains('`'),
        }
    }

    fn escape(self, text: &str) -> String {
        let mut text = escape::one_line(text);
        if self.bbcode {
            text = escape::in_bbcode(&text);
        }
        if self.markdown && self.code {
            text = escape::without_backticks(&text);
        }
        match (self.html, self.markdown) {
            (true, true) => escape::in_html_and_markdown(&text),
            (true, false) => escape::in_html(&text),
            (false, true) if self.quotes => escape::in_markdown_title(&text),
            (false, true) => escape::in_markdown(&text),
            (false, false) => text,
        }
    }

    /// An address holds nothing that acts but, in HTML, what could be a character reference.
    fn escape_address(self, address: &str) -> String {
        if self.html {
            escape::in_html(address)
        } else {
            address.to_owned()
        }
    }
}

impl Place {
    /// What stands at the end of `before` and before `after`.
    fn between(before: &str, after: &str, language: Language) -> Self {
        let lower = before.to_ascii_lowercase();
        if BEFORE_ADDRESS.iter().any(|mark| lower.ends_with(mark)) {
            return Self::Address;
        }
        if language.html && is_in_tag_without_quotes(before) {
            return Self::Bare;
        }
        let is_opened = before.matches('`').count() % 2 == 1;
        if language.markdown && is_opened && after.contains('`') {
            return Self::Code;
        }
        Self::Text(language)
    }

    fn escape(self, text: &str) -> String {
        match self {
            Self::Text(language) => language.escape(text),
            Self::Bare => escape::in_bare_html(text),
            Self::Code => escape::without_backticks(&escape::one_line(text)),
            Self::Address => escape::in_address(text),
        }
    }
}

fn is_in_tag_without_quotes(before: &str) -> bool {
    let Some(at) = before.rfind('<') else {
        return false;
    };
    let mut quote = None;
    for c in before[at..].chars() {
        match (quote, c) {
            (None, '>') => return false,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    quote.is_none()
}

/// Whether there is something in it that is a program, or where no escape of HTML holds.
fn has_program(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let tags = lower
        .split('<')
        .skip(1)
        .filter_map(|tag| tag.split('>').next());
    let mut words = tags.flat_map(|tag| tag.split([' ', '\t', '\n', '\r', '/', '"', '\'']));
    ["<script", "<style", "<!"]
        .iter()
        .any(|it| lower.contains(it))
        || words.any(|word| {
            let name = word.split('=').next().unwrap_or_default();
            word.contains('=') && (name.starts_with("on") || matches!(name, "style" | "srcdoc"))
        })
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidFormat> {
        let language = Language::of(text);
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let from_brace = &rest[at..];
            if let Some(after) = from_brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from_brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some((name, after)) = from_brace
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
            {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                let before = &text[..text.len() - from_brace.len()];
                let place = Place::between(before, after, language);
                pieces.push(Piece::named(name, language, place)?);
                rest = after;
            } else {
                return Err(InvalidFormat::Brace);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            return Err(InvalidFormat::Unknown(text.to_owned()));
        }
        let is_name = |piece: &Piece| matches!(piece, Piece::Name(_) | Piece::Alt(_));
        if has_program(text) && pieces.iter().any(is_name) {
            return Err(InvalidFormat::Program);
        }
        let text = text.to_owned();
        Ok(Self { text, pieces })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn fill(&self, image: &Image, alt: &str) -> String {
        let url = escape::address(&image.url);
        let name = image.file_name.as_str();
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Url(language) => language.escape_address(&url),
            Piece::Id => image.id.to_string(),
            Piece::Width => image.width.to_string(),
            Piece::Height => image.height.to_string(),
            Piece::Extension => extension(name),
            Piece::Name(place) => place.escape(name),
            Piece::Alt(place) => place.escape(alt),
            Piece::Date(codes) => {
                let at = image.created_at.to_zoned(TimeZone::system());
                // It was tried out when the template was read.
                strtime::format(codes, &at).unwrap_or_default()
            }
        });
        pieces.collect()
    }
}

impl Piece {
    fn named(name: &str, language: Language, place: Place) -> Result<Self, InvalidFormat> {
        let unknown = || InvalidFormat::Placeholder(name.to_owned());
        let (word, detail) = match name.split_once(':') {
            Some((word, detail)) => (word, Some(detail)),
            None => (name, None),
        };
        let place = match (word, detail) {
            ("name" | "alt", Some("markdown")) => Place::Text(Language::MARKDOWN),
            ("name" | "alt", Some("html")) => Place::Text(Language::HTML),
            ("name" | "alt", Some("bbcode")) => Place::Text(Language::BBCODE),
            ("name" | "alt", Some("raw")) => Place::Text(Language::NONE),
            ("date", Some(_)) | (_, None) => place,
            (_, Some(_)) => return Err(unknown()),
        };
        Ok(match word {
            "url" => Self::Url(language),
            "id" => Self::Id,
            "width" => Self::Width,
            "height" => Self::Height,
            "ext" => Self::Extension,
            "name" => Self::Name(place),
            "alt" => Self::Alt(place),
            "date" => Self::Date(date_codes(detail.unwrap_or(DAY))?),
            _ => return Err(unknown()),
        })
    }
}

fn date_codes(codes: &str) -> Result<String, InvalidFormat> {
    let invalid = || InvalidFormat::Date(codes.to_owned());
    let tried: Zoned = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let written = strtime::format(codes, &tried).map_err(|_| invalid())?;
    if codes.is_empty() || written.chars().any(char::is_control) {
        return Err(invalid());
    }
    Ok(codes.to_owned())
}

/// The ending of a name, in lower case and of letters and digits only; empty where it has none.
fn extension(name: &str) -> String {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_plain = ending.len() <= 16 && ending.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_plain {
        ending.to_ascii_lowercase()
    } else {
        String::new()
    }
}
