//! The items of a `meta` box: pictures, metadata, and how they belong together.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::boxes::{Boxes, Reader};
use super::properties::Property;
use super::{CUT_OFF, Malformed};

/// How many items a file may have: one a tile, and more than a 1,000 megapixel picture in tiles of 512 pixels.
const MAX_ITEMS: usize = 16_384;
/// How many extents they may lie in, all together. An extent may be written in no bytes at all.
const MAX_EXTENTS: usize = 65_536;

/// What a `meta` box says.
#[derive(Debug, Default)]
pub(crate) struct Items<'a> {
    primary: Option<u32>,
    items: BTreeMap<u32, Item<'a>>,
    references: Vec<Reference>,
    properties: Vec<Property<'a>>,
    /// The `idat` box: where it begins, counted as the offset of `meta` was given, and what it holds.
    own_data: Option<(usize, &'a [u8])>,
}

/// Something that a file holds.
#[derive(Debug, Default)]
pub(crate) struct Item<'a> {
    pub(crate) kind: [u8; 4],
    /// Of an item of the kind `mime`.
    pub(crate) content_type: &'a [u8],
    /// Whether it is compressed, beyond what its kind says.
    pub(crate) is_encoded: bool,
    place: Option<Place>,
    /// Numbers of properties, from 1 on, in their order, and whether each is essential.
    properties: Vec<(u16, bool)>,
}

/// Where an item lies.
#[derive(Debug)]
struct Place {
    construction: Construction,
    /// Offset and length; a length of 0 reaches to the end.
    extents: Vec<(u64, u64)>,
}

/// What offsets of extents count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Construction {
    File,
    OwnData,
    /// Another item, or another file.
    Elsewhere,
}

#[derive(Debug)]
struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

impl<'a> Items<'a> {
    /// Reads a `meta` box from behind its version; `start` is where in the file that is.
    pub(crate) fn read(meta: &'a [u8], start: usize) -> Result<Self, Malformed> {
        let mut read = Self::default();
        let (mut places, mut associations) = (None, None);
        for found in Boxes::new(meta) {
            let found = found?;
            match &found.kind {
                b"pitm" => {
                    let (version, _, mut reader) = Reader::versioned(found.payload)?;
                    read.primary = Some(reader.u16_or_u32(version > 0)?);
                }
                b"iinf" => read.read_infos(found.payload)?,
                b"iloc" => places = Some(found.payload),
                b"iref" => read.read_references(found.payload)?,
                b"idat" => read.own_data = Some((start + found.start, found.payload)),
                b"iprp" => {
                    for found in Boxes::new(found.payload) {
                        let found = found?;
                        match &found.kind {
                            b"ipco" => read.properties = Property::read_all(found.payload)?,
                            b"ipma" => associations = Some(found.payload),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        // Both are of items, and these may come later.
        if let Some(places) = places {
            read.read_places(places)?;
        }
        if let Some(associations) = associations {
            read.read_associations(associations)?;
        }
        Ok(read)
    }

    /// The picture that the file is about.
    pub(crate) fn primary(&self) -> Option<u32> {
        self.primary
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Item<'a>> {
        self.items.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Item<'a>> {
        self.items.values()
    }

    /// What an item refers to in this way.
    pub(crate) fn referred_by(&self, id: u32, kind: &[u8; 4]) -> &[u32] {
        self.references
            .iter()
            .find(|reference| reference.from == id && reference.kind == *kind)
            .map_or(&[], |reference| &reference.to)
    }

    /// Who refers to an item in this way.
    pub(crate) fn referring_to(&self, id: u32, kind: &[u8; 4]) -> impl Iterator<Item = u32> {
        let kind = *kind;
        self.references
            .iter()
            .filter(move |reference| reference.kind == kind && reference.to.contains(&id))
            .map(|reference| reference.from)
    }

    /// An item's properties, in the order in which they are to be applied, and whether each is essential.
    pub(crate) fn properties_of(
        &self,
        item: &Item<'a>,
    ) -> impl Iterator<Item = (Property<'a>, bool)> {
        item.properties
            .iter()
            .filter_map(|&(number, is_essential)| {
                let index = usize::from(number).checked_sub(1)?;
                Some((*self.properties.get(index)?, is_essential))
            })
    }

    /// Where an item lies: offsets in a file of this length, and lengths.
    ///
    /// # Errors
    /// If it does not lie within the file, or is longer than it.
    pub(crate) fn places(
        &self,
        item: &Item<'a>,
        file_length: u64,
    ) -> Result<Vec<(u64, u64)>, Malformed> {
        let Some(place) = &item.place else {
            return Err(Malformed("something that it lists lies nowhere"));
        };
        let bounds: Range<u64> = match (place.construction, self.own_data) {
            (Construction::File, _) => 0..file_length,
            (Construction::OwnData, Some((start, data))) => {
                start as u64..(start + data.len()) as u64
            }
            (Construction::OwnData, None) => return Err(CUT_OFF),
            (Construction::Elsewhere, _) => {
                return Err(Malformed("a part of it lies in another file"));
            }
        };
        let mut left = file_length;
        place
            .extents
            .iter()
            .map(|&(offset, length)| {
                let from = bounds.start.checked_add(offset).ok_or(CUT_OFF)?;
                let length = match length {
                    0 => bounds.end.checked_sub(from).ok_or(CUT_OFF)?,
                    length => length,
                };
                let to = from.checked_add(length).ok_or(CUT_OFF)?;
                left = left
                    .checked_sub(length)
                    .filter(|_| to <= bounds.end)
                    .ok_or(CUT_OFF)?;
                Ok((from, length))
            })
            .collect()
    }

    /// An item's bytes: borrowed, unless they lie in several places.
    pub(crate) fn data(&self, item: &Item<'a>, file: &'a [u8]) -> Result<Cow<'a, [u8]>, Malformed> {
        let slice = |&(offset, length): &(u64, u64)| {
            let from = usize::try_from(offset).ok()?;
            file.get(from..from.checked_add(usize::try_from(length).ok()?)?)
        };
        let places = self.places(item, file.len() as u64)?;
        match places.as_slice() {
            [place] => slice(place).map(Cow::Borrowed).ok_or(CUT_OFF),
            places => {
                let mut data = Vec::new();
                for place in places {
                    data.extend_from_slice(slice(place).ok_or(CUT_OFF)?);
                }
                Ok(Cow::Owned(data))
            }
        }
    }

    fn read_infos(&mut self, payload: &'a [u8]) -> Result<(), Malformed> {
        let (version, _, mut reader) = Reader::versioned(payload)?;
        // How many there are is seen where they end.
        reader.u16_or_u32(version > 0)?;
        for found in Boxes::new(reader.rest()) {
            let found = found?;
            if &found.kind != b"infe" {
                continue;
            }
            if self.items.len() == MAX_ITEMS {
                return Err(Malformed("it lists more items than are looked at"));
            }
            let (version, _, mut reader) = Reader::versioned(found.payload)?;
            let id = reader.u16_or_u32(version > 2)?;
            // How it is protected.
            let protection = reader.u16()?;
            let mut item = Item::default();
            if version >= 2 {
                item.kind = reader.array()?;
            } else {
                item.kind = *b"mime";
            }
            // Its name.
            reader.text();
            if &item.kind == b"mime" {
                item.content_type = reader.text();
                item.is_encoded = !reader.text().is_empty();
            }
            item.is_encoded |= protection != 0;
            // Of two under one number, the first counts.
            self.items.entry(id).or_insert(item);
        }
        Ok(())
    }

    fn read_places(&mut self, payload: &'a [u8]) -> Result<(), Malformed> {
        let (version, _, mut reader) = Reader::versioned(payload)?;
        let [lengths, more_lengths] = reader.array()?;
        let (offset_bytes, length_bytes) = (lengths >> 4, lengths & 15);
        let (base_bytes, index_bytes) = (more_lengths >> 4, more_lengths & 15);
        let count = reader.u16_or_u32(version > 1)?;
        let mut extents_left = MAX_EXTENTS;
        for _ in 0..count {
            let id = reader.u16_or_u32(version > 1)?;
            let method = if version > 0 { reader.u16()? & 15 } else { 0 };
            let other_file = reader.u16()?;
            let base = reader.sized(base_bytes)?;
            let extent_count = usize::from(reader.u16()?);
            extents_left = extents_left
                .checked_sub(extent_count)
                .ok_or(Malformed("it is in more pieces than are looked at"))?;
            let mut extents = Vec::new();
            for _ in 0..extent_count {
                if version > 0 {
                    reader.sized(index_bytes)?;
                }
                let offset = reader.sized(offset_bytes)?;
                let length = reader.sized(length_bytes)?;
                extents.push((base.saturating_add(offset), length));
            }
            let construction = match (method, other_file) {
                (0, 0) => Construction::File,
                (1, _) => Construction::OwnData,
                _ => Construction::Elsewhere,
            };
            if let Some(item) = self.items.get_mut(&id) {
                item.place.get_or_insert(Place {
                    construction,
                    extents,
                });
            }
        }
        Ok(())
    }

    fn read_references(&mut self, payload: &'a [u8]) -> Result<(), Malformed> {
        let (version, _, reader) = Reader::versioned(payload)?;
        let is_long = version > 0;
        for found in Boxes::new(reader.rest()) {
            let found = found?;
            let mut reader = Reader::new(found.payload);
            let from = reader.u16_or_u32(is_long)?;
            let count = reader.u16()?;
            let to = (0..count)
                .map(|_| reader.u16_or_u32(is_long))
                .collect::<Result<_, _>>()?;
            self.references.push(Reference {
                kind: found.kind,
                from,
                to,
            });
        }
        Ok(())
    }

    fn read_associations(&mut self, payload: &'a [u8]) -> Result<(), Malformed> {
        let (version, flags, mut reader) = Reader::versioned(payload)?;
        let count = reader.u32()?;
        for _ in 0..count {
            let id = reader.u16_or_u32(version > 0)?;
            let count = reader.u8()?;
            let mut properties = Vec::with_capacity(usize::from(count));
            for _ in 0..count {
                properties.push(if flags & 1 == 1 {
                    let number = reader.u16()?;
                    (number & 0x7fff, number & 0x8000 != 0)
                } else {
                    let number = reader.u8()?;
                    (u16::from(number & 0x7f), number & 0x80 != 0)
                });
            }
            if let Some(item) = self.items.get_mut(&id) {
                item.properties.append(&mut properties);
            }
        }
        Ok(())
    }
}
