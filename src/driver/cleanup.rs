//! Takes away what a run made, and nothing else.

use kube::{
    Api, Resource,
    api::{DeleteParams, DynamicObject, ListParams, Request},
};

use super::{
    at_once::try_ask_all,
    capacity::pairs_to_ask_for,
    checks,
    client::{api, resource},
    context::Run,
    error::RunError,
    last_known::LastKnown,
    observe::Observer,
    settle::settle,
    unclosed::enter_deletion,
};
use crate::workload::{Kind, NAMESPACE};
use record::{Check, Deletion, OpenRun, ProxyRun, RunDetailRecord, RunRecord, Snapshot};

impl Run<'_> {
    /// Deletes the run's objects with books of their own.
    pub(super) async fn delete_measured(
        &self,
        observer: &mut Observer,
        record: &mut RunRecord,
    ) -> Result<(), RunError> {
        self.phase("delete");
        let id = self.deletion_id();
        let proxies = &self.driver.proxies;
        let asked = OpenRun {
            pairs: pairs_to_ask_for(self.plan),
            lease_seconds: 2 * self.gone_timeout().as_secs(),
            journal: self.plan.journal,
        };
        let opening =
            async { Ok(try_ask_all(proxies, |proxy| proxy.open_run(&id, &asked)).await?) };
        let opened = self.driver.until_stopped(opening).await?;
        let mut last =
            LastKnown::begin_deletion(asked.journal, &opened, proxies, self.driver.spool);
        let work = self.driver.until_stopped(async {
            self.delete_all().await?;
            self.wait_until_gone(observer).await?;
            let silence = self.plan.settle;
            let longest = self.gone_timeout();
            settle(proxies, &id, &self.namespace, silence, longest).await?;
            Ok(())
        });
        let gone = last
            .look_during((&id, &self.namespace), proxies, work)
            .await;
        let entered = enter_deletion(record, proxies, &id, &opened, last).await;
        gone.and(entered.map_err(RunError::from))
    }

    /// All at once in a namespace of its own, as KubeVirt's tests do; one by one in another's.
    async fn delete_all(&self) -> Result<(), RunError> {
        let failed = |error| RunError::api("cannot delete the run's objects", error);
        if !self.made.has_namespace() {
            let objects = self.made.objects(Some(self.plan.spec.kind()));
            return self.delete_each(&objects).await.map_err(failed);
        }
        let deleted = self.delete_collection(self.plan.spec.kind()).await;
        deleted.map_err(failed)
    }

    /// The API server answers with all that was deleted. Nobody reads that: as trees, some thousand
    /// objects would be the most memory that a run ever takes.
    async fn delete_collection(&self, kind: Kind) -> kube::Result<()> {
        let (delete, all) = (DeleteParams::default(), ListParams::default());
        let place = DynamicObject::url_path(&resource(kind), Some(&self.namespace));
        let request = Request::new(place).delete_collection(&delete, &all);
        let request = request.map_err(kube::Error::BuildRequest)?;
        let answer = self.driver.client.request_stream(request).await?;
        let read = futures_util::io::copy(answer, &mut futures_util::io::sink()).await;
        read.map(drop).map_err(kube::Error::ReadEvents)
    }

    async fn delete_each(&self, objects: &[(Kind, String)]) -> kube::Result<()> {
        for (kind, name) in objects {
            let api = api(&self.driver.client, &self.namespace, *kind);
            ignore_missing(api.delete(name, &DeleteParams::default()).await)?;
        }
        Ok(())
    }

    /// Removes what the run made: its namespace, or its objects in a given one.
    pub(super) async fn clean_up(&self) -> Result<(), RunError> {
        if self.plan.keep {
            return Ok(());
        }
        self.phase("clean up");
        let cleaned = if self.made.has_namespace() {
            self.delete_namespace().await
        } else {
            self.delete_each(&self.made.objects(None)).await
        };
        cleaned.map_err(|error| {
            let left = format!(
                "objects of {} are left in namespace {}",
                self.id, self.namespace
            );
            RunError::api(left, error)
        })
    }

    async fn delete_namespace(&self) -> kube::Result<()> {
        // A namespace without a controller that empties it would keep the objects.
        let kinds = self.plan.spec.needs().into_iter().filter(Kind::is_workload);
        for kind in kinds.rev() {
            ignore_missing(self.delete_collection(kind).await)?;
        }
        let namespaces: Api<DynamicObject> =
            Api::all_with(self.driver.client.clone(), &resource(NAMESPACE));
        let delete = DeleteParams::default();
        ignore_missing(namespaces.delete(&self.namespace, &delete).await)
    }
}

/// Enters what the deletion cost at a proxy, and says whether all of that is in its books.
pub(super) fn enter(run: &mut ProxyRun, opened: &Snapshot, closed: RunDetailRecord) -> Vec<Check> {
    let (difference, checks) = checks::books(&run.admin, opened, &closed);
    run.deletion = Some(Deletion {
        difference,
        closed: closed.snapshot,
        objects: closed.objects,
        journal: closed.journal,
        clients: closed.clients,
    });
    checks
}

/// The same check, of the deletion.
pub(super) fn of_deletion(check: Check) -> Check {
    Check {
        name: format!("deletion: {}", check.name),
        ..check
    }
}

/// What is gone, or is going already, need not be deleted.
fn ignore_missing<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}
