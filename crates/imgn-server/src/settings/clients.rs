//! The settings of what one user, or one address, may ask for; not what they mean, which is `allowance`'s matter.
//!
//! Invariant: left out, they are [`Allowances::DEFAULT`].

use clap::Args;

use super::parse_size;
use crate::allowance::{Allowance, Allowances};

const USER: Allowance = Allowances::DEFAULT.user;
const ANONYMOUS: Allowance = Allowances::DEFAULT.anonymous;

/// What one may ask for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits on one client; 0 is none")]
pub(super) struct ClientLimits {
    /// Requests a second of one token's owner, on the long run; as many as of a minute may come at once. Each server counts
    /// for itself.
    #[arg(
        long,
        value_name = "REQUESTS",
        env = "IMGN_LIMIT_REQUESTS",
        default_value_t = USER.requests
    )]
    limit_requests: u32,

    /// The same of one address, whoever asks, reading included. An IPv6 address counts with its network of 64 bits.
    #[arg(
        long,
        value_name = "REQUESTS",
        env = "IMGN_LIMIT_ADDRESS_REQUESTS",
        default_value_t = Allowances::DEFAULT.address_requests
    )]
    limit_address_requests: u32,

    /// Uploads that one token's owner may have open at a time.
    #[arg(
        long,
        value_name = "UPLOADS",
        env = "IMGN_LIMIT_OPEN_UPLOADS",
        default_value_t = USER.open_uploads
    )]
    limit_open_uploads: u32,

    /// Uploads that one token's owner may begin on a day (UTC), at all servers together.
    #[arg(
        long,
        value_name = "UPLOADS",
        env = "IMGN_LIMIT_DAILY_UPLOADS",
        default_value_t = USER.pictures_per_day
    )]
    limit_daily_uploads: u32,

    /// Their bytes: a number, or one with K, M or G.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_LIMIT_DAILY_BYTES",
        default_value = "1024G",
        value_parser = parse_size
    )]
    limit_daily_bytes: u64,

    /// Requests a second without a token of one address that uploads.
    #[arg(
        long,
        value_name = "REQUESTS",
        env = "IMGN_LIMIT_ANONYMOUS_REQUESTS",
        default_value_t = ANONYMOUS.requests
    )]
    limit_anonymous_requests: u32,

    /// Uploads without a token that one address may have open at a time; --max-pending bounds those of all.
    #[arg(
        long,
        value_name = "UPLOADS",
        env = "IMGN_LIMIT_ANONYMOUS_OPEN_UPLOADS",
        default_value_t = ANONYMOUS.open_uploads
    )]
    limit_anonymous_open_uploads: u32,

    /// Uploads without a token that one address may begin on a day.
    #[arg(
        long,
        value_name = "UPLOADS",
        env = "IMGN_LIMIT_ANONYMOUS_DAILY_UPLOADS",
        default_value_t = ANONYMOUS.pictures_per_day
    )]
    limit_anonymous_daily_uploads: u32,

    /// Their bytes.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_LIMIT_ANONYMOUS_DAILY_BYTES",
        default_value = "10G",
        value_parser = parse_size
    )]
    limit_anonymous_daily_bytes: u64,

    /// How many proxies in front of the server add to X-Forwarded-For whom they were asked by. Without it, a client's
    /// address is that of the connection, which behind a proxy is the proxy's. No more than there are: what stands before
    /// them a client may have written.
    #[arg(
        long,
        value_name = "PROXIES",
        env = "IMGN_TRUST_FORWARDED_FOR",
        default_value_t = 0
    )]
    pub(super) trust_forwarded_for: u8,
}

impl ClientLimits {
    pub(super) fn allowances(&self) -> Allowances {
        Allowances {
            user: Allowance {
                requests: self.limit_requests,
                open_uploads: self.limit_open_uploads,
                pictures_per_day: self.limit_daily_uploads,
                bytes_per_day: self.limit_daily_bytes,
            },
            anonymous: Allowance {
                requests: self.limit_anonymous_requests,
                open_uploads: self.limit_anonymous_open_uploads,
                pictures_per_day: self.limit_anonymous_daily_uploads,
                bytes_per_day: self.limit_anonymous_daily_bytes,
            },
            address_requests: self.limit_address_requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Everything {
        #[command(flatten)]
        limits: ClientLimits,
    }

    #[test]
    fn limits_that_are_left_out_are_the_defaults() {
        let all = Everything::try_parse_from(["imgn-server"]).unwrap();
        assert_eq!(all.limits.allowances(), Allowances::DEFAULT);
        assert_eq!(all.limits.trust_forwarded_for, 0);
    }
}
