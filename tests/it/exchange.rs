//! Importing what others published, and exporting, as a user does.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use record::{
    HistoryRun, ImportReport, KubevirtCiRun, KubevirtWeek, Origin, PerfAuditResults, label,
};

use crate::support::history::History;

/// KubeVirt's job with three runs among the vectors.
const JOB: &str = "periodic-kubevirt-e2e-k8s-1.29-sig-performance";

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name)
}

fn read<T: serde::de::DeserializeOwned>(path: impl AsRef<Path>) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn with_kubevirt_ci() -> History {
    let history = History::new();
    let report: ImportReport =
        history.json(&["import", "kubevirt-ci", "tests/vectors/kubevirt-ci"], 0);
    assert_eq!((report.runs.new, report.skipped.len()), (5, 0));
    history
}

fn id(build: &str, scenario: &str) -> String {
    format!("kubevirt-ci/{JOB}/{build}/{scenario}")
}

#[test]
fn what_kubevirts_ci_published_is_imported_once_and_as_what_it_is() {
    let history = with_kubevirt_ci();
    let again: ImportReport =
        history.json(&["import", "kubevirt-ci", "tests/vectors/kubevirt-ci"], 0);
    assert_eq!((again.runs.new, again.runs.known), (0, 5));
    let runs = history.runs();
    // Two results are null in one build, one in another.
    assert!(!runs.contains_key(&id("1836913355487449088", "vmi")));
    assert!(runs.keys().all(|id| !id.contains("1738464605664972800")));
    let run = &runs[&id("1773857760203509760", "vmi")];
    assert_eq!(run.at, "2024-03-30T00:13:32.488Z".parse().unwrap());
    assert_eq!((run.origin, run.objects), (Origin::Estimate, Some(100)));
    assert_eq!(
        (run.label(label::JOB), run.label(label::SCENARIO)),
        (JOB, "vmi")
    );
    assert!(run.values["vmiCreationToRunningSecondsP50"] > 0.0);
    // Nothing was observed there: 0 seconds would be the best result of all.
    let blind = &runs[&id("1773857760203509760", "vm")];
    assert!(
        blind
            .values
            .keys()
            .all(|name| !name.contains("CreationToRunning"))
    );
    assert!(
        !run.values.contains_key("GET-configmaps-count"),
        "absent is not 0"
    );
}

#[test]
fn a_bad_file_is_named_and_skipped() {
    let history = History::new();
    let dir = history.path("results/job");
    let good = vectors("kubevirt-ci/results")
        .join(JOB)
        .join("1774220152259219456/results.json");
    fs::create_dir_all(dir.join("1")).unwrap();
    fs::copy(good, dir.join("1/results.json")).unwrap();
    for (build, text) in [
        ("2", "{\"JobDirCreationTime\": \"2024-"),
        ("3", "[]"),
        (
            "4",
            "{\"JobDirCreationTime\": \"2024-01-01T00:00:00Z\", \"VMIResult\": {\"Values\": {\"x\": {\"value\": \"y\"}}}}",
        ),
    ] {
        fs::create_dir_all(dir.join(build)).unwrap();
        fs::write(dir.join(build).join("results.json"), text).unwrap();
    }
    let root = history.dir.path().to_str().unwrap();
    let report: ImportReport = history.json(&["import", "kubevirt-ci", root], 1);
    assert_eq!(report.runs.new, 2);
    let named = [
        (2, "EOF while parsing a string at line 1 column 29"),
        (
            3,
            "invalid length 0, expected struct KubevirtCiRun with 3 elements at line 1 column 2",
        ),
        (
            4,
            "invalid type: string \"y\", expected f64 at line 1 column 90",
        ),
    ];
    let named = named.map(|(build, why)| {
        let file = dir.join(build.to_string()).join("results.json");
        format!(
            "{}: it is no results.json of KubeVirt's CI: {why}",
            file.display()
        )
    });
    assert_eq!(report.skipped, named);
    let missing = history.path("missing.db");
    let missing = missing.to_str().unwrap();
    let listed = history.kubetoll(&["runs", "list", "--store", missing]);
    assert_eq!(listed.status.code(), Some(1));
    assert!(!Path::new(missing).exists(), "looking makes no history");
    let nothing = history.kubetoll(&["import", "kubevirt-ci", "tests/it"]);
    assert_eq!(nothing.status.code(), Some(1));
}

#[test]
fn what_kubevirts_ci_published_comes_out_again_with_the_same_values() {
    let history = with_kubevirt_ci();
    let out = history.export(&["kubevirt-results"]);
    let mut compared = 0;
    for build in [
        "1774220152259219456",
        "1773857760203509760",
        "1836913355487449088",
    ] {
        let path = format!("results/{JOB}/{build}/results.json");
        let given: KubevirtCiRun = read(vectors("kubevirt-ci").join(&path));
        let written: KubevirtCiRun = read(out.join(&path));
        assert_eq!(given.at, written.at);
        for (given, written) in [(given.vmi, written.vmi), (given.vm, written.vm)] {
            let numbers = |results: Option<PerfAuditResults>| -> BTreeMap<String, f64> {
                let values = results.map(|results| results.values).unwrap_or_default();
                values
                    .into_iter()
                    .map(|(name, value)| (name, value.value))
                    .collect()
            };
            let (mut given, written) = (numbers(given), numbers(written));
            // The quantiles of nothing are all that is missing.
            given.retain(|name, value| *value != 0.0 || written.contains_key(name));
            assert_eq!(given, written);
            compared += written.len();
        }
    }
    assert!(compared > 150, "{compared}");
    let empty = format!("results/{}", JOB.replace("1.29", "1.27"));
    assert!(!out.join(empty).exists());
}

#[test]
fn weeks_are_named_by_their_monday_and_averaged_over_the_runs_that_have_the_metric() {
    let history = with_kubevirt_ci();
    let out = history.export(&["kubevirt-weekly", "--job", JOB]);
    let week = |scenario: &str, metric: &str, monday: &str| -> Option<KubevirtWeek> {
        let path = format!("weekly/{JOB}/{scenario}/{metric}/{monday}/data/results.json");
        out.join(&path).exists().then(|| read(out.join(path)))
    };
    let runs = history.runs();
    let value = |build: &str, scenario, metric: &str| runs[&id(build, scenario)].values[metric];
    let metric = "CREATE-pods-count";
    let both = [
        value("1773857760203509760", "vmi", metric),
        value("1774220152259219456", "vmi", metric),
    ];
    let created = week("vmi", metric, "2024-03-25").unwrap();
    assert_eq!(created.data.average, (both[0] + both[1]) / 2.0);
    let points: Vec<f64> = created
        .data
        .points
        .iter()
        .map(|point| point.value)
        .collect();
    assert_eq!((points, created.days), (both.to_vec(), 7));
    // Only one of the two VM runs of that week observed a start.
    let metric = "vmiCreationToRunningSecondsP50";
    let started = week("vm", metric, "2024-03-25").unwrap();
    assert_eq!(
        started.data.average,
        value("1774220152259219456", "vm", metric)
    );
    assert!(
        week("vmi", metric, "2024-09-16").is_none(),
        "its result is null"
    );
    assert!(week("vm", metric, "2024-09-16").is_some());
}

#[test]
fn tables_hold_each_value_once() {
    let history = with_kubevirt_ci();
    let values: usize = history.runs().values().map(|run| run.values.len()).sum();
    let out = history.export(&["csv"]);
    let mut table = csv::Reader::from_path(out.join("values.csv")).unwrap();
    assert_eq!(table.records().map(Result::unwrap).count(), values);
    let out = history.export(&["openmetrics"]);
    let text = fs::read_to_string(out.join("history.openmetrics")).unwrap();
    assert_eq!(
        text.lines().filter(|line| !line.starts_with('#')).count(),
        values
    );
    assert!(text.ends_with("# EOF\n"));
    let at = " 1711757612.488\n";
    assert!(
        text.contains(at),
        "the time of a run, with its milliseconds"
    );
    let out = history.export(&["otava", "--scenario", "vm"]);
    let config: serde_json::Value =
        serde_saphyr::from_str(&fs::read_to_string(out.join("otava.yaml")).unwrap()).unwrap();
    let test = &config["tests"][format!("{JOB}.vm.CREATE-pods-count")];
    assert_eq!(test["metrics"]["CREATE-pods-count"]["direction"], -1);
    let mut table = csv::Reader::from_path(out.join(test["file"].as_str().unwrap())).unwrap();
    assert_eq!(
        table.headers().unwrap(),
        vec!["time", "run", "kubevirt", "commit", "value"]
    );
    assert_eq!(table.records().map(Result::unwrap).count(), 3);
}

#[test]
fn a_metrics_folder_of_kube_burner_becomes_a_run_with_perfscale_audits_names() {
    let history = History::new();
    let import = [
        "import",
        "kube-burner",
        "tests/vectors/kube-burner",
        "--scenario",
        "vm",
    ];
    let report: ImportReport = history.json(&import, 0);
    assert_eq!(report.runs.new, 1);
    let runs = history.runs();
    let run = &runs["kube-burner/83bfcb20-54f1-43f4-b2ad-ad04c2f4fd16/kubevirt-density"];
    let expected = BTreeMap::from([
        ("CREATE-pods-count", 111.111_111_111_111_11),
        ("PATCH-pods-count", 222.222_222_222_222_23),
        (
            "UPDATE-virtualmachineinstances-count",
            533.333_333_333_333_4,
        ),
        ("running-phase-count", 100.0),
        ("vmiCreationToRunningSecondsP50", 16.5),
        ("vmiCreationToRunningSecondsP95", 19.65),
        ("vmiLatencyPodCreatedSecondsP50", 0.62),
        ("vmiLatencyPodCreatedSecondsP95", 0.9),
        ("vmiLatencyPodCreatedSecondsP99", 1.1),
        ("vmiLatencyVMIRunningSecondsP50", 15.012),
        ("vmiLatencyVMIRunningSecondsP95", 19.25),
        ("vmiLatencyVMIRunningSecondsP99", 21.003),
    ]);
    let values: BTreeMap<&str, f64> = run
        .values
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(values, expected);
    assert_eq!(run.at, "2026-04-01T08:00:27.942960538Z".parse().unwrap());
    assert_eq!(run.label("kube-burner"), "v2.2.2@0123abc");
    // The way back to KubeVirt's own format.
    let out = history.export(&["kubevirt-results"]);
    let name = "results/kubevirt-density/kube-burner_83bfcb20-54f1-43f4-b2ad-ad04c2f4fd16_kubevirt-density";
    let results: KubevirtCiRun = read(out.join(name).join("results.json"));
    assert_eq!(
        results.vm.unwrap().values["CREATE-pods-count"].value,
        expected["CREATE-pods-count"]
    );
    assert!(results.vmi.is_none());
}

#[test]
fn each_point_of_a_graph_becomes_a_run_with_one_value() {
    let history = History::new();
    let graphs = r#"{"job": {"vmi": {"Weekly CREATE-pods-count for vmi": {
        "individual metrics": {"x": ["2022-12-10", "2022-12-08", "2022-12-10"], "y": [111.5, 0, 112]},
        "weekly averages": {"x": ["2022-12-05"], "y": [74.5]}}}}}"#;
    let path = history.path("graphs.json.gz");
    let mut file = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
    file.write_all(graphs.as_bytes()).unwrap();
    file.finish().unwrap();
    let report: ImportReport =
        history.json(&["import", "kubevirt-graphs", path.to_str().unwrap()], 0);
    assert_eq!(report.runs.new, 3);
    let runs = history.runs();
    let at = |day: &str| &runs[&format!("kubevirt-graphs/job/vmi/CREATE-pods-count/{day}")];
    assert_eq!(at("2022-12-10/2").values["CREATE-pods-count"], 112.0);
    assert_eq!(at("2022-12-08/1").values["CREATE-pods-count"], 0.0);
    let out = history.export(&["kubevirt-weekly"]);
    let path = "weekly/job/vmi/CREATE-pods-count/2022-12-05/data/results.json";
    let week: KubevirtWeek = read(out.join(path));
    assert_eq!(week.data.average, 74.5, "as KubeVirt's own line");
}

#[test]
fn an_audit_log_and_a_results_file_become_runs_of_their_own_origin() {
    let history = History::new();
    let log = "tests/vectors/audit/instancetype-1.jsonl.gz";
    let unnamed = history.kubetoll(&["import", "audit", log]);
    assert_eq!(
        unnamed.status.code(),
        Some(1),
        "a log doesn't tell the scenario"
    );
    let import = [
        "import",
        "audit",
        log,
        "--scenario",
        "instancetype",
        "--label",
        "commit=abc",
    ];
    for (new, known) in [(1, 0), (0, 1)] {
        let report: ImportReport = history.json(&import, 0);
        assert_eq!((report.runs.new, report.runs.known), (new, known));
    }
    let file = history.path("VMI-perf-audit-results.json");
    fs::write(
        &file,
        r#"{"Values": {"CREATE-pods-count": {"value": 111.1}}}"#,
    )
    .unwrap();
    let at = "2026-01-01T00:00:00Z";
    let import = ["import", "perfscale-audit", "--at", at, "--job", "nightly"];
    let _: ImportReport = history.json(&[&import[..], &[file.to_str().unwrap()]].concat(), 0);
    let runs: Vec<HistoryRun> = history.json(&["runs", "list", "--origin", "audit"], 0);
    assert_eq!(runs[0].label(label::COMMIT), "abc");
    assert_eq!(runs[0].values["CREATE-pods-count"], 1.0);
    assert_eq!(
        runs[0].components["virt-controller"]["CREATE-pods-count"],
        1.0
    );
    let runs: Vec<HistoryRun> = history.json(&["runs", "list", "--origin", "estimate"], 0);
    assert_eq!(
        (runs[0].at, runs[0].label(label::SCENARIO)),
        (at.parse().unwrap(), "vmi")
    );
}

/// kube-burner's folder of the vectors, to be changed.
fn burner_folder(history: &History) -> PathBuf {
    let folder = history.path("collected-metrics");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(vectors("kube-burner")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    folder
}

const BURNER_COUNTS: &str = "resourceRequestCountsByOperation-kubevirt-density.json";
const BURNER_RUN: &str = "kube-burner/83bfcb20-54f1-43f4-b2ad-ad04c2f4fd16/kubevirt-density";

fn import_burner(history: &History, path: &Path, code: i32) -> ImportReport {
    history.json(&["import", "kube-burner", path.to_str().unwrap()], code)
}

#[test]
fn a_file_of_kube_burner_that_is_cut_off_is_named_and_its_run_is_incomplete() {
    let history = History::new();
    let folder = burner_folder(&history);
    let counts = folder.join(BURNER_COUNTS);
    let whole = fs::read(&counts).unwrap();
    fs::write(&counts, &whole[..whole.len() / 2]).unwrap();
    let report = import_burner(&history, &folder, 1);
    let cut = format!("{}: it is cut off at line 30", counts.display());
    assert_eq!(report.skipped, [cut]);
    let incomplete = format!("{BURNER_RUN}/incomplete");
    assert_eq!(
        report.not_valid,
        [format!("{incomplete}: not all of its files could be read")]
    );
    let runs = history.runs();
    assert!(!runs[&incomplete].valid);
    assert!(!runs[&incomplete].values.contains_key("CREATE-pods-count"));
    // Its disk was full; now the whole of it is there.
    fs::write(&counts, &whole).unwrap();
    let report = import_burner(&history, &folder, 0);
    assert_eq!((report.runs.new, report.not_valid.len()), (1, 0));
    assert!(
        history.runs()[BURNER_RUN]
            .values
            .contains_key("CREATE-pods-count")
    );
}

#[test]
fn json_lines_of_kube_burner_are_read_and_what_is_there_twice_is_taken_once() {
    let history = History::new();
    let folder = burner_folder(&history);
    let counts = folder.join(BURNER_COUNTS);
    let documents: Vec<serde_json::Value> = read(&counts);
    let lines: Vec<String> = documents.iter().map(ToString::to_string).collect();
    fs::write(&counts, lines.join("\n")).unwrap();
    let again = folder.join("resourceRequestCounts (1).json");
    fs::copy(&counts, &again).unwrap();
    let report = import_burner(&history, &folder, 0);
    let all = documents.len();
    assert_eq!(
        report.left_out,
        [
            format!(
                "{}: {all} of {all} documents, which were there before",
                counts.display()
            ),
            "avgVirtAPICPUUsage of job kubevirt-density, which has several different values"
                .to_owned(),
        ]
    );
    let runs = history.runs();
    assert_eq!(
        runs[BURNER_RUN].values["CREATE-pods-count"],
        111.111_111_111_111_11
    );
}

/// An archive of a folder, by the machine's own tar.
fn archive(history: &History, folder: &Path, name: &str, options: &str) -> PathBuf {
    let path = history.path(name);
    let status = std::process::Command::new("tar")
        .arg(options)
        .arg(&path)
        .arg("-C")
        .arg(folder.parent().unwrap())
        .arg(folder.file_name().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    path
}

#[test]
fn an_archive_of_results_is_read_as_the_folder_is() {
    let history = History::new();
    let folder = burner_folder(&history);
    let (plain, packed) = (
        archive(&history, &folder, "metrics.tar", "-cf"),
        archive(&history, &folder, "metrics.tgz", "-czf"),
    );
    assert_eq!(import_burner(&history, &plain, 0).runs.new, 1);
    assert_eq!(import_burner(&history, &packed, 0).runs.known, 1);
    assert_eq!(import_burner(&history, &folder, 0).runs.known, 1);
    let text = fs::read(&plain).unwrap();
    fs::write(&plain, &text[..text.len() / 2]).unwrap();
    let report = import_burner(&history, &plain, 1);
    assert_eq!(
        report.skipped,
        [format!(
            "{}: the rest cannot be read: it is cut off",
            plain.display()
        )]
    );
    assert_eq!(
        report.not_valid,
        [format!(
            "{BURNER_RUN}/incomplete: not all of its files could be read"
        )]
    );

    let checkout = archive(&history, &vectors("kubevirt-ci"), "ci.tar.gz", "-czf");
    let report: ImportReport =
        history.json(&["import", "kubevirt-ci", checkout.to_str().unwrap()], 0);
    assert_eq!(report.runs.new, 5);
    let again: ImportReport =
        history.json(&["import", "kubevirt-ci", "tests/vectors/kubevirt-ci"], 0);
    assert_eq!(again.runs.known, 5);
}

#[test]
fn a_log_of_which_a_stage_is_missing_is_no_run_to_compare_with() {
    let history = History::new();
    let log = |name: &str, stage: &str| {
        let path = history.path(name);
        fs::write(&path, received(stage)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let import = |path: &str| history.kubetoll(&["import", "audit", "--scenario", "vmi", path]);
    let nothing = import(&log("received", "RequestReceived"));
    assert_eq!(nothing.status.code(), Some(1));
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert_eq!(
        said,
        "kubetoll: nothing was counted in the log: it has no event that says how a request ended\n"
    );
    let import = import(&log("complete", "ResponseComplete"));
    assert_eq!(import.status.code(), Some(4));
    let runs = history.runs();
    assert_eq!(runs.len(), 1);
    assert!(runs.values().all(|run| !run.valid));
}

/// A log of a create and a watch that have only this stage.
fn received(stage: &str) -> String {
    let event = |id: u8, verb: &str, uri: &str| {
        format!(
            r#"{{"kind":"Event","auditID":"{id}","stage":"{stage}","requestURI":"{uri}","verb":"{verb}","user":{{"username":"u"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-11-24T01:00:0{id}Z","stageTimestamp":"2026-11-24T01:00:0{id}Z"}}"#
        )
    };
    [
        event(1, "create", "/api/v1/namespaces/n/pods"),
        event(2, "watch", "/api/v1/pods?watch=true"),
    ]
    .join("\n")
}
