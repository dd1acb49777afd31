//! Server-sent events, as far as imgn's server writes them: `event:` and `data:` lines, an empty line after each event,
//! comments for a heartbeat.
//!
//! Invariant: an event is told when it is whole, and what is held back of one is bounded.

use imgn_protocol::Change;
use imgn_upload::Failure;
use serde::Deserialize;

/// No event is longer, in bytes.
const MAX_EVENT: usize = 1024 * 1024;

/// What the server told.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Which feed it is: the first event.
    Feed(String),
    /// The feed has one more entry.
    Change(Box<Change>),
}

/// Bytes in, events out.
#[derive(Debug, Default)]
pub(super) struct Events {
    unfinished: Vec<u8>,
}

#[derive(Deserialize)]
struct Hello {
    feed: String,
}

impl Events {
    /// What is complete with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Told>, Failure> {
        self.unfinished.extend_from_slice(bytes);
        let mut told = Vec::new();
        while let Some((event, rest)) = split(&self.unfinished) {
            told.extend(read(event)?);
            self.unfinished = rest.to_vec();
        }
        if self.unfinished.len() > MAX_EVENT {
            return Err(garbled(format!("an event of more than {MAX_EVENT} bytes")));
        }
        Ok(told)
    }
}

/// The first event with its empty line behind it, and what follows.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// None for a comment, and for a kind of event that a later server may have.
fn read(event: &[u8]) -> Result<Option<Told>, Failure> {
    let text = std::str::from_utf8(event).map_err(|error| garbled(error.to_string()))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let Some(data) = field("data") else {
        return Ok(None);
    };
    let unreadable = |error: serde_json::Error| garbled(error.to_string());
    Ok(match field("event") {
        Some("feed") => {
            let hello: Hello = serde_json::from_str(data).map_err(unreadable)?;
            Some(Told::Feed(hello.feed))
        }
        Some("change") => Some(Told::Change(
            serde_json::from_str(data).map_err(unreadable)?,
        )),
        _ => None,
    })
}

fn garbled(reason: String) -> Failure {
    Failure::Garbled { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_when_they_are_whole_however_they_arrive() {
        let id = imgn_protocol::ImageId::new();
        let text = format!(
            ": \n\nevent: feed\ndata: {{\"feed\":\"abc\",\"last\":3}}\n\nevent: other\ndata: x\n\n\
             event: change\nid: 4\ndata: {{\"kind\":\"deleted\",\"sequence\":4,\"id\":\"{id}\"}}\n\n"
        );
        let told = [
            Told::Feed("abc".to_owned()),
            Told::Change(Box::new(Change::Deleted { sequence: 4, id })),
        ];
        for size in [1, 7, text.len()] {
            let mut events = Events::default();
            let mut all = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                all.extend(events.push(piece).unwrap());
            }
            assert_eq!(all, told, "{size}");
        }
        for bad in [
            "event: change\ndata: {}\n\n",
            "data: \u{0}\nevent: feed\n\n",
        ] {
            assert!(Events::default().push(bad.as_bytes()).is_err(), "{bad}");
        }
        let endless = vec![b'x'; MAX_EVENT + 1];
        assert!(Events::default().push(&endless).is_err());
    }
}
