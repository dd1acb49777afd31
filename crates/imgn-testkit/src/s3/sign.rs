//! AWS Signature Version 4 by hand, for requests that a client library refuses to make: URLs that live too long,
//! are dated in the past, or sign fewer headers than they send.
//!
//! Written from the published algorithm and independent of both the SDK and the store's own implementation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::Target;

/// A request to be signed.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    host: String,
    /// Encoded.
    path: String,
    query: BTreeMap<String, String>,
    signed: BTreeMap<String, String>,
    unsigned: Vec<(String, String)>,
    access_key: String,
    secret_key: String,
    at: SystemTime,
    expires: u64,
}

/// A request that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The method.
    pub method: String,
    /// Path and query, as signed.
    pub path_and_query: String,
    /// All headers, `host` among them.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A request for a key in the target's bucket; an empty key means the bucket.
    #[must_use]
    pub fn new(target: &Target, method: &str, key: &str) -> Self {
        let host = target.endpoint.trim_start_matches("http://").to_owned();
        let path = if key.is_empty() {
            format!("/{}", target.bucket)
        } else {
            format!("/{}/{}", target.bucket, encode(key, true))
        };
        Self {
            method: method.to_owned(),
            signed: [("host".to_owned(), host.clone())].into(),
            host,
            path,
            query: BTreeMap::new(),
            unsigned: Vec::new(),
            access_key: target.access_key.clone(),
            secret_key: target.secret_key.clone(),
            at: SystemTime::now(),
            expires: 300,
        }
    }

    /// Names another bucket.
    #[must_use]
    pub fn bucket(mut self, from: &str, to: &str) -> Self {
        self.path = self.path.replacen(from, to, 1);
        self
    }

    /// Adds a parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds a header that is signed. Lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.signed.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds a header that is sent but not signed.
    #[must_use]
    pub fn unsigned(mut self, name: &str, value: impl ToString) -> Self {
        self.unsigned.push((name.to_owned(), value.to_string()));
        self
    }

    /// Signs as if it were this long ago.
    #[must_use]
    pub fn aged(mut self, age: Duration) -> Self {
        self.at -= age;
        self
    }

    /// The life of the URL in seconds.
    #[must_use]
    pub fn expires(mut self, seconds: u64) -> Self {
        self.expires = seconds;
        self
    }

    /// Signs with other credentials.
    #[must_use]
    pub fn credentials(mut self, access_key: &str, secret_key: &str) -> Self {
        self.access_key = access_key.to_owned();
        self.secret_key = secret_key.to_owned();
        self
    }

    /// Signs in the query, as a presigned URL.
    #[must_use]
    pub fn presign(mut self) -> Signed {
        let (day, time) = stamp(self.at);
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let names = self.signed_names();
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", self.access_key)),
            ("X-Amz-Date", time.clone()),
            ("X-Amz-Expires", self.expires.to_string()),
            ("X-Amz-SignedHeaders", names),
        ] {
            self.query.insert(name.to_owned(), value);
        }
        let signature = self.signature(&day, &time, &scope, "UNSIGNED-PAYLOAD");
        let query = self.canonical_query();
        self.finish(&format!("{query}&X-Amz-Signature={signature}"))
    }

    /// Signs in the `Authorization` header. `payload` is what `x-amz-content-sha256` says.
    #[must_use]
    pub fn authorize(mut self, payload: &str) -> Signed {
        let (day, time) = stamp(self.at);
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        self = self
            .header("x-amz-date", &time)
            .header("x-amz-content-sha256", payload);
        let signature = self.signature(&day, &time, &scope, payload);
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            self.access_key,
            self.signed_names()
        );
        let query = self.canonical_query();
        self.unsigned("authorization", value).finish(&query)
    }

    fn finish(self, query: &str) -> Signed {
        let mut headers: Vec<_> = self.signed.into_iter().chain(self.unsigned).collect();
        headers.retain(|(name, _)| name != "host");
        headers.push(("host".to_owned(), self.host));
        let path = self.path;
        Signed {
            method: self.method,
            path_and_query: if query.is_empty() {
                path
            } else {
                format!("{path}?{query}")
            },
            headers,
        }
    }

    fn signed_names(&self) -> String {
        self.signed
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(";")
    }

    fn canonical_query(&self) -> String {
        let pairs = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn signature(&self, day: &str, time: &str, scope: &str, payload: &str) -> String {
        let mut canonical = format!(
            "{}\n{}\n{}\n",
            self.method,
            self.path,
            self.canonical_query()
        );
        for (name, value) in &self.signed {
            let _ = writeln!(canonical, "{name}:{}", value.trim());
        }
        let _ = write!(canonical, "\n{}\n{payload}", self.signed_names());
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let key = hmac(format!("AWS4{}", self.secret_key).as_bytes(), day);
        let key = ["us-east-1", "s3", "aws4_request"]
            .into_iter()
            .fold(key, |key, word| hmac(&key, word));
        hex::encode(hmac(&key, &text))
    }
}

/// The fields of a form that stores `key`, with the policy that allows it: what `more` adds, and a file of `sizes`. Signed
/// at a moment, alive for so long after it.
#[must_use]
pub fn form(
    target: &Target,
    key: &str,
    more: &[(&str, &str)],
    sizes: std::ops::RangeInclusive<u64>,
    at: SystemTime,
    alive: Duration,
) -> Vec<(String, String)> {
    let (day, time) = stamp(at);
    let credential = format!("{}/{day}/us-east-1/s3/aws4_request", target.access_key);
    let mut fields = vec![
        ("key", key),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", &time),
    ];
    fields.extend(more);
    let mut conditions: Vec<_> = fields
        .iter()
        .map(|&(name, value)| serde_json::json!({ name: value }))
        .collect();
    conditions.push(serde_json::json!({ "bucket": target.bucket }));
    conditions.push(serde_json::json!([
        "content-length-range",
        sizes.start(),
        sizes.end()
    ]));
    let (day_of_end, time_of_end) = stamp(at + alive);
    let (end_day, end) = (day_of_end, &time_of_end[9..15]);
    let expiration = format!(
        "{}-{}-{}T{}:{}:{}.000Z",
        &end_day[..4],
        &end_day[4..6],
        &end_day[6..],
        &end[..2],
        &end[2..4],
        &end[4..]
    );
    let policy = serde_json::json!({ "expiration": expiration, "conditions": conditions });
    let policy = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, policy.to_string());
    let key = hmac(format!("AWS4{}", target.secret_key).as_bytes(), &day);
    let key = ["us-east-1", "s3", "aws4_request"]
        .into_iter()
        .fold(key, |key, word| hmac(&key, word));
    let signature = hex::encode(hmac(&key, &policy));
    let mut fields: Vec<(String, String)> = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    fields.push(("policy".to_owned(), policy));
    fields.push(("x-amz-signature".to_owned(), signature));
    fields
}

/// RFC 2104 with SHA-256, whose block is 64 bytes.
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(text)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

fn encode(text: &str, keep_slash: bool) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b'/' if keep_slash => encoded.push('/'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

/// `YYYYMMDD` and `YYYYMMDDTHHMMSSZ`.
fn stamp(at: SystemTime) -> (String, String) {
    let seconds = at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, counting years from March (the usual era arithmetic).
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let time = format!(
        "{date}T{:02}{:02}{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    );
    (date, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_the_published_example() {
        let at = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        assert_eq!(stamp(at), ("20130524".into(), "20130524T000000Z".into()));
        let leap = UNIX_EPOCH + Duration::from_secs(1_709_210_096);
        assert_eq!(stamp(leap).1, "20240229T123456Z");

        // The presigned URL of the S3 documentation, "Authenticating Requests: Using Query Parameters".
        let request = Request {
            method: "GET".into(),
            host: "examplebucket.s3.amazonaws.com".into(),
            path: "/test.txt".into(),
            query: BTreeMap::new(),
            signed: [(
                "host".to_owned(),
                "examplebucket.s3.amazonaws.com".to_owned(),
            )]
            .into(),
            unsigned: Vec::new(),
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            at,
            expires: 86_400,
        };
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(request.presign().path_and_query.ends_with(signature));
    }
}
