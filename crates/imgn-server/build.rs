//! Tells cargo what the crate embeds beside its sources, so that a new migration or a new build of the web page is
//! taken up.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=../../ui/dist");
}
