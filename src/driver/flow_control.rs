//! Which flow schemas and priority levels throttled a run's requests: a 429 has their UIDs, and the API
//! server their names.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::{
    Api, Client, Resource,
    api::{ListParams, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::describe;
use cluster::rights::Rule;
use record::{RunRecord, StatusRecord};

/// The API group of both.
const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Most objects of a kind that are looked at; a cluster has a few dozens.
const OBJECTS_MAX: u32 = 500;
/// Longest wait for both lists.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What it takes to know the names.
pub(super) fn rights() -> Vec<Rule> {
    let kinds = ["flowschemas", "prioritylevelconfigurations"];
    kinds.map(|kind| Rule::new("list", GROUP, kind)).into()
}

/// Enters the names into the lines of requests that were answered 429, if there are any: two lists.
/// Says why names are missing. `client` is the API server, directly.
pub async fn name_flow_schemas(record: &mut RunRecord, client: &Client) -> Option<String> {
    let throttled: Vec<&mut StatusRecord> = throttled(record).collect();
    if throttled.is_empty() {
        return None;
    }
    let unnamed = |why: &str| {
        format!(
            "of requests that were answered 429, flow schema and priority level have no name: {why}"
        )
    };
    let lists = async {
        let schemas = names::<FlowSchema>(client).await?;
        let levels = names::<PriorityLevelConfiguration>(client).await?;
        Ok::<_, kube::Error>((schemas, levels))
    };
    let (schemas, levels) = match timeout(TIMEOUT, lists).await {
        Ok(Ok(names)) => names,
        Ok(Err(error)) => return Some(unnamed(&describe(&error))),
        Err(_) => return Some(unnamed("the API server took too long")),
    };
    let mut is_missing = false;
    for status in throttled {
        let name = |names: &HashMap<String, String>, uid: &str| names.get(uid).cloned();
        let schema = name(&schemas, &status.flow_schema);
        let level = name(&levels, &status.priority_level);
        is_missing |= schema.is_none() || level.is_none();
        status.flow_schema_name = schema.unwrap_or_default();
        status.priority_level_name = level.unwrap_or_default();
    }
    is_missing.then(|| unnamed("the API server has none with that UID any more"))
}

/// Whether a line of the run has a flow schema that throttled its request.
pub fn was_throttled(record: &RunRecord) -> bool {
    let journals = record.proxies.iter().flat_map(|proxy| {
        let deletion = proxy.deletion.as_ref().map(|deletion| &deletion.journal);
        [Some(&proxy.closed.journal), deletion]
    });
    let mut lines = journals.flatten().flatten();
    lines.any(|line| line.failure.as_deref().is_some_and(has_flow_schema))
}

fn has_flow_schema(failure: &StatusRecord) -> bool {
    !failure.flow_schema.is_empty()
}

fn throttled(record: &mut RunRecord) -> impl Iterator<Item = &mut StatusRecord> {
    let proxies = record.proxies.iter_mut();
    let lines = proxies.flat_map(|proxy| {
        let deletion = proxy.deletion.iter_mut();
        let deletion = deletion.flat_map(|deletion| &mut deletion.journal);
        proxy.closed.journal.iter_mut().chain(deletion)
    });
    let failures = lines.filter_map(|line| line.failure.as_deref_mut());
    failures.filter(|failure| has_flow_schema(failure))
}

/// Names by UIDs.
async fn names<K>(client: &Client) -> kube::Result<HashMap<String, String>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let all = Api::<K>::all(client.clone());
    let asked = ListParams::default().limit(OBJECTS_MAX);
    let list = all.list_metadata(&asked).await?;
    let named = list.items.into_iter().map(|object: PartialObjectMeta<K>| {
        let metadata = object.metadata;
        (
            metadata.uid.unwrap_or_default(),
            metadata.name.unwrap_or_default(),
        )
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
        task::{Context, Poll},
    };

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_service::Service;

    use super::*;
    use crate::spool::tests::run;
    use record::JournalRecord;

    /// An API server with one flow schema and one priority level, or one that refuses.
    #[derive(Clone, Copy)]
    struct Lists {
        is_allowed: bool,
    }

    impl Service<Request<Body>> for Lists {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let name = match request.uri().path() {
                "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas" => "service-accounts",
                "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations" => {
                    "workload-low"
                }
                other => panic!("{other}"),
            };
            let (code, answer) = if self.is_allowed {
                (200, list(name))
            } else {
                (403, refusal())
            };
            let answer = Body::from(answer.to_string().into_bytes());
            ready(Ok(Response::builder().status(code).body(answer).unwrap()))
        }
    }

    fn list(name: &str) -> Value {
        json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {},
            "items": [{
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"name": name, "uid": format!("uid of {name}")},
            }],
        })
    }

    fn refusal() -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "flowschemas is forbidden", "reason": "Forbidden", "code": 403,
        })
    }

    /// A run with two lines: a 429 by this flow schema, and something else that failed.
    fn throttled_by(schema: &str) -> RunRecord {
        let throttled = StatusRecord {
            flow_schema: format!("uid of {schema}"),
            priority_level: "uid of workload-low".to_owned(),
            ..StatusRecord::default()
        };
        let lines = [throttled, StatusRecord::default()].map(|failure| JournalRecord {
            failure: Some(Box::new(failure)),
            ..JournalRecord::default()
        });
        let mut run = run();
        run.proxies[0].closed.journal = lines.into();
        run
    }

    fn names(run: &RunRecord) -> (&str, &str) {
        let failure = run.proxies[0].closed.journal[0].failure.as_ref().unwrap();
        (&failure.flow_schema_name, &failure.priority_level_name)
    }

    #[tokio::test]
    async fn uids_get_names_or_a_reason_why_not() {
        let client = |is_allowed| Client::new(Lists { is_allowed }, "default");
        let mut run = throttled_by("service-accounts");
        assert!(was_throttled(&run));
        assert_eq!(name_flow_schemas(&mut run, &client(true)).await, None);
        assert_eq!(names(&run), ("service-accounts", "workload-low"));

        let mut gone = throttled_by("gone");
        let unnamed = name_flow_schemas(&mut gone, &client(true)).await.unwrap();
        assert!(
            unnamed.ends_with("has none with that UID any more"),
            "{unnamed}"
        );
        assert_eq!(names(&gone), ("", "workload-low"));

        let mut refused = throttled_by("service-accounts");
        let unnamed = name_flow_schemas(&mut refused, &client(false))
            .await
            .unwrap();
        assert!(unnamed.contains("flowschemas is forbidden"), "{unnamed}");
        assert_eq!(names(&refused), ("", ""));
    }
}
