//! Where an axis begins, ends, and has its ticks; where labels go.

use jiff::{ToSpan, civil::Date};

use super::axis::Axis;

/// An axis of numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<f64>,
}

impl Scale {
    /// An axis for `values`. It begins at 0, so that 60 % more looks like 60 % more, unless the
    /// values are so close together that nothing could be told apart then.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        if min > max || (min == 0.0 && max == 0.0) {
            Self::between(0.0, 1.0)
        } else if min >= 0.0 && (min == max || max - min >= max / 5.0) {
            Self::between(0.0, max)
        } else if min == max {
            Self::between(min - 1.0, max + 1.0)
        } else {
            Self::between(min, max)
        }
    }

    fn between(min: f64, max: f64) -> Self {
        let step = nice_step((max - min) / 5.0);
        let first = (min / step).floor() as i64;
        let last = (max / step).ceil() as i64;
        let ticks: Vec<f64> = (first..=last).map(|tick| tick as f64 * step).collect();
        Self {
            low: first as f64 * step,
            high: last as f64 * step,
            ticks,
        }
    }

    /// The axis.
    pub(crate) fn axis(&self) -> Axis {
        Axis {
            range: self.low..self.high,
            ticks: self.ticks.clone(),
        }
    }

    /// A tick's label, with as many decimals as all ticks need.
    pub(crate) fn label(&self, tick: f64) -> String {
        let step = self
            .ticks
            .get(1)
            .map_or(1.0, |second| second - self.ticks[0]);
        let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
        format!("{tick:.decimals$}")
    }
}

/// The least of 1, 2, 5 and, where it is whole, 2.5 times a power of ten that is not below
/// `at_least`.
fn nice_step(at_least: f64) -> f64 {
    let power = 10_f64.powf(at_least.log10().floor());
    let parts = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter();
    let mut steps = parts
        .filter(|part| *part != 2.5 || power >= 10.0)
        .map(|part| part * power);
    let found = steps.find(|step| *step >= at_least * (1.0 - 1e-9));
    found.unwrap_or(10.0 * power)
}

/// At most this many labels below a time axis.
const DAY_LABELS_MAX: i64 = 12;

/// Days to label between two days, with their labels: first days of months, or Mondays, or days.
pub(crate) fn day_ticks(first: Date, last: Date) -> Vec<(Date, String)> {
    let days = i64::from((last - first).get_days());
    if days > 120 {
        return month_ticks(first, last, days / 30);
    }
    let step = [1, 2, 7, 14]
        .into_iter()
        .find(|step| days / step < DAY_LABELS_MAX);
    let step = step.unwrap_or(14);
    let start = if step < 7 {
        first
    } else {
        let past = i64::from(first.weekday().to_monday_zero_offset());
        first.saturating_add(((7 - past) % 7).days())
    };
    let days = start.series(step.days()).take_while(|day| *day <= last);
    days.map(|day| (day, day.strftime("%-d %b %Y").to_string()))
        .collect()
}

fn month_ticks(first: Date, last: Date, months: i64) -> Vec<(Date, String)> {
    let step = [1, 2, 3, 6, 12, 24, 60]
        .into_iter()
        .find(|step| months / step < DAY_LABELS_MAX);
    let step = step.unwrap_or(120);
    let number = |day: Date| i64::from(day.year()) * 12 + i64::from(day.month()) - 1;
    let days = first.first_of_month().series(1.month());
    days.take_while(|day| *day <= last)
        .filter(|day| *day >= first && number(*day) % step == 0)
        .map(|day| (day, day.strftime("%b %Y").to_string()))
        .collect()
}

/// Rows for labels that hang on a pole at their left end like flags, so that no label touches
/// another or its pole. `labels` are their extents, sorted by their poles; gives the row of each,
/// counted from 0 upwards.
pub(crate) fn flag_rows(labels: &[(f64, f64)]) -> Vec<usize> {
    let mut rows = vec![0; labels.len()];
    for (index, (_, end)) in labels.iter().enumerate().rev() {
        let behind = labels.iter().zip(&rows).skip(index + 1);
        let crossed = behind.filter(|((pole, _), _)| pole < end);
        rows[index] = crossed.map(|(_, row)| row + 1).max().unwrap_or(0);
    }
    rows
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn an_axis_begins_at_0_unless_nothing_could_be_told_apart() {
        let of = |values: &[f64]| Scale::of(values.iter().copied());
        let scale = of(&[100.0, 266.0]);
        assert_eq!((scale.low, scale.high), (0.0, 300.0));
        let close = of(&[151.0, 158.0]);
        assert_eq!((close.low, close.high), (150.0, 158.0));
        let cores = of(&[0.01, 0.043]);
        assert_eq!((cores.low, cores.high), (0.0, 0.05));
        assert_eq!(cores.label(cores.ticks[1]), "0.01");
        assert_eq!((of(&[0.0]).low, of(&[0.0]).high), (0.0, 1.0));
        assert_eq!((of(&[]).low, of(&[]).high), (0.0, 1.0));
        assert_eq!((of(&[100.0]).low, of(&[100.0]).high), (0.0, 100.0));
    }

    #[test]
    fn labels_have_the_decimals_that_they_need() {
        let scale = Scale::between(0.0, 0.125);
        assert_eq!(scale.label(scale.ticks[1]), "0.05");
        let scale = Scale::between(0.0, 12.0);
        assert_eq!(scale.label(scale.ticks[1]), "5");
        let scale = Scale::between(0.0, 120.0);
        assert_eq!(scale.label(scale.ticks[1]), "25");
        let scale = Scale::between(0.0, 1000.0);
        assert_eq!(scale.label(scale.ticks[1]), "200");
    }

    #[test]
    fn time_axes_have_few_labels_in_the_range() {
        for (first, last) in [
            (date(2022, 12, 5), date(2023, 6, 13)),
            (date(2024, 12, 28), date(2026, 5, 1)),
            (date(2023, 9, 4), date(2023, 10, 20)),
            (date(2026, 1, 1), date(2026, 1, 3)),
            (date(2012, 1, 1), date(2026, 1, 3)),
        ] {
            let ticks = day_ticks(first, last);
            assert!(
                (2..=14).contains(&ticks.len()),
                "{first} to {last}: {}",
                ticks.len()
            );
            assert!(ticks.iter().all(|(day, _)| (first..=last).contains(day)));
        }
    }

    #[test]
    fn flags_touch_neither_flags_nor_poles() {
        let flags = [(0.0, 50.0), (40.0, 90.0), (60.0, 110.0), (120.0, 170.0)];
        assert_eq!(flag_rows(&flags), [2, 1, 0, 0]);
    }
}
