//! The report as a page and as Markdown.

use std::borrow::Borrow;

use askama::Template;

use super::{
    Compared, Document,
    bill::BillView,
    chart::{Lines, steps},
    facts::{Call, RATE_FROM_SECONDS},
};
use crate::{
    benchmarks::cell,
    document::junit::counted,
    graph::DrawError,
    number::{self, bytes, grouped, rounded},
    run::text::beside,
    text,
};
use record::{AUDIT_CHECK, BudgetVerdict, Kept, ResultRow, RunResult, ThresholdVerdict};
use stats::nearest_rank;

#[derive(Template)]
#[template(path = "document/page.html")]
struct Page<'d> {
    view: View<'d>,
    style: &'static str,
    script: &'static str,
    timeline: Option<String>,
    phases: Option<String>,
}

#[derive(Template)]
#[template(path = "document/report.md", escape = "none")]
struct Markdown<'d> {
    view: View<'d>,
}

/// What both forms show, in words.
struct View<'d> {
    document: &'d Document<'d>,
    result: &'d RunResult,
    title: String,
    facts: Vec<(&'static str, String)>,
    bill: Option<BillView>,
    rankings: Vec<Ranking>,
    phases: Vec<PhaseRow>,
    compared: Option<&'d Compared>,
}

/// The most expensive calls by one measure.
struct Ranking {
    title: &'static str,
    rows: Vec<RankedRow>,
}

struct RankedRow {
    name: String,
    value: String,
    /// Percent of the first.
    share: f64,
}

struct PhaseRow {
    name: String,
    objects: usize,
    p50: String,
    p95: String,
    most: String,
}

/// The report as one HTML file that needs nothing else.
pub fn html(document: &Document<'_>) -> Result<String, DrawError> {
    let page = Page {
        view: View::new(document),
        style: concat!(include_str!("../style.css"), include_str!("page.css")),
        script: concat!(include_str!("../theme.js"), include_str!("page.js")),
        timeline: timeline(document)?,
        phases: phases(document)?,
    };
    page.render().map_err(|error| DrawError(error.to_string()))
}

/// The report as Markdown, short enough for a comment on a pull request.
pub fn markdown(document: &Document<'_>) -> Result<String, DrawError> {
    let page = Markdown {
        view: View::new(document),
    };
    page.render().map_err(|error| DrawError(error.to_string()))
}

impl<'d> View<'d> {
    fn new(document: &'d Document<'d>) -> Self {
        Self {
            document,
            result: document.result,
            title: document.headline(),
            facts: facts(document),
            bill: BillView::new(document),
            rankings: rankings(document),
            phases: document
                .phases
                .iter()
                .map(|phase| PhaseRow {
                    name: phase.name.clone(),
                    objects: phase.reached.len(),
                    p50: rank(&phase.after, 50.0),
                    p95: rank(&phase.after, 95.0),
                    most: rank(&phase.after, 100.0),
                })
                .collect(),
            compared: document.compared,
        }
    }

    /// How exact the numbers are, one sentence each.
    fn exactness(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let proxies = self.result.proxies.len();
        let noun = if proxies == 1 { "proxy" } else { "proxies" };
        lines.push(format!(
            "Counted on the wire by {proxies} {noun}, between two snapshots of the books; nothing is sampled or extrapolated."
        ));
        lines.push(if self.result.simulated {
            "KubeVirt's components were SIMULATED: the calls follow recordings of the real ones; rows marked as assumed follow none.".to_owned()
        } else {
            "The components were real.".to_owned()
        });
        lines.push(match self.document.audit() {
            Some(check) if check.ok => {
                let how = if check.name == AUDIT_CHECK {
                    "request by request"
                } else {
                    "count by count"
                };
                let detail = &check.detail;
                format!("Proven against the API server's own log, {how}: {detail}.")
            }
            Some(_) => "The API server's own log DISAGREES: see the checks.".to_owned(),
            None => "Not compared with the API server's audit log; `kubetoll verify record.json AUDIT-LOG` does that.".to_owned(),
        });
        lines.push("Creation to Running by KubeVirt's status has a grain of 1 s; by the driver's clock it is from sending the create to seeing Running.".to_owned());
        let lost: u64 = self.lost();
        if lost > 0 {
            lines.push(format!(
                "The journal lost {} requests; the counts did not.",
                grouped(lost)
            ));
        }
        lines
    }

    fn lost(&self) -> u64 {
        let proxies = self.document.record.proxies.iter();
        proxies.map(|proxy| proxy.closed.journal_lost).sum()
    }

    fn values(&self) -> Vec<(String, u64)> {
        let values = self.result.values.iter();
        values.map(|(name, count)| (name.clone(), *count)).collect()
    }

    fn per_object(&self, count: impl Borrow<u64>) -> String {
        format!(
            "{:.2}",
            *count.borrow() as f64 / self.result.count.max(1) as f64
        )
    }

    /// Whether the window before the run was long enough to say how often a minute.
    fn has_rates(&self) -> bool {
        let window = self.result.baseline.as_ref();
        window.is_some_and(|window| window.seconds >= RATE_FROM_SECONDS)
    }

    fn rate(&self, row: &ResultRow, seconds: impl Borrow<f64>) -> String {
        format!("{:.1}", row.count as f64 * 60.0 / seconds.borrow())
    }

    fn name(&self, row: &ResultRow) -> String {
        let call = &row.call;
        let name = text::resource(&call.group, &call.resource, &call.subresource, &call.path);
        format!("{} {name}", call.verb)
    }

    fn milliseconds(&self, call: &Call) -> String {
        format!("{:.1}", call.seconds * 1e3 / call.count.max(1) as f64)
    }

    fn tolls(&self, tolls: impl Borrow<Option<f64>>) -> String {
        tolls.borrow().map(number::tolls).unwrap_or_default()
    }

    /// What a call costs of all.
    fn share(&self, call: &Call) -> String {
        let all = self.document.all_tolls();
        let share = |tolls| number::share(tolls, all);
        call.tolls.map(share).unwrap_or_default()
    }

    fn bytes(&self, count: impl Borrow<u64>) -> String {
        bytes(*count.borrow() as f64)
    }

    fn grouped(&self, count: impl Borrow<u64>) -> String {
        grouped(*count.borrow())
    }

    fn value(&self, value: impl Borrow<f64>) -> String {
        rounded(*value.borrow())
    }

    fn or_missing(&self, value: impl Borrow<Option<f64>>) -> String {
        value.borrow().map_or("missing".to_owned(), rounded)
    }

    fn percent(&self, value: impl Borrow<Option<f64>>) -> String {
        let value = value.borrow();
        value.map_or(String::new(), |percent| format!("{percent:+.1} %"))
    }
}

/// What was counted for a budget, and for nearly the same name.
fn budget_found(verdict: &BudgetVerdict) -> String {
    let beside = beside(verdict.other.as_ref(), &verdict.meant);
    format!("{}{beside}", counted(verdict))
}

fn threshold_beside(verdict: &ThresholdVerdict) -> String {
    beside(verdict.other.as_ref(), &verdict.meant)
}

/// The same in a cell of a Markdown table.
fn budget_cell(verdict: &BudgetVerdict) -> String {
    cell(&budget_found(verdict))
}

fn threshold_cell(verdict: &ThresholdVerdict) -> String {
    cell(&threshold_beside(verdict))
}

fn facts(document: &Document<'_>) -> Vec<(&'static str, String)> {
    let (record, result) = (document.record, document.result);
    let or_unknown = |text: &str| match text {
        "" => "unknown".to_owned(),
        text => text.to_owned(),
    };
    let kubevirt = if result.simulated {
        "simulated".to_owned()
    } else {
        or_unknown(&result.cluster.kubevirt_version)
    };
    let mut facts = vec![
        ("Run", result.id.clone()),
        ("Began", seconds(record.started)),
        ("KubeVirt", kubevirt),
        ("Kubernetes", or_unknown(&result.cluster.kubernetes_version)),
        ("All calls", grouped(document.all_count())),
        ("Wasted calls", grouped(document.wasted_count())),
    ];
    if let Some(quantiles) = result.latency.by_driver {
        let text = format!("{:.2} s, {:.2} s", quantiles.p50, quantiles.p95);
        facts.push(("To Running, P50 and P95", text));
    }
    facts
}

fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn rank(samples: &[f64], percent: f64) -> String {
    nearest_rank(samples, percent).map_or(String::new(), rounded)
}

fn rankings(document: &Document<'_>) -> Vec<Ranking> {
    let ranking = |title, ranked: Vec<(String, f64)>, show: &dyn Fn(f64) -> String| {
        let most = ranked.first().map_or(1.0, |(_, most)| *most);
        let rows = ranked.into_iter().map(|(name, sum)| RankedRow {
            name,
            value: show(sum),
            share: sum / most * 100.0,
        });
        Ranking {
            title,
            rows: rows.collect(),
        }
    };
    let by_cost = ranking(
        "By cost",
        document.ranked(|call| call.tolls.unwrap_or_default()),
        &|sum| format!("{} tolls", number::tolls(sum)),
    );
    let by_cost = Some(by_cost).filter(|ranking| !ranking.rows.is_empty());
    let others = [
        ranking(
            "By count",
            document.ranked(|call| call.count as f64),
            &|sum| grouped(sum as u64),
        ),
        ranking(
            "By bytes, both ways",
            document.ranked(|call| (call.sent + call.received) as f64),
            &bytes,
        ),
        ranking(
            "By time until the response's head",
            document.ranked(|call| call.seconds),
            &|sum| format!("{sum:.2} s"),
        ),
    ];
    by_cost.into_iter().chain(others).collect()
}

fn timeline(document: &Document<'_>) -> Result<Option<String>, DrawError> {
    let Some(timeline) = &document.timeline else {
        return Ok(None);
    };
    let line = |(name, rates): &(String, Vec<f64>)| {
        // The last rate holds for as long as the others.
        let rates = rates.iter().chain(rates.last()).enumerate();
        let points = rates.map(|(index, rate)| ((index as i64 * timeline.step) as f64, *rate));
        (name.clone(), steps(points))
    };
    let chart = Lines {
        title: "API calls per second by component",
        description: "The table below has the same numbers.",
        x: "seconds after the first call",
        y: "calls per second",
        lines: timeline.lines.iter().map(line).collect(),
    };
    chart.svg().map(Some)
}

fn phases(document: &Document<'_>) -> Result<Option<String>, DrawError> {
    if document.phases.is_empty() {
        return Ok(None);
    }
    let ends = document
        .phases
        .iter()
        .filter_map(|phase| phase.reached.last());
    let end = ends.copied().fold(1.0, f64::max);
    let lines = document.phases.iter().map(|phase| {
        let reached = phase.reached.iter().enumerate();
        let points = reached.map(|(index, at)| (*at, index as f64 + 1.0));
        let count = phase.reached.len() as f64;
        let points = [(0.0, 0.0)].into_iter().chain(points).chain([(end, count)]);
        (phase.name.clone(), steps(points))
    });
    let chart = Lines {
        title: "Objects that came to each phase",
        description: "The table below has when, in seconds after each object's creation.",
        x: "seconds after the first create",
        y: "objects",
        lines: lines.collect(),
    };
    chart.svg().map(Some)
}
