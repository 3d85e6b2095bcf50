//! A graph as a figure of plotly.js.

use std::collections::HashMap;

use jiff::{Timestamp, ToSpan, civil::Date};
use plotly::{
    Configuration, Layout, Plot, Scatter,
    common::{Anchor, DashType, Font, Line, Marker as Mark, MarkerSymbol, Mode, Title},
    configuration::DisplayModeBar,
    layout::{
        Annotation, Axis, AxisRange, HoverMode, Margin, Shape, ShapeLayer, ShapeLine, ShapeType,
    },
};

use super::{Graph, Marker, Metric, Scale, Series};
use record::Origin;

const DOT: &str = "#1f77b4";

/// The figure as JSON. A dot's custom data is the place of its run in `runs`, a week's is the
/// number of its runs.
pub(crate) fn figure(graph: &Graph, runs: &HashMap<&str, usize>) -> String {
    let mut plot = Plot::new();
    for series in &graph.series {
        plot.add_trace(dots(series, runs));
    }
    for series in &graph.series {
        plot.add_trace(weeks(series));
    }
    plot.set_layout(layout(graph));
    plot.set_configuration(
        Configuration::new()
            .responsive(true)
            .display_logo(false)
            .display_mode_bar(DisplayModeBar::False),
    );
    plot.to_json()
}

fn dots(series: &Series, runs: &HashMap<&str, usize>) -> Box<Scatter<String, f64>> {
    let (x, y) = series
        .dots
        .iter()
        .map(|dot| (time(dot.at), dot.value))
        .unzip();
    let places = series.dots.iter().map(|dot| runs.get(&*dot.run).copied());
    let symbol = match series.origin {
        Origin::Counted => MarkerSymbol::Circle,
        Origin::Audit => MarkerSymbol::TriangleUp,
        Origin::Simulated => MarkerSymbol::XOpen,
        Origin::Estimate => MarkerSymbol::CircleOpen,
    };
    Scatter::new(x, y)
        .name(series.dots_name())
        .mode(Mode::Markers)
        .custom_data(
            places
                .map(|place| place.unwrap_or_default() as f64)
                .collect(),
        )
        .clip_on_axis(false)
        .marker(Mark::new().color(DOT).size(6).symbol(symbol))
}

/// A week without a run is a point without a value: it breaks the line.
fn weeks(series: &Series) -> Box<Scatter<String, Option<f64>>> {
    let (mut x, mut y, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for stretch in series.stretches() {
        for week in stretch {
            x.push(week.monday.to_string());
            y.push(Some(week.mean));
            counts.push(week.runs as f64);
        }
        if let Some(last) = stretch.last() {
            x.push(last.monday.saturating_add(7.days()).to_string());
            y.push(None);
            counts.push(0.0);
        }
    }
    let color = series.line_color();
    let size = if series.origin.is_exact() { 8 } else { 3 };
    Scatter::new(x, y)
        .name(series.weeks_name())
        .mode(Mode::LinesMarkers)
        .connect_gaps(false)
        .custom_data(counts)
        .line(Line::new().color(color).width(2.0))
        .marker(Mark::new().color(color).size(size))
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn layout(graph: &Graph) -> Layout {
    let values = Scale::of(graph.values());
    let unit = Metric(&graph.metric).unit();
    let mut x_axis = Axis::new().type_(plotly::layout::AxisType::Date);
    if let Some((first, last)) = graph.days() {
        let (from, to) = padded(first, last);
        x_axis = x_axis.range(AxisRange::new(from.to_string(), to.to_string()));
    }
    Layout::new()
        .show_legend(false)
        .hover_mode(HoverMode::Closest)
        .margin(Margin::new().left(64).right(16).top(16).bottom(40))
        .x_axis(x_axis)
        .y_axis(
            Axis::new()
                .title(Title::with_text(unit))
                .range(AxisRange::new(values.low, values.high)),
        )
        .shapes(graph.markers.iter().map(line).collect())
        .annotations(graph.markers.iter().map(label).collect())
}

/// Some room on both sides of the first day and the last one.
fn padded(first: Date, last: Date) -> (Date, Date) {
    let days = i64::from((last - first).get_days()) / 100 + 1;
    let to = last.saturating_add((days + 1).days());
    (first.saturating_sub(days.days()), to)
}

fn line(marker: &Marker) -> Shape {
    let day = marker.day.to_string();
    Shape::new()
        .shape_type(ShapeType::Line)
        .layer(ShapeLayer::Below)
        .x0(day.clone())
        .x1(day)
        .y_ref("paper")
        .y0(0)
        .y1(1)
        .line(
            ShapeLine::new()
                .color(marker.color)
                .width(2.0)
                .dash(DashType::Dot),
        )
}

/// Above the plot; the page's script gives each a row in which it touches no other.
fn label(marker: &Marker) -> Annotation {
    Annotation::new()
        .text(marker.label.replace('<', "&lt;"))
        .x(marker.day.to_string())
        .y_ref("paper")
        .y(1)
        .x_anchor(Anchor::Left)
        .y_anchor(Anchor::Bottom)
        .show_arrow(false)
        .font(Font::new().color(marker.color).size(12))
}
