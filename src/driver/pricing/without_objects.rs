//! Calls that need no object: of reviews, which are not kept, and of paths that are no resource.

use serde_json::{Value, json};

use super::{
    caller::Call,
    error::PricingError,
    session::{Batch, Session},
};
use prices::{Size, What};
use record::{PricedCall, PricedOutcome};

/// Paths by which clients see whether an API server is well, and of which version it is.
const PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];
/// Paths by which clients learn what an API server serves.
const DISCOVERY_PATHS: [&str; 2] = ["/api", "/apis"];

/// Measures so many calls of each.
pub(super) async fn measure(session: &mut Session<'_>, count: usize) -> Result<(), PricingError> {
    for (kind, plural, spec) in reviews() {
        let path = format!("/apis/{AUTHORIZATION}/v1/{plural}");
        let api_version = format!("{AUTHORIZATION}/v1");
        let review = json!({"apiVersion": api_version, "kind": kind, "spec": spec});
        let priced = PricedCall {
            verb: "create".to_owned(),
            group: AUTHORIZATION.to_owned(),
            resource: plural.to_owned(),
            ..PricedCall::default()
        };
        run(session, priced, 201, count, || {
            Call::post(path.clone(), &review)
        })
        .await?;
    }
    for path in PATHS {
        let get = || Call::get(path.to_owned());
        run(session, get_of(path), 200, count, get).await?;
    }
    for path in DISCOVERY_PATHS {
        let get = || Call::discovery(path.to_owned());
        run(session, get_of(path), 200, count, get).await?;
    }
    Ok(())
}

const AUTHORIZATION: &str = "authorization.k8s.io";

/// Kind, plural name and `spec` of each review.
fn reviews() -> [(&'static str, &'static str, Value); 2] {
    let attributes = json!({"namespace": "default", "verb": "get", "group": "kubevirt.io",
        "resource": "virtualmachines", "name": "none"});
    [
        (
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            json!({"resourceAttributes": attributes}),
        ),
        (
            "SubjectAccessReview",
            "subjectaccessreviews",
            json!({"user": "somebody", "groups": ["system:authenticated"],
                "resourceAttributes": attributes}),
        ),
    ]
}

fn get_of(path: &str) -> PricedCall {
    PricedCall {
        verb: "get".to_owned(),
        path: path.to_owned(),
        ..PricedCall::default()
    }
}

async fn run(
    session: &mut Session<'_>,
    call: PricedCall,
    code: u16,
    count: usize,
    one: impl Fn() -> Call,
) -> Result<(), PricingError> {
    let batch = Batch {
        what: What::Call(call, PricedOutcome::Success),
        size: Size::Small,
        calls: std::iter::repeat_with(one).take(count).collect(),
        codes: vec![code; count],
        object_bytes: 0.0,
    };
    session.batch(batch).await?;
    Ok(())
}
