//! Which kind of event an invocation is. The shapes are AWS's own; what is not looked at is left out of them here.
//!
//! Invariant: an event of an unknown kind is an error that says so, and never a request.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Error;

/// What the function is invoked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// A request through a gateway or a function URL.
    Request,
    /// Objects have come into the bucket, under these keys.
    Arrived(Vec<String>),
    /// It is time to sweep.
    Schedule,
    /// The operator asks for something.
    Command(Command),
}

/// What the operator may ask for, by invoking the function with it: `{"command": "token-add", "name": "ada"}`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Command {
    /// Make a token, which is answered this once.
    TokenAdd {
        name: String,
        /// `uploader`, or `admin`.
        role: Option<String>,
    },
    /// List the valid tokens.
    TokenList,
    /// End a token.
    TokenRevoke { name: String },
    /// What the schedule does.
    Sweep,
}

/// What tells the kinds apart.
#[derive(Debug, Deserialize)]
struct Shape {
    #[serde(rename = "Records", default)]
    records: Option<Vec<Record>>,
    #[serde(rename = "requestContext", default)]
    request_context: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    source: Option<String>,
    #[serde(rename = "detail-type", default)]
    detail_type: Option<String>,
    /// An object in what S3 says; the scheduler sends it as text.
    #[serde(default)]
    detail: Option<Box<RawValue>>,
    #[serde(default)]
    command: Option<String>,
    /// Of the test that S3 sends when a notification is set up.
    #[serde(rename = "Event", default)]
    event: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "eventSource", default)]
    source: String,
    #[serde(rename = "eventName", default)]
    name: String,
    s3: Option<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    object: Option<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    key: String,
}

impl Invocation {
    /// What an event asks for.
    pub(crate) fn read(event: &RawValue) -> Result<Self, Error> {
        let shape: Shape = serde_json::from_str(event.get())
            .map_err(|error| format!("an event that is no object of AWS's: {error}"))?;
        if shape.request_context.is_some() {
            return Ok(Self::Request);
        }
        if let Some(records) = shape.records {
            return arrived(records);
        }
        if shape.command.is_some() {
            let command = serde_json::from_str(event.get())
                .map_err(|error| format!("a command that is not known: {error}"))?;
            return Ok(Self::Command(command));
        }
        match (shape.source.as_deref(), shape.detail_type.as_deref()) {
            (Some("aws.events" | "aws.scheduler"), _) => Ok(Self::Schedule),
            (Some("aws.s3"), Some("Object Created")) => {
                let detail = shape.detail.as_deref().map_or("null", RawValue::get);
                let detail: Option<Detail> = serde_json::from_str(detail)
                    .map_err(|error| format!("an event of S3's without its detail: {error}"))?;
                let object = detail.and_then(|detail| detail.object);
                // Unlike in a notification, it is not encoded.
                Ok(Self::Arrived(
                    object.map(|object| object.key).into_iter().collect(),
                ))
            }
            _ if shape.event.as_deref() == Some("s3:TestEvent") => Ok(Self::Arrived(vec![])),
            _ => Err("an event of a kind that this function does not know".into()),
        }
    }
}

fn arrived(records: Vec<Record>) -> Result<Invocation, Error> {
    let mut keys = Vec::new();
    for record in records {
        if record.source != "aws:s3" {
            let source = record.source;
            return Err(
                format!("a record of {source:?}, which this function does not know").into(),
            );
        }
        if let Some(object) = record.s3.and_then(|detail| detail.object)
            && record.name.starts_with("ObjectCreated:")
        {
            keys.push(decoded(&object.key));
        }
    }
    Ok(Invocation::Arrived(keys))
}

/// S3 encodes keys in notifications as a form does.
fn decoded(key: &str) -> String {
    let pairs = url::form_urlencoded::parse(key.as_bytes());
    pairs.map(|(key, _)| key.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: serde_json::Value) -> Result<Invocation, String> {
        let raw = serde_json::value::to_raw_value(&event).unwrap();
        Invocation::read(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_event_is_known_by_its_shape() {
        let s3 = |name: &str, key: &str| serde_json::json!({"Records": [{"eventSource": "aws:s3", "eventName": name, "s3": {"object": {"key": key}}}]});
        let created = read(s3("ObjectCreated:Put", "staged/a%2Bb+c")).unwrap();
        assert_eq!(
            created,
            Invocation::Arrived(vec!["staged/a+b c".to_owned()])
        );
        let removed = read(s3("ObjectRemoved:Delete", "staged/a")).unwrap();
        assert_eq!(removed, Invocation::Arrived(vec![]));
        let test =
            serde_json::json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        assert_eq!(read(test).unwrap(), Invocation::Arrived(vec![]));
        let bus = serde_json::json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": "a+b"}}});
        assert_eq!(
            read(bus).unwrap(),
            Invocation::Arrived(vec!["a+b".to_owned()])
        );
        let schedule = serde_json::json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert_eq!(read(schedule).unwrap(), Invocation::Schedule);
        let scheduler = serde_json::json!({
            "version": "0",
            "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": "123456789012",
            "time": "2026-11-26T12:00:00Z",
            "region": "eu-central-1",
            "resources": ["arn:aws:scheduler:eu-central-1:123456789012:schedule/default/imgn"],
            "detail": "{}",
        });
        assert_eq!(read(scheduler).unwrap(), Invocation::Schedule);
        let command = serde_json::json!({"command": "token-add", "name": "ada"});
        let expected = Command::TokenAdd {
            name: "ada".to_owned(),
            role: None,
        };
        assert_eq!(read(command).unwrap(), Invocation::Command(expected));
        let http = serde_json::json!({"requestContext": {}, "command": "sweep"});
        assert_eq!(read(http).unwrap(), Invocation::Request);
        for unknown in [
            serde_json::json!({}),
            serde_json::json!("text"),
            serde_json::json!({"command": "format"}),
            serde_json::json!({"source": "aws.ec2"}),
            serde_json::json!({"source": "aws.s3", "detail-type": "Object Created", "detail": "{}"}),
            serde_json::json!({"Records": [{"eventSource": "aws:sqs"}]}),
        ] {
            assert!(read(unknown.clone()).is_err(), "{unknown}");
        }
    }
}
