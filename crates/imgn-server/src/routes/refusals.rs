//! How each operation may refuse, for the OpenAPI document: every status with the codes that it has there.
//!
//! Not here: what leads to which, see the handlers. Invariant: an operation's answer with status 400 or above is among those here;
//! what has no operation (a path that there is not, a method that a path does not take) is in no document.

use std::collections::BTreeMap;

use imgn_protocol::{ErrorCode, Problem};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Content, Header, Ref, RefOr, Response, ResponseBuilder,
        schema::{AllOfBuilder, ObjectBuilder, Type},
    },
};

use crate::error::PROBLEM_JSON;

use ErrorCode::{
    ChecksumMismatch, CorruptPicture, DecodeTimeout, Forbidden, Internal, InvalidFileName,
    InvalidRequest, NotAPicture, NotFound, NotUploaded, RateLimited, SizeMismatch, StoreFull,
    StoreUnavailable, TooLarge, TooManyPixels, Unauthorized, Unavailable, UnsupportedFormat,
    UnsupportedMediaType, UploadClosed, UploadConflict,
};

/// To everybody who asks the catalogue.
const ANYBODY: &[ErrorCode] = &[RateLimited, Internal, Unavailable];
/// To those who write: the disk may be full by then.
const WRITERS: &[ErrorCode] = &[Unauthorized, Forbidden, StoreFull];
/// Where the store is asked, or something is signed for it.
const STORE: &[ErrorCode] = &[StoreUnavailable, StoreFull];
/// Where there are parameters.
const PARAMETERS: &[ErrorCode] = &[InvalidRequest];
/// Where there is a body.
const BODY: &[ErrorCode] = &[InvalidRequest, TooLarge, UnsupportedMediaType];
/// What may be wrong with a picture.
const PICTURE: &[ErrorCode] = &[
    TooLarge,
    SizeMismatch,
    ChecksumMismatch,
    NotAPicture,
    UnsupportedFormat,
    CorruptPicture,
    TooManyPixels,
    DecodeTimeout,
];

macro_rules! refusals {
    ($($operation:ident: $($some:expr),+;)+) => {$(
        #[doc = concat!("How the operation refuses that is documented with it: `", stringify!($operation), "`.")]
        pub(crate) struct $operation;

        impl IntoResponses for $operation {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let sets: &[&[ErrorCode]] = &[$($some),+];
                responses(sets.concat())
            }
        }
    )+};
}

refusals! {
    OpenUpload: ANYBODY, WRITERS, STORE, BODY, &[InvalidFileName, NotFound, UploadConflict, UploadClosed, UnsupportedFormat];
    GetUpload: ANYBODY, WRITERS, STORE, PARAMETERS, &[NotFound];
    SignUpload: ANYBODY, WRITERS, STORE, BODY, &[NotFound, UploadClosed, ChecksumMismatch];
    CompleteUpload: ANYBODY, WRITERS, STORE, BODY, &[NotFound, UploadClosed, NotUploaded, ChecksumMismatch];
    AbortUpload: ANYBODY, WRITERS, PARAMETERS, &[NotFound, UploadClosed];
    SendContent: ANYBODY, WRITERS, STORE, PARAMETERS, &[NotFound, UploadClosed, TooLarge, SizeMismatch, ChecksumMismatch];
    ListImages: ANYBODY, PARAMETERS;
    GetImage: ANYBODY, PARAMETERS, &[NotFound];
    GetContent: ANYBODY, STORE, PARAMETERS, &[NotFound];
    GetThumbnail: ANYBODY, STORE, PARAMETERS, &[NotFound];
    DeleteImage: ANYBODY, WRITERS, PARAMETERS, &[NotFound];
    ListChanges: ANYBODY, PARAMETERS;
    FollowEvents: ANYBODY, PARAMETERS;
    GetTimeline: ANYBODY, PARAMETERS;
    PageUpload: ANYBODY, WRITERS, STORE, BODY, &[UnsupportedFormat];
    PageGallery: ANYBODY;
    SignForm: ANYBODY, WRITERS, STORE, PARAMETERS, &[UnsupportedFormat];
    CreateParts: ANYBODY, WRITERS, STORE, BODY, &[UnsupportedFormat];
    ListParts: ANYBODY, WRITERS, STORE, PARAMETERS, &[NotFound];
    SignParts: ANYBODY, WRITERS, STORE, PARAMETERS, &[NotFound, TooLarge];
    CompleteParts: ANYBODY, WRITERS, STORE, BODY, PICTURE, &[NotFound, NotUploaded];
    AbortParts: ANYBODY, WRITERS, STORE, PARAMETERS, &[NotFound, UploadClosed];
    GiveCredentials: ANYBODY, WRITERS;
    SayAlive: &[Unavailable];
    SayReady: ANYBODY, STORE;
}

/// A response for each status that these codes have.
fn responses(mut codes: Vec<ErrorCode>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    codes.sort_by_key(|code| code.as_str());
    codes.dedup();
    for code in codes {
        by_status.entry(code.status()).or_default().push(code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(status, &codes).into()))
        .collect()
}

fn response(status: u16, codes: &[ErrorCode]) -> Response {
    let text = |code: &ErrorCode| format!("`{code}`: {}", code.title());
    let description: Vec<_> = codes.iter().map(text).collect();
    let code = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes.iter().map(|code| code.as_str())));
    let this = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("code", code);
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(Problem::name()))
        .item(this);
    let response = ResponseBuilder::new()
        .description(description.join("; "))
        .content(PROBLEM_JSON, Content::new(Some(schema)));
    let header = match status {
        401 => Some(("WWW-Authenticate", Type::String)),
        429 | 503 | 507 => Some(("Retry-After", Type::Integer)),
        _ => None,
    };
    match header {
        Some((name, kind)) => {
            let schema = ObjectBuilder::new().schema_type(kind).build();
            response.header(name, Header::new(schema)).build()
        }
        None => response.build(),
    }
}
