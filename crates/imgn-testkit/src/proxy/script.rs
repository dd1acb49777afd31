//! Fates by rule: which requests, and which of them by count.
//!
//! For what rules cannot say there is the hook itself. Invariant: each rule counts the requests that fit it, also those
//! whose fate an earlier rule has decided.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Fate, Seen};

/// Which requests are meant: all, until said otherwise.
#[derive(Debug, Clone)]
pub struct When {
    method: Option<String>,
    path: Option<String>,
    parameter: Option<(String, Option<String>)>,
    connection: Option<u64>,
    counts: RangeInclusive<u64>,
}

impl Default for When {
    fn default() -> Self {
        Self {
            method: None,
            path: None,
            parameter: None,
            connection: None,
            counts: 1..=u64::MAX,
        }
    }
}

impl When {
    /// Requests with this method.
    #[must_use]
    pub fn method(method: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            ..Self::default()
        }
    }

    /// Only those whose path holds this text.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only those whose query has this parameter, such as `uploads`.
    #[must_use]
    pub fn parameter(mut self, name: &str) -> Self {
        self.parameter = Some((name.to_owned(), None));
        self
    }

    /// Only those whose query has this parameter with this value, such as `partNumber` and `3`.
    #[must_use]
    pub fn parameter_is(mut self, name: &str, value: &str) -> Self {
        self.parameter = Some((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Only those of this connection, counted from 1.
    #[must_use]
    pub fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// Of those that fit, only this one, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.counts = n..=n;
        self
    }

    /// Of those that fit, only the first so many.
    #[must_use]
    pub fn first(mut self, count: u64) -> Self {
        self.counts = 1..=count;
        self
    }

    fn fits(&self, seen: &Seen) -> bool {
        let parameter = self.parameter.as_ref().is_none_or(|(name, value)| {
            let found = seen.parameters.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        parameter
            && self.method.as_ref().is_none_or(|it| *it == seen.method)
            && self
                .path
                .as_ref()
                .is_none_or(|part| seen.path.contains(part))
            && self.connection.is_none_or(|it| it == seen.connection)
    }
}

/// Rules in their order; the first that fits decides, and what fits none passes.
#[derive(Debug, Default)]
pub struct Script(Vec<(When, AtomicU64, Fate)>);

impl Script {
    /// With one more rule.
    #[must_use]
    pub fn on(mut self, when: When, fate: Fate) -> Self {
        self.0.push((when, AtomicU64::new(0), fate));
        self
    }

    /// What [`super::FaultProxy::start`] takes.
    pub fn into_hook(self) -> impl Fn(&Seen) -> Fate + Send + Sync + 'static {
        move |seen| self.decide(seen)
    }

    fn decide(&self, seen: &Seen) -> Fate {
        let mut decided = None;
        for (when, count, fate) in &self.0 {
            if when.fits(seen) {
                let count = count.fetch_add(1, Ordering::SeqCst) + 1;
                if when.counts.contains(&count) && decided.is_none() {
                    decided = Some(fate.clone());
                }
            }
        }
        decided.unwrap_or(Fate::Pass)
    }
}
