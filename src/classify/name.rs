//! The bounded name of a call: what the books, the audit reader and the reports count by.

use super::{Call, kubevirt::KubevirtCall};

/// Stands for a part that no API server has: too long, or with bytes other than visible ASCII.
pub const INVALID: &str = "(invalid)";

/// What a request is counted as. Equal names are one row of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallName<'a> {
    /// kube-apiserver's verb, such as `patch` or `deletecollection`.
    pub verb: &'a str,
    /// API group, empty for the core group.
    pub group: &'a str,
    /// API version, such as `v1`; empty for a non-resource request.
    pub version: &'a str,
    /// Plural resource; empty for a non-resource request.
    pub resource: &'a str,
    /// Subresource, such as `status`; empty if there is none.
    pub subresource: &'a str,
    /// Class of the path of a non-resource request, such as `/version` or `/openapi/v3/*`.
    pub path: &'a str,
    /// Verb by KubeVirt's client metric.
    pub kubevirt_verb: &'a str,
    /// Resource by KubeVirt's client metric.
    pub kubevirt_resource: &'a str,
}

/// Subresources whose requests and responses are objects of the API, as the resource itself is.
const OBJECTS: [&str; 8] = [
    "",
    "status",
    "scale",
    "finalize",
    "binding",
    "approval",
    "ephemeralcontainers",
    "resize",
];

/// Whether the requests and responses of a subresource, empty for none, are objects of the API.
pub fn has_objects(subresource: &str) -> bool {
    OBJECTS.contains(&subresource)
}

/// Whether a call is an eviction: a delete as soon as the pod's budget of disruption allows it, whose body
/// has the options of the delete.
pub fn is_eviction(verb: &str, subresource: &str) -> bool {
    (verb, subresource) == ("create", "eviction")
}

impl<'a> CallName<'a> {
    /// The row of requests that full books can't tell apart any more.
    pub const OVERFLOW: CallName<'static> = CallName {
        verb: "overflow",
        group: "",
        version: "",
        resource: "",
        subresource: "",
        path: "",
        kubevirt_verb: "overflow",
        kubevirt_resource: "overflow",
    };

    /// Whether this is [`OVERFLOW`](Self::OVERFLOW). No API server has a verb and KubeVirt no
    /// resource of that name together.
    pub fn is_overflow(&self) -> bool {
        *self == Self::OVERFLOW
    }

    /// Names a classified call.
    pub fn new(call: &'a Call<'_>, kubevirt: KubevirtCall<'a>) -> Self {
        Self {
            verb: bounded(call.verb.as_bytes(), 32),
            group: bounded(call.api_group, 253),
            version: bounded(call.api_version, 63),
            resource: bounded(call.resource, 63),
            subresource: bounded(call.subresource, 63),
            path: if call.is_resource_request {
                ""
            } else {
                path_class(call.path)
            },
            kubevirt_verb: bounded(kubevirt.verb.as_bytes(), 32),
            kubevirt_resource: bounded(kubevirt.resource.as_bytes(), 63),
        }
    }

    /// The parts in their order.
    pub fn parts(&self) -> [&'a str; 8] {
        [
            self.verb,
            self.group,
            self.version,
            self.resource,
            self.subresource,
            self.path,
            self.kubevirt_verb,
            self.kubevirt_resource,
        ]
    }

    /// The reverse of [`parts`](Self::parts).
    pub fn from_parts(parts: [&'a str; 8]) -> Self {
        let [
            verb,
            group,
            version,
            resource,
            subresource,
            path,
            kubevirt_verb,
            kubevirt_resource,
        ] = parts;
        Self {
            verb,
            group,
            version,
            resource,
            subresource,
            path,
            kubevirt_verb,
            kubevirt_resource,
        }
    }
}

fn bounded(part: &[u8], longest: usize) -> &str {
    if part.len() > longest || !part.iter().all(u8::is_ascii_graphic) {
        return INVALID;
    }
    std::str::from_utf8(part).unwrap_or(INVALID)
}

/// Paths that are counted by themselves; what lies below them is counted as `…/*`.
const PATHS: &[(&str, &str)] = &[
    ("/api", "/api/*"),
    ("/apis", "/apis/*"),
    ("/.well-known", "/.well-known/*"),
    ("/debug", "/debug/*"),
    ("/healthz", "/healthz/*"),
    ("/livez", "/livez/*"),
    ("/logs", "/logs/*"),
    ("/metrics", "/metrics/*"),
    ("/openapi/v2", "/openapi/v2/*"),
    ("/openapi/v3", "/openapi/v3/*"),
    ("/openid/v1/jwks", "/openid/v1/jwks/*"),
    ("/readyz", "/readyz/*"),
    ("/version", "/version/*"),
];

/// The class of the path of a non-resource request: a closed set, so that nobody can fill the
/// books with paths.
pub fn path_class(path: &[u8]) -> &'static str {
    match path {
        b"/" => return "/",
        // The target of `OPTIONS *`, which Go's HTTP server answers itself.
        b"*" => return "*",
        _ => {}
    }
    PATHS
        .iter()
        .find_map(
            |&(itself, below)| match path.strip_prefix(itself.as_bytes())? {
                b"" | b"/" => Some(itself),
                [b'/', ..] => Some(below),
                _ => None,
            },
        )
        .unwrap_or("other")
}
