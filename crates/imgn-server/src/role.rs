//! What a token allows.
/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To upload, and to delete what it uploaded.
    Uploader,
    /// Also to delete what others uploaded.
    Admin,
}
