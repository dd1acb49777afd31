//! What EXIF data say: orientation, time, camera, lens, exposure and place, as far as they can be read.
//!
//! EXIF is often a little wrong, and never a reason to refuse a picture: what cannot be read, or makes no sense, is left
//! out.

use exif::{Context, Exif, In, Reader, Tag, Value};
use image::metadata::Orientation;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::Offset;

use crate::{Exposure, Location, Metadata};

/// EXIF data beyond this size are not looked at: a JPEG segment cannot hold more than 64 KiB.
pub(crate) const MAX_EXIF_BYTES: usize = 1 << 20;
/// The longest name of a camera or a lens that is kept, in characters.
const MAX_NAME_CHARACTERS: usize = 100;
/// Beyond these no camera and no lens goes; what says more is wrong.
const LONGEST_EXPOSURE: f64 = 86_400.0;
const LARGEST_F_NUMBER: f64 = 1000.0;
const LONGEST_LENS: f64 = 100_000.0;
/// Words that makers add to their name and people do not.
const COMPANY_WORDS: [&str; 8] = [
    "corporation",
    "corp",
    "company",
    "co",
    "ltd",
    "inc",
    "imaging",
    "electronics",
];

/// EXIF data, parsed. `data` begins with the TIFF header.
pub(crate) struct ExifData(Option<Exif>);

impl ExifData {
    pub(crate) fn parse(data: Option<&[u8]>) -> Self {
        Self(data.and_then(|data| {
            // Some writers keep JPEG's prefix in PNG and WebP.
            let data = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
            if data.len() > MAX_EXIF_BYTES {
                return None;
            }
            Reader::new()
                .continue_on_error(true)
                .read_raw(data.to_vec())
                .or_else(|error| error.distill_partial_result(|_| {}))
                .ok()
        }))
    }

    pub(crate) fn orientation(&self) -> Orientation {
        self.stated_orientation()
            .unwrap_or(Orientation::NoTransforms)
    }

    /// The JPEG that cameras keep beside a picture, as stored: not turned.
    pub(crate) fn preview(&self) -> Option<&[u8]> {
        let exif = self.0.as_ref()?;
        let number = |tag| exif.get_field(tag, In::THUMBNAIL)?.value.get_uint(0);
        let start = number(Tag::JPEGInterchangeFormat)? as usize;
        let length = number(Tag::JPEGInterchangeFormatLength)? as usize;
        exif.buf().get(start..)?.get(..length)
    }

    /// The orientation, if there is one that makes sense.
    pub(crate) fn stated_orientation(&self) -> Option<Orientation> {
        let value = self.field(Tag::Orientation)?.get_uint(0)?;
        Orientation::from_exif(u8::try_from(value).ok()?)
    }

    pub(crate) fn metadata(&self) -> Metadata {
        let taken = |date, offset, fraction| {
            taken_at(
                &self.text(date)?,
                self.text(offset).as_deref(),
                self.text(fraction).as_deref(),
            )
        };
        let (taken_at, utc_offset) = taken(
            Tag::DateTimeOriginal,
            Tag::OffsetTimeOriginal,
            Tag::SubSecTimeOriginal,
        )
        .or_else(|| {
            taken(
                Tag::DateTimeDigitized,
                Tag::OffsetTimeDigitized,
                Tag::SubSecTimeDigitized,
            )
        })
        .unzip();
        Metadata {
            taken_at,
            utc_offset: utc_offset.flatten(),
            camera: camera(self.text(Tag::Make), self.text(Tag::Model)),
            lens: self.text(Tag::LensModel).map(|name| shortened(&name)),
            exposure: self.exposure(),
            has_location: self.has_location(),
            location: self.location(),
        }
    }

    fn exposure(&self) -> Exposure {
        let positive = |tag| self.number(tag).filter(|&value| value > 0.0);
        let whole = |tag| {
            self.field(tag)?
                .get_uint(0)
                .filter(|&value| value > 0 && value != u32::from(u16::MAX))
        };
        Exposure {
            seconds: positive(Tag::ExposureTime).filter(|&time| time <= LONGEST_EXPOSURE),
            f_number: positive(Tag::FNumber).filter(|&number| number <= LARGEST_F_NUMBER),
            // The old tag is too small for what cameras reach, and says so by its largest value.
            iso: whole(Tag::PhotographicSensitivity).or_else(|| whole(Tag::ISOSpeed)),
            focal_length: positive(Tag::FocalLength).filter(|&length| length <= LONGEST_LENS),
        }
    }

    /// Whether there is a GPS directory that holds more than its version.
    fn has_location(&self) -> bool {
        let fields = self.0.iter().flat_map(Exif::fields);
        { fields }
            .any(|field| field.tag.context() == Context::Gps && field.tag != Tag::GPSVersionID)
    }

    fn location(&self) -> Option<Location> {
        let angle = |tag, reference, negative: u8| {
            let Value::Rational(parts) = self.field(tag)? else {
                return None;
            };
            // Degrees, minutes, seconds; the latter may be left out.
            let mut angle = 0.0;
            for (part, unit) in parts.iter().zip([1.0, 60.0, 3600.0]) {
                if part.denom == 0 {
                    return None;
                }
                angle += part.to_f64() / unit;
            }
            let side = self.text(reference)?;
            let is_negative = side.as_bytes().first()?.eq_ignore_ascii_case(&negative);
            (!parts.is_empty()).then_some(if is_negative { -angle } else { angle })
        };
        let latitude = angle(Tag::GPSLatitude, Tag::GPSLatitudeRef, b'S')?;
        let longitude = angle(Tag::GPSLongitude, Tag::GPSLongitudeRef, b'W')?;
        // Receivers that had no fix write zeros.
        let is_fix = latitude != 0.0 || longitude != 0.0;
        (is_fix && latitude.abs() <= 90.0 && longitude.abs() <= 180.0).then_some(Location {
            latitude,
            longitude,
        })
    }

    /// A fraction that is a number.
    fn number(&self, tag: Tag) -> Option<f64> {
        let number = match self.field(tag)? {
            Value::Rational(values) => values.first()?.to_f64(),
            Value::SRational(values) => values.first()?.to_f64(),
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn field(&self, tag: Tag) -> Option<&Value> {
        Some(&self.0.as_ref()?.get_field(tag, In::PRIMARY)?.value)
    }

    fn text(&self, tag: Tag) -> Option<String> {
        match self.field(tag)? {
            Value::Ascii(lines) => lines
                .first()
                .map(|line| tidy(&String::from_utf8_lossy(line))),
            _ => None,
        }
        .filter(|text| !text.is_empty())
    }
}

/// One line, without control characters, text-reordering characters, or runs of spaces.
fn tidy(text: &str) -> String {
    let visible: String = text
        .chars()
        // Far more than is kept in the end: this bounds the work.
        .take(1000)
        .map(|c| if is_hidden(c) { ' ' } else { c })
        .collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}

/// `2023:07:01 12:34:56` with `+02:00` and the digits behind the decimal point. A camera whose clock was never set
/// writes zeros or spaces: those are no date.
fn taken_at(
    date: &str,
    offset: Option<&str>,
    fraction: Option<&str>,
) -> Option<(Timestamp, Option<Offset>)> {
    let mut parsed = exif::DateTime::from_ascii(date.as_bytes()).ok()?;
    // Each is left out where it cannot be read.
    let _ = offset.map(|text| parsed.parse_offset(text.as_bytes()));
    let _ = fraction.map(|text| parsed.parse_subsec(text.as_bytes()));
    let local = civil::DateTime::new(
        i16::try_from(parsed.year).ok()?,
        i8::try_from(parsed.month).ok()?,
        i8::try_from(parsed.day).ok()?,
        i8::try_from(parsed.hour).ok()?,
        i8::try_from(parsed.minute).ok()?,
        // A leap second.
        i8::try_from(parsed.second.min(59)).ok()?,
        i32::try_from(parsed.nanosecond.unwrap_or(0)).ok()?,
    )
    .ok()?;
    let offset = parsed
        .offset
        .and_then(|minutes| Offset::from_seconds(i32::from(minutes) * 60).ok());
    let taken = offset.unwrap_or(Offset::UTC).to_timestamp(local).ok()?;
    Some((taken, offset))
}

/// Maker and model in one, without what is said twice: `Canon`, `Canon EOS R5` is `Canon EOS R5`.
fn camera(make: Option<String>, model: Option<String>) -> Option<String> {
    let make = make
        .map(|make| without_company_words(&make))
        .filter(|make| !make.is_empty());
    let name = match (make, model) {
        (None, name) | (name, None) => name?,
        (Some(make), Some(model)) => {
            let first = |text: &str| text.split(' ').next().unwrap_or_default().to_lowercase();
            if first(&make) == first(&model)
                || model.to_lowercase().starts_with(&make.to_lowercase())
            {
                model
            } else {
                format!("{make} {model}")
            }
        }
    };
    Some(shortened(&name))
}

fn shortened(name: &str) -> String {
    let kept: String = name.chars().take(MAX_NAME_CHARACTERS).collect();
    kept.trim_end().to_owned()
}

/// `OLYMPUS IMAGING CORP.` is `OLYMPUS`. The first word stays, whatever it is.
fn without_company_words(make: &str) -> String {
    let mut words: Vec<&str> = make
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    while words.len() > 1
        && words.last().is_some_and(|word| {
            let word = word.trim_end_matches('.').to_lowercase();
            word.split('.').all(|part| COMPANY_WORDS.contains(&part))
        })
    {
        words.pop();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_named_once() {
        for (make, model, name) in [
            (Some("Canon"), Some("Canon EOS R5"), Some("Canon EOS R5")),
            (
                Some("NIKON CORPORATION"),
                Some("NIKON D850"),
                Some("NIKON D850"),
            ),
            (
                Some("OLYMPUS IMAGING CORP."),
                Some("E-M1"),
                Some("OLYMPUS E-M1"),
            ),
            (
                Some("SAMSUNG ELECTRONICS CO., LTD."),
                Some("SM-G991B"),
                Some("SAMSUNG SM-G991B"),
            ),
            (Some("Co"), None, Some("Co")),
            (None, Some("Pixel 8"), Some("Pixel 8")),
            (None, None, None),
        ] {
            let camera = camera(make.map(str::to_owned), model.map(str::to_owned));
            assert_eq!(camera.as_deref(), name);
        }
        let long = camera(Some("a".repeat(300)), Some("b".to_owned())).unwrap();
        assert_eq!(long.len(), MAX_NAME_CHARACTERS);
    }

    #[test]
    fn a_time_has_its_zone_or_is_utc() {
        for (date, offset, fraction, expected) in [
            (
                "2023:07:01 12:34:56",
                Some("+02:00"),
                None,
                Some("2023-07-01T10:34:56Z"),
            ),
            (
                "2023:07:01 12:34:56",
                None,
                Some("25"),
                Some("2023-07-01T12:34:56.25Z"),
            ),
            (
                "2023:07:01 12:34:56",
                Some("home"),
                None,
                Some("2023-07-01T12:34:56Z"),
            ),
            ("0000:00:00 00:00:00", None, None, None),
            ("2023:02:30 00:00:00", None, None, None),
            ("yesterday", None, None, None),
        ] {
            let taken = taken_at(date, offset, fraction);
            let zone = taken.and_then(|(_, zone)| zone);
            assert_eq!(zone.is_some(), offset == Some("+02:00"), "{date}");
            let taken = taken.map(|(time, _)| time.to_string());
            assert_eq!(taken.as_deref(), expected, "{date}");
        }
    }

    #[test]
    fn text_is_one_visible_line() {
        assert_eq!(
            tidy("  Can\0on\n\u{202e}EOS\u{1b}[31m  "),
            "Can on EOS [31m"
        );
    }
}
