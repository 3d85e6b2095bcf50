//! Calls of all kinds of objects in random order. What a batch of one kind takes is less than what
//! the same calls take among others: an API server that does the same again has it in its caches.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use serde_json::json;

use super::{
    caller::Call,
    error::PricingError,
    life::{LABEL_PATH, Life, code},
    session::{Batch, Session},
    subject::Subject,
};
use prices::{Size, What};
use record::PricedOutcome;

/// Objects of each kind.
const OBJECTS: usize = 5;

/// Measures calls that leave the objects as they are, and keeps which they were.
pub(super) async fn measure(
    session: &mut Session<'_>,
    namespace: &str,
    subjects: &[Subject],
) -> Result<(), PricingError> {
    let mut lives = Vec::new();
    for subject in subjects {
        let mut life = Life::new(subject, namespace, Size::Small, OBJECTS);
        // A cluster may not have the kind.
        if life.make(session).await.is_ok() {
            lives.push(life);
        }
    }
    let mut calls: Vec<(What, u16, Call)> = lives.iter().flat_map(calls_of).collect();
    calls.shuffle(&mut rand::rng());
    let mut mix: BTreeMap<What, u64> = BTreeMap::new();
    for (what, ..) in &calls {
        *mix.entry(what.clone()).or_default() += 1;
    }
    let (codes, calls) = calls
        .into_iter()
        .map(|(_, code, call)| (code, call))
        .unzip();
    let batch = Batch {
        what: What::Mix,
        size: Size::Small,
        calls,
        codes,
        object_bytes: 0.0,
    };
    session.batch(batch).await?;
    session.mixes.insert(session.round, mix);
    for mut life in lives {
        life.unmake(session).await?;
    }
    Ok(())
}

fn calls_of(life: &Life<'_>) -> Vec<(What, u16, Call)> {
    use PricedOutcome::{Invalid, NoOp, NotFound, Success};
    let patch = |value: &str| {
        json!([{"op": "test", "path": LABEL_PATH, "value": value},
            {"op": "replace", "path": LABEL_PATH, "value": value}])
    };
    let (same, other) = (patch("created"), patch("other"));
    let mut calls = Vec::new();
    let mut add = |verb: &str, outcome, call| {
        let what = What::Call(life.priced(verb, ""), outcome);
        calls.push((what, code(verb, outcome), call));
    };
    for ((path, missing), object) in life
        .paths("")
        .into_iter()
        .zip(life.missing(""))
        .zip(&life.objects)
    {
        add("get", Success, Call::get(path.clone()));
        add("get", NotFound, Call::get(missing.clone()));
        add("update", NoOp, Call::put(path.clone(), object));
        add("patch", NoOp, Call::json_patch(path.clone(), &same));
        add("patch", Invalid, Call::json_patch(path, &other));
        add("delete", NotFound, Call::delete(missing));
    }
    calls
}
