//! XMP: properties that tell a location become blanks.
//!
//! This is no XML parser: it knows tags, attributes and what may stand between them, and answers places. Names are
//! judged without resolving name spaces: writers differ in them, and in prefixes, more than in the names themselves.

use std::ops::Range;

use super::LocationFinding;

/// What XMP begins with in a JPEG segment, and in ImageMagick's text in PNG.
pub(super) const NAMESPACE: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// What stands for a packet of which nothing stays.
const EMPTY: &[u8] = b"<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"/>";
/// In which properties of the W3C's `geo` vocabulary a location is.
const GEO: [&[u8]; 6] = [b"lat", b"long", b"lon", b"alt", b"lat_long", b"point"];

/// Takes the location out of a packet. What cannot be read as XML in UTF-8 and seems to have one becomes empty.
pub(super) fn take_out(packet: &mut [u8]) -> LocationFinding {
    let used = packet
        .iter()
        .rposition(|&byte| byte != 0 && !byte.is_ascii_whitespace())
        .map_or(0, |last| last + 1);
    let text = &packet[..used];
    let found = if text.contains(&0) {
        None
    } else {
        locations(text)
    };
    match found {
        Some(places) => {
            for place in &places {
                packet[place.clone()].fill(b' ');
            }
            if places.is_empty() {
                LocationFinding::Nothing
            } else {
                LocationFinding::Location
            }
        }
        None if is_suspicious(packet) => {
            blank(packet);
            LocationFinding::WithItsBlock
        }
        None => LocationFinding::Nothing,
    }
}

/// Makes an empty packet of a packet.
pub(super) fn blank(packet: &mut [u8]) {
    packet.fill(b' ');
    if let Some(start) = packet.first_chunk_mut::<{ EMPTY.len() }>() {
        start.copy_from_slice(EMPTY);
    }
}

/// Whether there is a name of a location in a part of a packet, be it in UTF-8 or UTF-16.
pub(super) fn is_suspicious(part: &[u8]) -> bool {
    let narrow: Vec<u8> = part.iter().copied().filter(|&byte| byte != 0).collect();
    let mut before = b' ';
    let mut rest = narrow.as_slice();
    while let Some(&first) = rest.first() {
        let length = rest.iter().take_while(|&&byte| is_name_byte(byte)).count();
        if length == 0 {
            before = first;
            rest = &rest[1..];
            continue;
        }
        let (name, behind) = rest.split_at(length);
        if (before == b'<' || name.contains(&b':')) && is_location(name) {
            return true;
        }
        before = b' ';
        rest = behind;
    }
    false
}

/// Whether a property of this name, with its prefix if it has one, tells a location.
pub(super) fn is_location(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let (prefix, local) = match name.iter().rposition(|&byte| byte == b':') {
        Some(colon) => (&name[..colon], &name[colon + 1..]),
        None => (&[][..], &name[..]),
    };
    let has = |part: &[u8]| local.windows(part.len()).any(|window| window == part);
    if prefix == b"xmlns" || local == b"gpsversionid" {
        return false;
    }
    // One maker of drones writes "longtitude".
    local.starts_with(b"gps")
        || local.starts_with(b"geotag")
        || has(b"latitude")
        || has(b"longitude")
        || has(b"longtitude")
        || matches!(prefix, b"gps" | b"georss")
        || prefix == b"geo" && GEO.contains(&local)
}

/// The places of attributes and elements that tell a location; nothing if the text is not well formed.
fn locations(text: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut places = Vec::new();
    let mut depth = 0_usize;
    // The element that is being left out: where it begins, how deep, and its name.
    let mut left_out: Option<(usize, usize, &[u8])> = None;
    let mut at = 0;
    while let Some(open) = find(text, at, b"<") {
        let tag = &text[open..];
        if tag.starts_with(b"<!--") {
            at = find(text, open + 4, b"-->")? + 3;
        } else if tag.starts_with(b"<![CDATA[") {
            at = find(text, open, b"]]>")? + 3;
        } else if tag.starts_with(b"<?") {
            at = find(text, open, b"?>")? + 2;
        } else if tag.starts_with(b"<!") {
            at = find(text, open, b">")? + 1;
        } else if tag.starts_with(b"</") {
            let end = find(text, open, b">")?;
            depth = depth.checked_sub(1)?;
            if let Some((start, level, name)) = left_out
                && level == depth
            {
                if text[open + 2..end].trim_ascii_end() != name {
                    return None;
                }
                places.push(start..end + 1);
                left_out = None;
            }
            at = end + 1;
        } else {
            let tag = StartTag::read(text, open)?;
            if left_out.is_none() {
                if !is_location(tag.name) {
                    places.extend(tag.locations);
                } else if tag.is_empty {
                    places.push(open..tag.end);
                } else {
                    left_out = Some((open, depth, tag.name));
                }
            }
            if !tag.is_empty {
                depth = depth.checked_add(1)?;
            }
            at = tag.end;
        }
    }
    (depth == 0).then_some(places)
}

struct StartTag<'a> {
    name: &'a [u8],
    /// Attributes that tell a location.
    locations: Vec<Range<usize>>,
    is_empty: bool,
    /// Behind its `>`.
    end: usize,
}

impl<'a> StartTag<'a> {
    fn read(text: &'a [u8], open: usize) -> Option<Self> {
        let name = name_at(text, open + 1)?;
        let mut locations = Vec::new();
        let mut at = open + 1 + name.len();
        loop {
            at = skip_blanks(text, at);
            let is_empty = text.get(at..)?.starts_with(b"/>");
            if is_empty || text[at..].starts_with(b">") {
                return Some(Self {
                    name,
                    locations,
                    is_empty,
                    end: at + 1 + usize::from(is_empty),
                });
            }
            let attribute = name_at(text, at)?;
            let equals = skip_blanks(text, at + attribute.len());
            if text.get(equals) != Some(&b'=') {
                return None;
            }
            let quote = skip_blanks(text, equals + 1);
            let kind = text
                .get(quote)
                .filter(|&&byte| matches!(byte, b'"' | b'\''))?;
            let end = find(text, quote + 1, &[*kind])? + 1;
            if is_location(attribute) {
                locations.push(at..end);
            }
            at = end;
        }
    }
}

/// The name at `at`, if there is one.
fn name_at(text: &[u8], at: usize) -> Option<&[u8]> {
    let rest = text.get(at..)?;
    let length = rest.iter().take_while(|&&byte| is_name_byte(byte)).count();
    (length > 0).then(|| &rest[..length])
}

/// Letters beyond ASCII are let pass.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.' | 0x80..)
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or(&[]);
    at + rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Where `what` is, from `at` on.
fn find(text: &[u8], at: usize, what: &[u8]) -> Option<usize> {
    let found = text
        .get(at..)?
        .windows(what.len())
        .position(|window| window == what)?;
    Some(at + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(packet: &str) -> (LocationFinding, String) {
        let mut bytes = packet.as_bytes().to_vec();
        let finding = take_out(&mut bytes);
        assert_eq!(bytes.len(), packet.len());
        (finding, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_tells_a_location_becomes_blanks_and_nothing_else_does() {
        for (packet, kept) in [
            (
                r#"<r:D a="1" exif:GPSLatitude="48,1N" b='2' drone-dji:GpsLongtitude = '+11' c="3"/>"#,
                r#"<r:D a="1" b='2' c="3"/>"#,
            ),
            (
                "<r:D><exif:GPSLatitude>48,1N</exif:GPSLatitude><tiff:Make>M</tiff:Make></r:D>",
                "<r:D><tiff:Make>M</tiff:Make></r:D>",
            ),
            (
                "<r:D><e:GPSX><r:Seq><r:li>1</r:li><e:GPSX/></r:Seq></e:GPSX ><geo:lat/><geo:name/></r:D>",
                "<r:D><geo:name/></r:D>",
            ),
            (
                r#"<?x exif:GPSLatitude?><!-- <a exif:GPSx="1"> --><a><![CDATA[</a>]]><b GeoTag=">"/></a>"#,
                r#"<?x exif:GPSLatitude?><!-- <a exif:GPSx="1"> --><a><![CDATA[</a>]]><b/></a>"#,
            ),
        ] {
            let (finding, text) = taken(packet);
            assert_eq!(finding, LocationFinding::Location, "{packet}");
            let squeeze = |text: &str| text.replace(' ', "");
            assert_eq!(squeeze(&text), squeeze(kept), "{packet}");
            assert_eq!(taken(&text), (LocationFinding::Nothing, text));
        }
    }

    #[test]
    fn no_location_is_seen_where_there_is_none() {
        for packet in [
            r#"<a xmlns:GPS="u" exif:GPSVersionID="2.3.0.0" crs:Altitude="x">my GPS, exif:GPSLatitude</a>"#,
            "<a><b></a>",
            "plain: text <",
            "",
        ] {
            assert_eq!(taken(packet), (LocationFinding::Nothing, packet.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_taken_apart_becomes_empty() {
        let wide: Vec<u8> = r#"<a exif:GPSLatitude="48,1N" b="and the rest"/>"#
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let long = r#"<a xmlns:exif="http://ns.adobe.com/exif/1.0/">"#;
        for packet in [
            wide,
            format!("{long}<exif:GPSLatitude>48").into_bytes(),
            format!("{long}<exif:GPSLatitude>48</b></a>").into_bytes(),
            format!("{long}<b exif:GPSLatitude='48></b></a>").into_bytes(),
        ] {
            let mut bytes = packet.clone();
            assert_eq!(take_out(&mut bytes), LocationFinding::WithItsBlock);
            assert_eq!(bytes.len(), packet.len());
            assert!(bytes.starts_with(EMPTY));
            assert!(bytes[EMPTY.len()..].iter().all(|&byte| byte == b' '));
            assert_eq!(take_out(&mut bytes), LocationFinding::Nothing);
        }
    }
}
