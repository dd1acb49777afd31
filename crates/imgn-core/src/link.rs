//! Links to a picture, ready to be pasted where people write.
//!
//! A file name is somebody else's text, and so may an alt text be: in each format it is escaped so that it is shown and
//! never acts.

mod escape;
mod template;

use std::{fmt, str::FromStr};

use imgn_protocol::Image;
use serde::{Deserialize, Serialize};

pub use template::Template;

/// How a link is written. In settings and on command lines it is a word or the text of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LinkFormat {
    /// The address alone.
    #[default]
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

/// A text is neither a known format nor a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFormat {
    /// A word without any placeholder.
    #[error(
        "`{0}` is no link format; use url, markdown, html, bbcode, or a template such as `[{{alt}}]({{url}})`"
    )]
    Unknown(String),
    /// A placeholder that there is not.
    #[error(
        "`{{{0}}}` is no placeholder; there are url, id, name, alt, width, height, ext and date, and name:markdown, name:html, name:bbcode and name:raw"
    )]
    Placeholder(String),
    /// Codes that make no date.
    #[error("`{{date:{0}}}` is no date; write it as in `{{date:%Y-%m-%d}}`")]
    Date(String),
    /// A name in it would be a program's.
    #[error(
        "a name would act in a template with a script, a style, a comment or an attribute such as onclick; leave that out, or the name"
    )]
    Program,
    /// A brace that is not closed or not opened.
    #[error("a brace stands alone in the template; write {{{{ or }}}} for a brace itself")]
    Brace,
}

impl FromStr for LinkFormat {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        Ok(match text {
            "url" => Self::Url,
            "markdown" => Self::Markdown,
            "html" => Self::Html,
            "bbcode" => Self::Bbcode,
            _ => Self::Template(Template::parse(text)?),
        })
    }
}

impl TryFrom<String> for LinkFormat {
    type Error = InvalidFormat;

    fn try_from(text: String) -> Result<Self, InvalidFormat> {
        text.parse()
    }
}

impl From<LinkFormat> for String {
    fn from(format: LinkFormat) -> Self {
        format.to_string()
    }
}

impl fmt::Display for LinkFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "url",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Bbcode => "bbcode",
            Self::Template(template) => template.text(),
        })
    }
}

/// The link to `image`. What stands for the picture where it cannot be seen is `alt`, or else its name.
#[must_use]
pub fn link(image: &Image, alt: Option<&str>, format: &LinkFormat) -> String {
    let name = image.file_name.as_str();
    let alt = alt.map(escape::one_line).filter(|alt| !alt.is_empty());
    let alt = alt.as_deref().unwrap_or(name);
    let url = || escape::address(&image.url);
    match format {
        LinkFormat::Url => url(),
        LinkFormat::Markdown => format!("![{}]({})", escape::in_markdown(alt), url()),
        LinkFormat::Html => format!(
            r#"<img src="{}" alt="{}" width="{}" height="{}">"#,
            escape::in_html(&url()),
            escape::in_html(alt),
            image.width,
            image.height
        ),
        LinkFormat::Bbcode => format!("[img]{}[/img]", url()),
        LinkFormat::Template(template) => template.fill(image, alt),
    }
}

/// The links to several pictures, a line each, in their order.
#[must_use]
pub fn links<'a>(
    images: impl IntoIterator<Item = &'a Image>,
    alt: Option<&str>,
    format: &LinkFormat,
) -> String {
    let lines = images.into_iter().map(|image| link(image, alt, format));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
