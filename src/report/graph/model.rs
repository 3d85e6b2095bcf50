//! What a graph shows, before anything draws it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan, civil::Date};

use super::{KUBEVIRT_METRICS, Marker, SCENARIOS};
use crate::history::{metrics::metric as value, text::including};
use record::{HistoryRun, Origin, label};
use stats::week::{WeekMean, weekly_means};

/// What is to be drawn of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The metrics, in the order of the page; those of KubeVirt's page if empty.
    pub metrics: Vec<String>,
    /// Draw the runs of all jobs together, under this name.
    pub join: Option<String>,
    /// Mark each first run that has another value of these labels than the run before it.
    pub mark: Vec<String>,
}

/// One graph: a metric of a scenario in a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The job, empty if the runs have none.
    pub job: String,
    /// The scenario, such as `vmi`.
    pub scenario: String,
    /// The metric's name, such as `PATCH-pods-count`.
    pub metric: String,
    /// One for each origin of numbers, since they can't be compared as they are.
    pub series: Vec<Series>,
    /// The markers between the first and the last run.
    pub markers: Vec<Marker>,
}

/// The runs whose numbers have one origin, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Where the numbers come from.
    pub origin: Origin,
    /// One for each run that has the metric, in the order of time.
    pub dots: Vec<Dot>,
    /// The weeks that have runs.
    pub weeks: Vec<Week>,
}

/// A run that has the metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot {
    /// When the run began.
    pub at: Timestamp,
    /// The metric's value: a count, or seconds.
    pub value: f64,
    /// The run's id.
    pub run: String,
    /// How many objects it created, if that is known.
    pub objects: Option<u64>,
    /// Whether the run is valid; another is drawn only because that was asked for.
    pub valid: bool,
}

/// The runs of an ISO week in UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Week {
    /// The Monday with which it begins.
    pub monday: Date,
    /// The mean over the runs that have the metric.
    pub mean: f64,
    /// How many these are.
    pub runs: usize,
}

impl Graph {
    /// `PATCH-pods-count for VMI`.
    pub fn title(&self) -> String {
        let scenario = super::scenario_title(&self.scenario);
        format!("{} for {scenario}", self.metric)
    }

    /// The first day and the last one of what is drawn. A week's average is at its Monday, which can
    /// be before its runs.
    pub fn days(&self) -> Option<(Date, Date)> {
        let dots = self.series.iter().flat_map(|series| &series.dots);
        let days: Vec<Date> = dots.map(|dot| day(dot.at)).collect();
        let weeks = self.series.iter().flat_map(|series| &series.weeks);
        let first = weeks.map(|week| week.monday).chain(days.iter().copied());
        Some((first.min()?, days.iter().copied().max()?))
    }

    /// The days of the first run and of the last one.
    pub fn days_of_runs(&self) -> Option<(Date, Date)> {
        let dots = self.series.iter().flat_map(|series| &series.dots);
        let days = dots.map(|dot| day(dot.at));
        Some((days.clone().min()?, days.max()?))
    }

    /// All values that are drawn.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let dots = self.series.iter().flat_map(|series| &series.dots);
        dots.map(|dot| dot.value)
    }

    /// How many runs are drawn.
    pub fn runs(&self) -> usize {
        self.series.iter().map(|series| series.dots.len()).sum()
    }

    /// The ids of those that are not valid.
    pub fn not_valid(&self) -> impl Iterator<Item = &str> {
        let dots = self.series.iter().flat_map(|series| &series.dots);
        dots.filter(|dot| !dot.valid).map(|dot| &*dot.run)
    }
}

impl Series {
    /// The weeks in stretches without a week between them that has no run: a line is never drawn
    /// across a gap.
    pub fn stretches(&self) -> impl Iterator<Item = &[Week]> {
        self.weeks
            .chunk_by(|week, next| week.monday.saturating_add(7.days()) == next.monday)
    }

    /// `individual runs`, what their numbers are, and how many are not valid.
    pub fn dots_name(&self) -> String {
        let not_valid = self.dots.iter().filter(|dot| !dot.valid).count();
        let origin = origin_word(self.origin);
        match including(not_valid) {
            Some(including) => format!("individual runs ({origin}; {including})"),
            None => format!("individual runs ({origin})"),
        }
    }

    /// How a page shows a dot; estimates are hollow.
    pub(crate) fn class(&self) -> &'static str {
        match self.origin {
            Origin::Counted => "filled",
            Origin::Audit => "triangle",
            Origin::Simulated => "cross",
            Origin::Estimate => "hollow",
        }
    }

    /// Orange is the weekly average of measurements.
    pub(crate) fn line_color(&self) -> &'static str {
        match self.origin {
            Origin::Counted | Origin::Estimate => "#ff7f0e",
            Origin::Audit => "#d62728",
            Origin::Simulated => "#8c564b",
        }
    }

    /// `weekly average` and of what.
    pub fn weeks_name(&self) -> String {
        format!("weekly average ({})", origin_word(self.origin))
    }
}

/// How many runs that are not valid are in some of these graphs, in words; `None` if there are none.
pub(crate) fn including_not_valid<'g>(graphs: impl Iterator<Item = &'g Graph>) -> Option<String> {
    let not_valid: BTreeSet<&str> = graphs.flat_map(Graph::not_valid).collect();
    including(not_valid.len())
}

/// What an origin is to a reader.
pub(crate) fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Counted => "exact",
        Origin::Simulated => "exact, KubeVirt simulated",
        Origin::Audit => "exact, from the audit log",
        Origin::Estimate => "Prometheus estimate",
    }
}

/// The graphs of `runs`, all of which count: sorted by job, then as the page has scenarios and
/// metrics. A metric that no run has makes no graph.
pub fn graphs(runs: &[HistoryRun], selection: &Selection, markers: &[Marker]) -> Vec<Graph> {
    let mut groups: BTreeMap<(&str, usize, &str), Vec<&HistoryRun>> = BTreeMap::new();
    for run in runs {
        let job = selection.join.as_deref().unwrap_or(run.label(label::JOB));
        let scenario = run.label(label::SCENARIO);
        let place = SCENARIOS.iter().position(|known| *known == scenario);
        let place = place.unwrap_or(SCENARIOS.len());
        groups.entry((job, place, scenario)).or_default().push(run);
    }
    let default = KUBEVIRT_METRICS.map(str::to_owned);
    let metrics = if selection.metrics.is_empty() {
        &default[..]
    } else {
        &selection.metrics
    };
    let mut graphs = Vec::new();
    for ((job, _, scenario), mut runs) in groups {
        runs.sort_by_key(|run| (run.at, &run.id));
        let mut markers = markers.to_vec();
        markers.extend(
            selection
                .mark
                .iter()
                .flat_map(|label| switches(&runs, label)),
        );
        markers.sort_by_key(|marker| marker.day);
        graphs.extend(metrics.iter().filter_map(|metric| {
            let mut graph = Graph {
                job: job.to_owned(),
                scenario: scenario.to_owned(),
                metric: metric.clone(),
                series: series(&runs, metric),
                markers: Vec::new(),
            };
            let (first, last) = graph.days()?;
            let within = |marker: &&Marker| (first..=last).contains(&marker.day);
            graph.markers = markers.iter().filter(within).cloned().collect();
            Some(graph)
        }));
    }
    graphs
}

fn series(runs: &[&HistoryRun], metric: &str) -> Vec<Series> {
    let origins: BTreeSet<Origin> = runs.iter().map(|run| run.origin).collect();
    let of_origin = |origin| {
        let dots: Vec<Dot> = runs
            .iter()
            .filter(|run| run.origin == origin)
            .filter_map(|run| {
                Some(Dot {
                    at: run.at,
                    value: value(run, metric)?,
                    run: run.id.clone(),
                    objects: run.objects,
                    valid: run.valid,
                })
            })
            .collect();
        Series {
            origin,
            weeks: weeks(&dots),
            dots,
        }
    };
    let all = origins.into_iter().map(of_origin);
    all.filter(|series| !series.dots.is_empty()).collect()
}

fn weeks(dots: &[Dot]) -> Vec<Week> {
    let means = weekly_means(dots.iter().map(|dot| (dot.at, dot.value)));
    let week = |(monday, week): (Date, WeekMean)| Week {
        monday,
        mean: week.mean,
        runs: week.count,
    };
    means.into_iter().map(week).collect()
}

/// The day in UTC.
pub(crate) fn day(at: Timestamp) -> Date {
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Where a label changes from one run to the next.
fn switches(runs: &[&HistoryRun], label: &str) -> Vec<Marker> {
    let pairs = runs.iter().zip(runs.iter().skip(1));
    pairs
        .filter(|(before, after)| before.label(label) != after.label(label))
        .filter(|(_, after)| !after.label(label).is_empty())
        .map(|(_, after)| Marker {
            day: day(after.at),
            label: format!("{label} {}", after.label(label)),
            color: "#7a7a7a",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn run(id: &str, at: &str, origin: Origin, value: Option<f64>) -> HistoryRun {
        let labels = [(label::JOB, "lane"), (label::SCENARIO, "vmi")];
        HistoryRun {
            id: id.to_owned(),
            at: at.parse().unwrap(),
            origin,
            valid: true,
            failure: None,
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            objects: None,
            values: value
                .map(|value| ("PATCH-pods-count".to_owned(), value))
                .into_iter()
                .collect(),
            components: BTreeMap::new(),
            cost: None,
            record: None,
        }
    }

    fn means(series: &Series) -> Vec<(Date, f64, usize)> {
        let weeks = series.weeks.iter();
        weeks
            .map(|week| (week.monday, week.mean, week.runs))
            .collect()
    }

    #[test]
    fn a_week_is_the_mean_of_its_runs_that_have_the_metric() {
        let runs = [
            run("d", "2025-01-06T00:00:00Z", Origin::Estimate, Some(5.0)),
            run("a", "2024-12-30T00:00:00Z", Origin::Estimate, Some(1.0)),
            run("b", "2025-01-05T23:59:59Z", Origin::Estimate, Some(3.0)),
            run("c", "2025-01-01T00:00:00Z", Origin::Estimate, None),
        ];
        let drawn = graphs(&runs, &Selection::default(), &[]);
        assert_eq!(drawn.len(), 1);
        let expected = [(date(2024, 12, 30), 2.0, 2), (date(2025, 1, 6), 5.0, 1)];
        assert_eq!(means(&drawn[0].series[0]), expected);
        assert_eq!(drawn[0].title(), "PATCH-pods-count for VMI");
    }

    #[test]
    fn a_week_without_a_run_breaks_the_line() {
        let days = ["2025-01-06", "2025-01-13", "2025-01-27", "2025-02-03"];
        let runs =
            days.map(|day| run(day, &format!("{day}T00:00:00Z"), Origin::Counted, Some(1.0)));
        let drawn = graphs(&runs, &Selection::default(), &[]);
        let lengths: Vec<usize> = drawn[0].series[0].stretches().map(<[Week]>::len).collect();
        assert_eq!(lengths, [2, 2]);
    }

    #[test]
    fn origins_and_jobs_stay_apart_unless_joined_and_runs_that_are_not_valid_are_told() {
        let mut runs = [
            run("a", "2025-01-06T00:00:00Z", Origin::Estimate, Some(1.0)),
            run("b", "2025-01-07T00:00:00Z", Origin::Counted, Some(2.0)),
            run("c", "2025-01-08T00:00:00Z", Origin::Counted, Some(9.0)),
            run("d", "2025-01-09T00:00:00Z", Origin::Counted, Some(4.0)),
        ];
        runs[2].valid = false;
        runs[3]
            .labels
            .insert(label::JOB.to_owned(), "other".to_owned());
        let drawn = graphs(&runs, &Selection::default(), &[]);
        let jobs: Vec<(&str, usize)> = drawn
            .iter()
            .map(|graph| (&*graph.job, graph.series.len()))
            .collect();
        assert_eq!(jobs, [("lane", 2), ("other", 1)]);
        let joined = Selection {
            join: Some("both".to_owned()),
            ..Selection::default()
        };
        let drawn = graphs(&runs, &joined, &[]);
        assert_eq!(
            (drawn.len(), &*drawn[0].job, drawn[0].runs()),
            (1, "both", 4)
        );
        assert_eq!(drawn[0].not_valid().collect::<Vec<_>>(), ["c"]);
        let names: Vec<String> = drawn[0].series.iter().map(Series::dots_name).collect();
        assert_eq!(
            names,
            [
                "individual runs (exact; including 1 run that is not valid)",
                "individual runs (Prometheus estimate)"
            ]
        );
    }

    #[test]
    fn markers_are_those_of_the_time_drawn_and_of_labels_that_change() {
        let mut runs = [
            run("a", "2025-01-06T00:00:00Z", Origin::Counted, Some(1.0)),
            run("b", "2025-02-06T00:00:00Z", Origin::Counted, Some(2.0)),
        ];
        for (run, version) in runs.iter_mut().zip(["v1.7.0", "v1.8.0"]) {
            run.labels
                .insert(label::KUBEVIRT.to_owned(), version.to_owned());
        }
        let marker = |day| Marker {
            day,
            label: "x".to_owned(),
            color: "#7a7a7a",
        };
        let selection = Selection {
            mark: vec![label::KUBEVIRT.to_owned()],
            ..Selection::default()
        };
        let given = [marker(date(2025, 1, 20)), marker(date(2026, 1, 1))];
        let drawn = graphs(&runs, &selection, &given);
        let labels: Vec<&str> = drawn[0]
            .markers
            .iter()
            .map(|marker| &*marker.label)
            .collect();
        assert_eq!(labels, ["x", "kubevirt v1.8.0"]);
    }
}
