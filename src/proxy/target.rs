//! The request target as it was received, and as it goes on: the same bytes.

use http::{
    Method, Uri,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use classify::{CallName, Target, TargetError, kubevirt::kubevirt_call};
use ledger::ObjectRef;

/// What a request that no API server would take is counted as.
const NOT_A_TARGET: &str = "(invalid)";

/// Path and query as received. An absolute URI's authority is not part of it.
pub(super) fn received(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// Classifies a request and hands its name to `with`.
pub(super) fn name_call<T>(
    method: &Method,
    uri: &Uri,
    with: impl FnOnce(&CallName<'_>, Option<TargetError>) -> T,
) -> T {
    match Target::parse(method.as_str(), received(uri).as_bytes()) {
        Ok(target) => {
            let call = classify::classify(method.as_str(), &target);
            let kubevirt = kubevirt_call(method.as_str(), &target);
            with(&CallName::new(&call, kubevirt), None)
        }
        Err(error) => {
            let verb = method.as_str().to_ascii_lowercase();
            let verb = if verb.len() > 32 { NOT_A_TARGET } else { &verb };
            let name = CallName {
                verb,
                path: NOT_A_TARGET,
                kubevirt_verb: "none",
                kubevirt_resource: "none",
                ..CallName::OVERFLOW
            };
            with(&name, Some(error))
        }
    }
}

/// The object that a request names.
pub(super) fn object(method: &Method, uri: &Uri) -> ObjectRef {
    let Ok(target) = Target::parse(method.as_str(), received(uri).as_bytes()) else {
        return ObjectRef::default();
    };
    let call = classify::classify(method.as_str(), &target);
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(253)]).into();
    ObjectRef {
        namespace: text(call.namespace),
        name: text(&call.name),
    }
}

/// The target for an HTTP/1.1 upstream: path and query alone.
pub(super) fn origin_form(uri: &Uri) -> Uri {
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
