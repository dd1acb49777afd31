//! Whether the app starts with the session: a file of the Desktop Application Autostart Specification.

use std::{
    io,
    path::{Path, PathBuf},
};

use imgn_core::{ClientCode, CommandError, Home};

const FILE: &str = "autostart/org.imgn.desktop.desktop";

/// Makes the app start with the session, without its window, or no longer.
pub(crate) fn set(enabled: bool, home: &Home) -> Result<(), CommandError> {
    let file = dirs::config_dir().map(|folder| folder.join(FILE));
    let written = match file {
        Some(file) if enabled => write(&file, home),
        Some(file) => match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        None => Err(io::Error::other("the system names no folder for settings")),
    };
    written.map_err(|error| {
        let message = format!("what starts with the session could not be changed ({error})");
        CommandError::new(ClientCode::SettingsFailed, message)
    })
}

fn write(file: &Path, home: &Home) -> io::Result<()> {
    let program = std::env::current_exe()?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(
        file,
        entry(&program, home.path(), default_home().as_deref()),
    )
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
    }
}
