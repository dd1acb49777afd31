//! What a picture is found by, as words: runs of letters and digits, in lower case and without accents.
//!
//! Both sides of a search go through here, what is indexed and what is asked for. A day or a month, as 2026-11-26 or
//! 2026-11, is one word, 20261126, which its year and month begin.

use imgn_protocol::{Image, Timestamp};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::postings::cut;

/// In nanoseconds.
const A_DAY: i128 = 24 * 60 * 60 * 1_000_000_000;

/// Words that are asked for at a time; more are left out of account.
const MAX_WORDS: usize = 16;

/// All words that pictures are found by: name, camera, owner, the days they were taken and published. A picture after
/// the other, for those that follow each other are often of one day.
#[derive(Default)]
pub(crate) struct OfImages {
    /// Days since 1970, and their words: that of taking, and that of publishing.
    days: [(i128, String); 2],
}

impl OfImages {
    pub(crate) fn of(&mut self, image: &Image) -> String {
        let mut words = String::with_capacity(128);
        push_words(image.file_name.as_str(), &mut words);
        push_words(image.camera.as_deref().unwrap_or_default(), &mut words);
        push_words(&image.owner, &mut words);
        let moments = [image.taken_at, Some(image.created_at)];
        for (moment, (last, its_words)) in moments.into_iter().zip(&mut self.days) {
            let Some(moment) = moment else { continue };
            let day = moment.as_nanosecond().div_euclid(A_DAY);
            if day != *last || its_words.is_empty() {
                *last = day;
                its_words.clear();
                push_day(moment, its_words);
            }
            words.push_str(its_words);
        }
        words
    }
}

/// All words of a text.
pub(crate) fn of_text(text: &str) -> String {
    let mut words = String::new();
    push_words(text, &mut words);
    words
}

/// The words of a search; each is asked for as a beginning.
pub(super) fn of_search(search: &str) -> Vec<String> {
    let mut words = String::new();
    push_words(search, &mut words);
    let mut words: Vec<String> = words
        .split_ascii_whitespace()
        .take(MAX_WORDS)
        .map(|word| cut(word).to_owned())
        .collect();
    // What begins another word of the search finds no less than that.
    words.sort_unstable();
    words.reverse();
    words.dedup_by(|shorter, longer| longer.starts_with(&**shorter));
    words
}

/// The day in UTC.
fn push_day(moment: Timestamp, words: &mut String) {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let day = moment.to_zoned(jiff::tz::TimeZone::UTC).date();
    let month = usize::try_from(day.month() - 1).unwrap_or_default();
    let name = MONTHS.get(month).copied().unwrap_or_default();
    words.push_str(&format!(
        "{:04}{:02}{:02} {name} ",
        day.year(),
        day.month(),
        day.day()
    ));
}

fn push_words(text: &str, words: &mut String) {
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        rest = &rest[start..];
        if let Some((digits, after)) = day(rest) {
            words.push_str(&digits);
            words.push(' ');
            rest = after;
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && !is_combining_mark(c))
            .unwrap_or(rest.len());
        push_word(&rest[..end], words);
        rest = &rest[end..];
    }
}

fn push_word(word: &str, words: &mut String) {
    if word.is_ascii() {
        words.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        let plain = word.nfkd().filter(|c| !is_combining_mark(*c));
        words.extend(
            plain
                .flat_map(char::to_lowercase)
                .filter(|c| c.is_alphanumeric()),
        );
    }
    words.push(' ');
}

/// A day or a month at the beginning, as one word, and what follows it.
fn day(text: &str) -> Option<(String, &str)> {
    let bytes = text.as_bytes();
    let is_number = |from: usize, to: usize| {
        let digits = bytes.get(from..to);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
    };
    let is_end = |at: usize| !text[at..].starts_with(|c: char| c.is_alphanumeric());
    let hyphen = |at: usize| bytes.get(at) == Some(&b'-');
    if !(is_number(0, 4) && hyphen(4) && is_number(5, 7)) {
        return None;
    }
    let month = format!("{}{}", &text[..4], &text[5..7]);
    if hyphen(7) && is_number(8, 10) && is_end(10) {
        return Some((format!("{month}{}", &text[8..10]), &text[10..]));
    }
    is_end(7).then(|| (month, &text[7..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let mut words = String::new();
        push_words(text, &mut words);
        words.trim_end().to_owned()
    }

    #[test]
    fn words_are_plain_and_days_are_one() {
        for (text, found) in [
            ("IMG_0001.JPG", "img 0001 jpg"),
            ("Übersicht Cafe\u{301}.png", "ubersicht cafe png"),
            ("Screenshot 2026-11-26 10.30", "screenshot 20261126 10 30"),
            ("2026-11", "202611"),
            ("2026-11-2", "202611 2"),
            ("2026-1-2", "2026 1 2"),
            ("12026-11-26x", "12026 11 26x"),
            ("2026-11-26th", "202611 26th"),
            ("上海 夜景", "上海 夜景"),
            ("--- ' \"*", ""),
            ("", ""),
        ] {
            assert_eq!(words(text), found, "{text}");
        }
    }

    #[test]
    fn pictures_have_the_words_of_their_own_days() {
        let image = |taken: Option<&str>, published: &str| -> Image {
            let image = serde_json::json!({
                "id": imgn_protocol::ImageId::new(), "sequence": 1, "file_name": "a.jpg", "width": 1, "height": 1,
                "content_type": "image/jpeg", "size": 1, "sha256": imgn_protocol::Sha256::of(b""),
                "thumbhash": "", "animated": false, "taken_at": taken, "created_at": published,
                "camera": null, "lens": null, "exposure": null, "location": null, "owner": "ada",
                "url": "", "display_url": null,
            });
            serde_json::from_value(image).unwrap()
        };
        let mut words = OfImages::default();
        for (taken, published, found) in [
            (None, "2026-11-26T23:59:59Z", "a jpg ada 20261126 november "),
            (None, "2026-11-26T00:00:00Z", "a jpg ada 20261126 november "),
            (None, "2026-11-27T00:00:00Z", "a jpg ada 20261127 november "),
            (
                Some("1969-12-31T23:59:59.5Z"),
                "2026-11-27T00:00:00Z",
                "a jpg ada 19691231 december 20261127 november ",
            ),
            (
                Some("1970-01-01T00:00:00Z"),
                "2026-11-27T00:00:00Z",
                "a jpg ada 19700101 january 20261127 november ",
            ),
        ] {
            assert_eq!(words.of(&image(taken, published)), found);
        }
    }

    #[test]
    fn a_search_is_only_words() {
        assert_eq!(of_search("Beach  2026-11"), ["beach", "202611"]);
        assert_eq!(of_search("a\" OR b* A"), ["or", "b", "a"]);
        assert_eq!(of_search("2 2024 20 beach"), ["beach", "2024"]);
        assert!(of_search("%%").is_empty());
        let many: String = (10..60).map(|word| format!("{word} ")).collect();
        assert_eq!(of_search(&many).len(), MAX_WORDS);
    }
}
