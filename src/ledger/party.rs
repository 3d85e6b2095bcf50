//! Who made a request.

/// The component of requests whose credential the API server refused, or that had none.
pub const UNAUTHENTICATED: &str = "(unauthenticated)";
/// The component of requests with a credential of which no answer has said that it is a good one.
pub const UNPROVEN: &str = "(unproven)";

/// Who made a request: the component as shown, and the user as the API server accepted it.
#[derive(Debug, PartialEq, Eq)]
pub struct Party {
    pub(super) id: u32,
    /// Name for display, such as `virt-controller`.
    pub component: Box<str>,
    /// User name such as `system:serviceaccount:kubevirt:kubevirt-controller`, empty if unknown.
    pub user: Box<str>,
}
