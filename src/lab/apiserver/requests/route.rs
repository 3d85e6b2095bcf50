//! From method and path to what is asked for, by the registry.

use super::query::{Query, decode};
use super::selector::{FieldSelector, LabelSelector};
use crate::apiserver::resources::registry::{self, RESOURCES, ResourceId};
use crate::apiserver::resources::resource::Resource;

/// What a request is about. For a path that is no resource only `path` and `verb` (the method in lower case) are set.
#[derive(Debug, Default, Clone)]
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Set if the registry knows the resource.
    pub(crate) id: Option<ResourceId>,
}

impl Route {
    /// `None` if the path cannot be decoded.
    pub(crate) fn parse(method: &str, raw_path: &str, query: &Query) -> Option<Self> {
        let path = decode(raw_path)?;
        let mut route = Self {
            verb: method.to_ascii_lowercase(),
            ..Self::default()
        };
        let trimmed = path.trim_matches('/').to_owned();
        route.path = path;
        let mut parts: Vec<&str> = trimmed.split('/').collect();
        let head = match parts.first() {
            Some(&"api") if parts.len() >= 3 => 2,
            Some(&"apis") if parts.len() >= 4 => 3,
            _ => return Some(route),
        };
        if head == 3 {
            route.group = parts[1].to_owned();
        }
        route.version = parts[head - 1].to_owned();
        parts.drain(..head);
        let watch_prefix = parts[0] == "watch" && parts.len() > 1;
        if watch_prefix {
            parts.remove(0);
        }
        route.take_names(&parts);
        route.verb = if watch_prefix {
            "watch".to_owned()
        } else {
            verb(method, &mut route.name, query).to_owned()
        };
        route.id = registry::find(&route.group, &route.version, &route.resource);
        Some(route)
    }

    fn take_names(&mut self, parts: &[&str]) {
        let mut parts = parts;
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].to_owned();
            let itself = matches!(parts.get(2), None | Some(&"status" | &"finalize"));
            if !itself {
                parts = &parts[2..];
            }
        }
        let part = |at: usize| {
            parts
                .get(at)
                .map_or_else(String::new, |part| (*part).to_owned())
        };
        (self.resource, self.name, self.subresource) = (part(0), part(1), part(2));
    }

    /// The registry's entry.
    pub(crate) fn known(&self) -> Option<(ResourceId, &'static Resource)> {
        self.id.map(|id| (id, RESOURCES[id]))
    }

    pub(crate) fn is_resource(&self) -> bool {
        !self.version.is_empty()
    }

    pub(crate) fn is_mutating(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }
}

/// Kubernetes's verb. A list or watch of one object by `metadata.name` names that object.
fn verb(method: &str, name: &mut String, query: &Query) -> &'static str {
    match method {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if name.is_empty() => "deletecollection",
        "DELETE" => "delete",
        "GET" | "HEAD" if name.is_empty() => {
            if well_formed(query) {
                let fields = FieldSelector::parse(query.text("fieldSelector")).unwrap_or_default();
                *name = fields.exact("metadata.name").unwrap_or_default().to_owned();
            }
            if query.flag("watch") { "watch" } else { "list" }
        }
        "GET" | "HEAD" => "get",
        _ => "",
    }
}

fn well_formed(query: &Query) -> bool {
    LabelSelector::parse(query.text("labelSelector")).is_ok()
        && ["limit", "timeoutSeconds"]
            .iter()
            .all(|name| query.number(name).is_ok())
}
