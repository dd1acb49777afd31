//! What is to be decoded of a file, known from its boxes before any decoder starts.

use std::borrow::Cow;

use super::geometry::View;
use super::{Fault, av1, hevc};
use crate::isobmff::{self, Item, Items, Nclx, Property, Reader, Track};

/// How many pictures that are but others by another name are followed.
const MAX_ALIASES: usize = 4;
const OTHER_CODING: &str = "HEIF pictures coded with other than HEVC or AV1";

/// A whole file.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) colour: Layer<'a>,
    pub(super) alpha: Option<Layer<'a>>,
    pub(super) view: View,
    pub(super) exif: Option<&'a [u8]>,
    pub(super) icc: Option<&'a [u8]>,
    /// Of an animation: the one that is shown, and the one of its alpha.
    pub(super) tracks: Vec<Track<'a>>,
}

/// A picture of one component or three, in tiles of one size, row by row; or of one tile.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) tile_width: u32,
    pub(super) tile_height: u32,
    pub(super) columns: u32,
    pub(super) tiles: Vec<Tile<'a>>,
}

/// One coded picture.
#[derive(Debug)]
pub(super) struct Tile<'a> {
    pub(super) coding: Coding<'a>,
    pub(super) data: Cow<'a, [u8]>,
    /// How colours are stored, if the file says so: else the coded picture does.
    pub(super) colours: Option<Nclx>,
}

/// A coding, with what has to be known beside the data.
#[derive(Debug, Clone, Copy)]
pub(super) enum Coding<'a> {
    Av1(&'a [u8]),
    Hevc(&'a [u8]),
}

impl<'a> Plan<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, Fault> {
        let tracks = sequence(file)?;
        let Some((start, meta)) = isobmff::find_meta(file)? else {
            return Self::of_tracks(file, tracks);
        };
        let items = Items::read(meta, start)?;
        let Some(primary) = items.primary() else {
            return Self::of_tracks(file, tracks);
        };
        let finder = Finder { file, items };
        let (id, item) = finder.picture(primary)?;
        let colour = finder.layer(id, item)?;
        let mut view = View::whole(colour.width, colour.height);
        let mut icc = None;
        // An alias may be turned itself, on top.
        for id in [id, primary]
            .into_iter()
            .take(if id == primary { 1 } else { 2 })
        {
            for (property, _) in finder.properties(id)? {
                view.apply(&property)?;
                if let Property::Icc(profile) = property {
                    icc = Some(profile);
                }
            }
        }
        Ok(Self {
            alpha: finder.alpha(id, &colour)?,
            colour,
            view,
            exif: finder.exif(primary).or_else(|| finder.exif(id)),
            icc,
            tracks,
        })
    }

    /// Of a file that has a sequence and no picture beside it: its first frame is the picture.
    fn of_tracks(file: &'a [u8], tracks: Vec<Track<'a>>) -> Result<Self, Fault> {
        let Some(shown) = tracks.iter().find(|track| track.is_shown) else {
            return Err(if isobmff::tracks(file)?.is_empty() {
                Fault::damaged("it holds no picture")
            } else {
                Fault::Unsupported("HEIC sequences")
            });
        };
        let layer = |track: &Track<'a>| -> Result<Layer<'a>, Fault> {
            let first = track.samples(file)?;
            let data = first.first().ok_or(Fault::damaged("it has no frame"))?;
            Ok(Layer::of_tile(
                (track.width, track.height),
                Tile {
                    coding: coding(&track.properties)?,
                    data: Cow::Borrowed(data),
                    colours: nclx(&track.properties),
                },
            ))
        };
        let colour = layer(shown)?;
        let alpha = tracks.iter().find(|track| !track.is_shown);
        let alpha = alpha.map(layer).transpose()?;
        let mut view = View::whole(colour.width, colour.height);
        let mut icc = None;
        for property in &shown.properties {
            view.apply(property)?;
            if let Property::Icc(profile) = property {
                icc = Some(*profile);
            }
        }
        Ok(Self {
            alpha: alpha.map(|alpha| alpha.covering(&colour)).transpose()?,
            colour,
            view,
            exif: None,
            icc,
            tracks,
        })
    }

    pub(super) fn frames(&self) -> u32 {
        let shown = self.tracks.iter().find(|track| track.is_shown);
        shown.map_or(1, |track| track.count.max(1))
    }

    /// The largest picture that a decoder is given.
    pub(super) fn largest_frame(&self) -> (u32, u32) {
        let tiles = [Some(&self.colour), self.alpha.as_ref()];
        let tiles = tiles.into_iter().flatten().flat_map(|layer| {
            [
                (layer.tile_width, layer.tile_height),
                (layer.width, layer.height),
            ]
        });
        let frames = self.tracks.iter().map(|track| (track.width, track.height));
        tiles
            .chain(frames)
            .max_by_key(|&(width, height)| u64::from(width) * u64::from(height))
            .unwrap_or((0, 0))
    }

    /// Pixels of all tiles and frames.
    pub(super) fn total_pixels(&self) -> u64 {
        let layers = [Some(&self.colour), self.alpha.as_ref()];
        let pixels = layers.into_iter().flatten().map(Layer::total_pixels);
        let frames = self.tracks.iter().map(|track| {
            (u64::from(track.width) * u64::from(track.height))
                .saturating_mul(u64::from(track.count))
        });
        pixels.chain(frames).fold(0, u64::saturating_add)
    }

    /// Bytes that decoding allocates: of the picture, or of the sequence, which is decoded after it.
    pub(super) fn cost(&self) -> Result<u64, Fault> {
        let mut picture = 0_u64;
        for layer in [Some(&self.colour), self.alpha.as_ref()]
            .into_iter()
            .flatten()
        {
            picture = picture.saturating_add(layer.cost()?);
        }
        let mut sequence = 0;
        for track in &self.tracks {
            if let Coding::Av1(config) = coding(&track.properties)? {
                let cost = av1::sequence_cost(config, track.width, track.height)?;
                sequence = cost.max(sequence);
            }
        }
        Ok(picture.max(sequence))
    }
}

impl<'a> Layer<'a> {
    fn of_tile((width, height): (u32, u32), tile: Tile<'a>) -> Self {
        Self {
            width,
            height,
            tile_width: width,
            tile_height: height,
            columns: 1,
            tiles: vec![tile],
        }
    }

    /// This, if it is as large as what it is laid over.
    fn covering(self, colour: &Self) -> Result<Self, Fault> {
        if self.width < colour.width || self.height < colour.height {
            return Err(Fault::damaged("its alpha is smaller than the picture"));
        }
        Ok(self)
    }

    fn total_pixels(&self) -> u64 {
        (u64::from(self.tile_width) * u64::from(self.tile_height))
            .saturating_mul(self.tiles.len() as u64)
    }

    /// Planes of one row of tiles, what a decoder needs beside the one it works at, and rows of colours.
    fn cost(&self) -> Result<u64, Fault> {
        let (mut held, mut working) = (0_u64, 0);
        for row in self.tiles.chunks(self.columns.max(1) as usize) {
            let mut planes = 0_u64;
            for tile in row {
                let (kept, more) = match tile.coding {
                    Coding::Av1(config) => av1::cost(config, self.tile_width, self.tile_height)?,
                    Coding::Hevc(config) => hevc::cost(config, self.tile_width, self.tile_height)?,
                };
                planes = planes.saturating_add(kept);
                working = more.saturating_add(tile.data.len() as u64).max(working);
            }
            held = planes.max(held);
        }
        let rows = u64::from(self.width) * 64;
        Ok(held.saturating_add(working).saturating_add(rows))
    }
}

/// Finds pictures among a file's items.
struct Finder<'a> {
    file: &'a [u8],
    items: Items<'a>,
}

impl<'a> Finder<'a> {
    fn item(&self, id: u32) -> Result<&Item<'a>, Fault> {
        let item = self.items.get(id);
        item.ok_or_else(|| Fault::damaged("it refers to an item that is not there"))
    }

    /// The item that is decoded when this one is shown: itself, unless it is an alias.
    fn picture(&self, mut id: u32) -> Result<(u32, &Item<'a>), Fault> {
        for _ in 0..MAX_ALIASES {
            let item = self.item(id)?;
            match (&item.kind, self.items.referred_by(id, b"dimg")) {
                (b"iden", &[other]) => id = other,
                (b"iden", _) => break,
                _ => return Ok((id, item)),
            }
        }
        Err(Fault::damaged("its picture is another one's name only"))
    }

    /// An item's properties; fails if one of them must be known, and is not.
    fn properties(&self, id: u32) -> Result<Vec<(Property<'a>, bool)>, Fault> {
        let properties: Vec<_> = self.items.properties_of(self.item(id)?).collect();
        if properties
            .iter()
            .any(|(property, is_essential)| *is_essential && !property.may_be_ignored())
        {
            return Err(Fault::Unsupported(
                "HEIF pictures with properties unknown here",
            ));
        }
        Ok(properties)
    }

    fn layer(&self, id: u32, item: &Item<'a>) -> Result<Layer<'a>, Fault> {
        match &item.kind {
            b"grid" => self.grid(id, item),
            b"iovl" => Err(Fault::Unsupported("HEIF pictures composed of several")),
            _ => {
                let (size, tile) = self.tile(id, item, None)?;
                Ok(Layer::of_tile(size, tile))
            }
        }
    }

    fn grid(&self, id: u32, item: &Item<'a>) -> Result<Layer<'a>, Fault> {
        let data = self.items.data(item, self.file)?;
        let mut reader = Reader::new(&data);
        let [version, flags, rows, columns] = reader.array()?;
        if version != 0 {
            return Err(Fault::Unsupported("HEIF grids of a later version"));
        }
        let (rows, columns) = (u32::from(rows) + 1, u32::from(columns) + 1);
        let is_long = flags & 1 == 1;
        let (width, height) = (reader.u16_or_u32(is_long)?, reader.u16_or_u32(is_long)?);
        let ids = self.items.referred_by(id, b"dimg");
        if ids.len() as u64 != u64::from(rows) * u64::from(columns) {
            return Err(Fault::damaged(
                "its grid has not as many tiles as it announces",
            ));
        }
        let colours = nclx_of(self.properties(id)?.iter().map(|(property, _)| property));
        let mut size = None;
        let tiles = ids
            .iter()
            .map(|&id| {
                let (tile_size, tile) = self.tile(id, self.item(id)?, colours)?;
                if *size.get_or_insert(tile_size) != tile_size {
                    return Err(Fault::damaged("the tiles of its grid differ in size"));
                }
                if self
                    .properties(id)?
                    .iter()
                    .any(|(property, _)| turns(property))
                {
                    return Err(Fault::Unsupported("HEIF pictures whose tiles are turned"));
                }
                Ok(tile)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (tile_width, tile_height) = size.unwrap_or((0, 0));
        let covers = |tile: u32, count: u32, edge: u32| {
            tile > 0 && u64::from(tile) * u64::from(count) >= u64::from(edge)
        };
        if !covers(tile_width, columns, width) || !covers(tile_height, rows, height) {
            return Err(Fault::damaged("the tiles of its grid do not cover it"));
        }
        Ok(Layer {
            width,
            height,
            tile_width,
            tile_height,
            columns,
            tiles,
        })
    }

    /// A coded picture, and its size. What is said of its colours by what it is a part of counts more.
    fn tile(
        &self,
        id: u32,
        item: &Item<'a>,
        colours: Option<Nclx>,
    ) -> Result<((u32, u32), Tile<'a>), Fault> {
        let properties: Vec<_> = self.properties(id)?.into_iter().map(|(it, _)| it).collect();
        if !matches!(&item.kind, b"av01" | b"hvc1" | b"hev1") || item.is_encoded {
            return Err(Fault::Unsupported(OTHER_CODING));
        }
        let size = properties.iter().find_map(|property| match property {
            Property::Size(width, height) => Some((*width, *height)),
            _ => None,
        });
        let tile = Tile {
            coding: coding(&properties)?,
            data: self.items.data(item, self.file)?,
            colours: colours.or_else(|| nclx(&properties)),
        };
        Ok((
            size.ok_or_else(|| Fault::damaged("it does not say its size"))?,
            tile,
        ))
    }

    fn alpha(&self, id: u32, colour: &Layer<'a>) -> Result<Option<Layer<'a>>, Fault> {
        for auxiliary in self.items.referring_to(id, b"auxl") {
            let is_alpha = self.items.get(auxiliary).is_some_and(|item| {
                self.items
                    .properties_of(item)
                    .any(|(property, _)| is_alpha(&property))
            });
            if is_alpha {
                let (id, item) = self.picture(auxiliary)?;
                return self.layer(id, item)?.covering(colour).map(Some);
            }
        }
        Ok(None)
    }

    /// EXIF that describes an item, from the TIFF header on. What cannot be read is left out, as everywhere; so is
    /// what lies in several places, which no known writer makes.
    fn exif(&self, id: u32) -> Option<&'a [u8]> {
        let describing = self.items.referring_to(id, b"cdsc");
        let item = describing
            .filter_map(|id| self.items.get(id))
            .find(|item| &item.kind == b"Exif")?;
        match self.items.data(item, self.file).ok()? {
            Cow::Borrowed(data) => {
                let mut reader = Reader::new(data);
                let header = reader.u32().ok()? as usize;
                reader.rest().get(header..)
            }
            Cow::Owned(_) => None,
        }
    }
}

/// The tracks of an AVIF sequence; none, if the file is none.
fn sequence(file: &[u8]) -> Result<Vec<Track<'_>>, Fault> {
    if !crate::format::has_brand(file, b"avis") {
        return Ok(Vec::new());
    }
    let mut tracks = isobmff::tracks(file)?;
    tracks.retain(|track| &track.coding == b"av01" && (track.is_shown || is_alpha_track(track)));
    let mut kept = Vec::new();
    for is_shown in [true, false] {
        let found = tracks.iter().position(|track| track.is_shown == is_shown);
        kept.extend(found.map(|at| tracks.swap_remove(at)));
    }
    if !kept.first().is_some_and(|track| track.is_shown) {
        kept.clear();
    }
    Ok(kept)
}

fn is_alpha_track(track: &Track<'_>) -> bool {
    // What it is for may be left unsaid: nothing else is beside a sequence.
    let mut named = track
        .properties
        .iter()
        .filter(|property| matches!(property, Property::Auxiliary(_)))
        .peekable();
    named.peek().is_none() || named.any(is_alpha)
}

fn is_alpha(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::Auxiliary(
            b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha" | b"urn:mpeg:hevc:2015:auxid:1"
        )
    )
}

fn turns(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::Rotation(1..) | Property::Mirror { .. } | Property::CleanAperture(_)
    )
}

fn coding<'a>(properties: &[Property<'a>]) -> Result<Coding<'a>, Fault> {
    properties
        .iter()
        .find_map(|property| match property {
            Property::Av1(config) => Some(Coding::Av1(config)),
            Property::Hevc(config) => Some(Coding::Hevc(config)),
            _ => None,
        })
        .ok_or_else(|| Fault::damaged("it does not say how it is coded"))
}

fn nclx(properties: &[Property<'_>]) -> Option<Nclx> {
    nclx_of(properties.iter())
}

fn nclx_of<'p, 'a: 'p>(mut properties: impl Iterator<Item = &'p Property<'a>>) -> Option<Nclx> {
    properties.find_map(|property| match property {
        Property::Nclx(colours) => Some(*colours),
        _ => None,
    })
}
