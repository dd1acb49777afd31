//! What a file says of its items: sizes, turns, colours, and how they are coded.

use super::Malformed;
use super::boxes::{Boxes, Reader};

/// How many properties a file may have: they are shared, so that real files have about twenty.
const MAX_PROPERTIES: usize = 4096;

/// One property. Slices are of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Property<'a> {
    /// `ispe`: width and height as stored.
    Size(u32, u32),
    /// `irot`: quarter turns against the clock.
    Rotation(u8),
    /// `imir`: whether left and right are exchanged; else top and bottom are.
    Mirror { left_right: bool },
    /// `clap`.
    CleanAperture(CleanAperture),
    /// `colr` as numbers.
    Nclx(Nclx),
    /// `colr` as an ICC profile.
    Icc(&'a [u8]),
    /// `auxC`: what an auxiliary picture is for, as a URN.
    Auxiliary(&'a [u8]),
    /// `av1C`.
    Av1(&'a [u8]),
    /// `hvcC`.
    Hevc(&'a [u8]),
    /// Another one.
    Other([u8; 4]),
}

/// The part of a picture that is to be shown: sizes, and how far its centre is from the picture's, as fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CleanAperture {
    pub(crate) width: (u32, u32),
    pub(crate) height: (u32, u32),
    pub(crate) right: (i32, u32),
    pub(crate) down: (i32, u32),
}

/// Code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nclx {
    pub(crate) matrix: u16,
    pub(crate) full_range: bool,
}

impl<'a> Property<'a> {
    /// The boxes of an `ipco` box, in their order.
    pub(crate) fn read_all(container: &'a [u8]) -> Result<Vec<Self>, Malformed> {
        Boxes::new(container)
            .take(MAX_PROPERTIES)
            .map(|found| {
                let found = found?;
                Self::read(found.kind, found.payload)
            })
            .collect()
    }

    /// One of these boxes, or of those of a track's sample description.
    pub(crate) fn read(kind: [u8; 4], payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        Ok(match &kind {
            b"ispe" => {
                let (_, _, mut reader) = Reader::versioned(payload)?;
                Self::Size(reader.u32()?, reader.u32()?)
            }
            b"irot" => Self::Rotation(reader.u8()? & 3),
            b"imir" => Self::Mirror {
                left_right: reader.u8()? & 1 == 1,
            },
            b"clap" => Self::CleanAperture(CleanAperture {
                width: (reader.u32()?, reader.u32()?),
                height: (reader.u32()?, reader.u32()?),
                right: (reader.i32()?, reader.u32()?),
                down: (reader.i32()?, reader.u32()?),
            }),
            b"colr" => match &reader.array()? {
                b"nclx" => {
                    let [_, _, _, _, high, low, range] = reader.array()?;
                    Self::Nclx(Nclx {
                        matrix: u16::from_be_bytes([high, low]),
                        full_range: range & 0x80 != 0,
                    })
                }
                b"prof" | b"rICC" => Self::Icc(reader.rest()),
                _ => Self::Other(kind),
            },
            b"auxC" => {
                let (_, _, mut reader) = Reader::versioned(payload)?;
                Self::Auxiliary(reader.text())
            }
            b"av1C" => Self::Av1(payload),
            b"hvcC" => Self::Hevc(payload),
            _ => Self::Other(kind),
        })
    }

    /// Whether a picture can be shown by one who does not know what this says, if the file insists on it.
    pub(crate) fn may_be_ignored(&self) -> bool {
        match self {
            // Which of several layers or operating points is meant: the decoder takes the best.
            Self::Other(kind) => matches!(kind, b"a1op" | b"lsel" | b"pixi" | b"pasp" | b"colr"),
            _ => true,
        }
    }
}
