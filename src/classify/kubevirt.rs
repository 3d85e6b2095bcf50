//! KubeVirt's rule for its client metric `kubevirt_rest_client_requests_total{resource,verb}`.
//!
//! Source: KubeVirt's `pkg/monitoring/metrics/common/client`. It searches eight patterns in the
//! decoded path, anywhere in it, and takes the first that is found; subresources are folded into
//! their resource, and the verb comes from the method, the query and the end of the path.

use super::Target;

/// What KubeVirt's metric calls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KubevirtCall<'t> {
    /// `GET LIST WATCH CREATE UPDATE PATCH DELETE`, another method as it is, or `none`.
    pub verb: &'t str,
    /// Plural resource or `none`. Only letters, digits, `.` and `-`.
    pub resource: &'t str,
}

const NONE: KubevirtCall<'static> = KubevirtCall {
    verb: "none",
    resource: "none",
};

/// Names a request as KubeVirt's client metric does.
pub fn kubevirt_call<'t>(method: &'t str, target: &'t Target<'_>) -> KubevirtCall<'t> {
    let path = target.path();
    let resource = PATTERNS.iter().find_map(|pattern| find(pattern, path));
    let Some(resource) = resource.filter(|resource| !resource.is_empty()) else {
        return NONE;
    };
    let verb = match method {
        "" => return NONE,
        "PUT" => "UPDATE",
        "POST" => "CREATE",
        "GET" => get_list_or_watch(target, resource),
        _ => method,
    };
    KubevirtCall { verb, resource }
}

fn get_list_or_watch(target: &Target<'_>, resource: &str) -> &'static str {
    let path = target.path();
    let watch_prefix = path.windows(7).any(|window| window == b"/watch/");
    if watch_prefix || target.query().first(b"watch").as_deref() == Some(b"true") {
        "WATCH"
    } else if path.ends_with(resource.as_bytes()) {
        "LIST"
    } else {
        "GET"
    }
}

/// A piece of a pattern between two slashes.
enum Piece {
    Literal(&'static [u8]),
    /// `[A-Za-z0-9.\-]*`
    Word,
}

use Piece::{Literal, Word};

/// The eight patterns in their order; each ends in a slash and the resource.
const PATTERNS: [&[Piece]; 8] = [
    &[
        Literal(b"api"),
        Word,
        Literal(b"watch"),
        Literal(b"namespaces"),
        Word,
    ],
    &[Literal(b"api"), Word, Literal(b"watch")],
    &[
        Literal(b"apis"),
        Word,
        Word,
        Literal(b"watch"),
        Literal(b"namespaces"),
        Word,
    ],
    &[Literal(b"apis"), Word, Word, Literal(b"watch")],
    &[Literal(b"api"), Word, Literal(b"namespaces"), Word],
    &[Literal(b"apis"), Word, Word, Literal(b"namespaces"), Word],
    &[Literal(b"api"), Word],
    &[Literal(b"apis"), Word, Word],
];

/// The resource at the leftmost place where the pattern matches; it may be empty.
fn find<'t>(pattern: &[Piece], path: &'t [u8]) -> Option<&'t str> {
    path.iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'/')
        .find_map(|(start, _)| match_at(pattern, &path[start..]))
}

fn match_at<'t>(pattern: &[Piece], path: &'t [u8]) -> Option<&'t str> {
    let mut rest = path.strip_prefix(b"/")?;
    for piece in pattern {
        let length = match piece {
            Literal(literal) => rest.starts_with(literal).then_some(literal.len())?,
            Word => word_length(rest),
        };
        rest = rest[length..].strip_prefix(b"/")?;
    }
    std::str::from_utf8(&rest[..word_length(rest)]).ok()
}

fn word_length(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        .count()
}

/// KubeVirt's components by the name of their service account.
const COMPONENTS: [(&str, &str); 4] = [
    ("kubevirt-apiserver", "virt-api"),
    ("kubevirt-controller", "virt-controller"),
    ("kubevirt-handler", "virt-handler"),
    ("kubevirt-operator", "virt-operator"),
];

/// Whether KubeVirt's `VERB-resource-count` sums over that component.
pub fn is_kubevirt_component(component: &str) -> bool {
    COMPONENTS.iter().any(|(_, name)| *name == component)
}

/// The component behind a user name such as `system:serviceaccount:kubevirt:kubevirt-handler`:
/// KubeVirt's own by their usual names, the service account's name for others, `None` for a user
/// that is no service account. KubeVirt may be installed in any namespace.
pub fn component_of_user(user: &str) -> Option<&str> {
    let (_, account) = user
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let known = COMPONENTS.iter().find(|(name, _)| *name == account);
    Some(known.map_or(account, |(_, component)| component))
}
