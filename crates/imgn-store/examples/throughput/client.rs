//! An S3 client that costs as little as can be: presigned URLs, blocking sockets, files sent by the kernel.
//! Checksums are computed before anything is timed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use imgn_testkit::s3::Target;
use imgn_testkit::s3::sign::{Request, Signed};
use s3s::crypto::{Checksum as _, Crc64Nvme, Sha256};

/// The checksum that is signed into each URL.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sum {
    None,
    Sha256,
    Crc64Nvme,
}

/// A range of the source, and its checksum.
struct Piece {
    offset: u64,
    length: u64,
    sum: Option<(&'static str, String)>,
}

/// Sends one file, whole or in parts, as often as wanted.
pub(crate) struct Client {
    target: Target,
    source: PathBuf,
    sum: Sum,
    pieces: Vec<Piece>,
    idle: Mutex<Vec<TcpStream>>,
}

/// An answer's head and body.
struct Answer {
    head: String,
    body: String,
}

impl Client {
    /// `part` is the length of a part; without it the file is one piece.
    pub(crate) fn new(
        target: Target,
        source: &Path,
        sum: Sum,
        part: Option<usize>,
    ) -> Result<Self> {
        let mut file = File::open(source)?;
        let size = file.metadata()?.len();
        let part = part.map_or(size, |part| part as u64);
        let mut pieces = Vec::new();
        let mut offset = 0;
        while offset < size {
            let length = part.min(size - offset);
            let mut bytes = vec![0; usize::try_from(length)?];
            file.read_exact(&mut bytes)?;
            let sum = match sum {
                Sum::None => None,
                Sum::Sha256 => {
                    let digest = Sha256::checksum(&bytes);
                    Some(("x-amz-checksum-sha256", BASE64_STANDARD.encode(digest)))
                }
                Sum::Crc64Nvme => {
                    let digest = Crc64Nvme::checksum(&bytes);
                    Some(("x-amz-checksum-crc64nvme", BASE64_STANDARD.encode(digest)))
                }
            };
            pieces.push(Piece {
                offset,
                length,
                sum,
            });
            offset += length;
        }
        Ok(Self {
            target,
            source: source.to_owned(),
            sum,
            pieces,
            idle: Mutex::default(),
        })
    }

    /// The whole file as one object.
    pub(crate) fn put(&self, key: &str) -> Result<()> {
        self.send(Request::new(&self.target, "PUT", key), 0)?;
        Ok(())
    }

    pub(crate) fn create(&self, key: &str) -> Result<String> {
        let mut request = Request::new(&self.target, "POST", key).query("uploads", "");
        if self.sum == Sum::Crc64Nvme {
            request = request.header("x-amz-checksum-algorithm", "CRC64NVME");
        }
        let answer = self.exchange(&request.presign(), b"")?;
        let (_, rest) = answer
            .body
            .split_once("<UploadId>")
            .context("an upload id")?;
        Ok(rest.split('<').next().unwrap_or_default().to_owned())
    }

    /// Answers the part's entity tag.
    pub(crate) fn part(&self, key: &str, id: &str, at: usize) -> Result<String> {
        let request = Request::new(&self.target, "PUT", key)
            .query("partNumber", &(at + 1).to_string())
            .query("uploadId", id);
        let answer = self.send(request, at)?;
        let tag = answer
            .head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "));
        Ok(tag.context("an entity tag")?.to_owned())
    }

    pub(crate) fn complete(&self, key: &str, id: &str, tags: &[String]) -> Result<()> {
        let mut body = String::from("<CompleteMultipartUpload>");
        for (number, tag) in (1..).zip(tags) {
            let part = format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
            body.push_str(&part);
        }
        body.push_str("</CompleteMultipartUpload>");
        let request = Request::new(&self.target, "POST", key).query("uploadId", id);
        let answer = self.exchange(&request.presign(), body.as_bytes())?;
        ensure!(
            answer.body.contains("CompleteMultipartUploadResult"),
            "{}",
            answer.body
        );
        Ok(())
    }

    /// Sends a piece of the file on a connection that may have been used before.
    fn send(&self, mut request: Request, piece: usize) -> Result<Answer> {
        let piece = self.pieces.get(piece).context("a piece of the file")?;
        if let Some((name, value)) = &piece.sum {
            request = request.header(name, value);
        }
        let mut stream = match self.idle().pop() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let mut file = File::open(&self.source)?;
        file.seek(SeekFrom::Start(piece.offset))?;
        write_head(&mut stream, &request.presign(), piece.length, "keep-alive")?;
        std::io::copy(&mut file.take(piece.length), &mut stream)?;
        let head = read_head(&mut stream)?;
        ensure!(
            head.contains("content-length: 0"),
            "a body was not expected: {head}"
        );
        self.idle().push(stream);
        Ok(Answer {
            head,
            body: String::new(),
        })
    }

    /// Sends a small body on a connection of its own.
    fn exchange(&self, signed: &Signed, body: &[u8]) -> Result<Answer> {
        let mut stream = self.connect()?;
        write_head(&mut stream, signed, body.len() as u64, "close")?;
        stream.write_all(body)?;
        let head = read_head(&mut stream)?;
        let mut body = String::new();
        stream.read_to_string(&mut body)?;
        Ok(Answer { head, body })
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.target.host()?)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_head(
    stream: &mut TcpStream,
    signed: &Signed,
    length: u64,
    connection: &str,
) -> Result<()> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\ncontent-length: {length}\r\nconnection: {connection}\r\n",
        signed.method, signed.path_and_query
    );
    for (name, value) in &signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    Ok(stream.write_all(head.as_bytes())?)
}

/// Fails unless it is a success.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read(&mut byte)? == 1, "the answer ended early");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(head)
}
