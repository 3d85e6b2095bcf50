//! Whether what a run creates can fit, before anything is created: on the nodes, and in the books.

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};

use super::{client::resource, context::Progress, error::RunError, plan::Plan};
use crate::workload::NODE;

/// Pairs of call and object that a proxy keeps of a run unless more room is asked for.
const BOOKS_ROOM: usize = 200_000;
/// Such pairs of one object, as a rule: 11 of a VMI, 17 of a VM, 20 of one with an instancetype.
const PAIRS_PER_OBJECT: usize = 20;
/// What a kubelet takes that doesn't say it.
const PODS_PER_NODE: u64 = 110;
/// Objects of a page, and pages of a list.
const PAGE: u32 = 500;
const PAGES_MAX: usize = 40;

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
    (plan.simulated && needed > BOOKS_ROOM).then_some(needed as u64)
}

/// Refuses a run that can't fit into a lab. On a cluster, what else runs on the nodes is not known,
/// nor what the books of its proxies can hold: there it is only said.
pub(super) async fn look_at_capacity(
    client: &Client,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<(), RunError> {
    if !plan.simulated && PAIRS_PER_OBJECT * plan.count > BOOKS_ROOM {
        progress.warn(&format!(
            "a proxy keeps {BOOKS_ROOM} pairs of call and object of a run, which {} objects may \
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
    let mut asked = ListParams::default().labels(&labels).limit(PAGE);
    let mut room = Room::default();
    for _ in 0..PAGES_MAX {
        let page = nodes.list(&asked).await?;
        page.items.iter().for_each(|node| room.add(node));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(next) => asked.continue_token = Some(next),
            None => break,
        }
    }
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
