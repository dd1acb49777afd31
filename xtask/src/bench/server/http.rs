//! The least HTTP client: requests are bytes that were made before, one after the other on a connection that stays.
//!
//! It costs the generator's core next to nothing, so that the server's core is what is measured. Invariant: an answer has
//! been read to its end before the next request goes out.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    /// Of head and body together.
    pub(super) bytes: usize,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    pub(super) fn json(&self) -> Result<Value> {
        self.ensure_success()?;
        serde_json::from_slice(&self.body).context("an answer in JSON")
    }

    pub(super) fn ensure_success(&self) -> Result<()> {
        ensure!(
            (200..300).contains(&self.status),
            "status {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        Ok(())
    }
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            line: Vec::new(),
        })
    }

    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.get_mut().write_all(request)?;
        let (mut bytes, mut status, mut length) = (0, None, None);
        loop {
            // The standard library's own search for a line's end is fast in a debug build too.
            self.line.clear();
            bytes += self.stream.read_until(b'\n', &mut self.line)?;
            let line = std::str::from_utf8(&self.line)?.trim_ascii_end();
            match (status, line.split_once(':')) {
                (None, _) => {
                    let code = line.split(' ').nth(1).context("a status line")?;
                    status = Some(code.parse()?);
                }
                (Some(_), None) => break,
                (Some(_), Some((name, value))) => {
                    if name.eq_ignore_ascii_case("content-length") {
                        length = Some(value.trim_ascii().parse()?);
                    }
                }
            }
        }
        let status = status.context("a status line")?;
        let length = match length {
            Some(length) => length,
            None if status == 204 => 0,
            None => bail!("an answer of no known length"),
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status,
            bytes: bytes + length,
            body,
        })
    }
}

/// A request as it goes over the line.
pub(super) fn request(
    method: &str,
    path: &str,
    address: SocketAddr,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
