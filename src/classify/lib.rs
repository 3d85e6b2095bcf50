//! What a request means to kube-apiserver: method and request target in, verb and resource out.
//!
//! The rules are those of `RequestInfoFactory` in k8s.io/apiserver (0.34) over the URL as Go's
//! net/http parses it, with kube-apiserver's prefixes (`api`, `apis`; `api` without a group).
//! KubeVirt's own, coarser rule for its client metric is in [`kubevirt`].
//!
//! Invariant: nothing here looks at headers. What is borrowed from the target is not copied, unless
//! it is escaped.

mod folded;
mod go_url;
mod known;
pub mod kubevirt;
mod list_options;
mod name;
mod request_options;
mod selector;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use folded::{OTHER, VERBS, folded_kubevirt_resource};
pub use go_url::{Target, TargetError};
pub use known::{is_known_resource, known_resources};
pub use name::{CallName, INVALID, has_objects, is_eviction, path_class};
pub use request_options::{RequestOptions, request_options};

/// A classified request. Byte strings are percent-decoded and need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'t> {
    /// Whether the path names a resource of the API (`/api/v1/…`, `/apis/group/version/…`).
    pub is_resource_request: bool,
    /// kube-apiserver's verb: `get list watch create update patch delete deletecollection proxy`,
    /// `""` for another method on a resource, and the lower-cased method elsewhere.
    pub verb: Cow<'t, str>,
    /// `api`, `apis` or empty.
    pub api_prefix: &'static str,
    /// API group, empty for the core group.
    pub api_group: &'t [u8],
    /// API version such as `v1`.
    pub api_version: &'t [u8],
    /// Namespace, empty where the path has none.
    pub namespace: &'t [u8],
    /// Plural resource name, such as `pods`; empty for a non-resource request.
    pub resource: &'t [u8],
    /// Subresource such as `status`.
    pub subresource: &'t [u8],
    /// Object name: from the path, or from an exact `metadata.name` field selector.
    pub name: Cow<'t, [u8]>,
    /// The path, percent-decoded.
    pub path: &'t [u8],
    /// The path ends where a resource must follow (`/api/v1/watch`): kube-apiserver answers 500.
    pub is_undetermined: bool,
}

/// How much an API call covers, as in kube-apiserver's `scope` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One object.
    Resource,
    /// All objects of a kind in a namespace.
    Namespace,
    /// All objects of a kind.
    Cluster,
    /// Not a resource request.
    None,
}

impl Scope {
    /// The value of kube-apiserver's `scope` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
            Self::None => "",
        }
    }
}

/// Classifies `target` as requested with `method` (case-sensitive, as HTTP has it).
pub fn classify<'t>(method: &str, target: &'t Target<'t>) -> Call<'t> {
    let mut call = Call::non_resource(method, target.path());
    let mut parts = Segments::of(target.path());
    if parts.len() < 3 {
        return call;
    }
    call.api_prefix = match parts.first() {
        b"api" => "api",
        b"apis" => "apis",
        _ => return call,
    };
    parts.drop_first();
    if call.api_prefix == "apis" {
        if parts.len() < 3 {
            return call;
        }
        call.api_group = parts.drop_first();
    }
    call.is_resource_request = true;
    call.api_version = parts.drop_first();
    let verb_from_path = match parts.first() {
        b"watch" => Some("watch"),
        b"proxy" => Some("proxy"),
        _ => None,
    };
    if let Some(verb) = verb_from_path {
        if parts.len() < 2 {
            call.is_undetermined = true;
            return call;
        }
        parts.drop_first();
        call.verb = Cow::Borrowed(verb);
    } else {
        call.verb = Cow::Borrowed(resource_verb(method));
    }
    call.name_object(parts);
    call.finish_verb(verb_from_path.is_some(), target);
    call
}

impl<'t> Call<'t> {
    /// kube-apiserver's rule for requests that have no deadline.
    pub fn is_long_running(&self) -> bool {
        matches!(&*self.verb, "watch" | "proxy")
            || (self.is_resource_request
                && matches!(
                    self.subresource,
                    b"attach" | b"exec" | b"proxy" | b"log" | b"portforward"
                ))
            || (!self.is_resource_request && self.path.starts_with(b"/debug/pprof/"))
    }

    /// kube-apiserver's rule for its `scope` label.
    pub fn scope(&self) -> Scope {
        if !self.name.is_empty() || self.verb == "create" {
            Scope::Resource
        } else if !self.namespace.is_empty() {
            Scope::Namespace
        } else if self.is_resource_request {
            Scope::Cluster
        } else {
            Scope::None
        }
    }

    fn non_resource(method: &str, path: &'t [u8]) -> Self {
        Self {
            is_resource_request: false,
            verb: lower_case_method(method),
            api_prefix: "",
            api_group: b"",
            api_version: b"",
            namespace: b"",
            resource: b"",
            subresource: b"",
            name: Cow::Borrowed(b""),
            path,
            is_undetermined: false,
        }
    }

    /// Takes namespace, resource, name and subresource from what follows the version.
    fn name_object(&mut self, mut parts: Segments<'t>) {
        if parts.first() == b"namespaces" && parts.len() > 1 {
            self.namespace = parts.at(1);
            // In every group, not only in core: `namespaces/x/status` is the namespace's own.
            if parts.len() > 2 && !matches!(parts.at(2), b"status" | b"finalize") {
                parts.drop_first();
                parts.drop_first();
            }
        }
        if parts.len() >= 3 && self.verb != "proxy" {
            self.subresource = parts.at(2);
        }
        if parts.len() >= 2 {
            self.name = Cow::Borrowed(parts.at(1));
        }
        self.resource = parts.first();
    }

    /// Tells `get` from `list` and `watch`, and `delete` from `deletecollection`.
    fn finish_verb(&mut self, verb_from_path: bool, target: &'t Target<'t>) {
        if verb_from_path || !self.name.is_empty() {
            return;
        }
        match &*self.verb {
            "get" => {
                let options = list_options::decode(target.query());
                self.verb = Cow::Borrowed(if options.watch { "watch" } else { "list" });
                self.name = options.name;
            }
            "delete" => self.verb = Cow::Borrowed("deletecollection"),
            _ => {}
        }
    }
}

fn resource_verb(method: &str) -> &'static str {
    match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn lower_case_method(method: &str) -> Cow<'static, str> {
    Cow::Borrowed(match method {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        "TRACE" => "trace",
        "CONNECT" => "connect",
        _ => return Cow::Owned(method.to_ascii_lowercase()),
    })
}

/// `apis/group/version/watch/namespaces/x/resource/name/subresource` is the longest form.
const MAX_PARTS: usize = 9;

/// The parts of a path between its slashes; leading and trailing slashes don't count, empty parts
/// in between do. Only the first parts are ever looked at, so that a long path costs no memory.
#[derive(Clone, Copy)]
struct Segments<'t> {
    parts: [&'t [u8]; MAX_PARTS],
    start: usize,
    end: usize,
}

impl<'t> Segments<'t> {
    fn of(path: &'t [u8]) -> Self {
        let mut parts = [&b""[..]; MAX_PARTS];
        let trimmed = trim_slashes(path);
        let mut end = 0;
        if !trimmed.is_empty() {
            for (slot, part) in parts.iter_mut().zip(trimmed.split(|&byte| byte == b'/')) {
                *slot = part;
                end += 1;
            }
        }
        Self {
            parts,
            start: 0,
            end,
        }
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn at(&self, index: usize) -> &'t [u8] {
        self.parts[self.start + index]
    }

    fn first(&self) -> &'t [u8] {
        self.at(0)
    }

    fn drop_first(&mut self) -> &'t [u8] {
        let first = self.first();
        self.start += 1;
        first
    }
}

fn trim_slashes(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] = path {
        path = rest;
    }
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}
