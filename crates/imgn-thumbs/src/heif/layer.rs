//! A picture of tiles, row by row: one row of tiles is decoded at a time.

use super::plan::{Coding, Layer, Tile};
use super::planes::{Planes, Scratch};
use super::{Fault, av1, hevc};
use crate::limits::Deadline;

/// Gives the rows of a layer; they are to be asked for in order.
pub(super) struct LayerRows<'p, 'a> {
    layer: &'p Layer<'a>,
    /// Which row of tiles is decoded.
    tile_row: Option<u32>,
    tiles: Vec<Planes>,
    scratch: Scratch,
}

impl<'p, 'a> LayerRows<'p, 'a> {
    pub(super) fn new(layer: &'p Layer<'a>) -> Self {
        Self {
            layer,
            tile_row: None,
            tiles: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Row `y` as RGB.
    pub(super) fn rgb(
        &mut self,
        y: u32,
        out: &mut Vec<u8>,
        deadline: &Deadline,
    ) -> Result<(), Fault> {
        self.row(y, 3, out, deadline, Planes::rgb)
    }

    /// The luma of row `y`.
    pub(super) fn grey(
        &mut self,
        y: u32,
        out: &mut Vec<u8>,
        deadline: &Deadline,
    ) -> Result<(), Fault> {
        self.row(y, 1, out, deadline, Planes::grey)
    }

    fn row(
        &mut self,
        y: u32,
        bytes_a_pixel: usize,
        out: &mut Vec<u8>,
        deadline: &Deadline,
        convert: fn(&Planes, u32, &mut Scratch, &mut [u8]),
    ) -> Result<(), Fault> {
        let tile_height = self.layer.tile_height.max(1);
        self.decode_row_of(y / tile_height, deadline)?;
        out.resize(self.layer.width as usize * bytes_a_pixel, 0);
        let spans = out.chunks_mut(self.layer.tile_width.max(1) as usize * bytes_a_pixel);
        for (planes, span) in self.tiles.iter().zip(spans) {
            convert(planes, y % tile_height, &mut self.scratch, span);
        }
        Ok(())
    }

    fn decode_row_of(&mut self, tile_row: u32, deadline: &Deadline) -> Result<(), Fault> {
        if self.tile_row == Some(tile_row) {
            return Ok(());
        }
        // Those before are given up first: two rows were not reckoned with.
        self.tiles.clear();
        let columns = self.layer.columns as usize;
        let row = self
            .layer
            .tiles
            .chunks(columns.max(1))
            .nth(tile_row as usize);
        for tile in row.unwrap_or_default() {
            deadline.check()?;
            let planes = self.decode(tile, deadline)?;
            self.tiles.push(planes);
        }
        self.tile_row = Some(tile_row);
        Ok(())
    }

    fn decode(&self, tile: &Tile<'a>, deadline: &Deadline) -> Result<Planes, Fault> {
        let size = (self.layer.tile_width, self.layer.tile_height);
        let planes = match tile.coding {
            Coding::Av1(config) => av1::decode(config, &tile.data, tile.colours, size, deadline),
            Coding::Hevc(config) => hevc::decode(config, &tile.data, tile.colours, size),
        }?;
        if planes.width < size.0 || planes.height < size.1 {
            return Err(Fault::damaged(
                "its data are of another size than announced",
            ));
        }
        Ok(planes)
    }
}
