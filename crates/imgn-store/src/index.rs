//! The ordered set of keys, in memory, from which listings are made.
//!
//! The truth is on disk: this holds names only (about 100 bytes a key, so 10 MB for 100,000), is rebuilt from file
//! names at open, and a listing reads size and entity tag from the files of its page. It is no cache of metadata.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::key::ObjectKey;

/// Keys in byte order.
#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    keys: BTreeSet<ObjectKey>,
}

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    /// Keys that share the part up to the first delimiter after the prefix are one group.
    pub(crate) delimiter: Option<String>,
    /// The first key that may be listed.
    pub(crate) from: Vec<u8>,
    /// The most entries, keys and groups together.
    pub(crate) limit: usize,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Key(ObjectKey),
    /// A common prefix, with its delimiter.
    Group(String),
}

/// A page of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// `from` of the next page, when there is one.
    pub(crate) next: Option<Vec<u8>>,
}

impl KeyIndex {
    pub(crate) fn insert(&mut self, key: ObjectKey) {
        self.keys.insert(key);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        self.keys.remove(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Lists in time proportional to the page, however many keys a group hides.
    pub(crate) fn list(&self, query: &Query) -> Page {
        let mut entries = Vec::new();
        let mut from = query.from.as_slice().max(query.prefix.as_bytes()).to_vec();
        let next = loop {
            let Some(key) = self.first_from(&from, &query.prefix) else {
                break None;
            };
            if entries.len() == query.limit {
                // S3 calls an empty page whole, not cut off.
                break (query.limit > 0).then(|| key.as_str().as_bytes().to_vec());
            }
            match group(key.as_str(), &query.prefix, query.delimiter.as_deref()) {
                Some(group) => {
                    from = after_group(group);
                    entries.push(Entry::Group(group.to_owned()));
                }
                None => {
                    from = after_key(key.as_str());
                    entries.push(Entry::Key(key.clone()));
                }
            }
        };
        Page { entries, next }
    }

    fn first_from(&self, from: &[u8], prefix: &str) -> Option<&ObjectKey> {
        let bounds = (Bound::Included(from), Bound::Unbounded);
        let key = self.keys.range::<[u8], _>(bounds).next()?;
        key.as_str().starts_with(prefix).then_some(key)
    }
}

fn group<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The least byte string above `key`.
pub(crate) fn after_key(key: &str) -> Vec<u8> {
    [key.as_bytes(), &[0]].concat()
}

/// The least byte string above everything that starts with `group`.
pub(crate) fn after_group(group: &str) -> Vec<u8> {
    let mut bytes = group.as_bytes().to_vec();
    // No byte of UTF-8 is 0xFF, so this cannot overflow.
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(keys: &[&str]) -> KeyIndex {
        let mut index = KeyIndex::default();
        for key in keys {
            index.insert(ObjectKey::new(key).unwrap());
        }
        index
    }

    /// All pages, as text; groups end with `*`.
    fn walk(index: &KeyIndex, prefix: &str, delimiter: Option<&str>, limit: usize) -> Vec<String> {
        let mut query = Query {
            prefix: prefix.into(),
            delimiter: delimiter.map(Into::into),
            from: Vec::new(),
            limit,
        };
        let mut all = Vec::new();
        loop {
            let page = index.list(&query);
            assert!(page.entries.len() <= limit);
            all.extend(page.entries.into_iter().map(|entry| match entry {
                Entry::Key(key) => key.to_string(),
                Entry::Group(group) => format!("{group}*"),
            }));
            match page.next {
                Some(next) => query.from = next,
                None => return all,
            }
        }
    }

    #[test]
    fn pages_of_any_size_give_the_same_listing() {
        let index = index(&[
            "a", "a/1", "a/2", "a0", "b/x/1", "b/x/2", "b/y", "é/1", "é/2", "z",
        ]);
        for limit in 1..12 {
            let grouped = walk(&index, "", Some("/"), limit);
            assert_eq!(grouped, ["a", "a/*", "a0", "b/*", "z", "é/*"], "{limit}");
            let inside = walk(&index, "b/", Some("/"), limit);
            assert_eq!(inside, ["b/x/*", "b/y"], "{limit}");
            assert_eq!(walk(&index, "", None, limit).len(), 10);
        }
    }

    #[test]
    fn a_page_that_ends_exactly_at_the_end_has_no_next() {
        let index = index(&["a", "b"]);
        let mut query = Query {
            prefix: String::new(),
            delimiter: None,
            from: Vec::new(),
            limit: 2,
        };
        assert_eq!(index.list(&query).next, None);
        query.limit = 0;
        assert_eq!(index.list(&query).entries, []);
    }
}
