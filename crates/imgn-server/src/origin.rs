//! Where a request comes from: the address that connected, or what proxies in front of the server say of it.
//!
//! Invariant: an address is believed from as many proxies as the operator counts and no more, for everything before them a
//! client may have written itself.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use axum::http::{Extensions, HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection, among the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Where somebody is: an address of IPv4, or a network of IPv6, where each has 2^64 addresses to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    /// The origin of a request that went through so many proxies, each of which adds whom it was asked by.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, proxies: u8) -> Option<Self> {
        let peer = extensions.get::<Peer>().map(|peer| peer.0);
        if proxies == 0 {
            return peer.map(Self::from);
        }
        // Who came past the proxies is who connected.
        told(headers, proxies).or(peer).map(Self::from)
    }
}

/// Whether a request went through the proxies that the operator counts, as far as its head says so.
pub(crate) fn is_through_proxies(headers: &HeaderMap, proxies: u8) -> bool {
    proxies > 0 && told(headers, proxies).is_some()
}

/// Whom the first of so many proxies was asked by.
fn told(headers: &HeaderMap, proxies: u8) -> Option<IpAddr> {
    let told = headers
        .get_all(FORWARDED_FOR)
        .iter()
        // What a client wrote into it hides nothing that a proxy has added.
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect::<Vec<_>>();
    let told = told
        .iter()
        .flat_map(|value| value.split(','))
        .collect::<Vec<_>>();
    let first = told.len().checked_sub(proxies.into());
    first
        .and_then(|index| told.get(index))
        .copied()
        .and_then(address)
}

/// An address as proxies write it: with a port or without, IPv6 in brackets or bare.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.split(']').next());
        let bare = bare.or_else(|| text.rsplit_once(':').map(|(host, _)| host))?;
        bare.parse().ok()
    })
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Ipv6Addr::from_bits(network).into()
            }
            address => address,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(forwarded: &[&str], proxies: u8) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        extensions.insert(Peer([192, 0, 2, 1].into()));
        let origin = Origin::of(&headers, &extensions, proxies);
        origin.unwrap().to_string()
    }

    #[test]
    fn as_many_proxies_are_believed_as_there_are() {
        let forged = ["203.0.113.9, 198.51.100.7", "192.0.2.77"];
        assert_eq!(of(&forged, 0), "192.0.2.1");
        assert_eq!(of(&forged, 1), "192.0.2.77");
        assert_eq!(of(&forged, 2), "198.51.100.7");
        assert_eq!(of(&forged, 4), "192.0.2.1", "it came past one of them");
        assert_eq!(of(&[], 1), "192.0.2.1");
        assert_eq!(of(&["unknown"], 1), "192.0.2.1");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them_and_ipv6_counts_by_its_network() {
        for (text, origin) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::/64"),
            ("[2001:db8:0:0:9::1]:443", "2001:db8::/64"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(of(&[text], 1), origin, "{text}");
        }
    }

    #[test]
    fn a_request_may_come_from_nowhere() {
        let origin = Origin::of(&HeaderMap::new(), &Extensions::new(), 1);
        assert_eq!(origin, None);
    }

    #[test]
    fn a_request_came_through_proxies_when_each_of_them_says_so() {
        let through = |told: &'static str, proxies| {
            let mut headers = HeaderMap::new();
            if !told.is_empty() {
                headers.insert(FORWARDED_FOR, told.parse().unwrap());
            }
            is_through_proxies(&headers, proxies)
        };
        assert!(through("203.0.113.7", 1));
        assert!(through("203.0.113.7, 192.0.2.2", 2));
        for (told, proxies) in [
            ("", 1),
            ("203.0.113.7", 0),
            ("203.0.113.7", 2),
            ("nobody", 1),
        ] {
            assert!(!through(told, proxies), "{told:?} {proxies}");
        }
    }
}
