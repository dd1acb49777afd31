//! Whether the app starts with the session: a file of the Desktop Application Autostart Specification, one a profile.

use std::{
    io,
    path::{Path, PathBuf},
};

use imgn_core::{ClientCode, CommandError, Home, protocol::Sha256};

/// Makes the app start with the session, without its window, or no longer.
///
/// # Errors
/// When the file cannot be written or removed.
pub(crate) fn set(enabled: bool, home: &Home) -> Result<(), CommandError> {
    let written = match folder() {
        Some(folder) if enabled => write(&folder, home),
        Some(folder) => remove(&folder, home),
        None => Err(io::Error::other("not yet on this system")),
    };
    written.map_err(|error| {
        let message = format!("what starts with the session could not be changed ({error})");
        CommandError::new(ClientCode::SettingsFailed, message)
    })
}

fn folder() -> Option<PathBuf> {
    let is_xdg = cfg!(all(unix, not(target_os = "macos")));
    dirs::config_dir()
        .filter(|_| is_xdg)
        .map(|folder| folder.join("autostart"))
}

/// One of its own for each profile, so that none speaks for another.
fn file_name(home: &Path, default_home: Option<&Path>) -> String {
    if Some(home) == default_home {
        return "org.imgn.desktop.desktop".to_owned();
    }
    let name = Sha256::of(home.as_os_str().as_encoded_bytes()).to_string();
    format!("org.imgn.desktop-{}.desktop", &name[..16])
}

fn write(folder: &Path, home: &Home) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let default_home = default_home();
    let default_home = default_home.as_deref();
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join(file_name(home.path(), default_home)),
        entry(&program, home.path(), default_home),
    )
}

fn remove(folder: &Path, home: &Home) -> io::Result<()> {
    let file = folder.join(file_name(home.path(), default_home().as_deref()));
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn default_home() -> Option<PathBuf> {
    Some(dirs::data_dir()?.join("imgn"))
}

fn entry(program: &Path, home: &Path, default_home: Option<&Path>) -> String {
    let mut exec = format!("{} --minimised", quoted(program));
    if Some(home) != default_home {
        exec.push_str(&format!(" --home {}", quoted(home)));
    }
    format!(
        "[Desktop Entry]\nType=Application\nName=imgn\nExec={exec}\nTerminal=false\nX-GNOME-Autostart-enabled=true\n"
    )
}

/// As the Desktop Entry Specification has arguments: in quotes, and with its own escapes under those of a string.
fn quoted(path: &Path) -> String {
    let mut text = String::from("\"");
    for c in path.to_string_lossy().chars() {
        match c {
            '"' | '`' | '$' => text.extend(['\\', '\\', c]),
            '\\' => text.push_str("\\\\\\\\"),
            '%' => text.push_str("%%"),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_whatever_its_path_is() {
        let default = Path::new("/home/x/.local/share/imgn");
        let plain = entry(Path::new("/usr/bin/imgn-desktop"), default, Some(default));
        assert!(
            plain.contains("\nExec=\"/usr/bin/imgn-desktop\" --minimised\n"),
            "{plain}"
        );
        let odd = entry(Path::new(r#"/a $b/"c\d%"#), Path::new("/p"), Some(default));
        let expected = r#"Exec="/a \\$b/\\"c\\\\d%%" --minimised --home "/p""#;
        assert!(odd.contains(expected), "{odd}");
        let lines = entry(Path::new("/a\nExec=b"), default, Some(default));
        assert_eq!(lines.matches("\nExec=").count(), 1, "{lines}");
    }

    #[test]
    fn each_profile_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let autostart = folder.path().join("autostart");
        let home = |name: &str| Home::locate(Some(folder.path().join(name))).unwrap();
        let (one, two) = (home("one"), home("two"));
        let files = || std::fs::read_dir(&autostart).unwrap().count();
        write(&autostart, &one).unwrap();
        write(&autostart, &one).unwrap();
        assert_eq!(files(), 1);
        write(&autostart, &two).unwrap();
        assert_eq!(files(), 2);
        remove(&autostart, &one).unwrap();
        remove(&autostart, &one).unwrap();
        let default = default_home();
        let left = autostart.join(file_name(two.path(), default.as_deref()));
        let text = std::fs::read_to_string(left).unwrap();
        assert!(text.contains("--minimised --home"), "{text}");
        assert_eq!(
            file_name(Path::new("/home"), Some(Path::new("/home"))),
            "org.imgn.desktop.desktop"
        );
    }
}
