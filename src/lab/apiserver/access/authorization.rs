//! Who asks, and whether that is allowed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::json;

use crate::apiserver::requests::route::Route;
use crate::apiserver::requests::user::UserInfo;
use crate::apiserver::status::{Failure, qualified};

/// Returns true if `(user, verb, group, resource)` is to be denied.
pub type DenyHook = dyn Fn(&UserInfo, &str, &str, &str) -> bool + Send + Sync;

/// Tokens and the rule.
pub(crate) struct Access {
    tokens: RwLock<HashMap<String, UserInfo>>,
    deny: Option<Arc<DenyHook>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    pub(crate) fn new(deny: Option<Arc<DenyHook>>) -> Self {
        Self {
            tokens: RwLock::default(),
            deny,
        }
    }

    pub(crate) fn add_token(&self, token: String, user: UserInfo) {
        self.tokens
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token, user);
    }

    /// The user of a request; `Impersonate-User` is honoured for who may impersonate.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<UserInfo, Failure> {
        let header = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        // Another scheme is not looked at.
        let user = match header.and_then(|value| value.strip_prefix("Bearer ")) {
            None => UserInfo {
                name: "system:anonymous".to_owned(),
                groups: vec!["system:unauthenticated".to_owned()],
            },
            Some(token) => {
                let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
                tokens
                    .get(token.trim())
                    .cloned()
                    .ok_or_else(Failure::unauthorized)?
            }
        };
        self.impersonate(user, headers)
    }

    fn impersonate(&self, user: UserInfo, headers: &HeaderMap) -> Result<UserInfo, Failure> {
        let Some(name) = headers
            .get("impersonate-user")
            .and_then(|name| name.to_str().ok())
        else {
            return Ok(user);
        };
        if !self.allows(&user, "impersonate", "", "users") {
            let what = format!("users \"{name}\"");
            let why = format!(
                "User \"{}\" cannot impersonate resource \"users\" in API group \"\"",
                user.name
            );
            return Err(Failure::forbidden(
                &what,
                &format!("{why} at the cluster scope"),
            ));
        }
        let groups = headers.get_all("impersonate-group").iter();
        let groups = groups
            .filter_map(|group| group.to_str().ok())
            .map(str::to_owned)
            .collect();
        Ok(UserInfo {
            name: name.to_owned(),
            groups,
        })
    }

    /// Anonymous may nothing here, `system:masters` everything, others what the hook does not deny.
    pub(crate) fn allows(&self, user: &UserInfo, verb: &str, group: &str, resource: &str) -> bool {
        if user.groups.iter().any(|group| group == "system:masters") {
            return true;
        }
        let denied = self
            .deny
            .as_ref()
            .is_some_and(|deny| deny(user, verb, group, resource));
        user.name != "system:anonymous" && !denied
    }

    /// Fails with Kubernetes's 403 if `user` may not do what `route` says.
    pub(crate) fn authorize(&self, user: &UserInfo, route: &Route) -> Result<(), Failure> {
        if !route.is_resource() {
            let public = ["/healthz", "/livez", "/readyz", "/version"];
            let open = public.iter().any(|prefix| route.path.starts_with(prefix));
            if open || self.allows(user, &route.verb, "", "") {
                return Ok(());
            }
            let why = format!(
                "User \"{}\" cannot {} path \"{}\"",
                user.name, route.verb, route.path
            );
            return Err(Failure::forbidden("", &why));
        }
        if self.allows(user, &route.verb, &route.group, &route.resource) {
            return Ok(());
        }
        Err(refused(user, route))
    }
}

fn refused(user: &UserInfo, route: &Route) -> Failure {
    let mut what = qualified(&route.group, &route.resource);
    if !route.name.is_empty() {
        what = format!("{what} \"{}\"", route.name);
    }
    let resource = match route.subresource.as_str() {
        "" => route.resource.clone(),
        subresource => format!("{}/{subresource}", route.resource),
    };
    let scope = match route.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let (name, verb, group) = (&user.name, &route.verb, &route.group);
    let why = format!(
        "User \"{name}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}"
    );
    let mut details = json!({"kind": route.resource});
    for (member, text) in [("group", group), ("name", &route.name)] {
        if !text.is_empty() {
            details[member] = text.as_str().into();
        }
    }
    Failure {
        details,
        ..Failure::forbidden(&what, &why)
    }
}
