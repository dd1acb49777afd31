//! Where a picture was taken stays with who took it: the thumbnail pipeline's finding in the words of the engine.
//!
//! Nothing is decided here. Invariant: the file itself is never written to.

use std::{fs::File, io, io::BufReader};

use imgn_thumbs::{LocationFinding, PrivacyError, location_patches};
use imgn_upload::{Patch, Patches, Redactor};

/// Takes the location out of what is sent.
pub(crate) struct WithoutLocation;

impl Redactor for WithoutLocation {
    fn patches(&self, file: &File) -> io::Result<Patches> {
        let found = location_patches(&mut BufReader::new(file)).map_err(|error| match error {
            PrivacyError::Read(error) => error,
        })?;
        if found.finding() >= LocationFinding::WithItsBlock {
            tracing::info!(finding = ?found.finding(), "a location could not be taken out alone");
        }
        let mut patches = Vec::with_capacity(found.patches().len());
        for patch in found.patches() {
            let length = usize::try_from(patch.length()).map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            found.apply(patch.offset(), &mut bytes);
            patches.push(Patch {
                offset: patch.offset(),
                bytes,
            });
        }
        Patches::new(patches).map_err(io::Error::other)
    }
}
