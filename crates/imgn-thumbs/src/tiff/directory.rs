//! TIFF's structure, which camera raws share: a header, and directories of tagged values.
//!
//! Nothing is copied or allocated by what a file claims: values are read from its bytes when they are asked for. What
//! lies outside the bytes is not there.

use crate::bytes::array;

/// How many directories of a chain are looked at. Pages beyond are not the picture.
pub(crate) const MAX_DIRECTORIES: usize = 64;

pub(crate) mod tag {
    //! The tags that are looked at, by their names in the specifications.
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC_INTERPRETATION: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const MAKE: u16 = 271;
    pub(crate) const MODEL: u16 = 272;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const ORIENTATION: u16 = 274;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const T4_OPTIONS: u16 = 292;
    pub(crate) const DATE_TIME: u16 = 306;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const SUB_IFDS: u16 = 330;
    pub(crate) const INK_SET: u16 = 332;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const JPEG_INTERCHANGE_FORMAT: u16 = 513;
    pub(crate) const JPEG_INTERCHANGE_FORMAT_LENGTH: u16 = 514;
    pub(crate) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(crate) const YCBCR_SUB_SAMPLING: u16 = 530;
    pub(crate) const REFERENCE_BLACK_WHITE: u16 = 532;
    pub(crate) const EXIF_IFD: u16 = 34_665;
    pub(crate) const ICC_PROFILE: u16 = 34_675;
    pub(crate) const GPS_IFD: u16 = 34_853;
    pub(crate) const MAKER_NOTE: u16 = 37_500;
    pub(crate) const DNG_VERSION: u16 = 50_706;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// The bytes of a file, known to begin with a TIFF header or one of its kin; or a piece of it.
#[derive(Debug)]
pub(crate) struct Structure<'a> {
    bytes: &'a [u8],
    /// Where in the file the bytes begin.
    start: usize,
    order: Order,
    is_big: bool,
    /// Where the first directory is.
    first: u64,
}

/// One value, or several, of a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    kind: u16,
    pub(crate) count: u64,
    /// Where the values are.
    at: usize,
}

/// The entries of a directory that lie within the bytes, in the file's order.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: Vec<Entry>,
    next: u64,
}

impl<'a> Structure<'a> {
    /// A structure by TIFF's own header, BigTIFF's, or that of an Olympus or Panasonic raw.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Self> {
        let order = match bytes.first_chunk()? {
            b"II" => Order::Little,
            b"MM" => Order::Big,
            _ => return None,
        };
        let mut structure = Self {
            bytes,
            start: 0,
            order,
            is_big: false,
            first: 0,
        };
        structure.first = match structure.u16(2)? {
            // TIFF; "RO" and "RS", either way round; "U\0".
            42 | 0x4f52 | 0x5352 | 0x0055 => structure.u32(4).map_or(0, u64::from),
            43 if structure.u16(4)? == 8 && structure.u16(6)? == 0 => {
                structure.is_big = true;
                structure.u64(8).unwrap_or(0)
            }
            _ => return None,
        };
        Some(structure)
    }

    /// The same structure, of which another piece is at hand: `bytes`, which begin at `start` in the file.
    pub(crate) fn at_piece<'b>(&self, bytes: &'b [u8], start: usize) -> Structure<'b> {
        Structure {
            bytes,
            start,
            order: self.order,
            is_big: self.is_big,
            first: self.first,
        }
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    /// The offset of the first directory.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The directory at `offset`. Its entries are at most those that its length of 16 bits can count.
    pub(crate) fn directory(&self, offset: u64) -> Option<Directory> {
        let at = usize::try_from(offset).ok().filter(|&at| at >= 8)?;
        let (head, size) = if self.is_big { (8, 20) } else { (2, 12) };
        let count = if self.is_big {
            self.u64(at)?
        } else {
            self.u16(at)?.into()
        };
        let count = usize::try_from(count)
            .ok()
            .filter(|&count| count <= usize::from(u16::MAX))?;
        let table = at.checked_add(head)?;
        let end = table.checked_add(count * size)?;
        // Counted entries that the file has no room for are no entries.
        let end_of_piece = self.start.saturating_add(self.bytes.len());
        let fitting = count.min(end_of_piece.saturating_sub(table) / size);
        let entries = (0..fitting).filter_map(|index| self.entry(table + index * size));
        Some(Directory {
            entries: entries.collect(),
            next: if self.is_big {
                self.u64(end).unwrap_or(0)
            } else {
                self.u32(end).map_or(0, u64::from)
            },
        })
    }

    /// The directories of the chain that begins at the first one.
    pub(crate) fn chain(&self) -> impl Iterator<Item = Directory> {
        let mut seen = Vec::new();
        let mut next = self.first();
        std::iter::from_fn(move || {
            if next == 0 || seen.contains(&next) || seen.len() == MAX_DIRECTORIES {
                return None;
            }
            seen.push(next);
            let directory = self.directory(next)?;
            next = directory.next;
            Some(directory)
        })
    }

    /// An unsigned number of an entry: of bytes, 16, 32 or 64 bits.
    pub(crate) fn number(&self, entry: &Entry, index: u64) -> Option<u64> {
        let at = self.place(entry, index)?;
        match entry.kind {
            1 | 6 | 7 => self.array(at).map(|[byte]: [u8; 1]| byte.into()),
            3 | 8 => self.u16(at).map(u64::from),
            4 | 9 | 13 => self.u32(at).map(u64::from),
            16..=18 => self.u64(at),
            _ => None,
        }
    }

    /// A fraction of an entry.
    pub(crate) fn fraction(&self, entry: &Entry, index: u64) -> Option<f64> {
        let at = self.place(entry, index)?;
        let (numerator, denominator) = (self.u32(at)?, self.u32(at + 4)?);
        match entry.kind {
            5 if denominator != 0 => Some(f64::from(numerator) / f64::from(denominator)),
            // The same bits, read as signed.
            10 if denominator != 0 => {
                Some(f64::from(numerator as i32) / f64::from(denominator as i32))
            }
            _ => None,
        }
    }

    /// All bytes of an entry, whatever they are.
    pub(crate) fn data(&self, entry: &Entry) -> Option<&'a [u8]> {
        self.slice(entry.at as u64, self.size(entry)?)
    }

    /// Where the bytes of an entry are, and how many it claims.
    pub(crate) fn extent(&self, entry: &Entry) -> Option<(u64, u64)> {
        Some((entry.at as u64, self.size(entry)?))
    }

    /// `length` bytes at `offset`, if the file has them.
    pub(crate) fn slice(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let end = offset.checked_add(length)?;
        let within = |at| usize::try_from(at).ok()?.checked_sub(self.start);
        self.bytes.get(within(offset)?..within(end)?)
    }

    fn size(&self, entry: &Entry) -> Option<u64> {
        entry.count.checked_mul(size_of_kind(entry.kind)?)
    }

    fn place(&self, entry: &Entry, index: u64) -> Option<usize> {
        if index >= entry.count {
            return None;
        }
        let offset = index.checked_mul(size_of_kind(entry.kind)?)?;
        entry.at.checked_add(usize::try_from(offset).ok()?)
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind) = (self.u16(at)?, self.u16(at + 2)?);
        let (count, value, room) = if self.is_big {
            (self.u64(at + 4)?, at + 12, 8)
        } else {
            (self.u32(at + 4)?.into(), at + 8, 4)
        };
        let size = size_of_kind(kind)?.checked_mul(count)?;
        let at = if size <= room {
            value
        } else if self.is_big {
            usize::try_from(self.u64(value)?).ok()?
        } else {
            self.u32(value)? as usize
        };
        Some(Entry {
            tag,
            kind,
            count,
            at,
        })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.array(at)?;
        Some(match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.array(at)?;
        Some(match self.order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.array(at)?;
        Some(match self.order {
            Order::Little => u64::from_le_bytes(bytes),
            Order::Big => u64::from_be_bytes(bytes),
        })
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        array(self.bytes, at.checked_sub(self.start)?)
    }
}

impl Directory {
    /// The offset of the next of its chain; 0 where there is none.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first entry of this tag. Tables are to be sorted, and not all are.
    pub(crate) fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// The first number of the entry of this tag.
    pub(crate) fn number(&self, structure: &Structure<'_>, tag: u16) -> Option<u64> {
        structure.number(self.entry(tag)?, 0)
    }
}

/// Bytes of one value of each type.
fn size_of_kind(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}

/// EXIF data of their own, of the small values that a picture's directories have: of the first one and of those for
/// EXIF and GPS. Pictures and maker notes stay out, so that nothing is copied that a file could claim to be large.
pub(crate) fn exif_of(structure: &Structure<'_>, first: &Directory) -> Vec<u8> {
    let pointed = |pointer: u16| {
        let directory = structure.directory(first.number(structure, pointer)?)?;
        Some((pointer, copied(structure, &directory, is_small)))
    };
    let main = copied(structure, first, |tag| TAGS.contains(&tag));
    let further: Vec<_> = [tag::EXIF_IFD, tag::GPS_IFD]
        .into_iter()
        .filter_map(pointed)
        .collect();
    Block::new(structure.order).of_directories(&main, &further)
}

/// The same, where each directory is in a structure of its own, all of one byte order.
pub(crate) fn exif_of_directories(
    structure: &Structure<'_>,
    first: &Directory,
    further: &[(u16, (Structure<'_>, Directory))],
) -> Vec<u8> {
    let main = copied(structure, first, |tag| TAGS.contains(&tag));
    let further: Vec<_> = further
        .iter()
        .map(|(tag, (structure, directory))| (*tag, copied(structure, directory, is_small)))
        .collect();
    Block::new(structure.order).of_directories(&main, &further)
}

/// What is wanted of a first directory.
const TAGS: [u16; 4] = [tag::MAKE, tag::MODEL, tag::ORIENTATION, tag::DATE_TIME];

fn is_small(tag: u16) -> bool {
    tag != tag::MAKER_NOTE
}

fn copied<'a>(
    structure: &Structure<'a>,
    directory: &Directory,
    is_wanted: impl Fn(u16) -> bool,
) -> Vec<Copied<'a>> {
    directory
        .entries()
        .iter()
        .filter(|entry| is_wanted(entry.tag))
        .take(MAX_COPIED_ENTRIES)
        .filter_map(|entry| Copied::read(structure, entry))
        .collect()
}

const MAX_COPIED_ENTRIES: usize = 128;
/// Longer values than this tell nothing that is looked at.
const MAX_COPIED_BYTES: usize = 1024;

/// An entry with its values, in a file's own byte order.
struct Copied<'a> {
    tag: u16,
    kind: u16,
    count: u32,
    data: &'a [u8],
}

impl<'a> Copied<'a> {
    fn read(structure: &Structure<'a>, entry: &Entry) -> Option<Self> {
        let size = structure.size(entry)?;
        // BigTIFF's own types are not known to readers of EXIF.
        if size > MAX_COPIED_BYTES as u64 || matches!(entry.kind, 16..=18) {
            return None;
        }
        Some(Self {
            tag: entry.tag,
            kind: entry.kind,
            // No more than the bytes that they are.
            count: entry.count as u32,
            data: structure.data(entry)?,
        })
    }
}

/// A classic TIFF structure that is being written.
struct Block {
    bytes: Vec<u8>,
    order: Order,
}

impl Block {
    fn new(order: Order) -> Self {
        let mut block = Self {
            bytes: match order {
                Order::Little => b"II".to_vec(),
                Order::Big => b"MM".to_vec(),
            },
            order,
        };
        block.push16(42);
        block.push32(8);
        block
    }

    /// The structure of a first directory and of others, to which entries of the given tags point.
    fn of_directories(
        mut self,
        main: &[Copied<'_>],
        further: &[(u16, Vec<Copied<'_>>)],
    ) -> Vec<u8> {
        let mut offset = self.bytes.len() + directory_size(main.len() + further.len(), main);
        let mut pointers = Vec::new();
        for (tag, entries) in further {
            // Some hundred kilobytes at most.
            pointers.push((*tag, offset as u32));
            offset += directory_size(entries.len(), entries);
        }
        self.push_directory(main, &pointers);
        for (_, entries) in further {
            self.push_directory(entries, &[]);
        }
        self.bytes
    }

    fn push_directory(&mut self, entries: &[Copied<'_>], pointers: &[(u16, u32)]) {
        let count = entries.len() + pointers.len();
        let mut values = self.bytes.len() + directory_size(count, &[]);
        self.push16(count as u16);
        for entry in entries {
            self.push16(entry.tag);
            self.push16(entry.kind);
            self.push32(entry.count);
            if entry.data.len() <= 4 {
                self.bytes.extend(entry.data);
                self.bytes
                    .resize(self.bytes.len() + 4 - entry.data.len(), 0);
            } else {
                self.push32(values as u32);
                values += entry.data.len();
            }
        }
        for &(tag, offset) in pointers {
            self.push16(tag);
            self.push16(LONG);
            self.push32(1);
            self.push32(offset);
        }
        self.push32(0);
        for entry in entries.iter().filter(|entry| entry.data.len() > 4) {
            self.bytes.extend(entry.data);
        }
    }

    fn push16(&mut self, value: u16) {
        self.bytes.extend(match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        });
    }

    fn push32(&mut self, value: u32) {
        self.bytes.extend(match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        });
    }
}

const LONG: u16 = 4;

/// Bytes of a directory of `count` entries, and of the values that lie behind it.
fn directory_size(count: usize, entries: &[Copied<'_>]) -> usize {
    let outside = entries.iter().map(|entry| entry.data.len());
    2 + count * 12 + 4 + outside.filter(|&length| length > 4).sum::<usize>()
}
