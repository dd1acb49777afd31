//! The index of words as it is kept: for each chunk of the timeline (see `columns`) its words in order, each with the
//! pictures of the chunk that it finds. The words of a chunk that begin with the same byte are one blob.
//!
//! A beginning such as "i" may have a million words after it, and half of all pictures. What a search reads is the blobs
//! of its first byte, from end to end, and what it holds is a bit for each picture: it costs what there is of different
//! words that begin with that byte, whatever is found. (FTS5, which was here before, takes half a microsecond for each
//! picture.) A word that is gone may be left in an index without harm: the timeline says what there is.
//!
//! Invariant: in a blob each word is there once, in the order of its bytes, with at least one picture.

use super::columns::CHUNK;

/// Of longer words only so many bytes are kept and compared.
pub(super) const MAX_WORD: usize = 64;

/// Of so many pictures on, a bitmap is smaller than their list.
const BITMAP_FROM: usize = BITMAP_BYTES / 2;
const BITMAP_BYTES: usize = CHUNK / 8;
const BITMAP_WORDS: usize = CHUNK / 64;

/// A word's length and the count of its pictures, before the word and the pictures.
const HEAD_BYTES: usize = 3;

/// Some of a chunk's pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places([u64; BITMAP_WORDS]);

impl Places {
    pub(super) const NONE: Self = Self([0; BITMAP_WORDS]);

    /// Adds a picture by its place in the chunk; what is beyond a chunk is of its next.
    pub(super) fn insert(&mut self, place: u16) {
        let place = usize::from(place) % CHUNK;
        self.0[place / 64] |= 1 << (place % 64);
    }

    pub(super) fn contains(&self, place: u16) -> bool {
        let place = usize::from(place) % CHUNK;
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// Leaves those that are in both.
    pub(super) fn intersect(&mut self, other: &Self) {
        for (bits, other) in self.0.iter_mut().zip(other.0) {
            *bits &= other;
        }
    }

    /// Takes those of the other out.
    pub(super) fn subtract(&mut self, other: &Self) {
        for (bits, other) in self.0.iter_mut().zip(other.0) {
            *bits &= !other;
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0_u16..).step_by(64).zip(self.0).flat_map(|(first, bits)| {
            let some = |bits: u64| (bits != 0).then_some(bits);
            // Each without the lowest bit of the one before.
            std::iter::successors(some(bits), move |bits| some(bits & (bits - 1)))
                .map(move |bits| first + (bits.trailing_zeros() as u16))
        })
    }
}

/// A word of a blob with what is written of its pictures.
struct Posting<'a> {
    word: &'a [u8],
    count: usize,
    places: &'a [u8],
    /// All of it as it is written.
    bytes: &'a [u8],
}

impl<'a> Posting<'a> {
    /// The first of a blob, and what follows it. None at the end, and where the rest is damaged.
    fn read(blob: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[len, low, high], _) = blob.split_first_chunk::<HEAD_BYTES>()?;
        let count = usize::from(u16::from_le_bytes([low, high]));
        let places_bytes = match count < BITMAP_FROM {
            true => count * 2,
            false => BITMAP_BYTES,
        };
        let places_at = HEAD_BYTES + usize::from(len);
        let (bytes, rest) = blob.split_at_checked(places_at + places_bytes)?;
        let posting = Self {
            word: &bytes[HEAD_BYTES..places_at],
            count,
            places: &bytes[places_at..],
            bytes,
        };
        Some((posting, rest))
    }

    fn add_to(&self, places: &mut Places) {
        if self.count < BITMAP_FROM {
            for place in self.places.as_chunks().0 {
                places.insert(u16::from_le_bytes(*place));
            }
        } else {
            for (bits, more) in places.0.iter_mut().zip(self.places.as_chunks().0) {
                *bits |= u64::from_le_bytes(*more);
            }
        }
    }

    fn places(&self) -> Places {
        let mut places = Places::NONE;
        self.add_to(&mut places);
        places
    }
}

/// Whether a blob can be read to its end. One that cannot would lose its rest at its next writing.
pub(super) fn is_whole(mut blob: &[u8]) -> bool {
    while let Some((_, rest)) = Posting::read(blob) {
        blob = rest;
    }
    blob.is_empty()
}

fn postings(mut blob: &[u8]) -> impl Iterator<Item = Posting<'_>> {
    std::iter::from_fn(move || {
        let (posting, rest) = Posting::read(blob)?;
        blob = rest;
        Some(posting)
    })
}

fn write(word: &[u8], places: &Places, blob: &mut Vec<u8>) {
    let count = places.len();
    let (Ok(len), Ok(written)) = (u8::try_from(word.len()), u16::try_from(count)) else {
        debug_assert!(
            false,
            "words are at most MAX_WORD long, and a chunk's pictures fit"
        );
        return;
    };
    if count == 0 {
        return;
    }
    blob.push(len);
    blob.extend(written.to_le_bytes());
    blob.extend(word);
    if count < BITMAP_FROM {
        blob.extend(places.iter().flat_map(u16::to_le_bytes));
    } else {
        blob.extend(places.0.iter().flat_map(|bits| bits.to_le_bytes()));
    }
}

/// What of a word is kept and compared: no more than [`MAX_WORD`] bytes, in whole characters.
pub(super) fn cut(word: &str) -> &str {
    &word[..word.floor_char_boundary(MAX_WORD)]
}

/// Adds the pictures to `places` that have a word which begins so.
pub(super) fn find(blob: &[u8], beginning: &str, places: &mut Places) {
    let beginning = beginning.as_bytes();
    postings(blob)
        .skip_while(|posting| posting.word < beginning)
        .take_while(|posting| posting.word.starts_with(beginning))
        .for_each(|posting| posting.add_to(places));
}

/// A blob with more in it: words in the order of their bytes, each once, with the pictures that have it.
pub(super) fn with<'a>(blob: &[u8], added: impl Iterator<Item = (&'a str, &'a [u16])>) -> Vec<u8> {
    let mut old = postings(blob).peekable();
    let mut grown = Vec::with_capacity(blob.len() + blob.len() / 4);
    for (word, more) in added {
        let word = word.as_bytes();
        while let Some(posting) = old.next_if(|posting| posting.word < word) {
            grown.extend(posting.bytes);
        }
        let before = old.next_if(|posting| posting.word == word);
        let mut places = before.map_or(Places::NONE, |posting| posting.places());
        more.iter().for_each(|place| places.insert(*place));
        write(word, &places, &mut grown);
    }
    for posting in old {
        grown.extend(posting.bytes);
    }
    grown
}

/// A blob without some pictures.
pub(super) fn without(blob: &[u8], removed: &Places) -> Vec<u8> {
    let mut left = Vec::with_capacity(blob.len());
    for posting in postings(blob) {
        let mut places = posting.places();
        places.subtract(removed);
        write(posting.word, &places, &mut left);
    }
    left
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn found(blob: &[u8], beginning: &str) -> BTreeSet<u16> {
        let mut places = Places::NONE;
        find(blob, beginning, &mut places);
        assert_eq!(places.len(), places.iter().count());
        places.iter().collect()
    }

    fn grown<'a>(blob: &[u8], words: impl IntoIterator<Item = (&'a str, u16)>) -> Vec<u8> {
        let mut added: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
        for (word, place) in words {
            added.entry(word).or_default().push(place);
        }
        with(
            blob,
            added
                .iter()
                .map(|(word, places)| (*word, places.as_slice())),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Few letters and places, so that words share beginnings and pictures.
        #[test]
        fn a_blob_finds_what_a_list_of_words_finds(
            first in prop::collection::btree_set(("a[ab]{0,2}", 0..900_u16), 0..2000),
            second in prop::collection::btree_set(("a[abé]{0,3}", 0..4096_u16), 0..300),
            gone in prop::collection::btree_set(0..900_u16, 0..600),
            beginning in "a[abé]{0,2}",
        ) {
            let [first, second] = [&first, &second]
                .map(|words| words.iter().map(|(word, place)| (word.as_str(), *place)));
            let blob = grown(&grown(&[], first.clone()), second.clone());
            prop_assert!(is_whole(&blob));
            prop_assert!(blob.is_empty() || !is_whole(&blob[..blob.len() - 1]));
            let having: BTreeSet<u16> = first
                .chain(second)
                .filter(|(word, _)| word.starts_with(&beginning))
                .map(|(_, place)| place)
                .collect();
            prop_assert_eq!(&found(&blob, &beginning), &having);

            let mut removed = Places::NONE;
            gone.iter().for_each(|place| removed.insert(*place));
            let left = without(&blob, &removed);
            let kept: BTreeSet<u16> = having.difference(&gone).copied().collect();
            prop_assert_eq!(found(&left, &beginning), kept);
        }

        /// A damaged file answers wrongly, and no worse.
        #[test]
        fn any_bytes_are_read(blob in prop::collection::vec(any::<u8>(), 0..2000)) {
            found(&blob, "");
            without(&blob, &Places::NONE);
            grown(&blob, [("word", 1)]);
        }
    }

    #[test]
    fn nothing_is_left_of_pictures_that_are_gone() {
        let blob = grown(&[], [("a", 0), ("a", 4095), ("b", 4095)]);
        let mut gone = Places::NONE;
        gone.insert(4095);
        assert_eq!(without(&blob, &gone), grown(&[], [("a", 0)]));
        gone.insert(0);
        assert!(without(&blob, &gone).is_empty());
    }

    #[test]
    fn a_whole_chunk_fits() {
        let blob = grown(&[], (0..4096).map(|place| ("a", place)));
        assert_eq!(blob.len(), HEAD_BYTES + 1 + 512);
        assert_eq!(found(&blob, "a").len(), 4096);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        assert_eq!(cut("word"), "word");
        assert_eq!(cut(&"é".repeat(40)), "é".repeat(32));
        assert_eq!(cut(&format!("a{}", "é".repeat(40))).len(), 63);
    }
}
