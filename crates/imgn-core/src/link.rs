//! Links to a picture, ready to be pasted where people write.
//!
//! A file name is somebody else's text: in each format it is escaped so that it is shown and never acts.

use std::str::FromStr;

use imgn_protocol::Image;
use url::Url;

/// How a link is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFormat {
    /// The address alone.
    Url,
    /// A picture in Markdown.
    Markdown,
    /// An `img` element, with its dimensions.
    Html,
    /// An `img` tag as forums have it.
    Bbcode,
    /// What a person wrote.
    Template(Template),
}

/// A text with placeholders: `{url}`, `{id}`, `{width}`, `{height}`, and `{name}` as it is, `{name:markdown}` and
/// `{name:html}` escaped. `{{` and `}}` are braces. What is put in is not looked at again for placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Url,
    Id,
    Width,
    Height,
    Name,
    NameInMarkdown,
    NameInHtml,
}

/// A text is neither a known format nor a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFormat {
    /// A word without any placeholder.
    #[error(
        "`{0}` is no link format; use url, markdown, html, bbcode, or a template such as `[{{name:markdown}}]({{url}})`"
    )]
    Unknown(String),
    /// A placeholder that there is not.
    #[error(
        "`{{{0}}}` is no placeholder; there are url, id, width, height, name, name:markdown and name:html"
    )]
    Placeholder(String),
    /// A brace that is not closed or not opened.
    #[error("a brace stands alone in the template; write {{{{ or }}}} for a brace itself")]
    Brace,
}

impl FromStr for LinkFormat {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        match text {
            "url" => Ok(Self::Url),
            "markdown" => Ok(Self::Markdown),
            "html" => Ok(Self::Html),
            "bbcode" => Ok(Self::Bbcode),
            _ => {
                let template = Template::parse(text)?;
                let is_constant = template
                    .0
                    .iter()
                    .all(|piece| matches!(piece, Piece::Text(_)));
                if is_constant {
                    return Err(InvalidFormat::Unknown(text.to_owned()));
                }
                Ok(Self::Template(template))
            }
        }
    }
}

/// The link to `image`.
#[must_use]
pub fn link(image: &Image, format: &LinkFormat) -> String {
    let url = address(image);
    let name = image.file_name.as_str();
    match format {
        LinkFormat::Url => url,
        LinkFormat::Markdown => format!("![{}]({url})", in_markdown(name)),
        LinkFormat::Html => format!(
            r#"<img src="{}" alt="{}" width="{}" height="{}">"#,
            in_html(&url),
            in_html(name),
            image.width,
            image.height
        ),
        LinkFormat::Bbcode => format!("[img]{url}[/img]"),
        LinkFormat::Template(template) => template.fill(image, &url),
    }
}

/// The picture's address with everything encoded that would end it in one of the formats.
fn address(image: &Image) -> String {
    let parsed = Url::parse(&image.url).map_or_else(|_| image.url.clone(), String::from);
    let mut url = String::with_capacity(parsed.len());
    for c in parsed.chars() {
        match c {
            '(' | ')' | '[' | ']' | '<' | '>' | '"' | '\'' | '\\' | '`' | '{' | '}' | '|' | '^' => {
                url.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_control() || c.is_whitespace() => {}
            c => url.push(c),
        }
    }
    url
}

fn in_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            // Every ASCII punctuation character may be escaped in CommonMark; these act.
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '!'
            | '|' | '&' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn in_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

impl Template {
    fn parse(text: &str) -> Result<Self, InvalidFormat> {
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
                pieces.push(Piece::named(name)?);
                rest = after;
            } else {
                return Err(InvalidFormat::Brace);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    fn fill(&self, image: &Image, url: &str) -> String {
        let name = image.file_name.as_str();
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Url => url.to_owned(),
                Piece::Id => image.id.to_string(),
                Piece::Width => image.width.to_string(),
                Piece::Height => image.height.to_string(),
                Piece::Name => name.to_owned(),
                Piece::NameInMarkdown => in_markdown(name),
                Piece::NameInHtml => in_html(name),
            })
            .collect()
    }
}

impl Piece {
    fn named(name: &str) -> Result<Self, InvalidFormat> {
        Ok(match name {
            "url" => Self::Url,
            "id" => Self::Id,
            "width" => Self::Width,
            "height" => Self::Height,
            "name" => Self::Name,
            "name:markdown" => Self::NameInMarkdown,
            "name:html" => Self::NameInHtml,
            other => return Err(InvalidFormat::Placeholder(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use imgn_protocol::{FileName, ImageId, Sha256, Timestamp};

    use super::*;

    fn image(name: &str, url: &str) -> Image {
        Image {
            id: ImageId::from(uuid::Uuid::nil()),
            sequence: 1,
            file_name: FileName::parse(name).unwrap(),
            width: 4,
            height: 3,
            content_type: "image/png".to_owned(),
            size: 1,
            sha256: Sha256::of(b""),
            thumbhash: String::new(),
            animated: false,
            taken_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            camera: None,
            lens: None,
            exposure: None,
            location: None,
            owner: "tester".to_owned(),
            url: url.to_owned(),
            display_url: None,
        }
    }

    const URL: &str = "https://gallery.example/v1/images/1/content";

    #[test]
    fn names_are_shown_and_never_act() {
        for (format, name, expected) in [
            ("url", "a.png", URL.to_owned()),
            (
                "markdown",
                "a](b) ![c.png",
                format!(r"![a\]\(b\) \!\[c.png]({URL})"),
            ),
            (
                "markdown",
                "<b>`_*$&.png",
                format!(r"![\<b\>\`\_\*$\&.png]({URL})"),
            ),
            (
                "html",
                r#""><script>'&.png"#,
                format!(
                    r#"<img src="{URL}" alt="&quot;&gt;&lt;script&gt;&#39;&amp;.png" width="4" height="3">"#
                ),
            ),
            ("bbcode", "[img].png", format!("[img]{URL}[/img]")),
            (
                "{name} {url}",
                "$& {url} $1.png",
                format!("$& {{url}} $1.png {URL}"),
            ),
            ("{{{name:html}}}", "<.png", "{&lt;.png}".to_owned()),
            ("[{name:markdown}]", "].png", r"[\].png]".to_owned()),
            (
                "{id} {width}x{height}",
                "a.png",
                "00000000-0000-0000-0000-000000000000 4x3".to_owned(),
            ),
        ] {
            let format: LinkFormat = format.parse().unwrap();
            assert_eq!(link(&image(name, URL), &format), expected);
        }
    }

    #[test]
    fn an_address_cannot_leave_its_place() {
        let odd = image("a.png", "https://gallery.example/a)b]\"c'<d>\n[/img]");
        for format in ["url", "markdown", "html", "bbcode"] {
            let text = link(&odd, &format.parse().unwrap());
            assert!(!text.contains("a)b"), "{text}");
            assert!(!text.contains("b]"), "{text}");
            assert!(!text.contains("<d>"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_is_no_format_says_what_is() {
        for (text, error) in [
            ("mardown", InvalidFormat::Unknown("mardown".to_owned())),
            ("", InvalidFormat::Unknown(String::new())),
            ("{nam}", InvalidFormat::Placeholder("nam".to_owned())),
            ("{url", InvalidFormat::Brace),
            ("url}", InvalidFormat::Brace),
        ] {
            assert_eq!(text.parse::<LinkFormat>(), Err(error));
        }
    }
}
