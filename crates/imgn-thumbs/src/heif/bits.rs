//! Bits of an AV1 sequence header: what kind of samples a picture has, known before the decoder allocates for them.

/// What kind of samples a picture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SampleKind {
    /// More than 8 bits, which are held in two bytes.
    pub(super) is_deep: bool,
    pub(super) is_grey: bool,
    /// Whether there is one chroma sample for two columns, and for two rows.
    pub(super) halved: (bool, bool),
}

impl SampleKind {
    /// Bytes of all planes, for this many pixels.
    pub(super) fn bytes(self, pixels: u64) -> u64 {
        let chroma = match (self.is_grey, self.halved) {
            (true, _) => 0,
            (false, (true, true)) => pixels.div_ceil(2),
            (false, (true, false) | (false, true)) => pixels,
            (false, (false, false)) => pixels.saturating_mul(2),
        };
        pixels.saturating_add(chroma) << u8::from(self.is_deep)
    }

    /// From an `av1C` box.
    pub(super) fn of_config(config: &[u8]) -> Option<Self> {
        // Marker and version; profile and level; flags.
        let &[0x81, _, flags, _, ..] = config else {
            return None;
        };
        let flag = |bit: u8| flags >> bit & 1 == 1;
        Some(Self {
            is_deep: flag(6),
            is_grey: flag(4),
            halved: (flag(3), flag(2)),
        })
    }

    /// From the payload of a sequence header, as section 5.5 of the AV1 specification has it.
    pub(super) fn of_sequence_header(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(payload);
        let profile = bits.take(3)?;
        // Whether it is a still picture.
        bits.flag()?;
        let is_reduced = bits.flag()?;
        if is_reduced {
            // Level.
            bits.take(5)?;
        } else {
            skip_timing_and_operating_points(&mut bits)?;
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        bits.take(width_bits)?;
        bits.take(height_bits)?;
        if !is_reduced && bits.flag()? {
            // Lengths of frame numbers.
            bits.take(4 + 3)?;
        }
        // Size of superblocks, and two filters.
        bits.take(3)?;
        if !is_reduced {
            skip_tools(&mut bits)?;
        }
        // Scaling, and two filters.
        bits.take(3)?;
        Self::of_colour_config(&mut bits, profile)
    }

    fn of_colour_config(bits: &mut Bits<'_>, profile: u32) -> Option<Self> {
        let is_deep = bits.flag()?;
        let has_twelve_bits = profile == 2 && is_deep && bits.flag()?;
        let is_grey = profile != 1 && bits.flag()?;
        let description = if bits.flag()? {
            bits.take(24)?
        } else {
            0x02_02_02
        };
        // Primaries, transfer and matrix of sRGB, stored as it is.
        const SRGB: u32 = 0x01_0d_00;
        let halved = if is_grey {
            (true, true)
        } else if description == SRGB {
            (false, false)
        } else {
            // Range.
            bits.flag()?;
            match profile {
                0 => (true, true),
                1 => (false, false),
                _ if has_twelve_bits => {
                    let across = bits.flag()?;
                    (across, across && bits.flag()?)
                }
                _ => (true, false),
            }
        };
        Some(Self {
            is_deep,
            is_grey,
            halved,
        })
    }
}

/// The payloads of the sequence headers in some AV1 data, as far as they can be walked through.
pub(super) fn sequence_headers(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    const SEQUENCE_HEADER: u8 = 1;
    std::iter::from_fn(move || {
        loop {
            let (&header, rest) = data.split_first()?;
            let (has_extension, has_size) = (header >> 2 & 1 == 1, header >> 1 & 1 == 1);
            let rest = rest.get(usize::from(has_extension)..)?;
            let (size, rest) = if has_size {
                leb128(rest)?
            } else {
                (rest.len(), rest)
            };
            let (payload, rest) = rest.split_at_checked(size)?;
            data = rest;
            if header >> 3 & 15 == SEQUENCE_HEADER {
                return Some(payload);
            }
        }
    })
}

/// A number in groups of seven bits, the lowest first; and what is behind it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

fn skip_timing_and_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        // Units a tick, and ticks a second.
        bits.take(32)?;
        bits.take(32)?;
        if bits.flag()? {
            bits.skip_unary_coded()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? + 1);
            bits.take(32)?;
            bits.take(10)?;
        }
    }
    let has_display_delay = bits.flag()?;
    let points = bits.take(5)? + 1;
    for _ in 0..points {
        // Which layers it has.
        bits.take(12)?;
        let level = bits.take(5)?;
        if level > 7 {
            bits.flag()?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.take(delay_bits)?;
            bits.take(delay_bits)?;
            bits.flag()?;
        }
        if has_display_delay && bits.flag()? {
            bits.take(4)?;
        }
    }
    Some(())
}

fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
    // Four ways to predict one frame from another.
    bits.take(4)?;
    let has_order = bits.flag()?;
    if has_order {
        bits.take(2)?;
    }
    let may_have_screen_content = bits.flag()? || bits.flag()?;
    if may_have_screen_content && !bits.flag()? {
        bits.flag()?;
    }
    if has_order {
        bits.take(3)?;
    }
    Some(())
}

/// Bits, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// A number of up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// A number written as zeros, a one, and as many bits as there were zeros.
    fn skip_unary_coded(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros < 32 {
            self.take(zeros)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_header_tells_the_kind_of_samples() {
        // Two that real files have: a reduced header of three components, and one of grey.
        let colour = [0x0a, 0x0a, 0, 0, 0, 3, 0xbc, 0xf4, 0xf3, 0xff, 0xf3, 0x44];
        let grey = [
            0x0a, 0x0b, 0, 0, 0, 3, 0xbc, 0xf4, 0xf3, 0xff, 0xf3, 0, 0x80,
        ];
        for (data, config) in [(&colour[..], 0x1c), (&grey, 0x0c)] {
            let headers: Vec<_> = sequence_headers(data).collect();
            let kind = SampleKind::of_sequence_header(headers[0]).unwrap();
            assert_eq!(headers.len(), 1);
            assert_eq!(Some(kind), SampleKind::of_config(&[0x81, 0, config, 0]));
        }
    }
}
