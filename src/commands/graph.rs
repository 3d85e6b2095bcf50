//! `kubetoll graph` and `kubetoll docs`: the history to look at.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::shared::{
    failed::FailedArgs,
    history::{SelectArgs, StoreArgs},
    inputs::parse_yaml,
    output::Output,
    priced::priced_for,
    progress::Terminal,
    results::{write_file, write_text},
    sizes::SizeArgs,
};
use driver::Progress;
use record::{Drawn, DrawnGraph, HistoryRun, MarkerFile, number_of};
use report::{
    Metrics, Sensitivity,
    benchmarks::{Illustration, benchmarks},
    graph::{Graph, Marker, Selection, graphs, kubevirt_markers, page, picture, png},
};
use terminal::{exit::Exit, lines};

/// Pixels of a PNG for each of its SVG.
const PNG_SCALE: f32 = 1.5;

/// Draw the graphs of KubeVirt's benchmark page from the history.
///
/// For each job, scenario and metric one picture: dots are runs, the line is the average of a week
/// from Monday to Sunday in UTC, dotted lines mark releases. Writes
/// JOB/SCENARIO/METRIC.svg and .png, and index.html with all graphs to zoom into, which needs
/// nothing else and works offline.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll graph --out graphs
  kubetoll graph --scenario vmi --metric PATCH-pods-count --since 2025-01-01 --out graphs
  kubetoll graph --markers shape.yaml --mark kubernetes --join main --out graphs")]
pub(super) struct GraphArgs {
    #[command(flatten)]
    what: What,
    /// Form of the list of what was drawn.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Write the benchmark page: Markdown with pictures, in the structure of KubeVirt's
/// docs/perf-scale-benchmarks.md.
///
/// All three scenarios, and what that page lacks: the numbers, their noise and the changes found. Writes
/// perf-scale-benchmarks.md, and its pictures into perf-scale-graphs.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubetoll docs --job periodic-kubevirt-e2e-k8s-1.34-sig-performance \
--markers shape.yaml --out docs"
)]
pub(super) struct DocsArgs {
    #[command(flatten)]
    what: What,
    /// Form of the list of what was drawn.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What is drawn, and where to.
#[derive(Debug, Args)]
struct What {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    failed: FailedArgs,
    #[command(flatten)]
    sizes: SizeArgs,
    /// A metric, such as PATCH-pods-count or cost, or several by a *: 'PATCH-*', or '*' for all;
    /// repeatable [default: those of KubeVirt's page].
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    /// File with lines that mark releases, as KubeVirt's shape.yaml.
    #[arg(long, value_name = "FILE")]
    markers: Option<PathBuf>,
    /// Mark each run from which on this label has another value, such as kubevirt or kubernetes;
    /// repeatable.
    #[arg(long, value_name = "LABEL")]
    mark: Vec<String>,
    /// Draw the runs of all jobs together under this name, as KubeVirt does when its lane moves to
    /// another Kubernetes.
    #[arg(long, value_name = "NAME")]
    join: Option<String>,
    /// Folder for what is written.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run_graph(args: &GraphArgs) -> Result<Exit> {
    let (_, graphs) = args.what.graphs()?;
    let out = &args.what.out;
    let page = page("KubeVirt performance and scale", &graphs)?;
    let drawn = draw(out, "", graphs.iter())?;
    write_text(&out.join("index.html"), &page)?;
    print("index.html", drawn, out, args.output)
}

pub(super) fn run_docs(args: &DocsArgs) -> Result<Exit> {
    let (runs, graphs) = args.what.graphs()?;
    let drawn_metrics = graphs.iter().map(|graph| graph.metric.clone());
    let drawn_metrics = Metrics::only(drawn_metrics);
    let changes = report::changes(&runs, false, &drawn_metrics, &Sensitivity::default());
    let out = &args.what.out;
    let drawn = draw(out, "perf-scale-graphs/", graphs.iter())?;
    let illustrations: Vec<Illustration> = graphs
        .into_iter()
        .zip(&drawn)
        .map(|(graph, drawn)| Illustration {
            graph,
            picture: drawn.png.clone(),
        })
        .collect();
    let page = benchmarks(&illustrations, &changes)?;
    write_text(&out.join("perf-scale-benchmarks.md"), &page)?;
    print("perf-scale-benchmarks.md", drawn, out, args.output)
}

impl What {
    /// The runs, and the graphs of them; there is at least one.
    fn graphs(&self) -> Result<(Vec<HistoryRun>, Vec<Graph>)> {
        let markers = self.read_markers()?;
        let mut store = self.store.open()?;
        let runs = store.runs(&self.select.filter())?;
        let runs = priced_for(self.metric.iter().map(String::as_str), &mut store, runs)?;
        let runs = self.failed.taken("the history", runs);
        let runs = self.sizes.taken(runs, self.join.is_some());
        if runs.is_empty() {
            return Err(self.store.no_such_run(&mut store));
        }
        let selection = Selection {
            metrics: self.metrics(&runs)?,
            join: self.join.clone(),
            mark: self.mark.clone(),
        };
        let graphs = graphs(&runs, &selection, &markers);
        if graphs.is_empty() {
            bail!(
                "no run has a metric of KubeVirt's page: name others with --metric, or all with '*'"
            );
        }
        Ok((runs, graphs))
    }

    /// The metrics that were named, in that order; none if none was.
    fn metrics(&self, runs: &[HistoryRun]) -> Result<Vec<String>> {
        let mut metrics: Vec<String> = Vec::new();
        for name in &self.metric {
            let named = Metrics::only([name.clone()]);
            named.check(runs).map_err(anyhow::Error::msg)?;
            let mut found = named.of(runs, named.of_components());
            found.retain(|one| !metrics.contains(one));
            metrics.extend(found);
        }
        Ok(metrics)
    }

    fn read_markers(&self) -> Result<Vec<Marker>> {
        let Some(path) = &self.markers else {
            return Ok(Vec::new());
        };
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let file: MarkerFile = parse_yaml(&text)
            .with_context(|| format!("{name} has no lineShapes as KubeVirt's shape.yaml"))?;
        kubevirt_markers(&file).with_context(|| format!("{name}"))
    }
}

/// Draws each graph as SVG and PNG below `out`.
fn draw<'g>(
    out: &Path,
    folder: &str,
    graphs: impl ExactSizeIterator<Item = &'g Graph>,
) -> Result<Vec<DrawnGraph>> {
    let progress = Terminal::new();
    let count = graphs.len();
    progress.phase("draw");
    let mut drawn = Vec::new();
    for (index, graph) in graphs.enumerate() {
        let place = place(folder, graph);
        let svg = picture(graph)?;
        let files = DrawnGraph {
            job: graph.job.clone(),
            scenario: graph.scenario.clone(),
            metric: graph.metric.clone(),
            runs: graph.runs(),
            not_valid: graph.not_valid().count(),
            svg: format!("{place}.svg"),
            png: format!("{place}.png"),
        };
        write_text(&out.join(&files.svg), &svg)?;
        write_file(&out.join(&files.png), &png(&svg, PNG_SCALE)?)?;
        drawn.push(files);
        progress.step(index + 1, count);
    }
    progress.finish();
    Ok(drawn)
}

/// `FOLDER/JOB/SCENARIO/METRIC`, without a folder for what has no name.
fn place(folder: &str, graph: &Graph) -> String {
    let parts = [&graph.job, &graph.scenario, &graph.metric];
    let named = parts.into_iter().filter(|part| !part.is_empty());
    let names: Vec<String> = named.map(|part| file_name(part)).collect();
    format!("{folder}{}", names.join("/"))
}

/// A label as the name of a file or folder: it may hold anything.
fn file_name(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name = text.replace(|letter| !plain(letter), "_");
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

fn print(page: &str, graphs: Vec<DrawnGraph>, out: &Path, output: Output) -> Result<Exit> {
    let drawn = Drawn {
        page: page.to_owned(),
        graphs,
    };
    let page = out.join(page);
    let text = output.of(&drawn, |drawn| {
        let graphs = number_of(drawn.graphs.len() as u64, "graph");
        format!("{graphs}, {}\n", page.display())
    })?;
    let written = lines::print(&text);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_name_no_other_folder() {
        for (label, name) in [
            (
                "periodic-kubevirt-e2e-k8s-1.29",
                "periodic-kubevirt-e2e-k8s-1.29",
            ),
            ("../../etc/passwd", "_._.._etc_passwd"),
            (".", "_"),
            ("a/b c", "a_b_c"),
        ] {
            assert_eq!(file_name(label), name);
        }
    }
}
