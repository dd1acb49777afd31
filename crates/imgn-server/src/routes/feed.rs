//! What a client that shows the whole gallery asks for: the order of everything as columns, and changes as they happen.
//!
//! Invariant: a listener is told each entry of the feed once and in order, whatever becomes of the notices in between:
//! they only say that it is worth looking. The number of listeners, and of long answers on their way, is bounded.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG},
    },
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use imgn_protocol::{Change, ErrorCode, Sha256};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use super::{
    images::{matches_tag, search},
    refusals,
};
use crate::{
    catalogue::{CatalogueError, Feed, Timeline},
    error::ApiError,
    extract::Query,
    state::App,
};

/// How often something is sent to a listener whom nothing happens to, so that both sides know that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often the feed is looked at though nobody said that it changed: other servers may write to it, and what they tell may
/// be lost. A server with a catalogue of its own knows all that is written.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_ALONE_EVERY: Duration = Duration::from_secs(60);

/// How soon a listener asks again where answers have to end.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// The most that listen at a time. Each holds a connection.
const MAX_LISTENERS: usize = 1024;

/// The most timelines of searches that are made or sent at a time; of a million pictures each takes 10 MB.
const MAX_TIMELINES: usize = 8;

/// Entries of the feed that are read for a listener at a time.
const BATCH: u32 = 100;

/// Who listens, and what is made for many.
pub(crate) struct Listeners {
    most: usize,
    places: Arc<Semaphore>,
    timelines: Arc<Semaphore>,
    /// The timeline of everything, with its tag: the same bytes for all who ask while nothing changes.
    everything: Mutex<Option<(HeaderValue, Bytes)>>,
}

impl Listeners {
    /// Leaves at least half of the connections to those who ask.
    pub(crate) fn new(max_connections: usize) -> Self {
        let most = MAX_LISTENERS.min(max_connections / 2);
        Self {
            most,
            places: Arc::new(Semaphore::new(most)),
            timelines: Arc::new(Semaphore::new(MAX_TIMELINES)),
            everything: Mutex::default(),
        }
    }

    /// How many listen at the moment.
    pub(crate) fn count(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }
}

/// From where on to listen.
#[derive(Debug, Deserialize)]
pub(crate) struct EventsQuery {
    since: Option<u64>,
}

/// Which pictures.
#[derive(Debug, Deserialize)]
pub(crate) struct TimelineQuery {
    q: Option<String>,
}

/// Additions and deletions as they happen, as server-sent events: `event: change`, `data:` an entry as in `/v1/changes`,
/// `id:` its position. The first event is `feed`, with the feed's id and newest position.
#[utoipa::path(
    get, path = "/v1/events", tag = "images",
    params(
        ("since" = Option<u64>, Query, description = "The position after which to begin; what happens from now on if left out"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The same; browsers send it when they connect again"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        refusals::FollowEvents,
    ),
)]
pub(crate) async fn events(
    State(app): State<App>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let place = Arc::clone(&app.listeners.places)
        .try_acquire_owned()
        .map_err(|_| busy("Too many clients listen already; ask `/v1/changes` instead."))?;
    let changed = app.catalogue.changes_from_now();
    let feed = app.catalogue.feed().await?;
    let last_seen = match headers.get("last-event-id") {
        Some(value) => Some(read_position(value)?),
        None => query.since,
    };
    let since = last_seen.unwrap_or(feed.last);
    let hello = Event::default()
        .event("feed")
        .data(serde_json::json!({ "feed": feed.id, "last": feed.last }).to_string());
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy that waits for the end would wait for ever.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    if app.whole_answers {
        return Ok((headers, Sse::new(one_look(&app, hello, since).await?)).into_response());
    }
    let stopping = app.stopping.clone();
    let listener = Listener {
        app,
        since,
        changed,
        _place: place,
    };
    let entries = stream::unfold(listener, Listener::next)
        .flat_map(stream::iter)
        .take_until(stopping.cancelled_owned());
    let events = stream::iter([Ok(hello)]).chain(entries);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok((headers, events).into_response())
}

/// What has happened so far, and when to ask again: for a server whose answers have to end.
async fn one_look(
    app: &App,
    hello: Event,
    since: u64,
) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, ApiError> {
    let (entries, _) = app.catalogue.changes(since, BATCH).await?;
    let entries = entries.into_iter().map(|entry| app.change(entry));
    let mut events = vec![hello.retry(ASK_AGAIN)];
    events.extend(entries.filter_map(|change| event(&change)));
    Ok(stream::iter(events).map(Ok))
}

struct Listener {
    app: App,
    since: u64,
    changed: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// What happened next. It ends where the feed cannot be read: the client connects again.
    async fn next(mut self) -> Option<(Vec<Result<Event, Infallible>>, Self)> {
        loop {
            self.changed.mark_unchanged();
            let entries = match self.app.catalogue.changes(self.since, BATCH).await {
                Ok((entries, _)) => entries,
                Err(error) => {
                    let cause = crate::error::chain(&error);
                    tracing::warn!(cause, "a listener is let go: the feed cannot be read");
                    return None;
                }
            };
            if entries.is_empty() {
                let look_every = match self.app.catalogue.has_others() {
                    true => LOOK_EVERY,
                    false => LOOK_ALONE_EVERY,
                };
                // The sender lives in `app`. Whichever comes first, the feed itself says what there is.
                let _ = tokio::time::timeout(look_every, self.changed.changed()).await;
                continue;
            }
            let mut events = Vec::with_capacity(entries.len());
            for entry in entries {
                let change = self.app.change(entry);
                self.since = change.sequence();
                events.push(Ok(event(&change)?));
            }
            return Some((events, self));
        }
    }
}

fn event(change: &Change) -> Option<Event> {
    let data = serde_json::to_string(change).ok()?;
    let id = change.sequence().to_string();
    Some(Event::default().event("change").id(id).data(data))
}

fn read_position(value: &HeaderValue) -> Result<u64, ApiError> {
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| ApiError::invalid("`Last-Event-ID` is the `id` of an event, a number."))
}

/// The order of everything, or of what is searched for, newest first, as columns: little-endian, a 32-bit count, then
/// as many 32-bit positions in the feed, 32-bit times of publication in seconds since 1970, and 16-bit ratios of width
/// to height times 2048.
#[utoipa::path(
    get, path = "/v1/timeline", tag = "images",
    params(
        ("q" = Option<String>, Query, description = "As of `/v1/images`"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", headers(("ETag" = String, description = "For `If-None-Match`"))),
        (status = 304, description = "Nothing has changed"),
        refusals::GetTimeline,
    ),
)]
pub(crate) async fn timeline(
    State(app): State<App>,
    Query(query): Query<TimelineQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let search = search(query.q.as_deref())?;
    // Before the pictures are read: what comes meanwhile makes them newer than their tag says, and never older.
    let feed = app.catalogue.feed().await?;
    let tag = tag(&feed, query.q.as_deref().unwrap_or_default())?;
    let answer = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
    ];
    if matches_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    if search.is_everything() {
        let mut kept = app.listeners.everything.lock().await;
        if let Some((_, bytes)) = kept.as_ref().filter(|(known, _)| *known == tag) {
            return Ok((answer, bytes.clone()).into_response());
        }
        let bytes = encode(&app.catalogue.timeline(&search).await?)?;
        *kept = Some((tag, bytes.clone()));
        return Ok((answer, bytes).into_response());
    }
    let permit = Arc::clone(&app.listeners.timelines)
        .try_acquire_owned()
        .map_err(|_| busy("Too many searches are under way; try again in a moment."))?;
    let bytes = encode(&app.catalogue.timeline(&search).await?)?;
    Ok((answer, held(bytes, permit)).into_response())
}

fn tag(feed: &Feed, q: &str) -> Result<HeaderValue, ApiError> {
    let asked = Sha256::of(q.as_bytes()).to_string();
    let tag = format!("\"{}-{}-{}\"", &feed.id, feed.last, &asked[..16]);
    HeaderValue::from_str(&tag).map_err(ApiError::internal)
}

fn encode(timeline: &Timeline) -> Result<Bytes, ApiError> {
    let count = timeline.sequences.len();
    if timeline.created.len() != count || timeline.ratios.len() != count {
        return Err(CatalogueError::Invalid { what: "timeline" }.into());
    }
    let mut bytes = Vec::with_capacity(4 + 10 * count);
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    for column in [&timeline.sequences, &timeline.created] {
        bytes.extend(column.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes.extend(timeline.ratios.iter().flat_map(|ratio| ratio.to_le_bytes()));
    Ok(bytes.into())
}

/// A body that holds the permit until it was sent.
fn held(bytes: Bytes, permit: OwnedSemaphorePermit) -> Body {
    const PIECE: usize = 64 * 1024;
    let pieces = stream::unfold((bytes, permit), async |(mut bytes, permit)| {
        if bytes.is_empty() {
            return None;
        }
        let piece = bytes.split_to(bytes.len().min(PIECE));
        Some((Ok::<_, Infallible>(piece), (bytes, permit)))
    });
    Body::from_stream(pieces)
}

fn busy(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, detail)
}
