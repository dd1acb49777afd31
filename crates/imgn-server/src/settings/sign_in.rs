//! The settings of sign-in by OpenID Connect; not what they mean, which is `oidc`'s matter.
//!
//! Invariant: there is an issuer with an audience, or neither.

use clap::Args;

use crate::config::OidcConfig;

/// Whose sign-in is taken beside the server's own tokens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sign-in by OpenID Connect")]
pub(super) struct SignIn {
    /// Take tokens (JWT) that this issuer signed, as it calls itself: https://HOST/PATH. Its keys are found by its discovery
    /// document.
    #[arg(
        long,
        value_name = "URL",
        env = "IMGN_OIDC_ISSUER",
        requires = "oidc_audience"
    )]
    oidc_issuer: Option<String>,

    /// Whom its tokens have to be for: the client id that the issuer knows the gallery by, or another audience.
    #[arg(
        long,
        value_name = "AUDIENCE",
        env = "IMGN_OIDC_AUDIENCE",
        requires = "oidc_issuer"
    )]
    oidc_audience: Option<String>,

    /// The claim that says what somebody may do: imgn-uploader, imgn-admin, or a list with one of them; nobody else may
    /// write then. A path of names with dots between them finds a claim in another. Left out, whoever signs in may upload.
    #[arg(
        long,
        value_name = "CLAIM",
        env = "IMGN_OIDC_ROLE_CLAIM",
        requires = "oidc_issuer"
    )]
    oidc_role_claim: Option<String>,
}

impl SignIn {
    pub(super) fn config(self) -> Option<OidcConfig> {
        let (issuer, audience) = (self.oidc_issuer?, self.oidc_audience?);
        Some(OidcConfig {
            role_claim: self.oidc_role_claim,
            ..OidcConfig::new(&issuer, &audience)
        })
    }
}
