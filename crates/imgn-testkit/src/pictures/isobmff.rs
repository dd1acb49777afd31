//! AVIF and HEIC files: boxes written here, around coded pictures that were made once (`coded/README.md`).

/// The scene, as coded.
const SCENE_AV1: &[u8] = include_bytes!("coded/scene.av1");
const SCENE_HEVC: Coded = Coded {
    data: include_bytes!("coded/scene.hevc"),
    config: include_bytes!("coded/scene.hvcc"),
};
const DEEP_HEVC: Coded = Coded {
    data: include_bytes!("coded/deep.hevc"),
    config: include_bytes!("coded/deep.hvcc"),
};
/// A mask: the left half is opaque, the right half transparent.
const MASK_AV1: &[u8] = include_bytes!("coded/alpha.av1");
const MASK_HEVC: Coded = Coded {
    data: include_bytes!("coded/alpha.hevc"),
    config: include_bytes!("coded/alpha.hvcc"),
};

/// Profile 0, 8 bits, 4:2:0; and the same without colour.
const CONFIG_AV1: [u8; 4] = [0x81, 0, 0x0c, 0];
const CONFIG_MASK_AV1: [u8; 4] = [0x81, 0, 0x1c, 0];

/// BT.709 primaries, the transfer of sRGB, the matrix of BT.601, full range.
const COLOURS: &[u8] = b"nclx\0\x01\0\x0d\0\x06\x80";
const ALPHA: &[u8] = b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0";

/// The size of what is coded: the scene's.
pub const HEIF_SIZE: (u32, u32) = (60, 40);
/// What HEVC's coded pictures measure, of which the upper left is shown.
pub(super) const HEVC_SIZE: (u32, u32) = (64, 64);

struct Coded {
    data: &'static [u8],
    config: &'static [u8],
}

/// How a picture is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeifCoding {
    /// AV1, 8 bits.
    Av1,
    /// HEVC, 8 bits.
    Hevc,
    /// HEVC, 10 bits.
    DeepHevc,
}

/// What a file says is to be done to its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeifTurn {
    /// Quarter turns against the clock.
    Rotate(u8),
    /// Left and right exchanged.
    MirrorLeftRight,
    /// Top and bottom exchanged.
    MirrorTopBottom,
    /// A part of this size, in the middle.
    Cut(u32, u32),
}

/// Where metadata lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeifPlace {
    /// Among the coded data.
    #[default]
    File,
    /// In the box of items itself.
    Items,
    /// Among the coded data, in pieces of this many bytes, the last first.
    Pieces(usize),
}

/// A file of one picture, [`HEIF_SIZE`] large as stored, but for tiles.
#[derive(Debug, Clone, Default)]
pub struct Heif<'a> {
    /// What is done to it, in this order.
    pub turns: Vec<HeifTurn>,
    /// EXIF, from the TIFF header on.
    pub exif: Option<&'a [u8]>,
    /// XMP.
    pub xmp: Option<&'a [u8]>,
    /// An ICC profile.
    pub icc: Option<&'a [u8]>,
    /// Whether the right half is transparent.
    pub alpha: bool,
    /// Columns and rows of tiles, each of which is the scene, and the size of what they make.
    pub tiles: Option<(u8, u8, u16, u16)>,
    /// Where EXIF and XMP lie.
    pub place: HeifPlace,
}

struct Item {
    kind: [u8; 4],
    /// Behind its name.
    more: Vec<u8>,
    data: Vec<u8>,
    place: HeifPlace,
    /// Numbers of properties, from 1 on.
    properties: Vec<u8>,
    /// Kind of reference, and to what.
    reference: Option<([u8; 4], Vec<u16>)>,
}

impl Heif<'_> {
    /// The file.
    ///
    /// # Panics
    /// If HEVC is asked for in tiles: what is coded of it is to be cut.
    #[must_use]
    pub fn write(&self, coding: HeifCoding) -> Vec<u8> {
        let brands: &[u8] = match coding {
            HeifCoding::Av1 => b"avif\0\0\0\0avifmif1miaf",
            _ => b"heic\0\0\0\0mif1heicmiaf",
        };
        let (properties, items) = self.parts(coding);
        let mut file = boxed(b"ftyp", brands);
        // What the offsets are does not change how long the box is.
        let start = file.len() + meta(&properties, &items, 0).len() + 8;
        file.extend(meta(&properties, &items, start));
        file.extend(boxed(b"mdat", &stored(&items, HeifPlace::Items, true)));
        file
    }

    fn parts(&self, coding: HeifCoding) -> (Vec<Vec<u8>>, Vec<Item>) {
        let (picture, kind, config, size) = match coding {
            HeifCoding::Av1 => (SCENE_AV1, *b"av01", boxed(b"av1C", &CONFIG_AV1), HEIF_SIZE),
            HeifCoding::Hevc | HeifCoding::DeepHevc => {
                let coded = if coding == HeifCoding::Hevc {
                    SCENE_HEVC
                } else {
                    DEEP_HEVC
                };
                (
                    coded.data,
                    *b"hvc1",
                    boxed(b"hvcC", coded.config),
                    HEVC_SIZE,
                )
            }
        };
        let mut properties = vec![config, size_box(size), boxed(b"colr", COLOURS)];
        let mut shown = vec![1, 2, 3];
        if size != HEIF_SIZE {
            properties.push(upper_left(size));
            shown.push(4);
        }
        let tile = shown.clone();
        let mut add = |property: Vec<u8>| {
            properties.push(property);
            properties.len() as u8
        };
        if let Some(profile) = self.icc {
            shown.push(add(boxed(b"colr", &[b"prof", profile].concat())));
        }
        for turn in &self.turns {
            shown.push(add(turn.property()));
        }
        let mut items = Vec::new();
        if let Some((columns, rows, width, height)) = self.tiles {
            assert_eq!(coding, HeifCoding::Av1, "HEVC's pictures are to be cut");
            let count = u16::from(columns) * u16::from(rows);
            let size = size_box((width.into(), height.into()));
            // All but the coding, and another size.
            shown.retain(|&number| number > 2);
            shown.insert(0, add(size));
            let grid = [
                &[0, 0, rows - 1, columns - 1][..],
                &width.to_be_bytes(),
                &height.to_be_bytes(),
            ];
            let to = (0..count).map(|number| 2 + number).collect();
            items.push(Item {
                reference: Some((*b"dimg", to)),
                ..Item::new(*b"grid", grid.concat(), &shown)
            });
            for _ in 0..count {
                items.push(Item::new(kind, picture.to_vec(), &tile));
            }
        } else {
            items.push(Item::new(kind, picture.to_vec(), &shown));
        }
        if self.alpha {
            let (mask, config) = match coding {
                HeifCoding::Av1 => (MASK_AV1, boxed(b"av1C", &CONFIG_MASK_AV1)),
                _ => (MASK_HEVC.data, boxed(b"hvcC", MASK_HEVC.config)),
            };
            let numbers = [add(config), 2, add(boxed(b"auxC", ALPHA))];
            items.push(Item {
                reference: Some((*b"auxl", vec![1])),
                ..Item::new(kind, mask.to_vec(), &numbers)
            });
        }
        let metadata = |kind, more: &[u8], data| Item {
            more: more.to_vec(),
            place: self.place,
            reference: Some((*b"cdsc", vec![1])),
            ..Item::new(kind, data, &[])
        };
        if let Some(exif) = self.exif {
            // The TIFF header is at once behind this offset, or, as phones write it, behind a mark.
            let data = if exif.starts_with(b"Exif\0\0") {
                [&6_u32.to_be_bytes()[..], exif].concat()
            } else {
                [&0_u32.to_be_bytes()[..], exif].concat()
            };
            items.push(metadata(*b"Exif", b"", data));
        }
        if let Some(xmp) = self.xmp {
            items.push(metadata(*b"mime", b"application/rdf+xml\0", xmp.to_vec()));
        }
        (properties, items)
    }
}

impl Item {
    fn new(kind: [u8; 4], data: Vec<u8>, properties: &[u8]) -> Self {
        Self {
            kind,
            more: Vec::new(),
            data,
            place: HeifPlace::File,
            properties: properties.to_vec(),
            reference: None,
        }
    }

    /// Its extents: offsets from where its data begin, and lengths.
    fn extents(&self) -> Vec<(usize, usize)> {
        let HeifPlace::Pieces(length) = self.place else {
            return vec![(0, self.data.len())];
        };
        let mut at = self.data.len();
        let pieces = self.data.chunks(length);
        pieces
            .map(|piece| {
                at -= piece.len();
                (at, piece.len())
            })
            .collect()
    }

    /// Its data as they are stored.
    fn stored(&self) -> Vec<u8> {
        match self.place {
            HeifPlace::Pieces(length) => {
                let pieces: Vec<_> = self.data.chunks(length).rev().collect();
                pieces.concat()
            }
            _ => self.data.clone(),
        }
    }
}

impl HeifTurn {
    fn property(self) -> Vec<u8> {
        match self {
            Self::Rotate(quarters) => boxed(b"irot", &[quarters]),
            Self::MirrorTopBottom => boxed(b"imir", &[0]),
            Self::MirrorLeftRight => boxed(b"imir", &[1]),
            Self::Cut(width, height) => aperture([width, 1, height, 1], [0, 1, 0, 1]),
        }
    }
}

/// What turns a picture as EXIF's `orientation` does.
#[must_use]
pub fn heif_turns(orientation: u16) -> Vec<HeifTurn> {
    use HeifTurn::{MirrorLeftRight, MirrorTopBottom, Rotate};
    match orientation {
        2 => vec![MirrorLeftRight],
        3 => vec![Rotate(2)],
        4 => vec![MirrorTopBottom],
        5 => vec![Rotate(3), MirrorLeftRight],
        6 => vec![Rotate(3)],
        7 => vec![Rotate(1), MirrorLeftRight],
        8 => vec![Rotate(1)],
        _ => Vec::new(),
    }
}

/// An AVIF sequence: `frames` times the scene; with its first frame as a picture beside it, or without.
#[must_use]
pub fn animated_avif(frames: u32, with_picture: bool) -> Vec<u8> {
    let (properties, items) = Heif::default().parts(HeifCoding::Av1);
    let parts = |start: usize| {
        let mut parts = Vec::new();
        if with_picture {
            parts.extend(meta(&properties, &items, start));
        }
        parts.extend(movie(frames, start));
        parts
    };
    let mut file = boxed(b"ftyp", b"avis\0\0\0\0avisavifmsf1mif1miaf");
    let start = file.len() + parts(0).len() + 8;
    file.extend(parts(start));
    file.extend(boxed(b"mdat", &SCENE_AV1.repeat(frames.max(1) as usize)));
    file
}

/// A track of key frames, one behind the other from `start` on, in two chunks.
fn movie(frames: u32, start: usize) -> Vec<u8> {
    let (width, height) = HEIF_SIZE;
    let first_chunk = frames.div_ceil(2);
    let mut entry = vec![0; 78];
    entry[24..26].copy_from_slice(&(width as u16).to_be_bytes());
    entry[26..28].copy_from_slice(&(height as u16).to_be_bytes());
    entry.extend(boxed(b"av1C", &CONFIG_AV1));
    entry.extend(boxed(b"colr", COLOURS));
    let numbers = |numbers: &[u32]| -> Vec<u8> {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        numbers.collect()
    };
    let second = start + first_chunk as usize * SCENE_AV1.len();
    let table = [
        boxed(
            b"stsd",
            &[&numbers(&[0, 1])[..], &boxed(b"av01", &entry)].concat(),
        ),
        boxed(b"stsz", &numbers(&[0, SCENE_AV1.len() as u32, frames])),
        boxed(
            b"stsc",
            &numbers(&[0, 2, 1, first_chunk, 1, 2, frames - first_chunk, 1]),
        ),
        boxed(b"stco", &numbers(&[0, 2, start as u32, second as u32])),
    ];
    let handler = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let information = boxed(b"minf", &boxed(b"stbl", &table.concat()));
    let media = boxed(b"mdia", &[handler, information].concat());
    boxed(b"moov", &boxed(b"trak", &media))
}

fn meta(properties: &[Vec<u8>], items: &[Item], data_start: usize) -> Vec<u8> {
    let count = (items.len() as u16).to_be_bytes();
    let numbered = || (1_u16..).zip(items);
    let mut infos = [&[0; 4][..], &count].concat();
    let mut references = vec![0; 4];
    let mut associations = [&[0; 4][..], &(items.len() as u32).to_be_bytes()].concat();
    // Offsets and lengths of four bytes.
    let mut places = [&[1, 0, 0, 0, 0x44, 0][..], &count].concat();
    let (mut in_file, mut in_items) = (data_start, 0);
    for (id, item) in numbered() {
        let id = id.to_be_bytes();
        let info = [
            &[2, 0, 0, 0][..],
            &id,
            &[0; 2],
            &item.kind,
            &[0],
            &item.more,
        ];
        infos.extend(boxed(b"infe", &info.concat()));
        associations.extend(id);
        associations.push(item.properties.len() as u8);
        associations.extend(&item.properties);
        if let Some((kind, to)) = &item.reference {
            let mut reference = [id, (to.len() as u16).to_be_bytes()].concat();
            reference.extend(to.iter().flat_map(|to| to.to_be_bytes()));
            references.extend(boxed(kind, &reference));
        }
        let is_within = item.place == HeifPlace::Items;
        let start = if is_within {
            &mut in_items
        } else {
            &mut in_file
        };
        let extents = item.extents();
        places.extend([&id[..], &[0, u8::from(is_within), 0, 0]].concat());
        places.extend((extents.len() as u16).to_be_bytes());
        for (offset, length) in extents {
            places.extend(((*start + offset) as u32).to_be_bytes());
            places.extend((length as u32).to_be_bytes());
        }
        *start += item.data.len();
    }
    let container = [
        boxed(b"ipco", &properties.concat()),
        boxed(b"ipma", &associations),
    ];
    let body = [
        boxed(b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        boxed(b"pitm", &[0, 0, 0, 0, 0, 1]),
        boxed(b"iinf", &infos),
        boxed(b"iloc", &places),
        boxed(b"iref", &references),
        boxed(b"iprp", &container.concat()),
        boxed(b"idat", &stored(items, HeifPlace::Items, false)),
    ];
    boxed(b"meta", &[vec![0; 4], body.concat()].concat())
}

/// The data of the items that lie in this place, or of all others.
fn stored(items: &[Item], place: HeifPlace, others: bool) -> Vec<u8> {
    let kept = items.iter().filter(|item| (item.place == place) != others);
    kept.flat_map(Item::stored).collect()
}

fn size_box((width, height): (u32, u32)) -> Vec<u8> {
    let size = [[0; 4], width.to_be_bytes(), height.to_be_bytes()];
    boxed(b"ispe", &size.concat())
}

/// The scene's part of a larger coded picture.
fn upper_left((width, height): (u32, u32)) -> Vec<u8> {
    let halves = |edge: u32, coded: u32| edge.wrapping_sub(coded);
    aperture(
        [HEIF_SIZE.0, 1, HEIF_SIZE.1, 1],
        [
            halves(HEIF_SIZE.0, width),
            2,
            halves(HEIF_SIZE.1, height),
            2,
        ],
    )
}

fn aperture(size: [u32; 4], offset: [u32; 4]) -> Vec<u8> {
    let numbers = [size, offset].concat();
    let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_be_bytes()).collect();
    boxed(b"clap", &bytes)
}

fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend(kind);
    bytes.extend(payload);
    bytes
}
