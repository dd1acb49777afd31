//! One app a profile: who starts it again hands over what it was started with, and ends.
//!
//! A lock on a file says who is the one, a socket in a private folder takes what others hand over. Both belong to the
//! profile, so that two profiles are two apps, and neither needs a session bus. Invariant: what is handed over is taken
//! only by a process of the same user, and nothing in it is believed before it is looked at.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use imgn_core::{Home, protocol::Sha256};

/// How long the app that runs may take to answer, or the one that is just ending to end.
const PATIENCE: Duration = Duration::from_secs(6);

/// So much is handed over at most, in bytes: more than a command line may hold.
const MOST: u64 = 8 * 1024 * 1024;

/// A socket's path is no longer on any Unix (`sun_path`).
const SOCKET_PATH: usize = 100;

/// What the one that was handed something answers.
const TAKEN: &[u8] = b"taken";

/// Who is the app of a profile.
pub enum Claim {
    /// This process.
    Ours(Instance),
    /// Another one, which has taken what this one was started with.
    Theirs,
}

/// The app of a profile, for as long as this lives.
pub struct Instance {
    _lock: File,
    #[cfg(unix)]
    socket: Option<(std::os::unix::net::UnixListener, PathBuf)>,
}

/// Becomes the app of this profile, or hands `words` to the one that is.
///
/// # Errors
/// When the lock cannot be made, or the app that runs does not take anything: it hangs.
pub fn claim(home: &Home, words: &[OsString]) -> io::Result<Claim> {
    let path = home.path().join("app.lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let socket = socket_path(home);
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Claim::Ours(Instance::new(lock, socket))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match socket.as_deref().map(|socket| hand_over(socket, words)) {
            Some(Ok(())) => return Ok(Claim::Theirs),
            // It is only now starting, or ending.
            _ if begun.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 60),
            Some(Err(error)) => return Err(error),
            None => return Err(io::Error::other("it cannot be spoken to")),
        }
    }
}

/// In the profile, or where its path is too long in the folder of the session.
fn socket_path(home: &Home) -> Option<PathBuf> {
    let near = home.path().join("app.sock");
    if near.as_os_str().len() < SOCKET_PATH {
        return Some(near);
    }
    let name = Sha256::of(home.path().as_os_str().as_encoded_bytes()).to_string();
    let far = dirs::runtime_dir()?.join(format!("imgn-{}.sock", &name[..16]));
    (far.as_os_str().len() < SOCKET_PATH).then_some(far)
}

#[cfg(unix)]
impl Instance {
    fn new(lock: File, socket: Option<PathBuf>) -> Self {
        let listen = |path: PathBuf| {
            // Who has the lock is the only one to listen: what is there is left over.
            let _ = std::fs::remove_file(&path);
            let listener = std::os::unix::net::UnixListener::bind(&path);
            let told = listener.inspect_err(|error| {
                tracing::warn!(%error, "a second start of imgn cannot join this one");
            });
            told.ok().map(|listener| (listener, path))
        };
        let socket = socket.and_then(listen);
        Self {
            _lock: lock,
            socket,
        }
    }

    /// Gives `take` what others were started with, from a thread of its own, for as long as the program runs.
    pub fn listen(&self, take: impl Fn(Vec<OsString>) + Send + 'static) {
        let Some((listener, _)) = &self.socket else {
            return;
        };
        let listener = match listener.try_clone() {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "a second start of imgn cannot join this one");
                return;
            }
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let taken = stream.and_then(|mut stream| {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    let mut bytes = Vec::new();
                    io::Read::by_ref(&mut stream)
                        .take(MOST)
                        .read_to_end(&mut bytes)?;
                    take(words_of(&bytes));
                    stream.write_all(TAKEN)
                });
                if let Err(error) = taken {
                    tracing::warn!(%error, "what a second start of imgn handed over was not taken");
                }
            }
        });
    }
}

#[cfg(unix)]
impl Drop for Instance {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(unix)]
fn hand_over(socket: &Path, words: &[OsString]) -> io::Result<()> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for word in words {
        stream.write_all(word.as_encoded_bytes())?;
        stream.write_all(&[0])?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.take(16).read_to_end(&mut answer)?;
    if answer == TAKEN {
        return Ok(());
    }
    Err(io::Error::other("it did not take what it was given"))
}

/// No word of a command line holds a zero.
#[cfg(unix)]
fn words_of(bytes: &[u8]) -> Vec<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    let words = bytes.split_inclusive(|byte| *byte == 0);
    let whole = words.filter_map(|word| word.strip_suffix(&[0]));
    whole
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

#[cfg(not(unix))]
impl Instance {
    fn new(lock: File, _socket: Option<PathBuf>) -> Self {
        Self { _lock: lock }
    }

    /// Others are told that the app runs, and hand nothing over.
    pub fn listen(&self, _take: impl Fn(Vec<OsString>) + Send + 'static) {}
}

#[cfg(not(unix))]
fn hand_over(_socket: &Path, _words: &[OsString]) -> io::Result<()> {
    Err(io::Error::other("imgn runs already"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{os::unix::ffi::OsStringExt as _, sync::mpsc};

    use super::*;

    #[test]
    fn the_second_hands_over_every_word_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        let Claim::Ours(first) = claim(&home, &[]).unwrap() else {
            panic!("nobody else is there");
        };
        let (send, taken) = mpsc::channel();
        first.listen(move |words| drop(send.send(words)));
        let words = [
            OsString::from("/a b/ü.png"),
            OsString::from_vec(b"/not \xff UTF-8".to_vec()),
            OsString::from("imgn://image/1"),
        ];
        assert!(matches!(claim(&home, &words).unwrap(), Claim::Theirs));
        assert_eq!(taken.recv().unwrap(), words);
        assert!(matches!(claim(&home, &[]).unwrap(), Claim::Theirs));
        assert!(taken.recv().unwrap().is_empty());
    }

    #[test]
    fn what_was_left_over_by_a_crash_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        std::fs::write(home.path().join("app.lock"), "").unwrap();
        std::fs::write(home.path().join("app.sock"), "").unwrap();
        assert!(matches!(claim(&home, &[]).unwrap(), Claim::Ours(_)));
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_no_reason_not_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("x".repeat(120)))).unwrap();
        assert!(matches!(claim(&home, &[]).unwrap(), Claim::Ours(_)));
    }
}
