//! Makes what a run needs and what it is about.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, ListParams, PostParams},
};
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    client::{api, resource},
    context::Run,
    error::RunError,
};
use crate::workload::{Kind, NAMESPACE};

/// The label of a namespace that a run made; its value is the run's id.
const RUN_LABEL: &str = "kubetoll.dev/run";
/// Kubernetes's alphabet for generated names: no vowels, nothing that looks like another.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How often a create that got 429 is repeated.
const THROTTLED_MAX: u32 = 20;

/// What a create left behind.
pub(super) struct Created {
    pub(super) name: String,
    /// When the request was sent.
    pub(super) sent: Timestamp,
    /// Until it was answered.
    pub(super) took: Duration,
}

impl Run<'_> {
    /// Makes the run's namespace, or sees that the given one is empty; makes what all objects need.
    pub(super) async fn prepare_namespace(&self) -> Result<(), RunError> {
        if self.plan.namespace.is_none() {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": self.namespace, "labels": {RUN_LABEL: self.id}},
            });
            let client = self.driver.client.clone();
            let namespaces: Api<DynamicObject> = Api::all_with(client, &resource(NAMESPACE));
            create(&namespaces, &namespace).await?;
            self.made.note_namespace();
        } else {
            for kind in self.plan.spec.needs() {
                self.refuse_foreign(kind).await?;
            }
        }
        for (kind, object) in self.plan.spec.prerequisites() {
            let objects = api(&self.driver.client, &self.namespace, kind);
            self.made.note(kind, create(&objects, &object).await?);
        }
        Ok(())
    }

    async fn refuse_foreign(&self, kind: Kind) -> Result<(), RunError> {
        let objects = api(&self.driver.client, &self.namespace, kind);
        let list = objects.list(&ListParams::default()).await;
        let list = list.map_err(|error| RunError::api("cannot look into the namespace", error))?;
        if list.items.is_empty() {
            return Ok(());
        }
        Err(RunError::ForeignObjects {
            namespace: self.namespace.clone(),
            count: list.items.len(),
            plural: kind.plural,
        })
    }

    /// Creates the plan's objects, one after the other, with its pauses; notes each in `created`.
    pub(super) async fn create_all(&self, created: &mut Vec<Created>) -> Result<(), RunError> {
        self.phase("create");
        created.reserve(self.plan.count);
        let objects = self.objects();
        let mut used = BTreeSet::new();
        for number in 0..self.plan.count {
            let object = self.plan.spec.object(&unused_suffix(&mut used));
            let (sent, began) = (Timestamp::now(), Instant::now());
            self.note_object(&object);
            let name = create(&objects, &object).await?;
            created.push(Created {
                name,
                sent,
                took: began.elapsed(),
            });
            self.driver.progress.step(number + 1, self.plan.count);
            sleep(self.plan.pause).await;
        }
        Ok(())
    }

    /// Before it is created: a create that is interrupted may have been done. Its name is random,
    /// so that nobody else's object can have it.
    pub(super) fn note_object(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.made.note(self.plan.spec.kind(), name.to_owned());
    }
}

/// Creates an object and gives its name. A 429 is waited out; the tally shows each.
pub(super) async fn create(
    objects: &Api<DynamicObject>,
    object: &Value,
) -> Result<String, RunError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let wrong = |error: serde_json::Error| RunError::Api {
        what: format!("cannot create {name}"),
        message: error.to_string(),
    };
    let typed = serde_json::from_value(object.clone()).map_err(wrong)?;
    for attempt in 1.. {
        match objects.create(&PostParams::default(), &typed).await {
            Ok(created) => return Ok(created.metadata.name.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 429 && attempt < THROTTLED_MAX => {
                tracing::warn!(attempt, "the API server throttles the driver (429)");
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(RunError::api(format!("cannot create {name}"), error)),
        }
    }
    unreachable!("the last attempt returns")
}

/// Five letters of [`NAME_ALPHABET`].
pub(super) fn random_suffix() -> String {
    let mut random = rand::rng();
    let letter = |_| char::from(NAME_ALPHABET[random.random_range(0..NAME_ALPHABET.len())]);
    (0..5).map(letter).collect()
}

/// Two of some thousand random names are likely to be the same.
fn unused_suffix(used: &mut BTreeSet<String>) -> String {
    loop {
        let suffix = random_suffix();
        if used.insert(suffix.clone()) {
            return suffix;
        }
    }
}
