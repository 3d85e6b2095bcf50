//! What all pictures share: font, colours, and the words in an SVG.

use plotters::{coord::Shift, prelude::*};

use super::axis::Axis;

/// The font of pictures: embedded for PNG, and a common one in browsers.
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// What plotters divides sizes by on their way to SVG.
const FONT_SCALE: f64 = 1.24;
pub(crate) const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(crate) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// Size of labels in pixels.
pub(crate) const LABEL_SIZE: f64 = 12.0;

/// A picture that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw: {0}")]
pub struct DrawError(pub(crate) String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for DrawError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

pub(crate) fn style(size: f64, color: RGBColor) -> TextStyle<'static> {
    (FONT, size * FONT_SCALE).into_font().color(&color)
}

/// `#rrggbb`.
pub(crate) fn color(text: &str) -> RGBColor {
    let part = |at: usize| {
        let digits = text.get(at..at + 2);
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
    };
    match (part(1), part(3), part(5)) {
        (Some(red), Some(green), Some(blue)) => RGBColor(red, green, blue),
        _ => TEXT,
    }
}

/// About a text's width in DejaVu Sans.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

/// Puts a title and a description into an SVG, which plotters can't.
pub(crate) fn with_words(svg: &str, title: &str, description: &str) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let words = format!(
        " role=\"img\">\n<title>{}</title>\n<desc>{}</desc>",
        escape(title),
        escape(description)
    );
    svg.replacen('>', &words, 1)
}
