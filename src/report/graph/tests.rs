//! The graphs against what KubeVirt published.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::*;
use record::{HistoryRun, Origin, label};

const V1: &str = include_str!("../../../tests/vectors/kubevirt-v1-patch-pods.tsv");

fn lines(kind: &str) -> impl Iterator<Item = (Date, f64)> {
    V1.lines().filter_map(move |line| {
        let mut fields = line.split('\t');
        (fields.next() == Some(kind)).then_some(())?;
        Some((
            fields.next()?.parse().unwrap(),
            fields.next()?.parse().unwrap(),
        ))
    })
}

fn run(index: usize, at: Timestamp, value: f64) -> HistoryRun {
    let labels = [(label::JOB, "k8s-1.25"), (label::SCENARIO, "vmi")];
    HistoryRun {
        id: format!("run-{index}"),
        at,
        origin: Origin::Estimate,
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

/// The graph of KubeVirt's page for v1.
fn v1() -> Graph {
    let runs: Vec<HistoryRun> = lines("run")
        .enumerate()
        .map(|(index, (day, value))| {
            let at = day.to_zoned(TimeZone::UTC).unwrap().timestamp();
            run(index, at, value)
        })
        .collect();
    let mut graphs = graphs(&runs, &Selection::default(), &[]);
    assert_eq!(graphs.len(), 1);
    graphs.remove(0)
}

#[test]
fn kubevirts_page_for_v1_is_reproduced() {
    let series = &v1().series[0];
    let published: Vec<(Date, f64)> = lines("week").collect();
    assert_eq!(
        (series.dots.len(), series.weeks.len()),
        (511, published.len())
    );
    for (week, (monday, mean)) in series.weeks.iter().zip(published) {
        assert_eq!(week.monday, monday);
        assert!(
            (week.mean - mean).abs() < 1e-9,
            "{monday}: {} {mean}",
            week.mean
        );
    }
}

#[test]
fn each_run_is_a_dot_in_the_picture() {
    let svg = picture(&v1()).unwrap();
    // One more in the legend.
    assert_eq!(svg.matches("<circle").count(), 512);
    assert!(svg.contains("<title>PATCH-pods-count for VMI</title>"));
    assert!(svg.contains("511 runs from 2022-12-05 to 2023-06-13"));
    let png = png(&svg, 1.0).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    assert_eq!(png, super::png(&svg, 1.0).unwrap());
}

#[test]
fn a_picture_holds_what_a_label_says_and_no_markup_of_it() {
    let mut graph = v1();
    graph.job = "<script>&".to_owned();
    graph.markers.push(Marker {
        day: "2023-02-02".parse().unwrap(),
        label: "<b>v1".to_owned(),
        color: "#3a6fd8",
    });
    let svg = picture(&graph).unwrap();
    assert!(!svg.contains("<script") && !svg.contains("<b>"));
    assert!(svg.contains("&lt;b&gt;v1"));
    let page = page("</title><script>", &[graph]).unwrap();
    assert!(!page.contains("</title><script>") && !page.contains("<b>v1"));
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page("Benchmarks", &[v1()]).unwrap();
    assert!(plotly_script().starts_with("<script") && plotly_script().ends_with("</script>"));
    assert!(
        !plotly_script().contains("MathJax.loader"),
        "formulas are not needed"
    );
    let own = page.replace(plotly_script(), "");
    for foreign in ["src=", "href=\"http", "@import", "url("] {
        assert!(!own.contains(foreign), "{foreign}");
    }
}
