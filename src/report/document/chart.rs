//! Lines over time, as SVG that follows a page's light or dark colours.

use plotters::prelude::*;

use super::super::graph::{
    Axis, DrawError, Scale,
    draw::{Chart, GRID, LABEL_SIZE, TEXT, color, style, text_width, with_words},
};

const SIZE: (u32, u32) = (1000, 330);
const TOP: i32 = 34;
/// Told apart by those who see no red or no green, and seen on white and on black.
pub(super) const COLORS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#b0569b", "#9a7d0a", "#6c7a89",
];

/// What a chart shows.
pub(super) struct Lines<'a> {
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Name and points of each line.
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Lines<'_> {
    /// The SVG.
    pub(super) fn svg(&self) -> Result<String, DrawError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let points = || self.lines.iter().flat_map(|(_, points)| points);
            let times = Scale::of(points().map(|(x, _)| *x).chain([0.0]));
            let values = Scale::of(points().map(|(_, y)| *y).chain([0.0]));
            let last = points().map(|(x, _)| *x).fold(1.0, f64::max);
            let x_axis = Axis {
                range: 0.0..last,
                ticks: times
                    .ticks
                    .iter()
                    .copied()
                    .filter(|tick| *tick <= last)
                    .collect(),
            };
            let mut chart: Chart<'_, '_> = ChartBuilder::on(&area)
                .margin_top(TOP)
                .margin_right(16)
                .x_label_area_size(44)
                .y_label_area_size(64)
                .build_cartesian_2d(x_axis, values.axis())?;
            chart
                .configure_mesh()
                .bold_line_style(GRID)
                .light_line_style(TRANSPARENT)
                .axis_style(GRID)
                .label_style(style(LABEL_SIZE, TEXT))
                .axis_desc_style(style(LABEL_SIZE, TEXT))
                .x_desc(self.x)
                .y_desc(self.y)
                .x_label_formatter(&|tick| times.label(*tick))
                .y_label_formatter(&|tick| values.label(*tick))
                .draw()?;
            for ((_, points), name) in self.lines.iter().zip(COLORS.iter().cycle()) {
                let line = color(name).stroke_width(2);
                chart.draw_series(LineSeries::new(points.iter().copied(), line))?;
            }
            let mut x = 70;
            for ((name, _), hue) in self.lines.iter().zip(COLORS.iter().cycle()) {
                let dash = vec![(x, 16), (x + 22, 16)];
                area.draw(&PathElement::new(dash, color(hue).stroke_width(3)))?;
                area.draw_text(name, &style(LABEL_SIZE, TEXT), (x + 28, 10))?;
                x += 48 + text_width(name, LABEL_SIZE) as i32;
            }
            area.present()?;
        }
        Ok(with_words(&svg, self.title, self.description))
    }
}

/// Points that show a value as constant from each to the next.
pub(super) fn steps(points: impl IntoIterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut stairs: Vec<(f64, f64)> = Vec::new();
    for (x, y) in points {
        if let Some((_, before)) = stairs.last() {
            stairs.push((x, *before));
        }
        stairs.push((x, y));
    }
    stairs
}
