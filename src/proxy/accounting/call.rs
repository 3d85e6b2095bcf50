//! What a request is called in the ledger, by its method and target.

use http::{Method, Uri, uri::PathAndQuery};

use classify::{
    CallName, RequestOptions, Target, TargetError, kubevirt::kubevirt_call, request_options,
};
use ledger::ObjectRef;

/// The path and verb in the ledger of what no API server would take for a request.
const NOT_A_TARGET: &str = "(invalid)";

/// Path and query as received. An absolute URI's authority is not part of it.
fn received(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// What a request's target says besides its name.
pub(crate) struct TargetFacts {
    /// Whether kube-apiserver lets the request run without end: it must end with its client.
    pub(crate) is_long_running: bool,
    /// What is wrong with the target.
    pub(crate) error: Option<TargetError>,
}

/// Classifies a request and calls `with` with its name, and with what else its target says.
pub(crate) fn name_call<T>(
    method: &Method,
    uri: &Uri,
    with: impl FnOnce(&CallName<'_>, TargetFacts) -> T,
) -> T {
    match Target::parse(method.as_str(), received(uri).as_bytes()) {
        Ok(target) => {
            let call = classify::classify(method.as_str(), &target);
            let kubevirt = kubevirt_call(method.as_str(), &target);
            let facts = TargetFacts {
                is_long_running: call.is_long_running(),
                error: None,
            };
            with(&CallName::new(&call, kubevirt), facts)
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
            let facts = TargetFacts {
                is_long_running: false,
                error: Some(error),
            };
            with(&name, facts)
        }
    }
}

/// What a request's target names and asks for.
#[derive(Clone, Default)]
pub(super) struct AskedFor {
    pub(super) object: ObjectRef,
    pub(super) options: RequestOptions,
}

/// The object that a request names, and its options.
pub(super) fn asked_for(method: &Method, uri: &Uri) -> AskedFor {
    let Ok(target) = Target::parse(method.as_str(), received(uri).as_bytes()) else {
        return AskedFor::default();
    };
    let call = classify::classify(method.as_str(), &target);
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(253)]).into();
    AskedFor {
        object: ObjectRef {
            namespace: text(call.namespace),
            name: text(&call.name),
        },
        options: request_options(&target),
    }
}
