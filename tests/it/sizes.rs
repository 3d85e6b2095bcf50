//! Runs of several sizes: what is drawn and averaged of them.

use std::fs;

use record::{HistoryRun, Origin};
use store::Store;

use crate::{
    pages::{kubetoll, run},
    support::lines::assert_line,
};

/// The values of runs with 100 objects and with one have no average.
#[test]
fn an_average_is_of_runs_with_as_many_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let store = store.to_str().unwrap();
    let runs = [(1, 100), (2, 1), (3, 1)].map(|(day, objects)| {
        let at = format!("2026-05-0{}T08:00:00Z", day + 3).parse().unwrap();
        let value = objects as f64;
        let run = run(day.to_string(), at, Origin::Counted, "vmi", value);
        HistoryRun {
            objects: Some(objects),
            ..run
        }
    });
    Store::open(&store.parse().unwrap())
        .unwrap()
        .append_all(runs)
        .unwrap();
    let out = dir.path().join("out");
    let out_text = out.to_str().unwrap();
    let docs = ["docs", "--store", store, "--out", out_text];
    let output = kubetoll(&docs);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_line(
        &said,
        "k8s-1.25/vmi: left out: 1 run of 100 objects, for most have 1 object, and the two have no \
         average; --objects 100 takes such runs alone, --objects all takes all",
    );
    let page = || fs::read_to_string(out.join("perf-scale-benchmarks.md")).unwrap();
    let item = "   1. minimal VMIs, in the graphs “for VMI”, here";
    assert_line(&page(), &format!("{item} 1 object a run;"));
    assert!(page().contains("| exact | 2 | 2026-05-04 | 1 |"));
    kubetoll(&[&docs[..], &["--objects", "100"]].concat());
    assert_line(&page(), &format!("{item} 100 objects a run;"));
    let weekly = [
        "export",
        "kubevirt-weekly",
        "--store",
        store,
        "--out",
        out_text,
    ];
    kubetoll(&weekly);
    let week = "weekly/k8s-1.25/vmi/PATCH-pods-count/2026-05-04/data/results.json";
    let week: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join(week)).unwrap()).unwrap();
    assert_eq!(week["Data"]["Average"], 1.0);
}
