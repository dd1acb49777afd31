//! Conditional requests, as RFC 9110 section 13 orders them and S3 answers them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETagCondition, Timestamp, TimestampFormat};

use crate::error::Error;
use crate::object::ObjectFooter;

/// `If-Match`, `If-None-Match` and their kin on a read.
#[derive(Debug, Default)]
pub(crate) struct ReadConditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    pub(crate) fn check(&self, object: &ObjectFooter) -> Result<(), Error> {
        let modified = timestamp(object.modified);
        if let Some(condition) = &self.if_match {
            if !matches(condition, &object.etag) {
                return Err(Error::PreconditionFailed {
                    condition: "If-Match",
                });
            }
        } else if let Some(since) = &self.if_unmodified_since
            && modified > *since
        {
            return Err(Error::PreconditionFailed {
                condition: "If-Unmodified-Since",
            });
        }
        let not_modified = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, &object.etag),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if not_modified {
            return Err(Error::NotModified {
                etag: object.etag.clone(),
                modified: object.modified,
            });
        }
        Ok(())
    }
}

/// What must hold of the key at the moment when a write takes effect.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteConditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
}

impl WriteConditions {
    /// True when the current object must be looked at.
    pub(crate) fn any(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    pub(crate) fn check(&self, current: Option<&ObjectFooter>) -> Result<(), Error> {
        match (&self.if_match, current) {
            (Some(_), None) => return Err(Error::NoSuchKey),
            (Some(condition), Some(object)) if !matches(condition, &object.etag) => {
                return Err(Error::PreconditionFailed {
                    condition: "If-Match",
                });
            }
            _ => {}
        }
        match (&self.if_none_match, current) {
            (Some(condition), Some(object)) if matches(condition, &object.etag) => {
                Err(Error::PreconditionFailed {
                    condition: "If-None-Match",
                })
            }
            _ => Ok(()),
        }
    }
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == etag,
    }
}

/// Seconds since 1970, the precision of HTTP dates and of this store.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

pub(crate) fn timestamp(seconds: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The headers that a 304 must carry.
pub(crate) fn validators(etag: &str, modified: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(ETAG, value);
    }
    let mut date = Vec::new();
    if timestamp(modified)
        .format(TimestampFormat::HttpDate, &mut date)
        .is_ok()
        && let Ok(value) = HeaderValue::from_bytes(&date)
    {
        headers.insert(LAST_MODIFIED, value);
    }
    headers
}
