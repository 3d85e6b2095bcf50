//! The steps of a density run.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use kube::api::DeleteParams;
use tokio::time::sleep;

use super::{
    at_once::try_ask_all,
    context::{Driver, Run},
    create::{Created, create, random_suffix},
    error::RunError,
    made::Made,
    measure::{self, Opened},
    observe::{Objects, Observer, Seen},
    plan::Plan,
    preflight::preflight,
    proxies::ProxyClient,
    verdict,
    wait::GONE_TIMEOUT,
};
use crate::workload::{VM, VMI};
use record::{ClusterRecord, ObjectTimes, RunRecord, Snapshot};

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
        let found = self.until_stopped(looked).await?;
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
        let mut record = ended(outcome, cleaned)?;
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
        let before = try_ask_all(&self.driver.proxies, ProxyClient::snapshot).await?;
        sleep(self.plan.baseline).await;
        let opened = measure::open(&self.measure_plan(), &self.driver.proxies).await?;
        if let Some(hook) = self.driver.window_hook {
            hook.on_open().await;
        }
        let known = observer.objects();
        let created = self.create_all().await?;
        self.wait_for_running(&mut observer, &created).await?;
        self.phase("settle");
        let mut record = self.close(opened, before).await?;
        if let Some(hook) = self.driver.window_hook {
            hook.on_close().await;
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
        record.configuration = self.plan.recorded();
        Ok(record)
    }
}

/// What a run gives at its end. Objects that are left behind take no result away.
fn ended(
    outcome: Result<RunRecord, RunError>,
    cleaned: Result<(), RunError>,
) -> Result<RunRecord, RunError> {
    match (outcome, cleaned) {
        (Ok(record), Err(left)) => {
            tracing::error!("{left}");
            Ok(record)
        }
        (Err(cause), Err(left)) => Err(RunError::LeftBehind {
            cause: Box::new(cause),
            left: Box::new(left),
        }),
        (outcome, Ok(())) => outcome,
    }
}

fn new_objects(known: &Objects, now: &Objects) -> Objects {
    let new = now.iter().filter(|(key, _)| !known.contains_key(*key));
    new.map(|(key, seen)| (key.clone(), seen.clone())).collect()
}

fn times(created: &[Created], objects: &Objects) -> Vec<ObjectTimes> {
    let vmis: BTreeMap<&str, (&String, &Seen)> = objects
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
