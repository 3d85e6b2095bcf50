//! Runs that are not valid: which of others' are, how they are told, and what is made of them.

use std::fs;

use record::ImportReport;

use crate::support::{history::History, lines::assert_line};

/// KubeVirt's results, of VMIs by phase and of some calls.
struct Build<'b> {
    job: &'b str,
    id: &'b str,
    at: &'b str,
    vmi: &'b [(&'b str, f64)],
    vm: &'b [(&'b str, f64)],
}

impl Build<'_> {
    fn write(&self, history: &History) {
        let folder = history.path("results").join(self.job).join(self.id);
        fs::create_dir_all(&folder).unwrap();
        let result = |values: &[(&str, f64)]| {
            let values = values.iter();
            let values = values.map(|(name, value)| format!(r#""{name}": {{"value": {value}}}"#));
            let values: Vec<String> = values.collect();
            format!(r#"{{"Values": {{{}}}}}"#, values.join(","))
        };
        let (at, vmi, vm) = (self.at, result(self.vmi), result(self.vm));
        fs::write(
            folder.join("results.json"),
            format!(r#"{{"JobDirCreationTime": "{at}", "VMIResult": {vmi}, "VMResult": {vm}}}"#),
        )
        .unwrap();
    }
}

const RUNNING: &str = "running-phase-count";
const SCHEDULED: &str = "scheduled-phase-count";

/// One build that is whole, and others of which something is missing.
const BUILDS: [Build<'_>; 6] = [
    Build {
        job: "perf",
        id: "1",
        at: "2026-01-01T00:00:00Z",
        // The VMI test has a primer.
        vmi: &[
            (RUNNING, 101.0),
            ("PATCH-virtualmachineinstances-count", 222.0),
        ],
        vm: &[(RUNNING, 100.0)],
    },
    Build {
        job: "perf",
        id: "2",
        at: "2026-01-02T00:00:00Z",
        vmi: &[(RUNNING, 85.0), ("failed-phase-count", 15.0), ("x", 100.0)],
        vm: &[(RUNNING, 62.0), (SCHEDULED, 38.0)],
    },
    Build {
        job: "perf",
        id: "3",
        at: "2026-01-03T00:00:00Z",
        vmi: &[(RUNNING, 100.0), (SCHEDULED, 1.0)],
        vm: &[("scheduling-phase-count", 23.0), (SCHEDULED, 33.0)],
    },
    // KubeVirt's tests created fewer then.
    Build {
        job: "perf",
        id: "4",
        at: "2023-10-19T23:24:57Z",
        vmi: &[(RUNNING, 91.0)],
        vm: &[(RUNNING, 90.0)],
    },
    Build {
        job: "perf",
        id: "5",
        at: "2023-10-20T08:15:51Z",
        vmi: &[("CREATE-pods-count", 90.0)],
        vm: &[(RUNNING, 90.0)],
    },
    // How many it creates is not known.
    Build {
        job: "perf-kwok",
        id: "6",
        at: "2026-01-04T00:00:00Z",
        vmi: &[(RUNNING, 40.0)],
        vm: &[(RUNNING, 2000.0), ("pending-phase-count", 1.0)],
    },
];

fn imported(history: &History) -> ImportReport {
    for build in BUILDS {
        build.write(history);
    }
    let root = history.dir.path().to_str().unwrap();
    history.json(&["import", "kubevirt-ci", root], 0)
}

#[test]
fn a_run_of_which_not_all_vmis_were_running_is_kept_and_not_valid() {
    let history = History::new();
    let report = imported(&history);
    assert_eq!(report.runs.new, 12);
    let expected = [
        ("perf/2/vmi", "85 of 100", " (15 failed)"),
        ("perf/2/vm", "62 of 100", " (38 scheduled)"),
        ("perf/3/vmi", "100 of 101", " (1 scheduled)"),
        ("perf/3/vm", "0 of 100", " (33 scheduled, 23 scheduling)"),
        ("perf/5/vm", "90 of 100", ""),
        ("perf-kwok/6/vm", "2000 of 2001", " (1 pending)"),
    ];
    let why = |(_, count, phases): (&str, &str, &str)| {
        format!("{count} VMIs were Running when Prometheus last looked{phases}")
    };
    let mut told = expected.map(|one| format!("kubevirt-ci/{}: {}", one.0, why(one)));
    let mut found = report.not_valid.clone();
    told.sort();
    found.sort();
    assert_eq!(found, told);

    let runs = history.runs();
    let not_valid = runs.values().filter(|run| !run.valid).count();
    assert_eq!(not_valid, expected.len());
    let failed = &runs["kubevirt-ci/perf/2/vmi"];
    assert_eq!(
        failed.values["failed-phase-count"], 15.0,
        "it is kept whole"
    );
    assert_eq!(runs["kubevirt-ci/perf/4/vm"].objects, Some(90));

    let shown = history.kubetoll(&["runs", "show", "kubevirt-ci/perf/2/vm"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_line(&shown, "  valid    NO: 62 of 100 Running");
    assert_line(&shown, &format!("  reason   {}", why(expected[1])));
    let listed = history.kubetoll(&["runs", "list", "--job", "perf", "--scenario", "vm"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_line(
        &listed,
        "2/vm  2026-01-02T00:00:00Z  vm …  NO: 62 of 100 Running",
    );
}
