//! The request target as it goes on to the API server: path and query are the same bytes, behind
//! the path that the API server's own URL has.

use http::{
    Uri,
    uri::{Parts, PathAndQuery, Scheme},
};

use super::{dial::Endpoint, error::SendError};

/// The target for an HTTP/1.1 upstream: path and query alone.
pub(crate) fn origin_form(uri: &Uri, endpoint: &Endpoint) -> Result<Uri, SendError> {
    let mut parts = Parts::default();
    parts.path_and_query = below(uri, endpoint.prefix())?;
    Ok(Uri::from_parts(parts).unwrap_or_default())
}

/// The target for an HTTP/2 upstream, whose `:authority` is the upstream's.
pub(super) fn with_authority(uri: &Uri, endpoint: &Endpoint) -> Result<Uri, SendError> {
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(endpoint.authority().clone());
    parts.path_and_query = below(uri, endpoint.prefix())?;
    Ok(Uri::from_parts(parts).unwrap_or_default())
}

/// `*`, which is no path, stays what it is.
fn below(uri: &Uri, prefix: &str) -> Result<Option<PathAndQuery>, SendError> {
    let Some(own) = uri.path_and_query() else {
        return Ok(None);
    };
    if prefix.is_empty() || own == "*" {
        return Ok(Some(own.clone()));
    }
    let joined = PathAndQuery::try_from(format!("{prefix}{own}"));
    joined.map(Some).map_err(|_| SendError::target_too_long())
}
