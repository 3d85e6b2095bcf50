//! The components at an API server, compared with the recorded runs.

mod count;
mod density;
mod recorded;

use std::collections::BTreeMap;
use std::fmt::Write;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use self::count::Row;
use self::density::{Lab, Outcome, Scenario, goes_by_time};
use self::recorded::{IT_CREATE, Recorded, VM_CREATE, VM_DELETE, VMI_CREATE, VMI_DELETE};
use super::{Options, Webhooks};

/// Points at the kubeconfig of a cluster with KubeVirt's CustomResourceDefinitions and nothing else that works there.
const KUBECONFIG: &str = "KUBETOLL_TEST_KUBECONFIG";
/// How many objects each scenario has; 100 if it is not set.
const COUNT: &str = "KUBETOLL_TEST_COUNT";
/// How far a row may be from the recorded one.
const TOLERANCE: f64 = 0.25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_per_object_are_those_of_the_recorded_runs() {
    let Some(path) = std::env::var_os(KUBECONFIG) else {
        eprintln!(
            "SKIPPED: {KUBECONFIG} is not set, so there is no API server to run the components at"
        );
        return;
    };
    // Another test of the process may have installed it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let count = std::env::var(COUNT).map_or(100, |text| text.parse().unwrap());
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let context = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &context).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let options = Options {
        webhooks: Webhooks::Watched,
        ..Options::default()
    };
    let lab = Lab::start(&client, &options).await;
    let deviations = compare_all(&lab, count).await;
    lab.stop().await;
    assert!(deviations.is_empty(), "{deviations:#?}");
}

/// Runs the three scenarios, prints what was counted, and gives the rows that are too far off.
async fn compare_all(lab: &Lab, count: usize) -> Vec<String> {
    let mut deviations = vec![];
    for (scenario, create, delete) in [
        (Scenario::Vmi, VMI_CREATE, VMI_DELETE),
        (Scenario::Vm, VM_CREATE, VM_DELETE),
        (Scenario::Instancetype, IT_CREATE, VM_DELETE),
    ] {
        let outcome: Outcome = lab.run(scenario, count).await;
        let took = outcome.until_running;
        eprintln!("{scenario:?}: {count} objects, all running after {took:.1?}");
        for (phase, calls, recorded) in [
            ("create", &outcome.create, create),
            ("delete", &outcome.delete, delete),
        ] {
            let (table, off) = compare(calls, recorded, count);
            eprintln!("{scenario:?} {phase}\n{table}");
            deviations.extend(
                off.into_iter()
                    .map(|row| format!("{scenario:?} {phase}: {row}")),
            );
        }
    }
    deviations
}

/// A table of all rows, and those of the recorded rows that are too far off.
fn compare(
    calls: &BTreeMap<Row, usize>,
    recorded: &[Recorded],
    count: usize,
) -> (String, Vec<String>) {
    let (mut table, mut off) = (String::new(), vec![]);
    let mut others = calls.clone();
    for (component, verb, resource, expected) in recorded {
        let ours: usize = calls
            .iter()
            .filter(|((by, how, what, code), _)| {
                by == component && how == verb && what == resource && (200..300).contains(code)
            })
            .map(|(_, ours)| ours)
            .sum();
        others.retain(|(by, how, what, code), _| {
            !(by == component && how == verb && what == resource && (200..300).contains(code))
        });
        let ours = per_100(ours, count);
        let expected = f64::from(u32::try_from(*expected).unwrap());
        let deviation = (ours - expected) / expected;
        let line = format!(
            "{component:10} {verb:7} {resource:32} ours {ours:6.1} recorded {expected:6.1} {:+6.1} %",
            deviation * 100.0
        );
        writeln!(table, "{line}").unwrap();
        if deviation.abs() > TOLERANCE {
            off.push(line);
        }
    }
    for (row, ours) in others {
        let (component, verb, resource, code) = &row;
        let ours = per_100(ours, count);
        let mark = if goes_by_time(&row) { "by time" } else { "" };
        writeln!(
            table,
            "{component:10} {verb:7} {resource:32} ours {ours:6.1} code {code} {mark}"
        )
        .unwrap();
    }
    (table, off)
}

fn per_100(calls: usize, count: usize) -> f64 {
    let whole = |number: usize| f64::from(u32::try_from(number).unwrap());
    whole(calls) * 100.0 / whole(count)
}
