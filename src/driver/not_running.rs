//! Why objects are not Running: what the API server has about them, grouped.
//!
//! A run of thousands of objects that don't come to Running has few reasons. They are looked up once,
//! before anything is removed: the conditions of VMs, VMIs and their pods, and warning events. What
//! can't be read is said in the place of the groups, and ends nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    causes::{Names, causes_of_pod, causes_of_workload, warning},
    client::{api, list_each},
    context::Run,
    create::Created,
    error::describe,
    observe::Objects,
    wait::Running,
};
use crate::workload::{EVENT, Kind, POD, VM, VMI};
use record::{Cause, NotRunning, NotRunningGroup};

/// Longest time for all of it: somebody waits for the run to end.
const LONGEST: Duration = Duration::from_secs(20);
/// Most objects of a kind that are looked at.
const OBJECTS_MAX: usize = 30_000;
/// Groups that are told apart, names of each, and causes of each.
const GROUPS_MAX: usize = 8;
const NAMES_MAX: usize = 3;
const CAUSES_MAX: usize = 4;
const RUNNING: &str = "Running";

/// What is known of one object that is not Running.
#[derive(Default)]
struct Known {
    phase: String,
    causes: BTreeSet<Cause>,
}

/// Objects that are not Running, by name, and whose pods are whose.
struct Look<'c> {
    objects: BTreeMap<&'c str, Known>,
    /// Of each pod that was seen, its VMI.
    pods: BTreeMap<String, String>,
    unknown: Vec<String>,
}

impl Run<'_> {
    /// The objects among `created` that have not been seen Running, and are not when they are looked
    /// at; `None` if all were or are.
    pub(super) async fn not_running(
        &self,
        created: &[Created],
        seen: &Objects,
    ) -> Option<NotRunning> {
        let missing = Running::of(created).missing(seen);
        if missing.is_empty() {
            return None;
        }
        let count = created.len();
        let running = count - missing.len();
        let objects = missing.into_iter().map(|name| (name, Known::default()));
        let mut look = Look {
            objects: objects.collect(),
            pods: BTreeMap::new(),
            unknown: Vec::new(),
        };
        if timeout(LONGEST, look.at(self)).await.is_err() {
            let seconds = LONGEST.as_secs();
            look.unknown.push(format!(
                "the API server took longer than {seconds} s to say why"
            ));
        }
        Some(look.grouped(running, count)).filter(|found| found.running < found.count)
    }
}

impl Look<'_> {
    async fn at(&mut self, run: &Run<'_>) {
        if run.plan.spec.kind() == VM {
            self.workloads(run, VM).await;
        }
        self.workloads(run, VMI).await;
        self.pods(run).await;
        self.events(run).await;
    }

    async fn workloads(&mut self, run: &Run<'_>, kind: Kind) {
        let read = each(run, kind, "", |object| {
            let name = object.name_any();
            if let Some(known) = self.objects.get_mut(name.as_str()) {
                if kind == VMI {
                    let phase = object.data["status"]["phase"].as_str();
                    phase.unwrap_or_default().clone_into(&mut known.phase);
                }
                let names = Names::of(&name, "");
                known
                    .causes
                    .extend(causes_of_workload(kind, &object, names));
            }
        });
        let read = read.await;
        self.unknown.extend(read.err());
    }

    async fn pods(&mut self, run: &Run<'_>) {
        let read = each(run, POD, "", |pod| {
            let mut owners = pod.owner_references().iter();
            let Some(vmi) = owners.find(|owner| owner.kind == VMI.kind) else {
                return;
            };
            let (name, vmi) = (pod.name_any(), vmi.name.clone());
            if let Some(known) = self.objects.get_mut(vmi.as_str()) {
                let names = Names::of(&vmi, &name);
                known.causes.extend(causes_of_pod(&pod, names));
                self.pods.insert(name, vmi);
            }
        });
        let read = read.await;
        self.unknown.extend(read.err());
    }

    /// The last warning of each reason about an object, its VMI or its pod.
    async fn events(&mut self, run: &Run<'_>) {
        let mut last: BTreeMap<(String, String), (String, Cause)> = BTreeMap::new();
        let read = each(run, EVENT, "type=Warning", |event| {
            let about = &event.data["involvedObject"];
            let text = |field: &str| about[field].as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text("kind"), text("name"));
            let owner = self.pods.get(&name).filter(|_| kind == POD.kind);
            let object = owner.cloned().unwrap_or_else(|| name.clone());
            if !self.objects.contains_key(object.as_str()) {
                return;
            }
            let cause = warning(&kind, &event.data, Names::of(&object, &name));
            let at = time_of(&event.data);
            let known = last
                .entry((object, cause.reason.clone()))
                .or_insert_with(|| (String::new(), cause.clone()));
            if known.0 <= at {
                *known = (at, cause);
            }
        });
        let read = read.await;
        self.unknown.extend(read.err());
        for ((object, _), (_, cause)) in last {
            if let Some(known) = self.objects.get_mut(object.as_str()) {
                known.causes.insert(cause);
            }
        }
    }

    /// The largest groups of objects of which the same is known. What became Running since the watch was
    /// last looked at is among those that run.
    fn grouped(mut self, running: usize, count: usize) -> NotRunning {
        let missing = self.objects.len();
        self.objects.retain(|_, known| known.phase != RUNNING);
        let running = running + missing - self.objects.len();
        let mut groups: BTreeMap<(String, Vec<Cause>), Vec<&str>> = BTreeMap::new();
        for (name, known) in self.objects {
            let causes = known.causes.into_iter().take(CAUSES_MAX).collect();
            groups.entry((known.phase, causes)).or_default().push(name);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
        let left_out = groups.iter().skip(GROUPS_MAX);
        let left_out = left_out.map(|(_, names)| names.len()).sum();
        let groups = groups.into_iter().take(GROUPS_MAX);
        let groups = groups.map(|((phase, causes), names)| NotRunningGroup {
            count: names.len(),
            phase,
            causes,
            names: names
                .iter()
                .take(NAMES_MAX)
                .map(ToString::to_string)
                .collect(),
        });
        NotRunning {
            running,
            count,
            groups: groups.collect(),
            left_out,
            unknown: self.unknown,
        }
    }
}

/// Looks at each object of a kind in the run's namespace.
///
/// # Errors
///
/// Why not all of them could be read, in words.
fn each(
    run: &Run<'_>,
    kind: Kind,
    fields: &str,
    look: impl FnMut(DynamicObject),
) -> impl Future<Output = Result<(), String>> {
    let objects: Api<DynamicObject> = api(&run.driver.client, &run.namespace, kind);
    let asked = ListParams::default().fields(fields);
    async move {
        let read = list_each(&objects, asked, OBJECTS_MAX, look).await;
        match read.map_err(|error| refused(kind, &error))? {
            true => Ok(()),
            false => Err(format!("there are more {} than were read", kind.plural)),
        }
    }
}

fn refused(kind: Kind, error: &kube::Error) -> String {
    let plural = kind.plural;
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "you may not list {plural}, which may say why: `kubetoll rbac run` prints that right"
        ),
        error => format!("cannot list {plural}: {}", describe(error)),
    }
}

/// When an event came last; RFC 3339, which is in order as text.
fn time_of(event: &Value) -> String {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    let time = times.into_iter().find_map(Value::as_str);
    time.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_running_meanwhile_is_not_among_those_that_are_not() {
        let known = |phase: &str| Known {
            phase: phase.to_owned(),
            causes: BTreeSet::new(),
        };
        let look = Look {
            objects: BTreeMap::from([
                ("a", known("Running")),
                ("b", known("Scheduling")),
                ("c", known("Running")),
            ]),
            pods: BTreeMap::new(),
            unknown: Vec::new(),
        };
        let found = look.grouped(37, 40);
        assert_eq!((found.running, found.count), (39, 40));
        let groups: Vec<_> = found.groups.iter().map(|one| &*one.phase).collect();
        assert_eq!(groups, ["Scheduling"]);
    }
}
