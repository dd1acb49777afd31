//! Hands Tauri the configuration, the icons, and the commands that the window may call.
//!
//! Invariant: once an application manifest exists, Tauri refuses every command of ours that no capability names.

use std::error::Error;

use tauri_build::{AppManifest, Attributes};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src-tauri/capabilities");
    println!("cargo:rerun-if-changed=src-tauri/permissions");
    println!("cargo:rerun-if-changed=ui/dist");
    let permissions = AppManifest::new().permissions_path_pattern("./src-tauri/permissions/*.toml");
    tauri_build::try_build(
        Attributes::new()
            .capabilities_path_pattern("./src-tauri/capabilities/*.json")
            .app_manifest(permissions),
    )?;
    Ok(())
}
