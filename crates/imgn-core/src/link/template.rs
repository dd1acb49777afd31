//! What a person wrote, with places for what is known of a picture.

use imgn_protocol::Image;
use jiff::{Timestamp, Zoned, fmt::strtime, tz::TimeZone};

use super::{InvalidFormat, escape};

/// A text with placeholders: `{url}`, `{id}`, `{name}`, `{alt}`, `{width}`, `{height}`, `{ext}` and `{date}`. `{{` and
/// `}}` are braces. What is put in is not looked at again for placeholders.
///
/// Names are escaped for what the template is: HTML where it has a tag, Markdown where it has `](`, BBCode where it has
/// a `[img` or `[url`, and else as they are, on one line. `{name:markdown}`, `{name:html}`, `{name:bbcode}` and
/// `{name:raw}` say it for one place; `{alt:…}` likewise. `{date:%Y-%m-%d}` is when the picture was published, in this
/// computer's time, by the codes of `strftime`.
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
    Name(Language),
    Alt(Language),
    Date(String),
}

/// What a value is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Plain,
    Markdown,
    Html,
    HtmlAndMarkdown,
    Bbcode,
}

/// The day, as ISO 8601 has it.
const DAY: &str = "%Y-%m-%d";

impl Language {
    /// What the words around the placeholders look like.
    fn of(text: &str) -> Self {
        let has_tag = text.match_indices('<').any(|(at, _)| {
            text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!')
        });
        let lower = text.to_ascii_lowercase();
        match (has_tag, text.contains("](")) {
            (true, true) => Self::HtmlAndMarkdown,
            (true, false) => Self::Html,
            (false, true) => Self::Markdown,
            _ if lower.contains("[img") || lower.contains("[url") => Self::Bbcode,
            _ => Self::Plain,
        }
    }

    fn escape(self, text: &str) -> String {
        match self {
            Self::Plain => escape::one_line(text),
            Self::Markdown => escape::in_markdown(text),
            Self::Html => escape::in_html(text),
            Self::HtmlAndMarkdown => escape::in_html_and_markdown(text),
            Self::Bbcode => escape::in_bbcode(text),
        }
    }

    /// An address holds nothing that acts but, in HTML, what could be a character reference.
    fn escape_address(self, address: &str) -> String {
        match self {
            Self::Html | Self::HtmlAndMarkdown => escape::in_html(address),
            Self::Plain | Self::Markdown | Self::Bbcode => address.to_owned(),
        }
    }
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
                pieces.push(Piece::named(name, language)?);
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
            Piece::Name(language) => language.escape(name),
            Piece::Alt(language) => language.escape(alt),
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
    fn named(name: &str, language: Language) -> Result<Self, InvalidFormat> {
        let unknown = || InvalidFormat::Placeholder(name.to_owned());
        let (word, detail) = match name.split_once(':') {
            Some((word, detail)) => (word, Some(detail)),
            None => (name, None),
        };
        let language = match (word, detail) {
            ("name" | "alt", Some("markdown")) => Language::Markdown,
            ("name" | "alt", Some("html")) => Language::Html,
            ("name" | "alt", Some("bbcode")) => Language::Bbcode,
            ("name" | "alt", Some("raw")) => Language::Plain,
            ("date", Some(_)) | (_, None) => language,
            (_, Some(_)) => return Err(unknown()),
        };
        Ok(match word {
            "url" => Self::Url(language),
            "id" => Self::Id,
            "width" => Self::Width,
            "height" => Self::Height,
            "ext" => Self::Extension,
            "name" => Self::Name(language),
            "alt" => Self::Alt(language),
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
