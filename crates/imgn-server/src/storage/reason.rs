//! Why an S3 service did not do what was asked, in the operator's words, where that is known: nothing to sign with, nobody
//! let in, nobody there.
//!
//! Not here: what is done about it. Invariant: a reason has no address, key or signature in it.

use std::{error::Error, fmt, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

/// See the module. As an error it stands for what the client says, which tells of how it looked for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is nothing that a request could be signed with.
    NoCredentials,
    /// Whoever gives credentials, such as STS or an instance's role, does not answer.
    CredentialsLate,
    /// Whoever gives credentials has given none.
    CredentialsRefused,
    /// It does not let in who signed, with this status and, where it said so, its code.
    Denied { status: u16, code: Option<String> },
    /// There is no such bucket.
    NoBucket,
    /// It is not there.
    Away(io::ErrorKind),
}

impl Reason {
    pub(super) fn of<E>(error: &SdkError<E, Response>) -> Option<Self>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|it| it.status().as_u16());
        if let Some(status) = status {
            let code = error.code().filter(|code| {
                // What is told on is the service's own word, and no more than a word.
                code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
            return match (status, code) {
                (401 | 403, _) => Some(Self::Denied {
                    status,
                    code: code.map(str::to_owned),
                }),
                (404, Some("NoSuchBucket")) => Some(Self::NoBucket),
                _ => None,
            };
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            // See `KeptCredentials`, which the client asks, too.
            if let Some(known) = error.downcast_ref::<Self>() {
                return Some(known.clone());
            }
            if let Some(error) = error.downcast_ref::<CredentialsError>()
                && error.source().is_none_or(|source| !source.is::<Self>())
            {
                return Some(Self::of_credentials(error));
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(Self::Away(error.kind()));
            }
            cause = error.source();
        }
        None
    }

    /// Why credentials were not to be had.
    pub(super) fn of_credentials(error: &CredentialsError) -> Self {
        match error {
            CredentialsError::CredentialsNotLoaded(_) => Self::NoCredentials,
            CredentialsError::ProviderTimedOut(_) => Self::CredentialsLate,
            _ => Self::CredentialsRefused,
        }
    }

    /// What to do.
    pub(crate) fn advice(&self) -> &'static str {
        const SECRET: &str = "correct AWS_SECRET_ACCESS_KEY; if it is right, --s3-region (IMGN_S3_REGION) and --s3-endpoint \
                              (IMGN_S3_ENDPOINT), which are signed too";
        let code = match self {
            Self::NoCredentials => {
                return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this computer a role";
            }
            Self::CredentialsLate => {
                return "see whether this computer reaches who gives them: STS, or the address of its instance's role";
            }
            Self::CredentialsRefused => {
                return "see in the log what was said, and correct the role, AWS_PROFILE or the web identity's token";
            }
            Self::NoBucket => {
                return "have it made by imgn-server doctor --set-up, or correct --s3-bucket (IMGN_S3_BUCKET)";
            }
            Self::Away(_) => {
                return "see whether the engine runs, and correct --s3-endpoint (IMGN_S3_ENDPOINT)";
            }
            Self::Denied { code, .. } => code.as_deref(),
        };
        match code {
            Some("InvalidAccessKeyId") => "correct AWS_ACCESS_KEY_ID",
            Some("SignatureDoesNotMatch") => SECRET,
            Some("ExpiredToken" | "InvalidToken") => {
                "have new credentials: AWS_SESSION_TOKEN and the keys that belong to it"
            }
            Some("RequestTimeTooSkewed") => "set both clocks by the network",
            _ => {
                "check the credentials and their rights: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and whether they may \
                 read and write the bucket"
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str("there are no credentials to sign with"),
            Self::CredentialsLate => {
                f.write_str("whoever gives the credentials to sign with does not answer")
            }
            Self::CredentialsRefused => {
                f.write_str("whoever gives the credentials to sign with gives none")
            }
            Self::NoBucket => f.write_str("there is no such bucket"),
            Self::Away(kind) => write!(f, "it cannot be reached ({kind})"),
            Self::Denied { status, code } => {
                let told = match code.as_deref() {
                    Some("InvalidAccessKeyId") => "it does not know the access key",
                    Some("SignatureDoesNotMatch") => "the secret key is not that of the access key",
                    Some("ExpiredToken") => "the credentials have expired",
                    _ => "it does not take the credentials, or they may not do that",
                };
                write!(f, "{told} ({status}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Error for Reason {}
