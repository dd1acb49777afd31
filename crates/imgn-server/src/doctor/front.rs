//! Whether what stands in front of the server gives pictures out as they are.
//!
//! It is asked for the newest picture, by the links that others are told. Invariant: nothing is asked of it that a browser
//! would not ask.

use axum::http::{StatusCode, header::CONTENT_TYPE};
use imgn_protocol::{ImageId, Sha256, THUMBNAIL_SIZES};
use url::Url;

use super::{Finding, Verdict, finding};
use crate::{Config, asking::Client};

const SUBJECT: &str = "pictures";

/// What it means that nothing is in front of a bucket.
pub(super) fn nothing() -> Finding {
    finding(
        SUBJECT,
        Verdict::Warning,
        "the store answers for originals itself, without nosniff and a Content-Security-Policy",
        "the types that are signed are those of pictures, which browsers do not run; who wants these headers there too has a cache in \
         front, named with --public-pictures-url",
    )
}

/// The largest thumbnail that is read, in bytes.
const MOST_OF_A_THUMBNAIL: usize = 8 * 1024 * 1024;

pub(super) async fn pictures(
    config: &Config,
    url: &Url,
    newest: Option<(ImageId, Sha256)>,
) -> Finding {
    let Some((id, sha256)) = newest else {
        return finding(
            SUBJECT,
            Verdict::Warning,
            format!("there is no picture to ask {url} for"),
            "look again when the first one is published",
        );
    };
    let client = match Client::new() {
        Ok(client) => client,
        Err(error) => {
            let advice = "install the system's certificates (ca-certificates)";
            return finding(SUBJECT, Verdict::Bad, crate::error::chain(&error), advice);
        }
    };
    let [size, ..] = THUMBNAIL_SIZES;
    let thumbnail = format!("{url}v1/images/{id}/thumb/{size}");
    let original = format!("{url}v1/images/{id}/content");
    let most = usize::try_from(config.max_size).unwrap_or(usize::MAX);
    for (address, most) in [(thumbnail, MOST_OF_A_THUMBNAIL), (original, most)] {
        let answer = match client.get(&address, "image/*", most).await {
            Ok(answer) => answer,
            Err(error) => {
                return finding(
                    SUBJECT,
                    Verdict::Bad,
                    format!("{address} is not answered: {error}"),
                    "check the address, and whether what stands there reaches this server",
                );
            }
        };
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_picture = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"image/"));
        match answer.status() {
            StatusCode::OK if is_picture => {}
            status if status.is_redirection() => {
                return finding(
                    SUBJECT,
                    Verdict::Warning,
                    format!("{address} leads to the store, past what stands in front"),
                    "have it pass on the Host that it was asked by, which tells the server to answer with the original itself",
                );
            }
            status => {
                return finding(
                    SUBJECT,
                    Verdict::Bad,
                    format!("{address} is answered with {status}, and no picture"),
                    "have it pass paths and queries on to this server unchanged",
                );
            }
        }
        if address.ends_with("/content") && Sha256::of(answer.body()) != sha256 {
            return finding(
                SUBJECT,
                Verdict::Bad,
                format!("{address} gives out other bytes than the original's"),
                "turn off what makes pictures smaller or converts them there: links promise the file as it is",
            );
        }
    }
    finding(
        SUBJECT,
        Verdict::Good,
        format!("{url} gives out thumbnails and originals as they are"),
        "",
    )
}
