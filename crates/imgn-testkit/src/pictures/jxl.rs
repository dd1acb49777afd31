//! JPEG XL. There is no encoder in Rust: one picture was made elsewhere, and only its header is written here.
//!
//! `scene.jxl` is the scene without noise, 48 by 32, by libjxl 0.11 (`pillow-jxl-plugin`: quality 90, effort 9).

const SCENE: &[u8] = include_bytes!("scene.jxl");
/// Signature, and a header in which everything but the size is as usual.
const HEADER: usize = 4;
/// Width and height of the picture, as stored.
pub const JXL_SIZE: (u32, u32) = (48, 32);

/// A bare codestream.
#[must_use]
pub fn jxl() -> Vec<u8> {
    SCENE.to_vec()
}

/// The same pixels, and a header that says that they are to be turned.
#[must_use]
pub fn oriented_jxl(orientation: u16) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(1, 1);
    bits.push(JXL_SIZE.1 / 8 - 1, 5);
    // Three to two.
    bits.push(4, 3);
    metadata(&mut bits, orientation);
    [&[0xff, 0x0a], bits.bytes.as_slice(), &SCENE[HEADER..]].concat()
}

/// A file of boxes, in which the codestream comes in two parts, with boxes before, between and behind them.
#[must_use]
pub fn jxl_in_boxes(codestream: &[u8], boxes: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut file = b"\0\0\0\x0cJXL \r\n\x87\n".to_vec();
    let mut push = |kind: &[u8; 4], data: &[u8]| {
        file.extend((data.len() as u32 + 8).to_be_bytes());
        file.extend(kind);
        file.extend(data);
    };
    push(b"ftyp", b"jxl \0\0\0\0jxl ");
    for (kind, data) in boxes {
        push(kind, data);
    }
    let (one, two) = codestream.split_at(codestream.len() / 2);
    push(b"jxlp", &[&[0, 0, 0, 0], one].concat());
    push(b"jxlp", &[&[0x80, 0, 0, 1], two].concat());
    file
}

/// A codestream of some hundred bytes that claims any size.
#[must_use]
pub fn claimed_jxl(width: u32, height: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0, 1);
    bits.push(3, 2);
    bits.push(height - 1, 30);
    bits.push(0, 3);
    bits.push(3, 2);
    bits.push(width - 1, 30);
    metadata(&mut bits, 1);
    [&[0xff, 0x0a], bits.bytes.as_slice(), &SCENE[HEADER..]].concat()
}

/// All that can be as usual is, but for the orientation.
fn metadata(bits: &mut Bits, orientation: u16) {
    // Not all is as usual; there are further fields.
    bits.push(0, 1);
    bits.push(1, 1);
    bits.push(u32::from(orientation) - 1, 3);
    // No intrinsic size, preview or animation; 8 bits, no floats.
    bits.push(0, 6);
    // Sixteen bits suffice; no further channels.
    bits.push(1, 1);
    bits.push(0, 2);
    // XYB; colours and tones as usual; no extensions; transforms as usual.
    bits.push(0b111, 3);
    bits.push(0, 2);
    bits.push(1, 1);
}

/// Bits, from the least significant one of each byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn push(&mut self, value: u32, count: usize) {
        for place in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> place & 1) as u8;
            *self.bytes.last_mut().unwrap() |= bit << (self.count % 8);
            self.count += 1;
        }
    }
}
