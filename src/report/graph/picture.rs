//! A graph as a picture: SVG by `plotters`.

use std::ops::Range;

use jiff::{Timestamp, civil::Date};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    DrawError, Graph, Marker, Scale, Series, Week,
    axis::Axis,
    draw::{Area, Chart, GRID, LABEL_SIZE, TEXT, color, style, text_width, with_words},
    scale::{day_ticks, flag_rows},
};
use crate::number::rounded;
use record::{Origin, number_of};

const DOT: RGBColor = RGBColor(0x1f, 0x77, 0xb4);

const SIZE: (u32, u32) = (1200, 450);
const LEFT: i32 = 84;
const RIGHT: i32 = 24;
const LABEL_ROW: i32 = 17;
/// Below the title.
const HEAD: i32 = 44;
const LEGEND_ROW: i32 = 20;

/// The picture of a graph: SVG of 1200 by 450 pixels with a title and a description for screen
/// readers.
pub fn picture(graph: &Graph) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area, graph)?;
        area.present()?;
    }
    Ok(with_words(&svg, &graph.title(), &description(graph)))
}

/// What the picture shows, in a sentence.
pub(crate) fn description(graph: &Graph) -> String {
    let Some((first, last)) = graph.days() else {
        return String::new();
    };
    let (min, max) = graph
        .values()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (min.min(value), max.max(value))
        });
    format!(
        "{} from {first} to {last}, between {} and {} {}.",
        number_of(graph.runs() as u64, "run"),
        rounded(min),
        rounded(max),
        super::Metric(&graph.metric).unit()
    )
}

fn draw(area: &Area<'_>, graph: &Graph) -> Result<(), DrawError> {
    let Some((first, last)) = graph.days() else {
        return Ok(());
    };
    let values = Scale::of(graph.values());
    let margin = ((second(last) - second(first)) * 0.01).max(6.0 * 3600.0);
    let times = second(first) - margin..second(last) + 86_400.0 + margin;
    let (labels, right) = labels(&graph.markers, &times);
    let label_rows = labels.iter().map(|label| label.row + 1).max().unwrap_or(0) as i32;
    let top = HEAD + graph.series.len() as i32 * LEGEND_ROW + label_rows * LABEL_ROW;

    let ticks = day_ticks(first, last);
    let mut chart: Chart<'_, '_> = ChartBuilder::on(area)
        .margin_top(top)
        .margin_right(right)
        .margin_bottom(10)
        .x_label_area_size(30)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(
            Axis {
                range: times,
                ticks: ticks.iter().map(|(day, _)| second(*day)).collect(),
            },
            values.axis(),
        )?;
    let day_label = |at: &f64| {
        let found = ticks.iter().find(|(day, _)| second(*day) == *at);
        found.map_or(String::new(), |(_, label)| label.clone())
    };
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(style(LABEL_SIZE, TEXT))
        .axis_desc_style(style(LABEL_SIZE, TEXT))
        .y_desc(super::Metric(&graph.metric).unit())
        .x_label_formatter(&day_label)
        .y_label_formatter(&|tick| values.label(*tick))
        .draw()?;
    for marker in &graph.markers {
        draw_marker(&mut chart, marker, &values)?;
    }
    for series in &graph.series {
        draw_dots(&mut chart, series)?;
    }
    for series in &graph.series {
        draw_weeks(&mut chart, series)?;
    }
    draw_head(area, graph)?;
    draw_labels(area, &labels, top)
}

/// Seconds since 1970 at which a day begins.
fn second(day: Date) -> f64 {
    let midnight = day.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
    midnight.map_or(0.0, |midnight| at(midnight.timestamp()))
}

fn at(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1e3
}

fn draw_dots(chart: &mut Chart<'_, '_>, series: &Series) -> Result<(), DrawError> {
    let points = series.dots.iter().map(|dot| (at(dot.at), dot.value));
    match series.origin {
        Origin::Counted => chart.draw_series(points.map(counted))?,
        Origin::Audit => chart.draw_series(points.map(audited))?,
        Origin::Simulated => chart.draw_series(points.map(simulated))?,
        Origin::Estimate => chart.draw_series(points.map(estimated))?,
    };
    Ok(())
}

// Estimates are hollow, counts are filled, and what was simulated is crossed out.

fn counted<C>(at: C) -> Circle<C, i32> {
    Circle::new(at, 3, DOT.filled())
}

fn audited<C>(at: C) -> TriangleMarker<C, i32> {
    TriangleMarker::new(at, 5, DOT.filled())
}

fn simulated<C>(at: C) -> Cross<C, i32> {
    Cross::new(at, 3, DOT)
}

fn estimated<C>(at: C) -> Circle<C, i32> {
    Circle::new(at, 3, DOT)
}

/// A line over each stretch of weeks; a week alone is a dash as wide as the week.
fn draw_weeks(chart: &mut Chart<'_, '_>, series: &Series) -> Result<(), DrawError> {
    let color = color(series.line_color());
    for stretch in series.stretches() {
        let mut points: Vec<(f64, f64)> = stretch.iter().map(point).collect();
        if let [(monday, mean)] = points[..] {
            points.push((monday + 7.0 * 86_400.0, mean));
        }
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        if series.origin.is_exact() {
            let points = stretch.iter().map(point);
            chart.draw_series(points.map(|point| Circle::new(point, 4, color.filled())))?;
        }
    }
    Ok(())
}

fn point(week: &Week) -> (f64, f64) {
    (second(week.monday), week.mean)
}

fn draw_marker(
    chart: &mut Chart<'_, '_>,
    marker: &Marker,
    values: &Scale,
) -> Result<(), DrawError> {
    let at = second(marker.day);
    let ends = [(at, values.low), (at, values.high)];
    let line = color(marker.color).stroke_width(2);
    chart.draw_series(DashedLineSeries::new(ends, 2, 4, line))?;
    Ok(())
}

/// A marker's label, in a row in which it touches no other.
struct Label<'g> {
    marker: &'g Marker,
    at: f64,
    row: usize,
}

/// The labels, and the margin to the right that the last of them needs.
fn labels<'g>(markers: &'g [Marker], times: &Range<f64>) -> (Vec<Label<'g>>, i32) {
    let place = |marker: &Marker, right: i32| {
        let share = (second(marker.day) - times.start) / (times.end - times.start);
        f64::from(LEFT) + share * f64::from(SIZE.0 as i32 - LEFT - right)
    };
    let width = |marker: &Marker| text_width(&marker.label, LABEL_SIZE) + 8.0;
    let ends = markers
        .iter()
        .map(|marker| place(marker, RIGHT) + width(marker));
    let beyond = (ends.fold(0.0, f64::max) - f64::from(SIZE.0)).max(0.0);
    let right = RIGHT + beyond as i32;
    let extent = |marker: &Marker| {
        let from = place(marker, right);
        (from, from + width(marker))
    };
    let extents: Vec<(f64, f64)> = markers.iter().map(extent).collect();
    let rows = flag_rows(&extents);
    let placed = markers.iter().zip(extents).zip(rows);
    let labels = placed.map(|((marker, (at, _)), row)| Label { marker, at, row });
    (labels.collect(), right)
}

/// The labels above the plot, which begins at `top`, each on a pole down to its marker.
fn draw_labels(area: &Area<'_>, labels: &[Label<'_>], top: i32) -> Result<(), DrawError> {
    for label in labels {
        let middle = top - 9 - label.row as i32 * LABEL_ROW;
        let color = color(label.marker.color);
        let style = style(LABEL_SIZE, color).pos(Pos::new(HPos::Left, VPos::Center));
        let x = label.at as i32;
        area.draw_text(&label.marker.label, &style, (x + 4, middle))?;
        let pole = vec![(x, middle - 7), (x, top)];
        area.draw(&PathElement::new(pole, color.stroke_width(1)))?;
    }
    Ok(())
}

/// Title and legend.
fn draw_head(area: &Area<'_>, graph: &Graph) -> Result<(), DrawError> {
    let middle = Pos::new(HPos::Left, VPos::Center);
    let mut title = graph.title();
    if !graph.job.is_empty() {
        title.push_str(", ");
        title.push_str(&graph.job);
    }
    area.draw_text(&title, &style(16.0, TEXT).pos(middle), (LEFT, 24))?;
    for (row, series) in graph.series.iter().enumerate() {
        let y = HEAD + row as i32 * LEGEND_ROW + 4;
        let x = LEFT + 6;
        match series.origin {
            Origin::Counted => area.draw(&counted((x, y))),
            Origin::Audit => area.draw(&audited((x, y))),
            Origin::Simulated => area.draw(&simulated((x, y))),
            Origin::Estimate => area.draw(&estimated((x, y))),
        }?;
        let style = style(LABEL_SIZE, TEXT).pos(middle);
        area.draw_text(&series.dots_name(), &style, (x + 12, y))?;
        let x = x + 40 + text_width(&series.dots_name(), LABEL_SIZE) as i32;
        let color = color(series.line_color());
        let dash = vec![(x, y), (x + 24, y)];
        area.draw(&PathElement::new(dash, color.stroke_width(2)))?;
        if series.origin.is_exact() {
            area.draw(&Circle::new((x + 12, y), 4, color.filled()))?;
        }
        area.draw_text(&series.weeks_name(), &style, (x + 32, y))?;
    }
    Ok(())
}
