//! `kubetoll graph`, `docs` and `report`, and their pages in a real Chromium.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use record::{Drawn, HistoryRun, Origin, RunRecord, RunResult, label};
use store::Store;

use crate::support::{browser::Browser, lines::assert_line};

const V1: &str = include_str!("../vectors/kubevirt-v1-patch-pods.tsv");
const SHAPE: &str = "lineShapes:
- {x0: '2023-02-01', line: {color: grey}, label: {text: v0.59.0}}
- {x0: '2023-02-08', line: {color: yellow}, label: {text: k8s-1.26}}
- {x0: '2023-02-10', line: {color: blue}, label: {text: v0.58.1}}
- {x0: '2023-06-12', line: {color: red}, label: {text: v1.0.0-rc.0}}
- {x0: '2030-01-01', line: {color: red}, label: {text: never}}
";

pub(crate) fn kubetoll(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(arguments)
        // No history of the user's own.
        .env(
            "KUBETOLL_STORE",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/none.db"),
        )
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

pub(crate) fn run(
    id: String,
    at: Timestamp,
    origin: Origin,
    scenario: &str,
    value: f64,
) -> HistoryRun {
    let labels = [(label::JOB, "k8s-1.25"), (label::SCENARIO, scenario)];
    HistoryRun {
        id,
        at,
        origin,
        valid: true,
        failure: None,
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        objects: Some(100),
        values: BTreeMap::from([("PATCH-pods-count".to_owned(), value)]),
        components: BTreeMap::new(),
        cost: None,
        record: None,
    }
}

/// The runs of KubeVirt's page for v1, later exact ones, and simulated ones of another scenario.
fn history(dir: &Path) -> String {
    let published = V1.lines().filter_map(|line| line.strip_prefix("run\t"));
    let mut runs: Vec<HistoryRun> = published
        .enumerate()
        .map(|(index, line)| {
            let (day, value) = line.split_once('\t').unwrap();
            let day: Date = day.parse().unwrap();
            let at = day.to_zoned(TimeZone::UTC).unwrap().timestamp();
            let id = format!("kubevirt-ci/k8s-1.25/{index}");
            run(id, at, Origin::Estimate, "vmi", value.parse().unwrap())
        })
        .collect();
    let from: Timestamp = "2023-05-01T08:00:00Z".parse().unwrap();
    for index in 0..40 {
        let at = from + SignedDuration::from_hours(index * 24);
        let exact = format!("run-{index}");
        runs.push(run(
            exact,
            at,
            Origin::Counted,
            "vmi",
            200.0 + (index % 3) as f64,
        ));
        let simulated = format!("simulated-{index}");
        runs.push(run(simulated, at, Origin::Simulated, "vm", 201.0));
    }
    let file = dir.join("history.db");
    let store = file.to_str().unwrap().to_owned();
    let mut opened = Store::open(&store.parse().unwrap()).unwrap();
    opened.append_all(runs).unwrap();
    store
}

/// Draws the graphs of [`history`] into `dir`.
fn draw(dir: &Path) -> Drawn {
    let store = history(dir);
    let shape = dir.join("shape.yaml");
    fs::write(&shape, SHAPE).unwrap();
    let drawn = kubetoll(&[
        "graph",
        "--store",
        &store,
        "--markers",
        shape.to_str().unwrap(),
        "--out",
        dir.to_str().unwrap(),
        "--output",
        "json",
    ]);
    assert!(drawn.status.success());
    serde_json::from_slice(&drawn.stdout).unwrap()
}

/// True where no two boxes of a list overlap and each is in the window.
const LABELS_ARE_APART: &str = "(() => {
  const boxes = [...document.querySelectorAll('.plot .annotation-text-g')].map((label) => label.getBoundingClientRect());
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  return boxes.length > 0
    && boxes.every((box) => box.left >= 0 && box.right <= innerWidth)
    && boxes.every((box, index) => boxes.slice(index + 1).every((other) => apart(box, other)));
})()";

/// The least contrast of a text's colour to the page's.
const CONTRAST: &str = "(() => {
  const part = (value) => { const c = value / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = (color) => { const [r, g, b] = color.match(/[0-9.]+/g).map(Number); return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b); };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (element) => { const text = light(getComputedStyle(element).color); return (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05); };
  const texts = [...document.querySelectorAll('h1, h2, h3, p, a, td, th, summary, figcaption, caption, label, dt, dd, li, .good, .bad, .warning')];
  return Math.min(...texts.map(contrast));
})()";

fn is_accessible(browser: &mut Browser) {
    assert_eq!(browser.eval("document.documentElement.lang"), "en");
    assert_eq!(browser.eval("document.querySelectorAll('h1').length"), 1);
    assert_eq!(browser.eval("document.querySelectorAll('main').length"), 1);
    let levels = browser.eval(
        "[...document.querySelectorAll('h1, h2, h3')].map((head) => Number(head.tagName[1]))",
    );
    let levels: Vec<u64> = serde_json::from_value(levels).unwrap();
    let skips = levels.windows(2).any(|pair| pair[1] > pair[0] + 1);
    assert!(!skips, "headings skip a level: {levels:?}");
    let unnamed = "[...document.querySelectorAll('button, input, [role=region], [role=img], a')]
      .filter((element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length)).length";
    assert_eq!(browser.eval(unnamed), 0, "something has no name");
    let contrast = browser.eval(CONTRAST).as_f64().unwrap();
    assert!(contrast >= 4.5, "contrast {contrast}");
}

fn fits_the_window(browser: &mut Browser) {
    let beyond = browser.eval("document.documentElement.scrollWidth - innerWidth");
    assert!(
        beyond.as_f64().unwrap() <= 0.0,
        "the page is {beyond} pixels too wide"
    );
}

#[test]
fn the_graphs_are_files_that_need_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let drawn = draw(dir.path());
    let of: Vec<(&str, &str, usize)> = drawn
        .graphs
        .iter()
        .map(|graph| (&*graph.scenario, &*graph.metric, graph.runs))
        .collect();
    assert_eq!(
        of,
        [
            ("vmi", "PATCH-pods-count", 551),
            ("vm", "PATCH-pods-count", 40)
        ]
    );
    let svg = fs::read_to_string(dir.path().join(&drawn.graphs[0].svg)).unwrap();
    for word in ["v0.59.0", "k8s-1.26", "v1.0.0-rc.0", "Prometheus estimate"] {
        assert!(svg.contains(word), "{word}");
    }
    assert!(!svg.contains("never"), "a marker after the last run");
    let png = fs::read(dir.path().join(&drawn.graphs[0].png)).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn nothing_to_draw_and_bad_markers_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (store, out) = (history(dir.path()), out.to_str().unwrap().to_owned());
    let graph = |more: &[&str]| {
        let mut arguments = vec!["graph", "--store", &store, "--out", &out];
        arguments.extend(more);
        let output = kubetoll(&arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let none =
        format!("kubetoll: the history {store} has no such run; the jobs of its runs: k8s-1.25");
    assert_line(&graph(&["--job", "other"]), &none);
    assert_line(
        &graph(&["--metric", "PATCH-cats-count"]),
        "kubetoll: no run has the metric PATCH-cats-count: did you mean PATCH-pods-count?",
    );
    let shape = dir.path().join("shape.yaml");
    fs::write(&shape, "lineShapes: [{x0: soon, label: {text: v2}}]").unwrap();
    let said = graph(&["--markers", shape.to_str().unwrap()]);
    let bad = format!(
        "kubetoll: {}: line 1 (v2) has \"soon\" where a day such as 2026-03-25 is expected",
        shape.display()
    );
    assert_line(&said, &bad);
    assert!(!Path::new(&out).exists());
}

#[test]
fn the_benchmark_page_has_pictures_numbers_and_noise() {
    let dir = tempfile::tempdir().unwrap();
    let (store, out) = (history(dir.path()), dir.path().to_str().unwrap());
    let output = kubetoll(&["docs", "--store", &store, "--out", out]);
    assert!(output.status.success());
    let page = fs::read_to_string(dir.path().join("perf-scale-benchmarks.md")).unwrap();
    let pictures: BTreeSet<&str> = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(pictures.len(), 2);
    for picture in pictures {
        assert!(dir.path().join(picture).is_file(), "{picture}");
    }
    assert_line(
        &page,
        "   - There are no runs of VM with instancetype and preference yet.",
    );
    let row = "| PATCH-pods-count | VM | k8s-1.25 | exact, KubeVirt simulated | 40 | 201 | 201 | 201 | none |";
    assert_line(&page, row);
    // The step of February 2023 on KubeVirt's page for v1.
    assert_line(
        &page,
        "| 2023-02-1… | PATCH-pods-count | VMI | k8s-1.25 | another level | 121 | 224 | +86 % |",
    );
}

#[test]
fn the_graphs_in_a_browser() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    draw(dir.path());
    let page = dir.path().join("index.html");
    for (width, height, name) in [(1280, 1000, "desktop"), (390, 844, "phone")] {
        for dark in [false, true] {
            browser.window(width, height, dark);
            browser.open(&page);
            browser.wait_for("document.querySelectorAll('.plot .main-svg').length > 0");
            browser.wait_for(LABELS_ARE_APART);
            fits_the_window(&mut browser);
            is_accessible(&mut browser);
            browser.eval("document.querySelector('.graph').scrollIntoView()");
            let shade = if dark { "dark" } else { "light" };
            browser.screenshot(&format!("graphs-{name}-{shade}"));
            assert_eq!(browser.problems(), [""; 0]);
        }
    }
}

#[test]
fn a_graph_can_be_used_by_keyboard() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    draw(dir.path());
    browser.window(1280, 1000, false);
    browser.open(&dir.path().join("index.html"));
    let dots =
        "document.querySelectorAll('.graph:first-of-type .plot .scatterlayer .points path').length";
    browser
        .wait_for("document.querySelectorAll('.graph:first-of-type .plot .main-svg').length > 0");
    let before = browser.eval(dots).as_u64().unwrap();
    assert!(before >= 551, "{before} dots");

    // The dots of the estimates, off and on.
    browser.eval("document.querySelector('.graph [data-trace=\"1\"]').focus()");
    browser.press(" ", 32);
    browser.wait_for(&format!("{dots} === {}", before - 511));
    browser.press(" ", 32);
    browser.wait_for(&format!("{dots} === {before}"));

    browser.eval("document.querySelector('.plot').focus()");
    browser.press("ArrowRight", 39);
    let reading = browser.eval("document.querySelector('.reading').textContent");
    let reading = reading.as_str().unwrap();
    assert_eq!(
        reading,
        "101.20082663911202 at 2022-12-07 00:00:00 UTC, run kubevirt-ci/k8s-1.25/0"
    );
    browser.wait_for("document.querySelectorAll('.hoverlayer .hovertext').length === 1");
    browser.screenshot("graphs-hover");

    let range = "JSON.stringify(document.querySelector('.plot').layout.xaxis.range)";
    let all = browser.eval(range);
    browser.eval("document.querySelector('[data-zoom=in]').focus()");
    browser.press("Enter", 13);
    assert_ne!(browser.eval(range), all);
    browser.wait_for(LABELS_ARE_APART);
    browser.eval("document.querySelector('[data-zoom=all]').click()");
    assert_eq!(browser.eval(range), all);

    browser.eval("document.querySelector('.each').open = true");
    browser.wait_for("document.querySelectorAll('.each tbody tr').length === 551");
    let weeks =
        "document.querySelectorAll('.graph:first-of-type details:not(.each) tbody tr').length";
    assert!(browser.eval(weeks).as_u64().unwrap() >= 28);
    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = browser.eval(paper);
    browser.eval("document.getElementById('theme').click()");
    assert_ne!(browser.eval(paper), light);
    assert_eq!(browser.problems(), [""; 0]);
}

/// The record of a small run in the embedded lab.
fn record(dir: &Path) -> String {
    let run = kubetoll(&[
        "run",
        "instancetype",
        "--no-store",
        "--count",
        "12",
        "--pause",
        "50ms",
        "--results-dir",
        dir.to_str().unwrap(),
    ]);
    assert!(run.status.success());
    dir.join("record.json").to_str().unwrap().to_owned()
}

#[test]
fn the_report_of_a_run_in_each_form() {
    let dir = tempfile::tempdir().unwrap();
    let record = record(dir.path());
    let report = |end: &str, more: &[&str]| {
        let out = dir.path().join(format!("report.{end}"));
        let mut arguments = vec!["report", &record, "--out", out.to_str().unwrap()];
        arguments.extend(more);
        let output = kubetoll(&arguments);
        (
            output.status.code(),
            fs::read_to_string(out).unwrap_or_default(),
        )
    };
    let (code, json) = report("json", &[]);
    let result: RunResult = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, result.count, result.values["CREATE-pods-count"]),
        (Some(0), 12, 12)
    );
    let (_, markdown) = report("md", &[]);
    assert_line(&markdown, "| CREATE-pods-count | 12 | 1.00 |");
    assert_line(&markdown, "| By who called | | |");
    assert_line(&markdown, "| virt-controller | … tolls | … % |");
    assert_line(
        &markdown,
        "The counts are valid. **KubeVirt was simulated.**",
    );
    let (code, xml) = report("xml", &["--budget", "CREATE-pods<=11"]);
    assert_eq!(code, Some(3));
    assert_line(
        &xml,
        "<testsuites name=\"kubetoll run-…\" tests=\"7\" skipped=\"0\" failures=\"1\" errors=\"0\">",
    );
    assert_line(
        &xml,
        "        <testcase name=\"CREATE-pods&lt;=11\" classname=\"kubetoll.budgets\">",
    );
    let (code, _) = report("pdf", &[]);
    assert_eq!(code, Some(1));
    let store = history(dir.path());
    let missing = kubetoll(&[
        "report",
        "no-such-run",
        "--store",
        &store,
        "--out",
        "-",
        "--form",
        "md",
    ]);
    assert_eq!(missing.status.code(), Some(1));
    assert_line(
        &String::from_utf8_lossy(&missing.stderr),
        &format!("kubetoll: no-such-run is no file and no run of the history {store}"),
    );
}

#[test]
fn a_run_is_put_beside_the_last_good_ones_of_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    let record = record(dir.path());
    let store = history(dir.path());
    let mut opened = Store::open(&store.parse().unwrap()).unwrap();
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for (index, pods) in [12.0, 12.0, 12.0, 99.0, 99.0].into_iter().enumerate() {
        let at = at + SignedDuration::from_hours(index as i64);
        let id = format!("earlier-{index}");
        let mut earlier = run(id, at, Origin::Simulated, "instancetype", 20.0);
        earlier.labels.remove(label::JOB);
        earlier.objects = Some(12);
        earlier.values.insert("CREATE-pods-count".to_owned(), pods);
        // The last two are no good run, and one of another size.
        earlier.valid = index != 3;
        earlier.objects = Some(if index == 4 { 100 } else { 12 });
        opened.append(&earlier).unwrap();
    }
    let report = kubetoll(&[
        "report", &record, "--store", &store, "--form", "md", "--out", "-",
    ]);
    let text = String::from_utf8(report.stdout).unwrap();
    assert_line(&text, "This run and the 3 good runs of its kind before it.");
    assert_line(
        &text,
        "| CREATE-pods-count | 12 | 12 | 12 | 12 | +0.0 % |  |",
    );
    // The simulated components race as real ones do: 24 patches, or a few more.
    let patches = text
        .lines()
        .find_map(|line| line.strip_prefix("| PATCH-pods-count | "));
    let patches = patches.unwrap().split(' ').next().unwrap();
    let more = (patches.parse::<f64>().unwrap() / 20.0 - 1.0) * 100.0;
    let patched = format!(
        "| PATCH-pods-count | {patches} | 20 | 20 | 20 | {more:+.1} % | **outside of what they had** |"
    );
    assert_line(&text, &patched);
    assert_line(
        &text,
        "| CREATE-events-count | 24 | | | | | **none had it** |",
    );

    // The same by the run's id, from the record that the history holds.
    let raw: RunRecord = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let id = raw.id.clone();
    let mut stored = run(
        id.clone(),
        raw.started,
        Origin::Simulated,
        "instancetype",
        24.0,
    );
    stored.labels.remove(label::JOB);
    stored.record = Some(Box::new(raw));
    opened.append(&stored).unwrap();
    let by_id = kubetoll(&[
        "report", &id, "--store", &store, "--form", "md", "--out", "-",
    ]);
    assert_eq!(String::from_utf8(by_id.stdout).unwrap(), text);
    let imported = kubetoll(&["report", "earlier-0", "--store", &store, "--out", "r.md"]);
    assert_eq!(imported.status.code(), Some(1));
    assert_line(
        &String::from_utf8_lossy(&imported.stderr),
        "kubetoll: run earlier-0 was imported: the history has its numbers, but no record of it",
    );
}

#[test]
fn the_report_of_a_run_in_a_browser() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("report.html");
    let record = record(dir.path());
    let output = kubetoll(&["report", &record, "--out", page.to_str().unwrap()]);
    assert!(output.status.success());
    for (width, height, name) in [(1280, 3600, "desktop"), (390, 4000, "phone")] {
        for dark in [false, true] {
            browser.window(width, height, dark);
            browser.open(&page);
            fits_the_window(&mut browser);
            is_accessible(&mut browser);
            // However narrow it is, each row's component and count can be seen together.
            let seen = browser.eval(
                "[...document.querySelectorAll('.calls tbody tr')].every((row) => [0, 4].every((at) => { \
                 const cell = row.cells[at].getBoundingClientRect(); \
                 return cell.left >= 0 && cell.right <= innerWidth; }))",
            );
            assert_eq!(seen, true, "{name}");
            let shade = if dark { "dark" } else { "light" };
            browser.screenshot(&format!("report-{name}-{shade}"));
            assert_eq!(browser.problems(), [""; 0]);
        }
    }
    assert_eq!(
        browser.eval("document.querySelectorAll('main svg').length"),
        2
    );

    let column = |index: u32| {
        format!(
            "[...document.querySelectorAll('.calls tbody tr')].map((row) => row.cells[{index}].dataset.value ?? row.cells[{index}].textContent)"
        )
    };
    // The dearest first; what a bar shows is all there is, and is in words too.
    let costs: Vec<String> = serde_json::from_value(browser.eval(&column(5))).unwrap();
    let costs = costs.iter().map(|cost| cost.parse::<f64>().unwrap());
    assert!(costs.is_sorted_by(|one, other| one >= other));
    let stacks = browser.eval(
        "[...document.querySelectorAll('.stacked')].map((stacked) => { \
         const bar = stacked.querySelector('.stack').getBoundingClientRect(); \
         const parts = [...stacked.querySelectorAll('.stack i')].map((part) => part.getBoundingClientRect().width); \
         return [parts.reduce((sum, width) => sum + width, 0) / bar.width, parts.length - stacked.querySelectorAll('li').length]; })",
    );
    let stacks: Vec<(f64, i64)> = serde_json::from_value(stacks).unwrap();
    assert_eq!(stacks.len(), 2, "by who and by what");
    for (filled, unnamed) in stacks {
        assert!((filled - 1.0).abs() < 0.01 && unnamed == 0, "{filled}");
    }
    browser.eval("document.querySelector('.calls thead button').focus()");
    browser.press("Enter", 13);
    let components: Vec<String> = serde_json::from_value(browser.eval(&column(0))).unwrap();
    assert!(components.is_sorted(), "{components:?}");
    assert_eq!(
        browser.eval("document.querySelector('.calls th').ariaSort"),
        "ascending"
    );

    browser.eval("(() => { const filter = document.getElementById('filter'); filter.value = 'virt-controller create pods'; filter.dispatchEvent(new Event('input')); })()");
    assert_eq!(
        browser.eval("document.querySelectorAll('.calls tbody tr:not([hidden])').length"),
        1
    );
    let shown = browser.eval("document.getElementById('shown').textContent");
    assert!(
        shown.as_str().unwrap().ends_with("rows, 12 calls"),
        "{shown}"
    );
    assert_eq!(browser.problems(), [""; 0]);
}
