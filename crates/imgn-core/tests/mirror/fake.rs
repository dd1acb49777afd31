//! A gallery of made-up pictures that speaks the API's words over real HTTP, has as many pictures as a test wants, and
//! can be told to misbehave.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use imgn_core::{App, Event, Home, Options};
use imgn_protocol::{
    Change, ChangePage, ErrorCode, Exposure, FileName, Image, ImageId, Location, Problem, Sha256,
    Timestamp, Token,
};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::broadcast};

/// A thumbnail's bytes: as many as real ones have.
const THUMB_BYTES: usize = 20_000;
const PREVIEW_BYTES: usize = 200_000;

#[derive(Default)]
pub(crate) struct Gallery {
    pub(crate) feed: String,
    pub(crate) next: u64,
    pub(crate) log: BTreeMap<u64, Change>,
    /// What `since` was asked for, in order.
    pub(crate) asked: Vec<u64>,
    /// Pages that are answered before the server falls silent; none: all.
    pub(crate) pages_left: Option<u32>,
    /// How deletions are refused, if they are.
    pub(crate) refuses: Option<ErrorCode>,
    /// Whether it gives no originals.
    pub(crate) keeps_originals: bool,
    /// Whether everything is answered with 503.
    pub(crate) away: bool,
    pub(crate) thumbs_given: usize,
    pub(crate) url: String,
}

pub(crate) type Shared = Arc<Mutex<Gallery>>;

impl Gallery {
    pub(crate) fn new() -> Shared {
        Arc::new(Mutex::new(Self {
            feed: "first".to_owned(),
            ..Self::default()
        }))
    }

    pub(crate) fn add(&mut self, name: &str) -> ImageId {
        self.next += 1;
        let (sequence, id) = (self.next, ImageId::new());
        let seconds = 1_700_000_000 + i64::try_from(sequence).unwrap();
        let image = Image {
            id,
            sequence,
            file_name: FileName::parse(name).unwrap(),
            width: 400 + u32::try_from(sequence % 300).unwrap(),
            height: 400,
            content_type: "image/jpeg".to_owned(),
            size: original(id).len() as u64,
            sha256: Sha256::of(&original(id)),
            thumbhash: String::new(),
            animated: false,
            taken_at: Some(Timestamp::from_second(seconds - 86_400 * 40).unwrap()),
            created_at: Timestamp::from_second(seconds).unwrap(),
            camera: (sequence % 2 == 0).then(|| "Canon EOS R6".to_owned()),
            lens: (sequence % 3 == 0).then(|| "RF 50mm".to_owned()),
            exposure: (sequence % 3 == 0).then_some(Exposure {
                seconds: Some(0.004),
                iso: Some(640),
                ..Exposure::default()
            }),
            location: (sequence % 5 == 0).then_some(Location {
                latitude: -33.85,
                longitude: 151.2,
            }),
            owner: "ada".to_owned(),
            url: format!("{}v1/images/{id}/content", self.url),
            display_url: None,
        };
        let image = Box::new(image);
        self.log.insert(sequence, Change::Added { sequence, image });
        id
    }

    pub(crate) fn remove(&mut self, id: ImageId) -> bool {
        let before = self.log.len();
        self.log
            .retain(|_, change| !matches!(change, Change::Added { image, .. } if image.id == id));
        if self.log.len() == before {
            return false;
        }
        self.next += 1;
        let sequence = self.next;
        self.log.insert(sequence, Change::Deleted { sequence, id });
        true
    }

    /// The gallery's pictures, newest first.
    pub(crate) fn images(&self) -> Vec<Image> {
        let image = |change: &Change| match change {
            Change::Added { image, .. } => Some(image.as_ref().clone()),
            Change::Deleted { .. } => None,
        };
        self.log.values().rev().filter_map(image).collect()
    }

    /// Another gallery at the same address.
    pub(crate) fn begin_anew(&mut self, feed: &str) {
        self.log.clear();
        self.next = 0;
        self.feed = feed.to_owned();
    }
}

/// The bytes of a picture.
pub(crate) fn original(id: ImageId) -> Vec<u8> {
    id.to_string().repeat(40).into_bytes()
}

#[derive(Deserialize)]
struct Since {
    since: u64,
    limit: usize,
}

fn problem(code: ErrorCode) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap();
    (status, Json(Problem::new(code, "the detail"))).into_response()
}

async fn changes(State(gallery): State<Shared>, Query(asked): Query<Since>) -> Response {
    let mut gallery = gallery.lock().unwrap();
    if gallery.away || gallery.pages_left == Some(0) {
        return problem(ErrorCode::Unavailable);
    }
    gallery.pages_left = gallery.pages_left.map(|left| left - 1);
    gallery.asked.push(asked.since);
    let mut rest = gallery.log.range(asked.since + 1..);
    let changes: Vec<Change> = rest
        .by_ref()
        .take(asked.limit)
        .map(|(_, change)| change.clone())
        .collect();
    Json(ChangePage {
        next_since: changes.last().map_or(asked.since, Change::sequence),
        changes,
        more: rest.next().is_some(),
        feed: gallery.feed.clone(),
        last: gallery.next,
        total: (asked.since == 0).then(|| gallery.images().len() as u64),
    })
    .into_response()
}

async fn delete(State(gallery): State<Shared>, Path(id): Path<ImageId>) -> Response {
    let mut gallery = gallery.lock().unwrap();
    if gallery.away {
        return problem(ErrorCode::Unavailable);
    }
    if let Some(code) = gallery.refuses {
        return problem(code);
    }
    match gallery.remove(id) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => problem(ErrorCode::NotFound),
    }
}

async fn thumb(
    State(gallery): State<Shared>,
    Path((id, size)): Path<(ImageId, usize)>,
) -> Response {
    let mut gallery = gallery.lock().unwrap();
    if gallery.away {
        return problem(ErrorCode::Unavailable);
    }
    gallery.thumbs_given += 1;
    let bytes = if size == 320 {
        THUMB_BYTES
    } else {
        PREVIEW_BYTES
    };
    // No two pictures look the same.
    let mut content = id.to_string().into_bytes();
    content.resize(bytes, 7);
    content.into_response()
}

async fn content(State(gallery): State<Shared>, Path(id): Path<ImageId>) -> Response {
    let keeps_them = {
        let gallery = gallery.lock().unwrap();
        gallery.away || gallery.keeps_originals
    };
    if keeps_them {
        return problem(ErrorCode::Unavailable);
    }
    original(id).into_response()
}

pub(crate) async fn serve(gallery: &Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    gallery.lock().unwrap().url.clone_from(&url);
    // There is no `/v1/events`: whoever follows has to ask.
    let routes = Router::new()
        .route("/v1/changes", get(changes))
        .route("/v1/images/{id}", axum::routing::delete(delete))
        .route("/v1/images/{id}/content", get(content))
        .route("/v1/images/{id}/thumb/{size}", get(thumb))
        .with_state(Arc::clone(gallery));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// An app on a profile; what it does by itself is up to `follow`.
pub(crate) async fn open(home: &std::path::Path, url: &str, follow: bool) -> App {
    let options = Options {
        server: Some(url.to_owned()),
        token: Some(Token::new("imgn_5ec7e7")),
        follow,
        ..Options::default()
    };
    let home = Home::locate(Some(home.to_owned())).unwrap();
    App::open(home, options).await.unwrap()
}

/// Waits for something that happens by itself.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within 30 s");
}

/// Waits for an event.
pub(crate) async fn heard<T>(
    events: &mut broadcast::Receiver<Event>,
    what: impl Fn(Event) -> Option<T>,
) -> T {
    let wait = async {
        loop {
            match events.recv().await {
                Ok(event) => {
                    if let Some(found) = what(event) {
                        return found;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let wait = tokio::time::timeout(Duration::from_secs(30), wait).await;
    wait.expect("an event within 30 s")
}

/// What the app shows, newest first.
pub(crate) async fn shown(app: &App) -> Vec<Image> {
    let sequences = app.timeline("").await.unwrap().sequences;
    let mut images = Vec::new();
    for sequences in sequences.chunks(500) {
        for picture in app.pictures(sequences).await.unwrap() {
            images.push(picture.unwrap().image);
        }
    }
    images
}
