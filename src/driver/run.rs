//! The steps of a density run.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::DeleteParams;
use tokio::time::sleep;

use super::{
    at_once::try_ask_all,
    capacity::pairs_to_ask_for,
    context::{Driver, Run},
    create::{Created, create, random_suffix},
    error::{RunError, RunFailed},
    flow_control::name_flow_schemas,
    last_known::LastKnown,
    made::Made,
    measure::{self, Opened},
    observe::{Objects, Observer, Seen},
    plan::Plan,
    preflight::preflight,
    proxies::{ProxyClient, ProxyError},
    roster,
    salvage::{SoFar, failure},
    times::times,
    verdict,
};
use crate::workload::VM;
use record::{BooksKept, ClusterRecord, RunRecord, Snapshot};

impl Driver<'_> {
    /// Runs a plan. Whatever happens, what the run made is removed again, unless it is to be kept.
    ///
    /// # Errors
    ///
    /// Why the run ended early, with what was counted until then if it had begun.
    pub async fn run(&self, plan: &Plan) -> Result<RunRecord, RunFailed> {
        let id = format!("run-{}-{}", Timestamp::now().as_second(), random_suffix());
        let started = Timestamp::now();
        self.progress.phase("preflight");
        let found = self.until_stopped(preflight(self, plan)).await?;
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
        let outcome = match self.until_stopped(run.prepare_namespace()).await {
            Ok(()) => run.to_its_end().await,
            Err(cause) => Err(cause.into()),
        };
        let cleaned = run.clean_up().await;
        let mut outcome = ended(outcome, cleaned);
        let record = match &mut outcome {
            Ok(record) => Some(record),
            Err(failed) => failed.record.as_deref_mut(),
        };
        if let Some(record) = record {
            if let Some(unnamed) = name_flow_schemas(record, &self.client).await {
                self.progress.warn(&unnamed);
            }
            record.finished = Timestamp::now();
            record.driver = self.tally.calls();
        }
        outcome
    }

    pub(super) async fn until_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let done = self.stop.run_until_cancelled(work).await;
        done.unwrap_or(Err(RunError::Interrupted))
    }
}

impl Run<'_> {
    /// All that is between an empty namespace and the clean-up.
    async fn to_its_end(&self) -> Result<RunRecord, RunFailed> {
        let with_vms = self.plan.spec.kind() == VM;
        let observer = Observer::start(&self.driver.client, &self.namespace, with_vms);
        let (mut so_far, mut last) = (SoFar::new(observer), LastKnown::default());
        let counted = self.count(&mut so_far, &mut last);
        let mut record = match self.driver.until_stopped(counted).await {
            Ok(record) => record,
            Err(cause) => return Err(self.salvaged(cause, so_far, last).await),
        };
        if self.plan.keep {
            return Ok(record);
        }
        let deleted = self.delete_measured(&mut so_far.observer, &mut record);
        let Err(cause) = deleted.await else {
            return Ok(record);
        };
        measure::abandon(&self.deletion_id(), &self.driver.proxies).await;
        record.fail(failure(&cause, BooksKept::Closed));
        Err(RunFailed {
            cause,
            record: Some(Box::new(record)),
        })
    }

    /// Everything until the books are closed and checked.
    async fn count(&self, so_far: &mut SoFar, last: &mut LastKnown) -> Result<RunRecord, RunError> {
        let proxies = &self.driver.proxies;
        if self.plan.primer {
            self.phase("primer");
            self.prime(so_far).await?;
        }
        self.phase("baseline");
        so_far.before = try_ask_all(proxies, ProxyClient::snapshot).await?;
        sleep(self.plan.baseline).await;
        let opened = measure::open(&self.measure_plan(), proxies).await?;
        so_far.opened = Some(opened.clone());
        *last = self.last_known(&opened, &so_far.before);
        let known = so_far.observer.objects();
        let run = (&*self.id, &*self.namespace);
        let counted = self.count_open(opened, so_far);
        let mut record = last.look_during(run, proxies, counted).await?;
        if let Some(hook) = self.driver.window_hook {
            hook.on_close().await;
        }
        let objects = so_far.observer.objects();
        record.objects = times(&so_far.created, &objects);
        let new = new_objects(&known, &objects);
        record
            .checks
            .extend(verdict::created(&record, &new, self.plan));
        Ok(record)
    }

    /// Everything from the opening of the books until they are closed.
    async fn count_open(&self, opened: Opened, so_far: &mut SoFar) -> Result<RunRecord, RunError> {
        if let Some(hook) = self.driver.window_hook {
            hook.on_open().await;
        }
        self.create_all(&mut so_far.created).await?;
        self.wait_for_running(&mut so_far.observer, &so_far.created)
            .await?;
        self.phase("settle");
        self.close(opened, so_far).await
    }

    fn last_known(&self, opened: &Opened, before: &[Snapshot]) -> LastKnown {
        let plan = self.measure_plan();
        let proxies = &self.driver.proxies;
        let mut run = measure::opened_record(&plan, opened, proxies);
        self.describe(&mut run, before.to_vec());
        LastKnown::begin(run, plan.journal, proxies, self.driver.spool)
    }

    pub(super) fn measure_plan(&self) -> measure::Plan {
        measure::Plan {
            id: self.id.clone(),
            scenario: self.plan.spec.name().to_owned(),
            namespace: self.namespace.clone(),
            journal: self.plan.journal,
            pairs: pairs_to_ask_for(self.plan),
            lease: self.plan.timeout
                + self.gone_timeout()
                + self.plan.pause * self.plan.count as u32,
            silence: self.plan.settle,
            settle_longest: self.plan.timeout,
        }
    }

    /// One object first, so that what happens only once is over when counting begins.
    async fn prime(&self, so_far: &mut SoFar) -> Result<(), RunError> {
        so_far.is_primer = true;
        let object = self.plan.spec.object(&random_suffix());
        self.note_object(&object);
        let name = create(&self.objects(), &object).await?;
        so_far.created.push(Created {
            name: name.clone(),
            sent: Timestamp::now(),
            took: Duration::ZERO,
        });
        let SoFar {
            observer, created, ..
        } = &mut *so_far;
        self.wait_for_running(observer, created).await?;
        let deleted = self.objects().delete(&name, &DeleteParams::default()).await;
        deleted.map_err(|error| RunError::api("cannot delete the primer", error))?;
        self.wait_until_gone(observer).await?;
        so_far.created.clear();
        so_far.is_primer = false;
        Ok(())
    }

    /// Closes the books once nothing goes on. What the proxies answer is kept, since each answers
    /// only once.
    async fn close(&self, opened: Opened, so_far: &mut SoFar) -> Result<RunRecord, RunError> {
        let (plan, proxies) = (self.measure_plan(), &self.driver.proxies);
        let settled = match measure::settled(&plan, proxies).await {
            Ok(settled) => settled,
            Err(error) => return Err(self.explained(error).await),
        };
        let closed = measure::close_each(&self.id, proxies).await;
        let refusal = closed.iter().find_map(|closed| closed.as_ref().err());
        if let Some(error) = refusal.cloned() {
            so_far.closed = closed;
            return Err(self.explained(error).await);
        }
        let closed = closed.into_iter().flatten().collect();
        let mut record = measure::closed_record(&plan, opened, proxies, &settled, closed);
        if let Some(roster) = self.driver.roster {
            record.checks.push(roster::check_roster(roster).await);
        }
        self.describe(&mut record, std::mem::take(&mut so_far.before));
        Ok(record)
    }

    async fn explained(&self, error: ProxyError) -> RunError {
        roster::explain(error, self.driver.roster).await.into()
    }
}

/// What a run gives at its end. Objects that are left behind take no result away.
fn ended(
    outcome: Result<RunRecord, RunFailed>,
    cleaned: Result<(), RunError>,
) -> Result<RunRecord, RunFailed> {
    match (outcome, cleaned) {
        (Ok(record), Err(left)) => {
            tracing::error!("{left}");
            Ok(record)
        }
        (Err(failed), Err(left)) => Err(RunFailed {
            cause: RunError::LeftBehind {
                cause: Box::new(failed.cause),
                left: Box::new(left),
            },
            ..failed
        }),
        (outcome, Ok(())) => outcome,
    }
}

fn new_objects<'o>(known: &Objects, now: &'o Objects) -> Vec<(&'static str, &'o Seen)> {
    let new = now
        .iter()
        .filter(|(plural, uid, _)| !known.has(plural, uid));
    new.map(|(plural, _, seen)| (plural, seen)).collect()
}
