//! The benchmark page, in the structure of KubeVirt's docs/perf-scale-benchmarks.md: Markdown with
//! pictures, and what that page lacks: the numbers and their noise.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use jiff::{ToSpan, civil::Date};

use super::{
    graph::{
        DrawError, Graph, KUBEVIRT_METRICS, Marker, Metric, SCENARIOS, Series, including_not_valid,
        origin_word, scenario_title,
    },
    number::rounded,
};
use record::{Change, ChangeKind, number_of, printable_line};
use stats::nearest_rank;

/// The noise is that of this many weeks before the last run.
const NOISE_WEEKS: i64 = 12;

/// A graph and where its picture is, seen from the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Illustration {
    /// What the picture shows.
    pub graph: Graph,
    /// Path of its PNG.
    pub picture: String,
}

#[derive(Template)]
#[template(path = "benchmarks.md", escape = "none")]
struct Page<'p> {
    jobs: Vec<&'p str>,
    first: String,
    last: String,
    /// Empty, or how many runs that are not valid are among them, after a comma.
    including: String,
    missing: Vec<&'static str>,
    sizes: BTreeMap<&'p str, BTreeSet<u64>>,
    markers: Vec<&'p Marker>,
    performance: Vec<Section<'p>>,
    scalability: Vec<Section<'p>>,
    numbers: Vec<Numbers<'p>>,
    weeks: i64,
    changes: Vec<Found<'p>>,
}

/// A row of the table of changes.
struct Found<'p> {
    change: &'p Change,
    scenario: &'p str,
    day: String,
    what: &'static str,
    before: String,
    after: String,
    percent: String,
}

/// A metric with the pictures of all jobs and scenarios that have it.
struct Section<'p> {
    metric: &'p str,
    pictures: Vec<&'p Illustration>,
}

/// A row of the table of numbers.
struct Numbers<'p> {
    metric: &'p str,
    scenario: &'p str,
    job: &'p str,
    origin: &'static str,
    unit: &'static str,
    runs: usize,
    week: String,
    mean: String,
    noise_runs: usize,
    median: String,
    p5: String,
    p95: String,
    spread: String,
}

/// The page, with the changes of its metrics among `changes`.
pub fn benchmarks(illustrations: &[Illustration], changes: &[Change]) -> Result<String, DrawError> {
    let graphs = || illustrations.iter().map(|one| &one.graph);
    let mut jobs: Vec<&str> = graphs().map(|graph| &*graph.job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    let days: Vec<(Date, Date)> = graphs().filter_map(Graph::days_of_runs).collect();
    let day = |day: Option<Date>| day.map_or("no day".to_owned(), |day| day.to_string());
    let mut markers: Vec<&Marker> = graphs().flat_map(|graph| &graph.markers).collect();
    markers.sort_by_key(|marker| (marker.day, &marker.label));
    markers.dedup();
    let sections = sections(illustrations);
    let (performance, scalability) = sections
        .into_iter()
        .partition(|section| Metric(section.metric).is_performance());
    let page = Page {
        jobs,
        first: day(days.iter().map(|(first, _)| *first).min()),
        last: day(days.iter().map(|(_, last)| *last).max()),
        including: including_not_valid(graphs())
            .map_or(String::new(), |words| format!(", {words}")),
        missing: missing(illustrations),
        sizes: sizes(graphs()),
        markers,
        performance,
        scalability,
        numbers: graphs().flat_map(numbers).collect(),
        weeks: NOISE_WEEKS,
        changes: found(changes),
    };
    page.render().map_err(|error| DrawError(error.to_string()))
}

/// KubeVirt's scenarios that no graph shows.
fn missing(illustrations: &[Illustration]) -> Vec<&'static str> {
    let shown = |scenario: &&str| {
        let mut graphs = illustrations.iter().map(|one| &one.graph);
        graphs.any(|graph| graph.scenario == *scenario)
    };
    let missing = SCENARIOS.iter().filter(|scenario| !shown(scenario));
    missing.map(|scenario| scenario_title(scenario)).collect()
}

/// How many objects the runs of each scenario created, where that is known.
fn sizes<'g>(graphs: impl Iterator<Item = &'g Graph>) -> BTreeMap<&'g str, BTreeSet<u64>> {
    let mut sizes: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for graph in graphs {
        let known = graph.series.iter().flat_map(|series| &series.dots);
        let known = known.filter_map(|dot| dot.objects);
        sizes.entry(&graph.scenario).or_default().extend(known);
    }
    sizes
}

/// `, here 100 objects a run`; nothing where no run tells it.
fn created(sizes: &BTreeMap<&str, BTreeSet<u64>>, scenario: &str) -> String {
    let known = sizes.get(scenario).into_iter().flatten();
    let known: Vec<String> = known.map(|count| number_of(*count, "object")).collect();
    match known.is_empty() {
        true => String::new(),
        false => format!(", here {} a run", known.join(" or ")),
    }
}

/// By metric: those of KubeVirt's page in its order, then others.
fn sections(illustrations: &[Illustration]) -> Vec<Section<'_>> {
    let place = |metric: &str| {
        let known = KUBEVIRT_METRICS.iter().position(|known| *known == metric);
        known.unwrap_or(KUBEVIRT_METRICS.len())
    };
    let mut metrics: Vec<&str> = illustrations.iter().map(|one| &*one.graph.metric).collect();
    metrics.sort_by_key(|metric| (place(metric), *metric));
    metrics.dedup();
    let section = |metric| Section {
        metric,
        pictures: illustrations
            .iter()
            .filter(|one| one.graph.metric == metric)
            .collect(),
    };
    metrics.into_iter().map(section).collect()
}

fn numbers(graph: &Graph) -> impl Iterator<Item = Numbers<'_>> {
    graph.series.iter().filter_map(move |series| {
        let week = series.weeks.last()?;
        let lately = lately(series);
        let rank = |percent| nearest_rank(&lately, percent);
        let (p5, median, p95) = (rank(5.0)?, rank(50.0)?, rank(95.0)?);
        Some(Numbers {
            metric: &graph.metric,
            scenario: scenario_title(&graph.scenario),
            job: &graph.job,
            origin: origin_word(series.origin),
            unit: Metric(&graph.metric).unit(),
            runs: series.dots.len(),
            week: week.monday.to_string(),
            mean: rounded(week.mean),
            noise_runs: lately.len(),
            median: rounded(median),
            p5: rounded(p5),
            p95: rounded(p95),
            spread: match p95 - p5 {
                0.0 => "none".to_owned(),
                _ if median == 0.0 => String::new(),
                width => format!("{:.0} %", width / median * 100.0),
            },
        })
    })
}

/// The latest first.
fn found(changes: &[Change]) -> Vec<Found<'_>> {
    let level = |value: Option<f64>| value.map_or("none".to_owned(), rounded);
    let row = |change| Found {
        change,
        scenario: scenario_title(&change.scenario),
        day: super::graph::day(change.at).to_string(),
        what: match (change.kind, change.before) {
            (ChangeKind::Step, _) => "another level",
            (ChangeKind::Missing, _) => "went missing",
            (ChangeKind::Back, Some(_)) => "is there again",
            (ChangeKind::Back, None) => "first seen",
        },
        before: level(change.before),
        after: level(change.after),
        percent: change
            .percent
            .map_or(String::new(), |percent| format!("{percent:+.0} %")),
    };
    let mut found: Vec<Found<'_>> = changes.iter().map(row).collect();
    found.sort_by_key(|found| std::cmp::Reverse(found.change.at));
    found
}

/// The values of the last weeks.
fn lately(series: &Series) -> Vec<f64> {
    let Some(last) = series.weeks.last() else {
        return Vec::new();
    };
    let since = last.monday.saturating_sub((NOISE_WEEKS * 7 - 7).days());
    let dots = series.dots.iter();
    dots.filter(|dot| super::graph::day(dot.at) >= since)
        .map(|dot| dot.value)
        .collect()
}

/// Text in a cell of a Markdown table.
pub(crate) fn cell(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let text = printable_line(&text).replace('\\', "\\\\");
    let text = text.replace('|', "\\|").replace('[', "\\[");
    text.replace('<', "&lt;")
}

/// The words of a picture, between brackets and between quotes.
fn title(text: impl std::borrow::Borrow<str>) -> String {
    cell(text.borrow())
        .replace(']', "\\]")
        .replace('"', "&quot;")
}

/// A path in a Markdown link.
fn link(path: &str) -> String {
    path.replace(' ', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_how_many_objects_its_runs_created() {
        let sizes = BTreeMap::from([("vmi", BTreeSet::from([1, 100])), ("vm", BTreeSet::new())]);
        let words = ["vmi", "vm", "own"].map(|scenario| created(&sizes, scenario));
        assert_eq!(words, [", here 1 object or 100 objects a run", "", ""]);
    }

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(cell("a|b\n<c>\\"), "a\\|b &lt;c>\\\\");
    }
}
