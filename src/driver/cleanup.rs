//! Takes away what a run made, and nothing else.

use std::sync::{Mutex, PoisonError};

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams},
};

use super::{
    RunError,
    client::{api, resource},
    measure::check_books,
    observe::Observer,
    proxies::ProxyClient,
    run::{GONE_TIMEOUT, Run},
    settle::settle,
};
use crate::workload::{Kind, VM, VMI};
use record::{Check, Deletion, OpenRun, RunRecord, Snapshot};

/// Namespaces.
pub(super) const NAMESPACE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
};

/// What a run made.
#[derive(Default)]
pub(super) struct Made(Mutex<MadeObjects>);

#[derive(Default)]
struct MadeObjects {
    namespace: bool,
    objects: Vec<(Kind, String)>,
}

impl Made {
    /// The run's namespace is its own.
    pub(super) fn namespace(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .namespace = true;
    }

    /// An object of the run.
    pub(super) fn object(&self, kind: Kind, name: String) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.objects.push((kind, name));
    }

    fn has_namespace(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .namespace
    }

    /// The objects, the last one first; of one kind, if that is asked for.
    fn objects(&self, of: Option<Kind>) -> Vec<(Kind, String)> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = made.objects.iter().rev();
        let wanted = objects.filter(|(kind, _)| of.is_none_or(|of| of == *kind));
        wanted.cloned().collect()
    }
}

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
        let mut opened = Vec::new();
        for proxy in proxies {
            opened.push(proxy.open_run(&id, &OpenRun::default()).await?);
        }
        self.delete_all().await?;
        self.wait_until_gone(observer).await?;
        let silence = self.plan.settle;
        settle(proxies, &id, &self.namespace, silence, GONE_TIMEOUT).await?;
        for ((proxy, before), run) in proxies.iter().zip(opened).zip(&mut record.proxies) {
            let (deletion, checks) = close_deletion(proxy, &id, &before).await?;
            run.deletion = Some(deletion);
            let failed = checks.into_iter().filter(|check| !check.ok);
            record.checks.extend(failed.map(|check| Check {
                name: format!("deletion: {}", check.name),
                ..check
            }));
        }
        Ok(())
    }

    /// All at once in a namespace of its own, as KubeVirt's tests do; one by one in another's.
    async fn delete_all(&self) -> Result<(), RunError> {
        let failed = |error| RunError::api("cannot delete the run's objects", error);
        if !self.made.has_namespace() {
            let objects = self.made.objects(Some(self.plan.spec.kind()));
            return self.delete_each(&objects).await.map_err(failed);
        }
        let (delete, all) = (DeleteParams::default(), ListParams::default());
        let deleted = self.objects().delete_collection(&delete, &all).await;
        deleted.map(drop).map_err(failed)
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
        let kinds = self.plan.spec.needs().into_iter().filter(is_workload);
        for kind in kinds.rev() {
            let objects = api(&self.driver.client, &self.namespace, kind);
            let (delete, all) = (DeleteParams::default(), ListParams::default());
            ignore_missing(objects.delete_collection(&delete, &all).await)?;
        }
        let namespaces: Api<DynamicObject> =
            Api::all_with(self.driver.client.clone(), &resource(NAMESPACE));
        let delete = DeleteParams::default();
        ignore_missing(namespaces.delete(&self.namespace, &delete).await)
    }
}

async fn close_deletion(
    proxy: &ProxyClient,
    id: &str,
    before: &Snapshot,
) -> Result<(Deletion, Vec<Check>), RunError> {
    let closed = proxy.close_run(id).await?;
    let (difference, checks) = check_books(proxy.url(), before, &closed);
    let deletion = Deletion {
        difference,
        closed: closed.snapshot,
        objects: closed.objects,
    };
    Ok((deletion, checks))
}

/// Whether a kind is what a run creates, and not what all of its objects need.
pub(super) fn is_workload(kind: &Kind) -> bool {
    [VM, VMI].contains(kind)
}

fn ignore_missing<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}
