//! Files that say where they were taken, in every way in which a format can.

use exif::{In, Tag};
use image::ExtendedColorType::Rgb8;
use imgn_testkit::pictures;

/// What must be gone: a part of a text in a GPS directory, and coordinates in XMP.
pub(super) const SECRETS: [&str; 3] = ["SECRETPLACE", "48,12.3456N", "16,22.6543E"];
/// Seconds of latitude and of longitude, as numbers in EXIF.
const SECONDS: [u32; 2] = [0x1234_5678, 0x2345_6789];

#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Little,
    Big,
}

pub(super) const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub(super) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(super) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// What must be gone from EXIF in this order.
    pub(super) fn secrets(self) -> Vec<Vec<u8>> {
        let seconds = SECONDS.map(|seconds| self.u32(seconds).to_vec());
        [seconds.to_vec(), vec![SECRETS[0].into()]].concat()
    }
}

enum Value {
    Text(&'static [u8]),
    Bytes(Vec<u8>),
    Short(u16),
    Long(u32),
    Rationals([u32; 3]),
    /// The directory of this number.
    Directory(usize),
    /// Data that the entry points to.
    Data(Vec<u8>),
}

type Entry = (u16, Value);

impl Value {
    /// Type, count, and bytes.
    fn parts(&self, order: Order) -> (u16, usize, Vec<u8>) {
        match self {
            Self::Text(text) => (2, text.len(), text.to_vec()),
            Self::Bytes(bytes) => (7, bytes.len(), bytes.clone()),
            Self::Short(value) => (3, 1, order.u16(*value).to_vec()),
            Self::Long(value) => (4, 1, order.u32(*value).to_vec()),
            Self::Rationals(values) => {
                let bytes = values
                    .iter()
                    .flat_map(|&value| [order.u32(value), order.u32(1)].concat());
                (5, 3, bytes.collect())
            }
            Self::Directory(_) | Self::Data(_) => (4, 1, vec![0; 4]),
        }
    }
}

/// A TIFF structure; the directory behind the first one is `next`.
fn tiff(order: Order, directories: &[Vec<Entry>], next: Option<usize>) -> Vec<u8> {
    let long = |entry: &Entry| match &entry.1 {
        Value::Data(data) => data.len(),
        value => Some(value.parts(order).2.len())
            .filter(|&size| size > 4)
            .unwrap_or(0),
    };
    let mut starts = Vec::new();
    let mut end = 8;
    for directory in directories {
        starts.push(end);
        end += 6 + directory.len() * 12 + directory.iter().map(long).sum::<usize>();
    }
    let mut file = match order {
        Order::Little => b"II*\0".to_vec(),
        Order::Big => b"MM\0*".to_vec(),
    };
    file.extend(order.u32(8));
    for (index, directory) in directories.iter().enumerate() {
        let mut values = Vec::new();
        let values_at = starts[index] + 6 + directory.len() * 12;
        file.extend(order.u16(directory.len() as u16));
        for (tag, value) in directory {
            let (kind, count, bytes) = value.parts(order);
            file.extend(order.u16(*tag));
            file.extend(order.u16(kind));
            file.extend(order.u32(count as u32));
            let offset = order.u32((values_at + values.len()) as u32);
            match value {
                Value::Directory(number) => file.extend(order.u32(starts[*number] as u32)),
                Value::Data(data) => {
                    file.extend(offset);
                    values.extend(data);
                }
                _ if bytes.len() > 4 => {
                    file.extend(offset);
                    values.extend(bytes);
                }
                _ => {
                    let mut inline = bytes;
                    inline.resize(4, 0);
                    file.extend(inline);
                }
            }
        }
        let next = next.filter(|_| index == 0).map_or(0, |next| starts[next]);
        file.extend(order.u32(next as u32));
        file.extend(values);
    }
    file
}

/// EXIF as a camera writes it: maker, model, orientation 6, time, a maker note that looks like a pointer to a GPS
/// directory, this GPS directory, an entry behind the pointer to it, and a thumbnail if one is given.
fn exif_with(order: Order, gps: Vec<Entry>, thumbnail: &[u8]) -> Vec<u8> {
    let note = [
        &order.u16(0x8825)[..],
        &order.u16(4),
        &order.u32(1),
        &order.u32(8),
        b" and what else a maker notes",
    ];
    let first = vec![
        (0x010f, Value::Text(b"imgn\0")),
        (0x0110, Value::Text(b"imgn Test 1\0")),
        (0x0112, Value::Short(6)),
        (0x8769, Value::Directory(1)),
        (0x8825, Value::Directory(2)),
        (0x9c9c, Value::Bytes(b"n\0o\0t\0e\0\0\0".to_vec())),
    ];
    let details = vec![
        (0x9003, Value::Text(b"2023:07:01 12:34:56\0")),
        (0x9011, Value::Text(b"+02:00\0")),
        (0x927c, Value::Bytes(note.concat())),
    ];
    let small = vec![
        (0x0201, Value::Data(thumbnail.to_vec())),
        (0x0202, Value::Long(thumbnail.len() as u32)),
    ];
    let next = (!thumbnail.is_empty()).then_some(3);
    tiff(order, &[first, details, gps, small], next)
}

pub(super) fn exif(order: Order, thumbnail: &[u8]) -> Vec<u8> {
    let gps = vec![
        (0, Value::Bytes(vec![2, 3, 0, 0])),
        (1, Value::Text(b"N\0")),
        (2, Value::Rationals([48, 12, SECONDS[0]])),
        (3, Value::Text(b"E\0")),
        (4, Value::Rationals([16, 22, SECONDS[1]])),
        (27, Value::Bytes(b"ASCII\0\0\0SECRETPLACE".to_vec())),
    ];
    exif_with(order, gps, thumbnail)
}

/// A camera without a receiver still writes the version.
pub(super) fn exif_with_gps_version_only(order: Order) -> Vec<u8> {
    exif_with(order, vec![(0, Value::Bytes(vec![2, 3, 0, 0]))], &[])
}

/// Where the GPS directory is in EXIF data.
pub(super) fn gps_directory(order: Order, exif: &[u8]) -> usize {
    let pointer = [&order.u16(0x8825)[..], &order.u16(4), &order.u32(1)].concat();
    let at = super::position(exif, &pointer).unwrap() + 8;
    let bytes = exif[at..at + 4].try_into().unwrap();
    match order {
        Order::Little => u32::from_le_bytes(bytes) as usize,
        Order::Big => u32::from_be_bytes(bytes) as usize,
    }
}

pub(super) const XMP: &str = concat!(
    "<?xpacket begin='\u{feff}' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>",
    "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about=''",
    " xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:tiff='http://ns.adobe.com/tiff/1.0/'",
    " xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' xmlns:Ext='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'",
    " tiff:Make='imgn' exif:GPSLatitude='48,12.3456N' photoshop:City='Wien'>",
    "<exif:GPSLongitude>16,22.6543E</exif:GPSLongitude><tiff:Model>Test 1</tiff:Model>",
    "<Ext:LocationShown><rdf:Bag><rdf:li rdf:parseType='Resource'><Ext:City>Wien</Ext:City>",
    "<exif:GPSLatitude>48,12.3456N</exif:GPSLatitude></rdf:li></rdf:Bag></Ext:LocationShown>",
    "</rdf:Description></rdf:RDF></x:xmpmeta>\n    \n<?xpacket end='w'?>"
);

/// [`XMP`] as it is to become, without blanks.
pub(super) fn xmp_without_location() -> String {
    XMP.replace("exif:GPSLatitude='48,12.3456N'", "")
        .replace("<exif:GPSLongitude>16,22.6543E</exif:GPSLongitude>", "")
        .replace("<exif:GPSLatitude>48,12.3456N</exif:GPSLatitude>", "")
        .replace(' ', "")
}

/// A JPEG with these APP1 segments before all else.
pub(super) fn jpeg(width: u32, segments: &[Vec<u8>]) -> Vec<u8> {
    let picture = pictures::jpeg(width, 40);
    let mut file = picture[..2].to_vec();
    for segment in segments {
        file.extend([0xff, 0xe1]);
        file.extend((segment.len() as u16 + 2).to_be_bytes());
        file.extend(segment);
    }
    file.extend(&picture[2..]);
    file
}

pub(super) fn exif_segment(exif: &[u8]) -> Vec<u8> {
    [&b"Exif\0\0"[..], exif].concat()
}

pub(super) fn xmp_segment(xmp: &[u8]) -> Vec<u8> {
    [&b"http://ns.adobe.com/xap/1.0/\0"[..], xmp].concat()
}

/// Extended XMP, in parts that are cut within a name and within a value.
pub(super) fn extended_xmp_segments() -> Vec<Vec<u8>> {
    let cuts = [
        0,
        XMP.find("PSLatitude").unwrap(),
        XMP.find("22.6543E").unwrap(),
        XMP.len(),
    ];
    cuts.windows(2)
        .map(|cut| {
            let mut segment = b"http://ns.adobe.com/xmp/extension/\0".to_vec();
            segment.extend([b'A'; 32]);
            segment.extend((XMP.len() as u32).to_be_bytes());
            segment.extend((cut[0] as u32).to_be_bytes());
            segment.extend(&XMP.as_bytes()[cut[0]..cut[1]]);
            segment
        })
        .collect()
}

/// A PNG with these chunks behind its header.
pub(super) fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let picture = pictures::png(60, 40, Rgb8);
    // Signature, and the header's chunk.
    let header = 8 + 25;
    let mut file = picture[..header].to_vec();
    for (kind, data) in chunks {
        let checked = [&kind[..], data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&checked);
        file.extend(crc32fast::hash(&checked).to_be_bytes());
    }
    file.extend(&picture[header..]);
    file
}

/// The chunks of a PNG: kind and data. Each one's checksum must be right.
pub(super) fn chunks(png: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut chunks = Vec::new();
    let mut at = 8;
    while at < png.len() {
        let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        let checked = &png[at + 4..at + 8 + length];
        let checksum = &png[at + 8 + length..at + 12 + length];
        assert_eq!(checksum, crc32fast::hash(checked).to_be_bytes());
        chunks.push((checked[..4].to_vec(), checked[4..].to_vec()));
        at += 12 + length;
    }
    chunks
}

/// What ImageMagick makes of a profile.
pub(super) fn raw_profile(name: &str, profile: &[u8]) -> Vec<u8> {
    let digits: String = profile.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("\n{name}\n{:8}\n", profile.len());
    for line in digits.as_bytes().chunks(72) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text.into_bytes()
}

pub(super) fn webp(exif: &[u8], xmp: &[u8]) -> Vec<u8> {
    let still = pictures::webp(60, 40, false);
    // An extended header that announces EXIF and XMP, and the size less one.
    let mut body = [
        &b"WEBPVP8X\x0a\0\0\0"[..],
        &[0x0c, 0, 0, 0, 59, 0, 0, 39, 0, 0],
    ]
    .concat();
    body.extend(&still[12..]);
    for (kind, data) in [(b"EXIF", exif), (b"XMP ", xmp)] {
        body.extend(kind);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend(data);
        body.extend(vec![0; data.len() % 2]);
    }
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// A GIF with XMP before its picture, either as it is or in sub-blocks.
pub(super) fn gif(xmp: &[u8], in_sub_blocks: bool) -> Vec<u8> {
    let picture = pictures::gif(60, 40);
    let header = 13 + 3 * 256;
    let mut extension = b"\x21\xff\x0bXMP DataXMP".to_vec();
    if in_sub_blocks {
        for block in xmp.chunks(255) {
            extension.push(block.len() as u8);
            extension.extend(block);
        }
        extension.push(0);
    } else {
        extension.extend(xmp);
        extension.push(1);
        extension.extend((0..=255).rev());
        extension.push(0);
    }
    [&picture[..header], &extension, &picture[header..]].concat()
}

/// What EXIF in a file says: everything but a location; and how much of one.
pub(super) fn exif_fields(file: &[u8]) -> (Vec<(Tag, In, String)>, usize) {
    let exif = exif::Reader::new()
        .read_from_container(&mut std::io::Cursor::new(file))
        .unwrap();
    let (locations, fields): (Vec<_>, Vec<_>) = exif
        .fields()
        .partition(|field| field.tag.context() == exif::Context::Gps);
    let fields = fields
        .into_iter()
        .map(|field| (field.tag, field.ifd_num, field.display_value().to_string()))
        .collect();
    (fields, locations.len())
}
