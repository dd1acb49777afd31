//! Links by example, and their escaping as properties: what a reader of each format sees is the name and nothing else.

use imgn_protocol::{FileName, ImageId, Sha256, Timestamp};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

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
            "{id} {width}x{height} {ext}",
            "a.b.PNG",
            "00000000-0000-0000-0000-000000000000 4x3 png".to_owned(),
        ),
        ("{name:markdown}", "1. a.png", r"1\. a.png".to_owned()),
        ("{ext}|{name}", "a", "|a".to_owned()),
    ] {
        let format: LinkFormat = format.parse().unwrap();
        assert_eq!(link(&image(name, URL), None, &format), expected);
    }
}

#[test]
fn a_template_is_escaped_for_what_it_is() {
    let name = r#"a]"[b]<i>.png"#;
    for (template, expected) in [
        (
            "![{alt}]({url})",
            format!(r#"![a\]"\[b\]\<i\>.png]({URL})"#),
        ),
        (
            r#"<img alt="{name}" src="{url}">"#,
            format!(r#"<img alt="a]&quot;[b]&lt;i&gt;.png" src="{URL}">"#),
        ),
        (
            "[url={url}]{name}[/url]",
            format!("[url={URL}]a］”［b］<i>.png[/url]"),
        ),
        (
            "<b>[{name}]({url})</b>",
            format!("<b>[a&#93;&#34;&#91;b&#93;&#60;i&#62;&#46;png]({URL})</b>"),
        ),
        ("{name}", name.to_owned()),
        // Of two kinds at once.
        (
            "<p>[img]{url}[/img] {name}</p>",
            format!("<p>[img]{URL}[/img] a］”［b］&lt;i&gt;.png</p>"),
        ),
        // Where quotes end something, they are escaped.
        (
            "![]({url} \"{name}\")",
            format!(r#"![]({URL} "a\]\"\[b\]\<i\>.png")"#),
        ),
        // In a tag without quotes.
        (
            "<img alt={name} src={url}>",
            format!("<img alt=a&#93;&#34;&#91;b&#93;&#60;i&#62;&#46;png src={URL}>"),
        ),
        // As an address.
        (
            "<a href=\"{name}\">x</a>",
            "<a href=\"a%5D%22%5Bb%5D%3Ci%3E.png\">x</a>".to_owned(),
        ),
        ("[x]({name})", "[x](a%5D%22%5Bb%5D%3Ci%3E.png)".to_owned()),
        ("- {name}", r#"- a\]"\[b\]\<i\>.png"#.to_owned()),
        ("`{name}` {url}", format!("`{name}` {URL}")),
        ("![{name:raw}]({url})", format!("![{name}]({URL})")),
    ] {
        let format: LinkFormat = template.parse().unwrap();
        assert_eq!(link(&image(name, URL), None, &format), expected);
        assert_eq!(format.to_string(), template, "it is written as it was read");
    }
    let scheme = image("javascript:alert(1)", URL);
    for (template, expected) in [
        ("<a href={name}>", "<a href=javascript%3Aalert%281%29>"),
        (
            "[url={name}]x[/url]",
            "[url=javascript%3Aalert%281%29]x[/url]",
        ),
    ] {
        assert_eq!(link(&scheme, None, &template.parse().unwrap()), expected);
    }
    let code = image("a`b_c`.png", URL);
    for (template, expected) in [("`{name}`", "`aˋb_cˋ.png`"), ("` {name}", r"` aˋb\_cˋ.png")] {
        assert_eq!(link(&code, None, &template.parse().unwrap()), expected);
    }
    let with_query = image("a.png", "https://gallery.example/a?b=1&copy=2");
    let html = link(&with_query, None, &"<a href='{url}'>".parse().unwrap());
    assert_eq!(html, "<a href='https://gallery.example/a?b=1&amp;copy=2'>");
}

#[test]
fn an_alt_text_stands_in_for_the_name() {
    let picture = image("a.png", URL);
    let alt = Some(" two\nlines\u{202e} ");
    assert_eq!(
        link(&picture, alt, &LinkFormat::Markdown),
        format!("![two lines]({URL})")
    );
    assert_eq!(
        link(&picture, Some(" "), &LinkFormat::Markdown),
        format!("![a.png]({URL})")
    );
    let both = links([&picture, &picture], None, &LinkFormat::Bbcode);
    assert_eq!(both, format!("[img]{URL}[/img]\n[img]{URL}[/img]"));
}

#[test]
fn a_date_is_written_by_its_codes() {
    let picture = image("a.png", URL);
    let local = Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::system());
    for codes in ["%Y-%m-%d", "%H:%M", "%d.%m.%y"] {
        let format = format!("{{date:{codes}}}").parse().unwrap();
        let expected = local.strftime(codes).to_string();
        assert_eq!(link(&picture, None, &format), expected);
    }
    let day = link(&picture, None, &"{date}".parse().unwrap());
    assert_eq!(day, local.strftime("%Y-%m-%d").to_string());
}

#[test]
fn an_address_cannot_leave_its_place() {
    let odd = image("a.png", "https://gallery.example/a)b]\"c'<d>\n[/img]");
    for format in ["url", "markdown", "html", "bbcode", "![{alt}]({url})"] {
        let text = link(&odd, None, &format.parse().unwrap());
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
        (
            "{url:raw}",
            InvalidFormat::Placeholder("url:raw".to_owned()),
        ),
        ("{date:%Q%}", InvalidFormat::Date("%Q%".to_owned())),
        ("{date:}", InvalidFormat::Date(String::new())),
        ("<script>f('{name}')</script>", InvalidFormat::Program),
        ("<a onclick=\"f('{alt}')\">", InvalidFormat::Program),
        ("<p style='{name}'>", InvalidFormat::Program),
        ("<!-- {name} -->{url}", InvalidFormat::Program),
        ("{url", InvalidFormat::Brace),
        ("url}", InvalidFormat::Brace),
    ] {
        assert_eq!(text.parse::<LinkFormat>(), Err(error));
    }
}

/// What a Markdown reader sees: of each picture its address and alt text, and all text outside of pictures.
fn read_markdown(text: &str) -> (Vec<(String, String)>, String) {
    let (mut pictures, mut outside, mut inside) = (Vec::new(), String::new(), None);
    for event in Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => {
                inside = Some((dest_url.to_string(), String::new()));
            }
            Event::End(TagEnd::Image) => pictures.extend(inside.take()),
            Event::Text(text) => match &mut inside {
                Some((_, alt)) => alt.push_str(&text),
                None => outside.push_str(&text),
            },
            Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
            other => outside.push_str(&format!("{other:?}")),
        }
    }
    (pictures, outside)
}

/// Names as people and attackers make them: mostly of what acts somewhere.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r#"[\]\[()<>"'&$!*_`~#|\\{}=+. a1\n\r\t\u{202e}\u{200f}-]{0,24}"#,
    ]
}

/// What HTML's five references stand for.
fn unescaped(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

proptest! {
    #[test]
    fn markdown_shows_exactly_the_alt_text(alt in text()) {
        let picture = image("a.png", URL);
        let shown = escape::one_line(&alt);
        let shown = if shown.is_empty() { "a.png" } else { &shown };
        for format in ["markdown", "![{alt}]({url})", "<b>![{alt}]({url})</b>"] {
            let text = link(&picture, Some(&alt), &format.parse().unwrap());
            prop_assert!(!text.contains('\n'));
            let (pictures, outside) = read_markdown(text.trim_start_matches("<b>").trim_end_matches("</b>"));
            prop_assert_eq!(pictures, vec![(URL.to_owned(), shown.to_owned())]);
            prop_assert_eq!(outside, "");
        }
        // And where nothing stands before it.
        let bare = link(&picture, Some(&alt), &"{alt:markdown}".parse().unwrap());
        let (pictures, outside) = read_markdown(&bare);
        prop_assert!(pictures.is_empty());
        prop_assert_eq!(outside, shown);
    }

    #[test]
    fn a_title_of_markdown_is_exactly_the_name(alt in text()) {
        let text = link(&image("a.png", URL), Some(&alt), &"![x]({url} \"{alt}\")".parse().unwrap());
        let shown = escape::one_line(&alt);
        let shown = if shown.is_empty() { "a.png" } else { &shown };
        let titles: Vec<_> = Parser::new(&text)
            .filter_map(|event| match event {
                Event::Start(Tag::Image { title, dest_url, .. }) => Some((dest_url.to_string(), title.to_string())),
                _ => None,
            })
            .collect();
        prop_assert_eq!(titles, vec![(URL.to_owned(), shown.to_owned())]);
    }

    #[test]
    fn a_tag_without_quotes_has_no_attribute_but_its_own(alt in text()) {
        let html = link(&image("a.png", URL), Some(&alt), &"<img alt={alt} src={url}>".parse().unwrap());
        let inside = html.strip_prefix("<img alt=").and_then(|it| it.strip_suffix(&format!(" src={URL}>")));
        let inside = inside.unwrap();
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '&' | '#' | ';');
        prop_assert!(inside.chars().all(plain), "{}", inside);
    }

    #[test]
    fn html_has_one_tag_and_the_alt_text_in_it(alt in text()) {
        let html = link(&image("a.png", URL), Some(&alt), &LinkFormat::Html);
        prop_assert_eq!(html.matches(['<', '>']).count(), 2);
        prop_assert_eq!(html.matches('"').count(), 8);
        let inside = html.split("alt=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let shown = escape::one_line(&alt);
        let shown = if shown.is_empty() { "a.png" } else { &shown };
        prop_assert_eq!(unescaped(inside), shown);
    }

    #[test]
    fn bbcode_has_no_bracket_but_its_own(alt in text()) {
        let text = link(&image("a.png", URL), Some(&alt), &"[url={url}]{alt}[/url]".parse().unwrap());
        prop_assert_eq!(text.matches(['[', ']']).count(), 4);
    }

    #[test]
    fn every_format_is_one_line_and_turns_no_direction(name in text(), format in prop_oneof![
        Just("url"), Just("markdown"), Just("html"), Just("bbcode"), Just("{name} {alt} {ext} {url}"),
        Just("[url={url}]{name}[/url]"), Just("<i>[{name}]({url})"),
    ]) {
        let picture = image(FileName::clean(&name).as_str(), "https://gallery.example/\u{202e}a b");
        let text = link(&picture, Some(&name), &format.parse().unwrap());
        prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
        prop_assert!(!text.contains(['\u{202e}', '\u{200f}', '\u{2028}']), "{:?}", text);
    }

    #[test]
    fn a_format_is_read_back_as_it_was_written(text in text()) {
        if let Ok(format) = text.parse::<LinkFormat>() {
            prop_assert_eq!(format.to_string().parse(), Ok(format));
        }
    }
}
