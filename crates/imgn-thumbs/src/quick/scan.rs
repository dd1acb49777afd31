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
    /// Reads the next block, which is that at `column` and `row` of the scan's component `component`. There are bits
    /// for it in `bytes`, unless the scan is cut off: then zeros come.
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        component: usize,
        column: usize,
        row: usize,
    ) -> Option<()>;

    /// Begins anew after a restart marker.
    fn restart(&mut self);
}

/// Where a block is within a unit, and how many blocks of its component a unit has, across and down.
struct Place {
    component: usize,
    at: (usize, usize),
    step: (usize, usize),
}

/// Reads a scan; answers where the marker behind it is.
pub(super) fn walk(
    file: &[u8],
    frame: &Frame,
    scan: &Scan,
    blocks: &mut impl Blocks,
) -> Option<usize> {
    let ((across, down), places) = layout(frame, scan)?;
    let mut window = Window::new(file, scan.data);
    let mut cursor = Cursor::default();
    let mut marker = 0;
    let interval = match scan.restart_interval {
        0 => u32::MAX,
        interval => interval,
    };
    let mut left = interval;
    for row in 0..down as usize {
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
                    column * place.step.0 + place.at.0,
                    row * place.step.1 + place.at.1,
                )?;
            }
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
    if let [alone] = scan.components[..] {
        let place = Place {
            component: 0,
            at: (0, 0),
            step: (1, 1),
        };
        let component = frame.components.get(alone.index)?;
        return Some((frame.blocks(component), vec![place]));
    }
    let mut places = Vec::with_capacity(10);
    for (component, named) in scan.components.iter().enumerate() {
        let (across, down) = frame.components.get(named.index)?.sampling;
        for y in 0..down as usize {
            places.extend((0..across as usize).map(|x| Place {
                component,
                at: (x, y),
                step: (across as usize, down as usize),
            }));
        }
    }
    Some((frame.units(), places))
}
