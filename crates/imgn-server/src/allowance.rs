//! How much one user, or one address, may ask for, and what they are told who ask for more.
//!
//! Requests a second are counted by each server for itself ([`crate::rates`]), uploads in the catalogue, for all servers
//! together. Not here: how many connections there are, and how much all strangers together have open (`max_pending`).
//!
//! Invariant: what is begun can be brought to its end: quotas stop new uploads, never the parts of one that is open.

use std::time::{Duration, Instant};

use crate::{
    auth::Caller,
    catalogue::{Over, Sender, until_tomorrow},
    error::ApiError,
    origin::Origin,
    rates::Rates,
    routes::requests::RequestId,
    state::App,
};

/// How long somebody with too many open uploads is asked to wait, in seconds.
const WAIT_FOR_AN_END: u64 = 60;

/// What each may ask for. 0 is no limit everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowances {
    /// Who has a token.
    pub user: Allowance,
    /// Who uploads without one, by address.
    pub anonymous: Allowance,
    /// Requests a second from one address, with a token or without, reading included.
    pub address_requests: u32,
}

/// What one may ask for. 0 is no limit everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second, on the long run; as many as of a minute may come at once.
    pub requests: u32,
    /// Uploads that are open at a time.
    pub open_uploads: u32,
    /// Uploads that are opened on a day, in UTC.
    pub pictures_per_day: u32,
    /// Their bytes.
    pub bytes_per_day: u64,
}

impl Allowance {
    /// No limits.
    pub const UNLIMITED: Self = Self {
        requests: 0,
        open_uploads: 0,
        pictures_per_day: 0,
        bytes_per_day: 0,
    };

    fn counts_uploads(&self) -> bool {
        self.open_uploads > 0 || self.pictures_per_day > 0 || self.bytes_per_day > 0
    }
}

impl Allowances {
    /// No limits, as for a gallery on one's own computer.
    pub const UNLIMITED: Self = Self {
        user: Allowance::UNLIMITED,
        anonymous: Allowance::UNLIMITED,
        address_requests: 0,
    };

    /// What no ordinary client meets. The app at its fastest, on a line of a gigabit, makes some 2,000 requests a second
    /// for as long as its files last: the bucket of a minute has 60,000. Behind one address may be many people.
    pub const DEFAULT: Self = Self {
        user: Allowance {
            requests: 1000,
            open_uploads: 10_000,
            pictures_per_day: 200_000,
            bytes_per_day: 1 << 40,
        },
        anonymous: Allowance {
            requests: 100,
            open_uploads: 400,
            pictures_per_day: 2000,
            bytes_per_day: 10 << 30,
        },
        address_requests: 2000,
    };
}

/// The rates of this server.
#[derive(Debug)]
pub(crate) struct Gate {
    users: Rates<i64>,
    addresses: Rates<Origin>,
    anonymous: Rates<Origin>,
}

impl Gate {
    pub(crate) fn new(allowances: &Allowances) -> Self {
        Self {
            users: Rates::new(allowances.user.requests),
            addresses: Rates::new(allowances.address_requests),
            anonymous: Rates::new(allowances.anonymous.requests),
        }
    }
}

/// A limit, as the metrics and the audit log name it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    AddressRequests,
    UserRequests,
    AnonymousRequests,
    OpenUploads,
    Pictures,
    Bytes,
}

impl Limit {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AddressRequests => "address_requests",
            Self::UserRequests => "user_requests",
            Self::AnonymousRequests => "anonymous_requests",
            Self::OpenUploads => "open_uploads",
            Self::Pictures => "pictures",
            Self::Bytes => "bytes",
        }
    }
}

impl App {
    /// Lets a request from this address in.
    pub(crate) fn let_in(
        &self,
        origin: Origin,
        request: Option<&RequestId>,
    ) -> Result<(), ApiError> {
        let taken = self.gate.addresses.take(origin, Instant::now());
        taken.map_err(|wait| {
            let what = "requests from your address, or from your network's";
            let limit = Limit::AddressRequests;
            self.audit.limited(limit, None, Some(origin), request);
            self.too_fast(limit, what, wait)
        })
    }

    /// Lets a request in of somebody who may write.
    pub(crate) fn let_write(&self, caller: &Caller) -> Result<(), ApiError> {
        let now = Instant::now();
        if self.anonymous == Some(caller.owner) {
            let Some(origin) = caller.origin else {
                return Ok(());
            };
            let taken = self.gate.anonymous.take(origin, now);
            return taken.map_err(|wait| {
                let what = "requests without a token from your address, or from your network's";
                self.met(Limit::AnonymousRequests, caller);
                self.too_fast(Limit::AnonymousRequests, what, wait)
            });
        }
        let taken = self.gate.users.take(caller.owner, now);
        taken.map_err(|wait| {
            let what = "requests with your token";
            self.met(Limit::UserRequests, caller);
            self.too_fast(Limit::UserRequests, what, wait)
        })
    }

    fn met(&self, limit: Limit, caller: &Caller) {
        let (who, request) = (caller.name.as_str(), caller.request.as_ref());
        self.audit.limited(limit, Some(who), caller.origin, request);
    }

    fn too_fast(&self, limit: Limit, what: &str, wait: Duration) -> ApiError {
        self.metrics.limited(limit);
        let seconds = wait.as_secs() + 1;
        let detail = format!("There are too many {what} at the moment. Come again in {seconds} s.");
        ApiError::limited(detail, seconds)
    }

    /// The caller, as one who begins an upload.
    pub(crate) fn sender(&self, caller: &Caller) -> Sender {
        let most = self.allowed(caller).filter(Allowance::counts_uploads);
        // Strangers are counted by where they are.
        let is_stranger = self.anonymous == Some(caller.owner) && most.is_some();
        let origin = caller.origin.filter(|_| is_stranger);
        Sender {
            owner: caller.owner,
            origin: origin.map(|origin| origin.to_string()),
            most,
        }
    }

    /// How much the caller may begin; of somebody is nothing known who has neither a token nor an address.
    fn allowed(&self, caller: &Caller) -> Option<Allowance> {
        let allowances = &self.config.allowances;
        match (self.anonymous == Some(caller.owner), caller.origin) {
            (false, _) => Some(allowances.user),
            (true, Some(_)) => Some(allowances.anonymous),
            (true, None) => None,
        }
    }

    /// What somebody is told whose upload was not begun.
    pub(crate) fn over(&self, over: Over, caller: &Caller) -> ApiError {
        let most = self.allowed(caller).unwrap_or(Allowance::UNLIMITED);
        let (limit, detail, seconds) = match over {
            Over::OpenUploads => (
                Limit::OpenUploads,
                format!(
                    "You have {} uploads open, and there may be no more at a time. Complete or abort some of them.",
                    most.open_uploads
                ),
                WAIT_FOR_AN_END,
            ),
            Over::Pictures => (
                Limit::Pictures,
                format!(
                    "You have begun {} uploads today, which is all that this gallery takes from one in a day. The next day \
                     begins at midnight, UTC.",
                    most.pictures_per_day
                ),
                until_tomorrow(),
            ),
            Over::Bytes => (
                Limit::Bytes,
                format!(
                    "With this upload you would have sent more than {} bytes today, which is all that this gallery takes \
                     from one in a day. The next day begins at midnight, UTC.",
                    most.bytes_per_day
                ),
                until_tomorrow(),
            ),
        };
        self.metrics.limited(limit);
        self.met(limit, caller);
        ApiError::limited(detail, seconds)
    }
}
