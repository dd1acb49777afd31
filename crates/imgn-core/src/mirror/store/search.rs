//! The timeline of everything, and of what words find. How the index of words is kept is in `postings`.
//!
//! Invariant: what is found is in the timeline; words that an index still has of a deleted picture find nothing.

use std::collections::{BTreeMap, HashMap};

use imgn_protocol::Image;
use sqlx::SqliteConnection;

use super::{MirrorError, Store, json};
use crate::mirror::{
    columns::{self, Timeline},
    postings::{self, Places},
    words,
};

/// Bits of a shelf's number that are its chunk: all of 2 to the power of 32 sequences have one.
const CHUNK_BITS: u32 = 20;

/// What a search finds, by chunk.
type Found = BTreeMap<i64, Places>;

impl Store {
    /// The order of everything, or of what is searched for.
    pub(crate) async fn timeline(&self, search: &str) -> Result<Timeline, MirrorError> {
        if search.trim().is_empty() {
            let chunks: Vec<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT chunk, entries FROM columns ORDER BY chunk DESC")
                    .fetch_all(&self.reader)
                    .await?;
            return aside(move || assembled(&chunks, None)).await;
        }
        // One state of the mirror, from the words to the pictures.
        let mut reading = self.reader.begin().await?;
        let Some(found) = found(&mut reading, search).await? else {
            return Ok(Timeline::default());
        };
        let wanted: Vec<i64> = found.keys().copied().collect();
        let chunks: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT chunk, entries FROM columns WHERE chunk IN (SELECT value FROM json_each(?)) ORDER BY chunk DESC",
        )
        .bind(json(&wanted))
        .fetch_all(&mut *reading)
        .await?;
        drop(reading);
        aside(move || assembled(&chunks, Some(&found))).await
    }
}

/// What has every word of a search. None where there is no word in it.
async fn found(reader: &mut SqliteConnection, search: &str) -> Result<Option<Found>, MirrorError> {
    let mut found: Option<Found> = None;
    for word in words::of_search(search) {
        let first = shelf(&word, 0);
        let shelves: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT shelf, postings FROM words WHERE shelf >= ? AND shelf < ?")
                .bind(first)
                .bind(first + (1 << CHUNK_BITS))
                .fetch_all(&mut *reader)
                .await?;
        let before = found.take();
        let both = aside(move || {
            let mut both = Found::new();
            for (shelf, blob) in &shelves {
                let chunk = shelf - first;
                let mut places = Places::NONE;
                postings::find(blob, &word, &mut places);
                if let Some(before) = &before {
                    places.intersect(before.get(&chunk).unwrap_or(&Places::NONE));
                }
                if !places.is_empty() {
                    both.insert(chunk, places);
                }
            }
            both
        });
        found = Some(both.await?);
    }
    Ok(found)
}

/// The entries of chunks, newest first; of what is found, only those.
fn assembled(chunks: &[(i64, Vec<u8>)], found: Option<&Found>) -> Timeline {
    let mut timeline = Timeline::default();
    for (chunk, entries) in chunks {
        let found = found.map(|found| found.get(chunk).unwrap_or(&Places::NONE));
        for entry in columns::entries(entries).rev() {
            if found.is_none_or(|found| found.contains(columns::place_of(entry.sequence))) {
                timeline.push(entry);
            }
        }
    }
    timeline
}

/// Does what takes a processor some milliseconds where nothing waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MirrorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| MirrorError::Open(std::io::Error::other(error)))
}

/// Where a chunk's words are kept that begin as this one.
fn shelf(word: &str, chunk: i64) -> i64 {
    let first = word.as_bytes().first().copied().unwrap_or_default();
    i64::from(first) << CHUNK_BITS | chunk
}

/// Lets pictures be found by their words.
pub(super) async fn insert_words(
    transaction: &mut SqliteConnection,
    images: &[&Image],
) -> Result<(), MirrorError> {
    let mut words = words::OfImages::default();
    let texts: Vec<(u32, String)> = images
        .iter()
        .filter_map(|image| Some((image.sequence.try_into().ok()?, words.of(image))))
        .collect();
    // A page has each word many times, and is in few chunks: what is sorted is each word once.
    let mut added: HashMap<(i64, &str), Vec<u16>> = HashMap::new();
    for (sequence, text) in &texts {
        for word in text.split_ascii_whitespace() {
            let word = postings::cut(word);
            let shelf = shelf(word, columns::chunk_of(*sequence));
            let places = added.entry((shelf, word)).or_default();
            places.push(columns::place_of(*sequence));
        }
    }
    let mut added: Vec<((i64, &str), Vec<u16>)> = added.into_iter().collect();
    added.sort_unstable();
    for shelved in added.chunk_by(|one, other| one.0.0 == other.0.0) {
        let Some(((shelf, _), _)) = shelved.first() else {
            continue;
        };
        let words = shelved
            .iter()
            .map(|((_, word), places)| (*word, places.as_slice()));
        change(transaction, *shelf, |blob| postings::with(blob, words)).await?;
    }
    Ok(())
}

/// Lets nothing of pictures be left in the index.
pub(super) async fn remove_words(
    transaction: &mut SqliteConnection,
    sequences: &[u32],
) -> Result<(), MirrorError> {
    let mut chunks = Found::new();
    for sequence in sequences {
        let places = chunks.entry(columns::chunk_of(*sequence));
        let places = places.or_insert(Places::NONE);
        places.insert(columns::place_of(*sequence));
    }
    for (chunk, removed) in &chunks {
        let possible: Vec<i64> = (0..=i64::from(u8::MAX))
            .map(|first| first << CHUNK_BITS | chunk)
            .collect();
        let shelves: Vec<i64> = sqlx::query_scalar(
            "SELECT shelf FROM words WHERE shelf IN (SELECT value FROM json_each(?))",
        )
        .bind(json(&possible))
        .fetch_all(&mut *transaction)
        .await?;
        for shelf in shelves {
            change(transaction, shelf, |blob| postings::without(blob, removed)).await?;
        }
    }
    Ok(())
}

async fn change(
    transaction: &mut SqliteConnection,
    shelf: i64,
    changed: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<(), MirrorError> {
    let blob: Option<Vec<u8>> = sqlx::query_scalar("SELECT postings FROM words WHERE shelf = ?")
        .bind(shelf)
        .fetch_optional(&mut *transaction)
        .await?;
    let blob = blob.unwrap_or_default();
    if !postings::is_whole(&blob) {
        return Err(MirrorError::Invalid("index of words"));
    }
    let changed = changed(&blob);
    if changed.is_empty() {
        sqlx::query("DELETE FROM words WHERE shelf = ?")
            .bind(shelf)
            .execute(&mut *transaction)
            .await?;
    } else if changed != blob {
        sqlx::query("INSERT OR REPLACE INTO words (shelf, postings) VALUES (?, ?)")
            .bind(shelf)
            .bind(changed)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}
