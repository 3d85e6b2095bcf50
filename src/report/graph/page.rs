//! All graphs in one page that needs nothing else.

use std::collections::HashMap;

use askama::Template;
use plotly::Plot;

use super::{
    DrawError, Graph, Metric, Series,
    figure::figure,
    model::{including_not_valid, origin_word},
    picture::description,
    scenario_title,
};
use crate::number::rounded;

#[derive(Template)]
#[template(path = "graph/page.html")]
struct Page<'g> {
    title: &'g str,
    summary: String,
    groups: Vec<Group<'g>>,
    style: &'static str,
    script: &'static str,
    plotly: &'static str,
}

/// The graphs of a scenario in a job.
struct Group<'g> {
    id: String,
    title: String,
    /// JSON: the ids of the runs.
    runs: String,
    graphs: Vec<View<'g>>,
}

struct View<'g> {
    id: String,
    graph: &'g Graph,
    unit: &'static str,
    description: String,
    /// JSON: the figure of plotly.js.
    figure: String,
    weeks: Vec<WeekRow>,
}

struct WeekRow {
    monday: String,
    origin: &'static str,
    mean: String,
    runs: usize,
}

/// The page of `graphs`: HTML that works offline.
pub fn page(title: &str, graphs: &[Graph]) -> Result<String, DrawError> {
    let groups: Vec<Group<'_>> = graphs
        .chunk_by(|one, next| (&one.job, &one.scenario) == (&next.job, &next.scenario))
        .enumerate()
        .map(|(index, graphs)| group(index, graphs))
        .collect();
    let page = Page {
        title,
        summary: summary(graphs),
        groups,
        style: concat!(include_str!("../style.css"), include_str!("page.css")),
        script: concat!(include_str!("../theme.js"), include_str!("page.js")),
        plotly: plotly_script(),
    };
    page.render().map_err(|error| DrawError(error.to_string()))
}

fn summary(graphs: &[Graph]) -> String {
    let days: Vec<_> = graphs.iter().filter_map(Graph::days_of_runs).collect();
    let first = days.iter().map(|(first, _)| first).min();
    let last = days.iter().map(|(_, last)| last).max();
    match (first, last) {
        (Some(first), Some(last)) => {
            let noun = if graphs.len() == 1 { "graph" } else { "graphs" };
            let including = including_not_valid(graphs.iter());
            let including = including.map_or(String::new(), |words| format!(", {words}"));
            format!(
                "{} {noun} of runs from {first} to {last}{including}.",
                graphs.len()
            )
        }
        _ => "The history has no run that could be shown.".to_owned(),
    }
}

fn group(index: usize, graphs: &[Graph]) -> Group<'_> {
    let mut runs: Vec<&str> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let series = graphs.iter().flat_map(|graph| &graph.series);
    for dot in series.flat_map(|series| &series.dots) {
        places.entry(&dot.run).or_insert_with(|| {
            runs.push(&dot.run);
            runs.len() - 1
        });
    }
    let scenario = scenario_title(&graphs[0].scenario);
    let title = match &*graphs[0].job {
        "" => scenario.to_owned(),
        job => format!("{scenario}, {job}"),
    };
    Group {
        id: format!("group-{index}"),
        title,
        runs: in_script(&serde_json::Value::from(runs).to_string()),
        graphs: graphs
            .iter()
            .map(|graph| View {
                id: format!("graph-{index}-{}", graph.metric),
                graph,
                unit: Metric(&graph.metric).unit(),
                description: description(graph),
                figure: in_script(&figure(graph, &places)),
                weeks: graph.series.iter().flat_map(week_rows).collect(),
            })
            .collect(),
    }
}

fn week_rows(series: &Series) -> impl Iterator<Item = WeekRow> {
    series.weeks.iter().map(|week| WeekRow {
        monday: week.monday.to_string(),
        origin: origin_word(series.origin),
        mean: rounded(week.mean),
        runs: week.runs,
    })
}

/// JSON that can't end the script element that it stands in.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// plotly.js as a script element. The crate's sources also have MathJax, 2 MB for formulas that no
/// graph has; plotly.js comes first.
pub fn plotly_script() -> &'static str {
    static SCRIPT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        const END: &str = "</script>";
        let mut sources = Plot::offline_js_sources();
        let end = sources.find(END).map_or(sources.len(), |at| at + END.len());
        sources.truncate(end);
        sources
    });
    &SCRIPT
}
