//! Calls of all kinds of objects in random order. What a batch of one kind takes is less than what
//! the same calls take among others: an API server that does the same again has it in its caches.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use serde_json::Value;

use super::{
    caller::Call,
    error::PricingError,
    life::{Life, code, label_patch},
    session::{Batch, Session},
    subject::Subject,
};
use prices::{Size, What};
use record::PricedOutcome;

/// Objects of each kind for each way to call them.
const OBJECTS: usize = 5;
/// Ways after which an object isn't as it was: it is called in no other one.
const WAYS: usize = 4;

/// Measures them, and keeps which they were.
pub(super) async fn measure(
    session: &mut Session<'_>,
    namespace: &str,
    subjects: &[Subject],
) -> Result<(), PricingError> {
    let mut lives = Vec::new();
    for subject in subjects {
        let mut life = Life::new(subject, namespace, Size::Small, WAYS * OBJECTS);
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
        let created = life.missing("").into_iter().map(Call::delete);
        session.prepare(created.collect()).await?;
    }
    Ok(())
}

/// The calls of a kind of objects.
struct Calls<'l> {
    life: &'l Life<'l>,
    calls: Vec<(What, u16, Call)>,
}

impl Calls<'_> {
    fn add(&mut self, verb: &str, outcome: PricedOutcome, call: Call) {
        let what = What::Call(self.life.priced(verb, ""), outcome);
        self.calls.push((what, code(verb, outcome), call));
    }

    /// That leave the object as it is.
    fn without_change(&mut self, path: &str, missing: &str, object: &Value) {
        use PricedOutcome::{Conflict, Invalid, NoOp, NotFound, Success};
        let collection = self.life.subject.collection(self.life.namespace);
        self.add("get", Success, Call::get(path.to_owned()));
        self.add("get", NotFound, Call::get(missing.to_owned()));
        self.add("update", NoOp, Call::put(path.to_owned(), object));
        let same = label_patch(CREATED, CREATED);
        self.add("patch", NoOp, Call::json_patch(path.to_owned(), &same));
        let failing = label_patch("other", "never");
        self.add(
            "patch",
            Invalid,
            Call::json_patch(path.to_owned(), &failing),
        );
        self.add("delete", NotFound, Call::delete(missing.to_owned()));
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let again = Call::post(collection, &self.life.new_object(name));
        self.add("create", Conflict, again);
    }
}

fn calls_of(life: &Life<'_>) -> Vec<(What, u16, Call)> {
    use PricedOutcome::Success;
    let mut calls = Calls {
        life,
        calls: Vec::new(),
    };
    let collection = life.subject.collection(life.namespace);
    let paths = life.paths("").into_iter().zip(life.missing(""));
    let changed = life.changed("", "updated");
    for (number, ((path, missing), object)) in paths.zip(&life.objects).enumerate() {
        match number / OBJECTS {
            0 => calls.without_change(&path, &missing, object),
            1 => calls.add("update", Success, Call::put(path, &changed[number])),
            2 => {
                let patched = label_patch(CREATED, "patched");
                calls.add("patch", Success, Call::json_patch(path, &patched));
            }
            _ => {
                calls.add("delete", Success, Call::delete(path));
                // Nothing else is called by that name.
                let name = missing.rsplit('/').next().unwrap_or_default();
                let new = life.new_object(name);
                calls.add("create", Success, Call::post(collection.clone(), &new));
            }
        }
    }
    calls.calls
}

/// The label of an object that was just created.
const CREATED: &str = "created";
