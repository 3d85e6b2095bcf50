//! The request target as it goes on to the API server: path and query are the same bytes.

use http::{
    Uri,
    uri::{Authority, Parts, Scheme},
};

/// The target for an HTTP/1.1 upstream: path and query alone.
pub(crate) fn origin_form(uri: &Uri) -> Uri {
    let mut parts = Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_default()
}

/// The target for an HTTP/2 upstream, whose `:authority` is the upstream's.
pub(super) fn with_authority(uri: &Uri, authority: &Authority) -> Uri {
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(authority.clone());
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_default()
}
