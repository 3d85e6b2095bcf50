//! What the API server's answer says about the credential of the request.
//!
//! Source: the handler chain of k8s.io/apiserver 0.34 (`DefaultBuildHandlerChain`). A request whose
//! bearer token is not a good one ends in 401 at its authentication filter, also where anonymous
//! requests are allowed, so whatever is answered behind that filter proves the token. In front of
//! it these answer, and what they say proves nothing:
//!
//! | who | codes |
//! | --- | --- |
//! | Go's HTTP server | 400, 405 and above for what is no HTTP to it, 200 for `OPTIONS *` |
//! | panic recovery, `RequestInfo` of a path such as `/api/v1/watch` | 500 |
//! | a server that shuts down | 429, 503 |
//! | the request's deadline (`?timeout=x`) | 400 |
//! | the time-out of requests | 504 |
//! | CORS, for a preflight request | 204 |
//!
//! Behind it, priority and fairness names its flow schema in a header of the answer, whatever the
//! code, also a 401 of an aggregated API server; requests that it doesn't limit (`exec`, `log`, `proxy`) and refused impersonations have
//! none. Of those, only codes prove something that nobody in front of the filter gives, and only
//! for paths of resources: there no handler answers before authorization.

use http::{HeaderMap, HeaderName, StatusCode};

use classify::CallName;

const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// One of kube-apiserver's verbs on a resource.
    Resource,
    /// The same on a subresource `proxy`: what stands behind it may say 401 as well.
    Proxied,
    /// Anything else.
    Other,
}

impl RequestKind {
    /// What a call of this name is for.
    pub fn of(name: &CallName<'_>) -> Self {
        match (name.verb, name.resource) {
            ("", _) | (_, "") => Self::Other,
            ("proxy", _) => Self::Proxied,
            _ if name.subresource == "proxy" => Self::Proxied,
            _ => Self::Resource,
        }
    }
}

/// What an answer proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The API server authenticated the request's credential.
    Authenticated,
    /// It refused it, or there was none.
    Rejected,
    /// It may not have looked at it.
    Nothing,
}

impl Proof {
    /// What the API server's answer to a request of this kind proves about its bearer token.
    pub fn of(status: StatusCode, headers: &HeaderMap, kind: RequestKind) -> Self {
        if headers.contains_key(FLOW_SCHEMA) {
            return Self::Authenticated;
        }
        match kind {
            RequestKind::Proxied if status == StatusCode::UNAUTHORIZED => Self::Nothing,
            _ if status == StatusCode::UNAUTHORIZED => Self::Rejected,
            RequestKind::Resource | RequestKind::Proxied if is_from_behind(status) => {
                Self::Authenticated
            }
            _ => Self::Nothing,
        }
    }
}

/// Whether only what stands behind the authentication filter gives this code for a resource.
fn is_from_behind(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        101 | 200 | 201 | 202 | 403 | 404 | 406 | 409 | 410 | 415 | 422
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_answered_behind_the_authentication_filter_proves_a_credential() {
        let (none, mut flow) = (HeaderMap::new(), HeaderMap::new());
        flow.insert(FLOW_SCHEMA, "6f1f".parse().unwrap());
        let (resource, other) = (RequestKind::Resource, RequestKind::Other);
        for (code, headers, kind, proof) in [
            (200, &none, resource, Proof::Authenticated),
            (403, &none, resource, Proof::Authenticated),
            (409, &none, resource, Proof::Authenticated),
            (400, &none, resource, Proof::Nothing),
            (429, &none, resource, Proof::Nothing),
            (500, &none, resource, Proof::Nothing),
            (504, &none, resource, Proof::Nothing),
            (204, &none, resource, Proof::Nothing),
            (200, &none, other, Proof::Nothing),
            (403, &none, other, Proof::Nothing),
            (200, &flow, other, Proof::Authenticated),
            (400, &flow, resource, Proof::Authenticated),
            (429, &flow, resource, Proof::Authenticated),
            // A server behind kube-apiserver says so.
            (401, &flow, resource, Proof::Authenticated),
            (401, &none, RequestKind::Proxied, Proof::Nothing),
            (200, &none, RequestKind::Proxied, Proof::Authenticated),
            (401, &none, resource, Proof::Rejected),
            (401, &none, other, Proof::Rejected),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(Proof::of(status, headers, kind), proof, "{code}");
        }
    }
}
