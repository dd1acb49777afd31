//! The order in which people number their files: `IMG_2` before `IMG_10`.
//!
//! Not a language's own alphabet. Invariant: a total order; equal only for equal names.

use std::{cmp::Ordering, ffi::OsStr, iter::Peekable, str::Chars};

/// Compares names: digits by the number they write, everything else without regard to case.
pub(super) fn compare(a: &OsStr, b: &OsStr) -> Ordering {
    compare_text(&a.to_string_lossy(), &b.to_string_lossy()).then_with(|| a.cmp(b))
}

fn compare_text(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return Ordering::Equal,
            (Some(left), Some(right)) if left.is_ascii_digit() && right.is_ascii_digit() => {
                // Without leading zeros the longer number is the greater one, however many digits it has.
                let (left, right) = (number(&mut a), number(&mut b));
                left.len().cmp(&right.len()).then_with(|| left.cmp(&right))
            }
            _ => {
                let (left, right) = (a.next(), b.next());
                let folded = |c: Option<char>| c.map(|c| c.to_lowercase().collect::<String>());
                folded(left).cmp(&folded(right))
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn number(text: &mut Peekable<Chars<'_>>) -> String {
    let mut digits = String::new();
    while let Some(digit) = text.next_if(char::is_ascii_digit) {
        if digit != '0' || !digits.is_empty() {
            digits.push(digit);
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_and_case_does_not() {
        let ordered = [
            "",
            "1.jpg",
            "01.jpg",
            "2.jpg",
            "10.jpg",
            "99999999999999999999998.jpg",
            "99999999999999999999999.jpg",
            "a",
            "IMG_2.jpg",
            "img_2a.jpg",
            "img_010.jpg",
            "IMG_10b.jpg",
            "ä",
        ];
        for (at, a) in ordered.iter().enumerate() {
            for (other, b) in ordered.iter().enumerate() {
                let found = compare(OsStr::new(a), OsStr::new(b));
                let equal_but_for_zeros = [a, b].iter().all(|name| name.ends_with("1.jpg"));
                if !equal_but_for_zeros {
                    assert_eq!(found, at.cmp(&other), "{a} {b}");
                } else {
                    assert_eq!(found.is_eq(), a == b, "{a} {b}");
                }
            }
        }
    }
}
