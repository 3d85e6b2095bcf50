//! Whether what a run creates can fit, before anything is created: on the nodes, and in the books.

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};

use super::{
    client::{list_each, resource},
    context::Progress,
    error::RunError,
    plan::Plan,
};
use crate::workload::NODE;
use ledger::OBJECTS_MAX;

/// Such pairs of one object, as a rule: 11 of a VMI, 17 of a VM, 20 of one with an instancetype.
const PAIRS_PER_OBJECT: usize = 20;
/// What a kubelet takes that doesn't say it.
const PODS_PER_NODE: u64 = 110;
/// Most nodes that are looked at.
const NODES_MAX: usize = 20_000;

/// Nodes that take virtual machines, and the pods that they can take together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Room {
    nodes: usize,
    pods: u64,
}

/// Room for pairs of call and object that the books of a run need beyond what a proxy keeps anyway.
pub(super) fn pairs_to_ask_for(plan: &Plan) -> Option<u64> {
    // A proxy in a pod has its memory limit, and is left with its own; a lab's is in this process.
    let needed = 2 * PAIRS_PER_OBJECT * plan.count;
    (plan.simulated && needed > OBJECTS_MAX).then_some(needed as u64)
}

/// Refuses a run that can't fit into a lab. On a cluster, what else runs on the nodes is not known,
/// nor what the books of its proxies can hold: there it is only said.
pub(super) async fn look_at_capacity(
    client: &Client,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<(), RunError> {
    if !plan.simulated && PAIRS_PER_OBJECT * plan.count > OBJECTS_MAX {
        progress.warn(&format!(
            "a proxy keeps {OBJECTS_MAX} pairs of call and object of a run, which {} objects may \
             exceed: the run is not valid then",
            plan.count
        ));
    }
    let room = match room(client, plan).await {
        Ok(room) => room,
        Err(error) => {
            tracing::debug!(%error, "the nodes are not known");
            return Ok(());
        }
    };
    if room.pods >= plan.count as u64 {
        return Ok(());
    }
    let no_room = RunError::NoRoom {
        count: plan.count,
        nodes: room.nodes,
        pods: room.pods,
    };
    if plan.simulated {
        return Err(no_room);
    }
    progress.warn(&no_room.to_string());
    Ok(())
}

async fn room(client: &Client, plan: &Plan) -> kube::Result<Room> {
    let nodes: Api<DynamicObject> = Api::all_with(client.clone(), &resource(NODE));
    let mut labels = "kubevirt.io/schedulable=true".to_owned();
    if plan.spec.kwok {
        labels.push_str(",type=kwok");
    }
    let asked = ListParams::default().labels(&labels);
    let mut room = Room::default();
    list_each(&nodes, asked, NODES_MAX, |node| room.add(&node)).await?;
    Ok(room)
}

impl Room {
    fn add(&mut self, node: &DynamicObject) {
        if node.data["spec"]["unschedulable"] == true {
            return;
        }
        let pods = node.data["status"]["allocatable"]["pods"].as_str();
        self.nodes += 1;
        self.pods += pods.map_or(PODS_PER_NODE, |pods| pods.parse().unwrap_or(PODS_PER_NODE));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_node_has_the_room_that_it_says_unless_it_is_cordoned() {
        let node = |data: Value| DynamicObject::new("n", &resource(NODE)).data(data);
        let mut room = Room::default();
        room.add(&node(json!({"status": {"allocatable": {"pods": "250"}}})));
        room.add(&node(json!({"spec": {}})));
        room.add(&node(json!({"spec": {"unschedulable": true}})));
        assert_eq!(
            room,
            Room {
                nodes: 2,
                pods: 360
            }
        );
    }
}
