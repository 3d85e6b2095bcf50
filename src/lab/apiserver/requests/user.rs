//! Who asks.

/// An authenticated user, as a bearer token stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// `system:serviceaccount:kubevirt:kubevirt-controller` for example.
    pub name: String,
    /// `system:masters` may do everything.
    pub groups: Vec<String>,
}
