//! The walk over a scan: units in order, each of one block or of several of each component, restart markers between.
//!
//! It knows nothing of what a block holds; [`Blocks`] does.
//!
//! Invariant: every block of the scan is read once, in the order of the file; whatever is not there in full, or more
//! than there should be, is `None`.

use super::bits::{Cursor, Window};
use super::header::{Frame, Scan};

/// What reads blocks.
pub(super) trait Blocks {
    /// Reads the next block, which is the `block`th of the scan's component `component`, counted in rows of whole units.
    /// There are bits for it in `bytes`, unless the scan is cut off: then zeros come.
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        component: usize,
        block: usize,
    ) -> Option<()>;

    /// Begins anew after a restart marker.
    fn restart(&mut self);
}

/// A block of a unit.
struct Place {
    component: usize,
    /// Which one it is in the first unit of the row that is read, and in the next row's.
    first: usize,
    row: usize,
    /// From one unit to the next.
    step: usize,
}

/// Reads a scan; answers where the marker behind it is.
pub(super) fn walk(
    file: &[u8],
    frame: &Frame,
    scan: &Scan,
    blocks: &mut impl Blocks,
) -> Option<usize> {
    let ((across, down), mut places) = layout(frame, scan)?;
    let mut window = Window::new(file, scan.data);
    let mut cursor = Cursor::default();
    let mut marker = 0;
    let interval = match scan.restart_interval {
        0 => u32::MAX,
        interval => interval,
    };
    let mut left = interval;
    for _ in 0..down {
        for column in 0..across as usize {
            if left == 0 {
                cursor = window.restart(cursor, marker)?;
                marker = (marker + 1) & 7;
                left = interval;
                blocks.restart();
            }
            left -= 1;
            window.make_ready(&mut cursor);
            for place in &places {
                blocks.read(
                    &mut cursor,
                    window.bytes(),
                    place.component,
                    place.first + column * place.step,
                )?;
            }
        }
        for place in &mut places {
            place.first += place.row;
        }
        if window.overrun(cursor) {
            return None;
        }
    }
    let (_, at) = window.finish(cursor)?;
    Some(at)
}

/// Units across and down, and the blocks of each.
fn layout(frame: &Frame, scan: &Scan) -> Option<((u32, u32), Vec<Place>)> {
    let units = frame.units();
    if let [alone] = scan.components[..] {
        let component = frame.components.get(alone.index)?;
        let place = Place {
            component: 0,
            first: 0,
            row: (units.0 * component.sampling.0) as usize,
            step: 1,
        };
        return Some((frame.blocks(component), vec![place]));
    }
    let mut places = Vec::with_capacity(10);
    for (component, named) in scan.components.iter().enumerate() {
        let (across, down) = frame.components.get(named.index)?.sampling;
        let width = (units.0 * across) as usize;
        for y in 0..down as usize {
            places.extend((0..across as usize).map(|x| Place {
                component,
                first: y * width + x,
                row: width * down as usize,
                step: across as usize,
            }));
        }
    }
    Some((units, places))
}
