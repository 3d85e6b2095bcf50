//! Leases that are renewed as long as their holder lives: leader elections and nodes.

use std::time::Duration;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::object::Key;
use super::resources::LEASES;
use super::rest::{CallError, Rest};
use super::time;

/// How a lease is held.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) key: Key,
    pub(crate) holder: String,
    /// `leaseDurationSeconds`.
    pub(crate) valid: Duration,
    /// How often it is renewed.
    pub(crate) every: Duration,
    /// Before the first renewal, so that many leases don't come at the same moment.
    pub(crate) offset: Duration,
}

/// Acquires the lease and renews it for ever.
pub(crate) async fn hold(rest: Rest, lease: Lease) {
    tokio::time::sleep(lease.offset).await;
    let mut ticks = tokio::time::interval(lease.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut held = None;
    loop {
        ticks.tick().await;
        held = match renew(&rest, &lease, held).await {
            Ok(object) => Some(object),
            Err(error) => {
                tracing::warn!(lease = %lease.key, %error, "a lease was not renewed");
                None
            }
        };
    }
}

/// Writes the lease over what was last seen of it; the first time, that is read.
async fn renew(
    rest: &Rest,
    lease: &Lease,
    held: Option<DynamicObject>,
) -> Result<DynamicObject, CallError> {
    let mut object = match held {
        Some(object) => object,
        None => match rest.get(&LEASES, &lease.key).await {
            Ok(object) => object,
            Err(error) if error.code() == 404 => return create(rest, lease).await,
            Err(error) => return Err(error),
        },
    };
    let now = time::micros();
    let spec = &mut object.data["spec"];
    if spec["holderIdentity"] != lease.holder.as_str() {
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
        *spec = first_spec(lease, &now, transitions + 1);
    }
    spec["renewTime"] = now.into();
    rest.replace(&LEASES, &object, "").await
}

async fn create(rest: &Rest, lease: &Lease) -> Result<DynamicObject, CallError> {
    let object = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": lease.key.name, "namespace": lease.key.namespace},
        "spec": first_spec(lease, &time::micros(), 0),
    });
    rest.create(&LEASES, &lease.key.namespace, &object).await
}

fn first_spec(lease: &Lease, now: &str, transitions: i64) -> Value {
    json!({
        "holderIdentity": lease.holder, "leaseDurationSeconds": lease.valid.as_secs(),
        "acquireTime": now, "renewTime": now, "leaseTransitions": transitions,
    })
}
