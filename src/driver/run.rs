//! The steps of a density run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    RunError,
    bystander::Bystander,
    cleanup::{Made, NAMESPACE},
    client::{Tally, api},
    measure::{self, Opened},
    observe::{Objects, Observer},
    preflight::preflight,
    proxies::ProxyClient,
    roster::Roster,
    verdict,
};
use crate::workload::{Kind, Spec, VM, VMI};
use record::{ClusterRecord, ObjectTimes, RunRecord, Snapshot};

/// The label of a namespace that a run made; its value is the run's id.
const RUN_LABEL: &str = "kubetoll.dev/run";
/// Kubernetes's alphabet for generated names: no vowels, nothing that looks like another.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How often a create that got 429 is repeated.
const THROTTLED_MAX: u32 = 20;
/// Longest wait for objects to be gone.
pub(super) const GONE_TIMEOUT: Duration = Duration::from_secs(120);

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is created.
    pub spec: Spec,
    /// How many.
    pub count: usize,
    /// Pause after each create.
    pub pause: Duration,
    /// Longest wait for all to be Running.
    pub timeout: Duration,
    /// How long the namespace must be silent before the books are closed.
    pub settle: Duration,
    /// Length of the window before the run in which nothing is created.
    pub baseline: Duration,
    /// The namespace to use; otherwise one is made and removed again.
    pub namespace: Option<String>,
    /// Leaves the objects where they are.
    pub keep: bool,
    /// Creates and deletes one object first.
    pub primer: bool,
    /// Records audit IDs.
    pub audit_ids: bool,
    /// Whether KubeVirt is simulated.
    pub simulated: bool,
    /// More of what was asked for, for the record.
    pub configuration: BTreeMap<String, String>,
}

/// Tells a person how far a run is.
pub trait Progress: Send + Sync {
    /// A new phase began.
    fn phase(&self, what: &str);
    /// So much of the phase is done.
    fn step(&self, done: usize, of: usize);
}

/// Runs density scenarios.
pub struct Driver<'a> {
    /// The API server, directly; its calls are counted by `tally`.
    pub client: Client,
    /// The driver's own calls.
    pub tally: Tally,
    /// The proxies that take part.
    pub proxies: Vec<ProxyClient>,
    /// The pods that they are in, where they were found on a cluster.
    pub roster: Option<&'a dyn Roster>,
    /// Who looks at something else while the books are open.
    pub bystander: Option<&'a dyn Bystander>,
    /// Server and context for the record.
    pub cluster: ClusterRecord,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// Cancelled by Ctrl-C.
    pub stop: CancellationToken,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) driver: &'a Driver<'a>,
    pub(super) plan: &'a Plan,
    pub(super) id: String,
    pub(super) namespace: String,
    /// What it made so far, and may remove again.
    pub(super) made: Made,
    started: Timestamp,
    cluster: ClusterRecord,
}

/// What a create left behind.
struct Created {
    name: String,
    sent: Timestamp,
    took: Duration,
}

impl Driver<'_> {
    /// Runs a plan. Whatever happens, what the run made is removed again, unless it is to be kept.
    pub async fn run(&self, plan: &Plan) -> Result<RunRecord, RunError> {
        let id = format!("run-{}-{}", Timestamp::now().as_second(), random_suffix());
        let started = Timestamp::now();
        self.progress.phase("preflight");
        let looked = preflight(
            &self.client,
            &plan.spec,
            plan.namespace.as_deref(),
            &self.proxies,
            &self.cluster.kubevirt_version,
        );
        let (found, _) = self.until_stopped(looked).await?;
        let namespace = plan
            .namespace
            .clone()
            .unwrap_or_else(|| format!("kubetoll-{id}"));
        let run = Run {
            driver: self,
            plan,
            cluster: ClusterRecord {
                namespace: namespace.clone(),
                kubernetes_version: found.kubernetes_version,
                kubevirt_version: found.kubevirt_version,
                ..self.cluster.clone()
            },
            id,
            namespace,
            made: Made::default(),
            started,
        };
        let outcome = self.until_stopped(run.all()).await;
        if outcome.is_err() {
            for id in [&run.id, &run.deletion_id()] {
                measure::abandon(id, &self.proxies).await;
            }
        }
        let cleaned = run.clean_up().await;
        let mut record = match (outcome, cleaned) {
            (Ok(record), Ok(())) => record,
            (Ok(record), Err(left)) => {
                tracing::error!("{left}");
                record
            }
            (Err(cause), Ok(())) => return Err(cause),
            (Err(cause), Err(left)) => {
                return Err(RunError::LeftBehind {
                    cause: Box::new(cause),
                    left: Box::new(left),
                });
            }
        };
        record.finished = Timestamp::now();
        record.driver = self.tally.calls();
        Ok(record)
    }

    async fn until_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let done = self.stop.run_until_cancelled(work).await;
        done.unwrap_or(Err(RunError::Interrupted))
    }
}

impl Run<'_> {
    async fn all(&self) -> Result<RunRecord, RunError> {
        self.prepare_namespace().await?;
        let with_vms = self.plan.spec.kind() == VM;
        let client = &self.driver.client;
        let mut observer = Observer::start(client, &self.namespace, with_vms);
        if self.plan.primer {
            self.phase("primer");
            self.prime(&mut observer).await?;
        }
        self.phase("baseline");
        let before = self.snapshots().await?;
        sleep(self.plan.baseline).await;
        let opened = measure::open(&self.measure_plan(), &self.driver.proxies).await?;
        if let Some(bystander) = self.driver.bystander {
            bystander.opened().await;
        }
        let known = observer.objects();
        let created = self.create_all().await?;
        self.wait_for_running(&mut observer, &created).await?;
        self.phase("settle");
        let mut record = self.close(opened, before).await?;
        if let Some(bystander) = self.driver.bystander {
            bystander.closed().await;
        }
        let objects = observer.objects();
        record.objects = times(&created, &objects);
        let new = new_objects(&known, &objects);
        record
            .checks
            .extend(verdict::created(&record, &new, self.plan));
        if !self.plan.keep {
            self.delete_measured(&mut observer, &mut record).await?;
        }
        Ok(record)
    }

    pub(super) fn phase(&self, what: &str) {
        self.driver.progress.phase(what);
    }

    pub(super) fn deletion_id(&self) -> String {
        format!("{}-delete", self.id)
    }

    pub(super) fn objects(&self) -> Api<kube::api::DynamicObject> {
        api(&self.driver.client, &self.namespace, self.plan.spec.kind())
    }

    fn measure_plan(&self) -> measure::Plan {
        measure::Plan {
            id: self.id.clone(),
            scenario: self.plan.spec.name().to_owned(),
            namespace: self.namespace.clone(),
            journal: self.plan.audit_ids,
            lease: self.plan.timeout + GONE_TIMEOUT + self.plan.pause * self.plan.count as u32,
            silence: self.plan.settle,
            settle_longest: self.plan.timeout,
        }
    }

    /// Makes the run's namespace, or sees that the given one is empty; makes what all objects need.
    async fn prepare_namespace(&self) -> Result<(), RunError> {
        if self.plan.namespace.is_none() {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": self.namespace, "labels": {RUN_LABEL: self.id}},
            });
            let namespaces: Api<kube::api::DynamicObject> = Api::all_with(
                self.driver.client.clone(),
                &super::client::resource(NAMESPACE),
            );
            create(&namespaces, &namespace).await?;
            self.made.namespace();
        } else {
            for kind in self.plan.spec.needs() {
                self.refuse_foreign(kind).await?;
            }
        }
        for (kind, object) in self.plan.spec.prerequisites() {
            let objects = api(&self.driver.client, &self.namespace, kind);
            self.made.object(kind, create(&objects, &object).await?);
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

    /// One object first, so that what happens only once is over when counting begins.
    async fn prime(&self, observer: &mut Observer) -> Result<(), RunError> {
        let object = self.plan.spec.object(&random_suffix());
        self.note_object(&object);
        let name = create(&self.objects(), &object).await?;
        let primer = [Created {
            name: name.clone(),
            sent: Timestamp::now(),
            took: Duration::ZERO,
        }];
        self.wait_for_running(observer, &primer).await?;
        let deleted = self.objects().delete(&name, &DeleteParams::default()).await;
        deleted.map_err(|error| RunError::api("cannot delete the primer", error))?;
        self.wait_until_gone(observer).await
    }

    /// Before it is created: a create that is interrupted may have been done. Its name is random,
    /// so that nobody else's object can have it.
    fn note_object(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.made.object(self.plan.spec.kind(), name.to_owned());
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, RunError> {
        let mut snapshots = Vec::new();
        for proxy in &self.driver.proxies {
            snapshots.push(proxy.snapshot().await?);
        }
        Ok(snapshots)
    }

    async fn create_all(&self) -> Result<Vec<Created>, RunError> {
        self.phase("create");
        let mut created = Vec::with_capacity(self.plan.count);
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
        Ok(created)
    }

    async fn wait_for_running(
        &self,
        observer: &mut Observer,
        created: &[Created],
    ) -> Result<(), RunError> {
        self.phase("wait for Running");
        let count = created.len();
        let all_running = observer.wait_for(self.plan.timeout, |objects| {
            let running = running(objects, created);
            self.driver.progress.step(running, count);
            running == count
        });
        if all_running.await {
            return Ok(());
        }
        let objects = observer.objects();
        Err(RunError::NotRunning {
            running: running(&objects, created),
            count,
            seconds: self.plan.timeout.as_secs(),
            hint: phases_hint(&objects),
        })
    }

    pub(super) async fn wait_until_gone(&self, observer: &mut Observer) -> Result<(), RunError> {
        let gone = observer.wait_for(GONE_TIMEOUT, |objects| left(objects) == 0);
        if gone.await {
            return Ok(());
        }
        Err(RunError::NotGone {
            left: left(&observer.objects()),
            seconds: GONE_TIMEOUT.as_secs(),
        })
    }

    async fn close(&self, opened: Opened, before: Vec<Snapshot>) -> Result<RunRecord, RunError> {
        let proxies = &self.driver.proxies;
        let roster = self.driver.roster;
        let mut record = measure::close(&self.measure_plan(), opened, proxies, roster).await?;
        for (proxy, before) in record.proxies.iter_mut().zip(before) {
            proxy.baseline = Some(before);
        }
        record.started = self.started;
        record.simulated = self.plan.simulated;
        record.cluster = self.cluster.clone();
        record.configuration = self.configuration();
        Ok(record)
    }

    fn configuration(&self) -> BTreeMap<String, String> {
        let plan = self.plan;
        let mut configuration = plan.configuration.clone();
        configuration.extend([
            ("count".to_owned(), plan.count.to_string()),
            ("pause_ms".to_owned(), plan.pause.as_millis().to_string()),
            (
                "baseline_ms".to_owned(),
                plan.baseline.as_millis().to_string(),
            ),
            ("settle_ms".to_owned(), plan.settle.as_millis().to_string()),
            ("timeout_s".to_owned(), plan.timeout.as_secs().to_string()),
            ("kwok".to_owned(), plan.spec.kwok.to_string()),
            ("primer".to_owned(), plan.primer.to_string()),
        ]);
        configuration
    }
}

/// Creates an object and gives its name. A 429 is waited out; the tally shows each.
async fn create(
    objects: &Api<kube::api::DynamicObject>,
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

fn random_suffix() -> String {
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

fn running(objects: &Objects, created: &[Created]) -> usize {
    let running: BTreeSet<&str> = objects
        .iter()
        .filter(|((plural, _), seen)| *plural == VMI.plural && seen.running_seen.is_some())
        .map(|(_, seen)| seen.name.as_str())
        .collect();
    let names = created.iter();
    names
        .filter(|one| running.contains(one.name.as_str()))
        .count()
}

fn left(objects: &Objects) -> usize {
    objects.values().filter(|seen| seen.exists).count()
}

/// What is the matter with those that are not Running.
fn phases_hint(objects: &Objects) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    for ((plural, _), seen) in objects {
        if *plural == VMI.plural && seen.exists && seen.phase != "Running" {
            let phase = if seen.phase.is_empty() {
                "no phase"
            } else {
                &seen.phase
            };
            *phases.entry(phase).or_default() += 1;
        }
    }
    phases
        .iter()
        .map(|(phase, count)| format!("; {count} in {phase}"))
        .collect()
}

fn new_objects(known: &Objects, now: &Objects) -> Objects {
    let new = now.iter().filter(|(key, _)| !known.contains_key(*key));
    new.map(|(key, seen)| (key.clone(), seen.clone())).collect()
}

fn times(created: &[Created], objects: &Objects) -> Vec<ObjectTimes> {
    let vmis: BTreeMap<&str, (&String, &super::observe::Seen)> = objects
        .iter()
        .filter(|((plural, _), _)| *plural == VMI.plural)
        .map(|((_, uid), seen)| (seen.name.as_str(), (uid, seen)))
        .collect();
    let times = created.iter().filter_map(|one| {
        let (uid, seen) = vmis.get(one.name.as_str())?;
        Some(ObjectTimes {
            name: one.name.clone(),
            uid: (*uid).clone(),
            create_sent: one.sent,
            create_ms: one.took.as_secs_f64() * 1e3,
            created: seen.created,
            running_seen: seen.running_seen,
            phases: seen.phases.clone(),
        })
    });
    times.collect()
}
