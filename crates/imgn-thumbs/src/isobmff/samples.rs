//! The tracks of a `moov` box, as far as they are picture sequences: what their samples are, and where each lies.

use super::boxes::{Boxes, Reader};
use super::properties::Property;
use super::{CUT_OFF, Malformed};

/// How many tracks are looked at: a sequence has one, and one for its alpha.
const MAX_TRACKS: usize = 8;
/// What a visual sample description has before its boxes.
const SAMPLE_ENTRY_BYTES: usize = 78;

/// One track of pictures.
#[derive(Debug)]
pub(crate) struct Track<'a> {
    /// Whether it is shown; else it is an auxiliary one, alpha for instance.
    pub(crate) is_shown: bool,
    /// How its samples are coded, such as `av01`.
    pub(crate) coding: [u8; 4],
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// What its sample description says.
    pub(crate) properties: Vec<Property<'a>>,
    /// How many samples it claims to have.
    pub(crate) count: u32,
    /// The payloads of `stsz`, `stsc`, and `stco` or `co64`.
    sizes: &'a [u8],
    chunks: &'a [u8],
    offsets: &'a [u8],
    offset_bytes: u8,
}

/// The picture tracks of a file.
pub(crate) fn tracks(file: &[u8]) -> Result<Vec<Track<'_>>, Malformed> {
    Boxes::first(file, b"moov").map_or(Ok(Vec::new()), tracks_of_movie)
}

/// Those of the contents of its `moov` box.
pub(crate) fn tracks_of_movie(movie: &[u8]) -> Result<Vec<Track<'_>>, Malformed> {
    let mut tracks = Vec::new();
    for found in Boxes::new(movie) {
        let found = found?;
        if &found.kind == b"trak" && tracks.len() < MAX_TRACKS {
            tracks.extend(Track::read(found.payload)?);
        }
    }
    Ok(tracks)
}

impl<'a> Track<'a> {
    /// Nothing, if it is no track of pictures.
    fn read(track: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let handler =
            Boxes::at_path(track, &[b"mdia", b"hdlr"]).and_then(|handler| handler.get(8..12));
        let is_shown = match handler {
            Some(b"pict") => true,
            Some(b"auxv") => false,
            _ => return Ok(None),
        };
        let table = Boxes::at_path(track, &[b"mdia", b"minf", b"stbl"]).ok_or(CUT_OFF)?;
        let part = |kind| Boxes::first(table, kind).ok_or(CUT_OFF);
        let (_, _, descriptions) = Reader::versioned(part(b"stsd")?)?;
        // Behind their count.
        let descriptions = descriptions.rest().get(4..).ok_or(CUT_OFF)?;
        let description = Boxes::new(descriptions).next().ok_or(CUT_OFF)??;
        let mut entry = Reader::new(description.payload);
        let head: [u8; SAMPLE_ENTRY_BYTES] = entry.array()?;
        let edge = |at| u32::from(crate::bytes::be16(&head, at).unwrap_or(0));
        let properties = Boxes::new(entry.rest())
            .map_while(Result::ok)
            .map(|found| Property::read(found.kind, found.payload))
            .collect::<Result<_, _>>()?;
        let sizes = part(b"stsz")?;
        let (_, _, mut reader) = Reader::versioned(sizes)?;
        reader.u32()?;
        let count = reader.u32()?;
        let (offsets, offset_bytes) = match Boxes::first(table, b"stco") {
            Some(offsets) => (offsets, 4),
            None => (part(b"co64")?, 8),
        };
        Ok(Some(Self {
            is_shown,
            coding: description.kind,
            width: edge(24),
            height: edge(26),
            properties,
            count,
            sizes,
            chunks: part(b"stsc")?,
            offsets,
            offset_bytes,
        }))
    }

    /// All of its samples, in the order in which they are stored, which is that of decoding.
    ///
    /// # Errors
    /// If one is missing or not within the file.
    pub(crate) fn samples(&self, file: &'a [u8]) -> Result<Vec<&'a [u8]>, Malformed> {
        let (_, _, mut sizes) = Reader::versioned(self.sizes)?;
        let size_of_all = sizes.u32()?;
        let mut left = sizes.u32()?;
        let (_, _, mut offsets) = Reader::versioned(self.offsets)?;
        let chunk_count = offsets.u32()?;
        let (_, _, mut runs) = Reader::versioned(self.chunks)?;
        let mut runs_left = runs.u32()?;
        let mut samples = Vec::new();
        let (mut samples_a_chunk, mut next_run) = (0, None);
        for chunk in 1..=chunk_count {
            while next_run.is_none_or(|(first, _)| first <= chunk) {
                if let Some((_, count)) = next_run {
                    samples_a_chunk = count;
                }
                next_run = Some((u32::MAX, samples_a_chunk));
                if let Some(fewer) = runs_left.checked_sub(1) {
                    runs_left = fewer;
                    next_run = Some((runs.u32()?, runs.u32()?));
                    // Which description applies: there is one.
                    runs.u32()?;
                } else {
                    break;
                }
            }
            let mut at = offsets.sized(self.offset_bytes)?;
            for _ in 0..samples_a_chunk.min(left) {
                let size = match size_of_all {
                    0 => sizes.u32()?,
                    size => size,
                };
                let from = usize::try_from(at).map_err(|_| CUT_OFF)?;
                let sample = file.get(from..).and_then(|rest| rest.get(..size as usize));
                samples.push(sample.ok_or(CUT_OFF)?);
                at = at.saturating_add(u64::from(size));
                left -= 1;
            }
        }
        if left > 0 {
            return Err(Malformed("it has fewer frames than it announces"));
        }
        Ok(samples)
    }
}
