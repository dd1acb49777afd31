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

/// How long the app that runs may take to answer, which it does not before it has started, or the one that is just
/// ending to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long the app that runs waits for what another start has to say.
const HEARING: Duration = Duration::from_secs(5);

/// How often is looked whether the one that ends has ended; and the pause after an error of the system's.
const PAUSE: Duration = Duration::from_millis(100);

/// So much is handed over at most, in bytes: more than a command line may hold.
const MOST: usize = 8 * 1024 * 1024;

/// A socket's path is no longer on any Unix (`sun_path`).
const SOCKET_PATH: usize = 100;

/// What the one that was handed something answers.
const TAKEN: &[u8] = b"taken";

/// What it answers when it is ending: nothing was taken.
const ENDING: &[u8] = b"ending";

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
/// When the lock cannot be made, there are too many words, or the app that runs does not take anything: it hangs.
pub fn claim(home: &Home, words: &[OsString]) -> io::Result<Claim> {
    claim_within(home, words, PATIENCE)
}

fn claim_within(home: &Home, words: &[OsString], patience: Duration) -> io::Result<Claim> {
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
        let handed = match socket.as_deref() {
            Some(socket) => hand_over(socket, words, patience),
            None => Err(io::Error::other("it cannot be spoken to")),
        };
        match handed {
            Ok(()) => return Ok(Claim::Theirs),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            // It is only now starting, or ending.
            Err(_) if begun.elapsed() < patience => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
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

    /// Gives `take` what others were started with, from a thread of its own, for as long as the program runs. What it
    /// does not take (the program is ending) the other start keeps, and becomes the app itself.
    pub fn listen(&self, take: impl Fn(Vec<OsString>) -> bool + Send + 'static) {
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
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a second start of imgn did not join");
                        // Such as too many open files: it is the same again at once.
                        std::thread::sleep(PAUSE);
                        continue;
                    }
                };
                if let Err(error) = hear(stream, &take) {
                    tracing::warn!(%error, "what a second start of imgn handed over was not taken");
                }
            }
        });
    }
}

#[cfg(unix)]
fn hear(
    mut stream: std::os::unix::net::UnixStream,
    take: &impl Fn(Vec<OsString>) -> bool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(HEARING))?;
    stream.set_write_timeout(Some(HEARING))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MOST {
        return Err(io::Error::other("it is too much"));
    }
    // Whole or not at all: of a start that was ended meanwhile nothing is taken.
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    let is_taken = take(words_of(&bytes));
    stream.write_all(if is_taken { TAKEN } else { ENDING })
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
fn hand_over(socket: &Path, words: &[OsString], patience: Duration) -> io::Result<()> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend_from_slice(word.as_encoded_bytes());
        bytes.push(0);
    }
    let too_many = || {
        let message = format!(
            "more than {} MiB of names at once; name folders",
            MOST >> 20
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let length = Some(bytes.len()).filter(|length| *length <= MOST);
    let length = u32::try_from(length.ok_or_else(too_many)?).map_err(|_| too_many())?;
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(&bytes)?;
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
    pub fn listen(&self, _take: impl Fn(Vec<OsString>) -> bool + Send + 'static) {}
}

#[cfg(not(unix))]
fn hand_over(_socket: &Path, _words: &[OsString], _patience: Duration) -> io::Result<()> {
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
        first.listen(move |words| send.send(words).is_ok());
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
    fn what_one_that_is_ending_does_not_take_the_next_one_has() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        let Claim::Ours(first) = claim(&home, &[]).unwrap() else {
            panic!("nobody else is there");
        };
        let (send, asked) = mpsc::channel();
        first.listen(move |words| {
            send.send(words).unwrap();
            false
        });
        let second = std::thread::spawn({
            let home = Home::locate(Some(folder.path().to_owned())).unwrap();
            move || claim(&home, &["a".into()])
        });
        assert_eq!(asked.recv().unwrap(), ["a"]);
        drop(first);
        assert!(matches!(second.join().unwrap(), Ok(Claim::Ours(_))));
    }

    #[test]
    fn what_is_not_whole_or_too_much_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        let Claim::Ours(first) = claim(&home, &[]).unwrap() else {
            panic!("nobody else is there");
        };
        let (send, taken) = mpsc::channel();
        first.listen(move |words| send.send(words).is_ok());
        let socket = socket_path(&home).unwrap();
        for message in [&[9, 0, 0, 0, b'/', b'a', 0][..], &[255; 8], &[1]] {
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            stream.write_all(message).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // It may be reset, for not all of it was read.
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.is_empty());
        }
        let many = vec![OsString::from("x".repeat(1 << 20)); 9];
        let error = claim(&home, &many).err().unwrap();
        assert!(error.to_string().contains("name folders"), "{error}");
        assert!(matches!(claim(&home, &[]).unwrap(), Claim::Theirs));
        assert!(taken.recv().unwrap().is_empty(), "and nothing before it");
    }

    #[test]
    fn one_that_hangs_is_told_and_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        let Claim::Ours(_first) = claim(&home, &[]).unwrap() else {
            panic!("nobody else is there");
        };
        assert!(claim_within(&home, &[], PAUSE).is_err());
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
