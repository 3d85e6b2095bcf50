//! Lines that mark releases.

use jiff::civil::Date;

use record::MarkerFile;

/// A vertical line with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The day that is marked, in UTC.
    pub day: Date,
    /// Such as `v1.8.0`.
    pub label: String,
    /// `#rrggbb`, dark enough and light enough to be seen on white and on black.
    pub color: &'static str,
}

/// A marker that can't be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {number} ({label}) has {found:?} where a day such as 2026-03-25 is expected")]
pub struct BadMarkers {
    /// Which line of the file's list, from 1.
    pub number: usize,
    /// The line's label, to find it by.
    pub label: String,
    /// The text in the place of a day.
    pub found: String,
}

/// The markers of KubeVirt's `shape.yaml`, sorted by day.
pub fn kubevirt_markers(file: &MarkerFile) -> Result<Vec<Marker>, BadMarkers> {
    let mut markers = Vec::new();
    for (index, line) in file.lines.iter().enumerate() {
        let day = line.x0.get(..10).and_then(|day| day.parse().ok());
        let Some(day) = day else {
            return Err(BadMarkers {
                number: index + 1,
                label: line.label.text.clone(),
                found: line.x0.clone(),
            });
        };
        markers.push(Marker {
            day,
            label: line.label.text.clone(),
            color: readable(&line.line.color),
        });
    }
    markers.sort_by_key(|marker| marker.day);
    Ok(markers)
}

/// The hue that was asked for, in a tone that has a contrast of 3 to 1 on white and on black.
/// Plain yellow and orange can't be seen on white.
fn readable(color: &str) -> &'static str {
    match color.to_ascii_lowercase().as_str() {
        "blue" => "#3a6fd8",
        "green" => "#2b8a3e",
        "red" => "#d6336c",
        "purple" => "#9c4fd6",
        "orange" => "#c2660a",
        "yellow" => "#977c00",
        _ => "#7a7a7a",
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn read(yaml: &str) -> Result<Vec<Marker>, BadMarkers> {
        kubevirt_markers(&serde_saphyr::from_str(yaml).unwrap())
    }

    #[test]
    fn kubevirts_file_is_read() {
        let shape = include_str!("../../../tests/vectors/shape.yaml");
        let markers = read(shape).unwrap();
        let labels: Vec<&str> = markers.iter().map(|marker| &*marker.label).collect();
        let expected = [
            "v1.5.0", "k8s-1.33", "v1.6.0", "k8s-1.34", "v1.7.0", "k8s-1.35", "v1.8.0",
        ];
        assert_eq!(labels, expected);
        assert_eq!(markers[0].day, date(2025, 3, 25));
    }

    #[test]
    fn keys_may_be_capitalised_and_days_must_be_days() {
        let capital = "LineShapes:\n- {Type: line, X0: '2025-03-25 00:00', Label: {Text: a}}";
        assert_eq!(read(capital).unwrap()[0].day, date(2025, 3, 25));
        let bad = read("lineShapes:\n- {x0: soon, label: {text: v2}}").unwrap_err();
        assert_eq!((bad.number, &*bad.label, &*bad.found), (1, "v2", "soon"));
    }

    #[test]
    fn marks_can_be_seen_on_white_and_on_black() {
        for name in ["blue", "green", "red", "purple", "orange", "yellow", "grey"] {
            let channel = |at: usize| {
                let text = &readable(name)[at..at + 2];
                let part = f64::from(u8::from_str_radix(text, 16).unwrap()) / 255.0;
                if part <= 0.03928 {
                    part / 12.92
                } else {
                    ((part + 0.055) / 1.055).powf(2.4)
                }
            };
            let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
            assert!(1.05 / (luminance + 0.05) >= 3.0, "{name} on white");
            assert!((luminance + 0.05) / 0.05 >= 3.0, "{name} on black");
        }
    }
}
