//! Row for row: the wire, and a component's own counter.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::Call;
use classify::{OTHER, folded_kubevirt_resource};
use record::{CrosscheckRow, Finding, Outcome, RowRecord};

/// What a component counts where no response came.
const NO_RESPONSE: &str = "<error>";

/// What a component called by the books of all proxies.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire {
    /// From before the first reading to after the last.
    most: BTreeMap<Call, u64>,
    /// From after the first reading to before the last.
    least: BTreeMap<Call, u64>,
}

impl Wire {
    /// Adds a proxy's rows of `component`, from before the first reading to after the last.
    pub(super) fn add_most(&mut self, component: &str, rows: &[RowRecord]) {
        add(&mut self.most, component, rows);
    }

    /// Whether no proxy saw any call.
    pub(super) fn is_silent(&self) -> bool {
        self.most.values().all(|count| *count == 0)
    }

    /// Adds a proxy's rows of `component`, from after the first reading to before the last.
    pub(super) fn add_least(&mut self, component: &str, rows: &[RowRecord]) {
        add(&mut self.least, component, rows);
    }
}

fn add(calls: &mut BTreeMap<Call, u64>, component: &str, rows: &[RowRecord]) {
    for row in rows.iter().filter(|row| row.component == component) {
        let code = match &row.outcome {
            Outcome::NoAnswer(_) => NO_RESPONSE.to_owned(),
            answered => answered.to_string(),
        };
        let (resource, verb) = (&row.call.kubevirt_resource, &row.call.kubevirt_verb);
        let call = [resource.clone(), verb.clone(), code];
        *calls.entry(call).or_default() += row.answered;
    }
}

/// The rows of a component whose own counters grew by `own`. Resources of which it is known that
/// the counter misses them are `allowed`.
pub(super) fn compare(
    wire: &Wire,
    own: &BTreeMap<Call, u64>,
    allowed: &BTreeSet<String>,
) -> Vec<CrosscheckRow> {
    let folds = Folds::of(wire);
    let (wire, own) = (&folds.wire(wire), &folds.calls(own));
    let calls: BTreeSet<&Call> = wire.most.keys().chain(own.keys()).collect();
    let rows = calls.into_iter().filter_map(|call| {
        let of = |counts: &BTreeMap<Call, u64>| counts.get(call).copied().unwrap_or_default();
        let (most, least, counted) = (of(&wire.most), of(&wire.least), of(own));
        if most == 0 && counted == 0 {
            return None;
        }
        let mut row = CrosscheckRow {
            resource: call[0].clone(),
            verb: call[1].clone(),
            code: call[2].clone(),
            wire: most,
            at_the_ends: most.saturating_sub(least),
            own: counted,
            difference: 0,
            finding: Finding::Equal,
            why: String::new(),
        };
        if counted < least {
            row.difference = signed(counted) - signed(most);
            row.finding = Finding::Missed;
            if allowed.contains(&row.resource) {
                row.finding = Finding::Allowed;
            }
            row.why = why_missed(&row, own).to_owned();
        } else if counted > most {
            row.difference = signed(counted) - signed(most);
            row.finding = Finding::Invented;
            row.why = why_invented(&row, wire).to_owned();
        }
        Some(row)
    });
    rows.collect()
}

/// Verbs and codes of which the wire has a folded row: requests that the API server didn't
/// authenticate are counted there without the name of a resource that isn't a known one.
struct Folds(BTreeSet<[String; 2]>);

impl Folds {
    fn of(wire: &Wire) -> Self {
        let folded = wire.most.keys().filter(|call| call[0] == OTHER);
        Self(
            folded
                .map(|call| [call[1].clone(), call[2].clone()])
                .collect(),
        )
    }

    fn wire(&self, wire: &Wire) -> Wire {
        Wire {
            most: self.calls(&wire.most),
            least: self.calls(&wire.least),
        }
    }

    fn calls(&self, calls: &BTreeMap<Call, u64>) -> BTreeMap<Call, u64> {
        let mut folded = BTreeMap::new();
        for (call, count) in calls {
            let [resource, verb, code] = call.clone();
            let resource = if self.0.contains(&[verb.clone(), code.clone()]) {
                folded_kubevirt_resource(&resource).to_owned()
            } else {
                resource
            };
            *folded.entry([resource, verb, code]).or_default() += count;
        }
        folded
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn why_missed(row: &CrosscheckRow, own: &BTreeMap<Call, u64>) -> &'static str {
    let seen_at_all = own
        .iter()
        .any(|(call, count)| call[0] == row.resource && call[1] == row.verb && *count > 0);
    match row.resource.as_str() {
        _ if row.code == NO_RESPONSE => {
            "no answer of the API server: what the component counted is the proxy's own answer"
        }
        _ if seen_at_all => {
            "some of these calls are made by a client without the counter, or were sent again \
             below it"
        }
        "subjectaccessreviews" => {
            "made by a client without the counter; in KubeVirt the authorizer of virt-api is one"
        }
        "apiservices" => {
            "made by a client without the counter; in KubeVirt the clients of APIServices are some"
        }
        _ => "made by a client without the counter",
    }
}

fn why_invented(row: &CrosscheckRow, wire: &Wire) -> &'static str {
    let unanswered = [&row.resource, &row.verb, NO_RESPONSE].map(str::to_owned);
    if row.code == NO_RESPONSE {
        "no response reached the client: these requests may never have been sent"
    } else if wire.most.contains_key(&unanswered) && matches!(&*row.code, "429" | "502" | "503") {
        "the proxy's own answers: the API server could not be reached"
    } else {
        "made around the proxy, or by another process that the wire has under another name"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call {
        let mut parts = text.split(' ').map(str::to_owned);
        [(); 3].map(|()| parts.next().unwrap())
    }

    fn counts(of: &[(&str, u64)]) -> BTreeMap<Call, u64> {
        of.iter()
            .map(|(text, count)| (call(text), *count))
            .collect()
    }

    fn found(
        most: &[(&str, u64)],
        least: &[(&str, u64)],
        own: &[(&str, u64)],
    ) -> Vec<CrosscheckRow> {
        let wire = Wire {
            most: counts(most),
            least: counts(least),
        };
        let allowed = BTreeSet::from(["apiservices".to_owned()]);
        compare(&wire, &counts(own), &allowed)
    }

    #[test]
    fn what_was_answered_at_the_ends_is_no_difference_and_one_more_is() {
        let one = |own: u64| {
            found(
                &[("pods GET 200", 12)],
                &[("pods GET 200", 10)],
                &[("pods GET 200", own)],
            )
            .remove(0)
        };
        for (own, finding, difference) in [
            (9, Finding::Missed, -3),
            (10, Finding::Equal, 0),
            (12, Finding::Equal, 0),
            (13, Finding::Invented, 1),
        ] {
            let row = one(own);
            assert_eq!(
                (row.finding, row.difference),
                (finding, difference),
                "{own}"
            );
            assert_eq!((row.wire, row.at_the_ends), (12, 2));
        }
    }

    #[test]
    fn each_kind_of_difference_has_its_reason() {
        let wire = [
            ("subjectaccessreviews CREATE 201", 5),
            ("apiservices GET 200", 2),
            ("pods LIST 200", 3),
            ("nodes GET <error>", 1),
        ];
        let own = [
            ("pods LIST 200", 1),
            ("nodes GET 503", 1),
            ("configmaps LIST <error>", 4),
            ("secrets GET 200", 1),
        ];
        let rows = found(&wire, &wire, &own);
        let why = |text: &str| {
            let [resource, verb, code] = call(text);
            let row = rows
                .iter()
                .find(|row| row.resource == resource && row.verb == verb && row.code == code)
                .unwrap();
            (row.finding, row.why.as_str())
        };
        let starts = |text: &str, finding: Finding, words: &str| {
            let (found, reason) = why(text);
            assert!(
                found == finding && reason.contains(words),
                "{text}: {found:?} {reason}"
            );
        };
        starts(
            "subjectaccessreviews CREATE 201",
            Finding::Missed,
            "authorizer",
        );
        starts("apiservices GET 200", Finding::Allowed, "APIServices");
        starts("pods LIST 200", Finding::Missed, "some of these");
        starts("nodes GET <error>", Finding::Missed, "no answer");
        starts("nodes GET 503", Finding::Invented, "proxy's own");
        starts(
            "configmaps LIST <error>",
            Finding::Invented,
            "never have been sent",
        );
        starts("secrets GET 200", Finding::Invented, "around the proxy");
        assert_eq!(found(&[("pods GET 200", 0)], &[], &[]), []);
    }
}
