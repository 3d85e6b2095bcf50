//! Weeks and their means.
//!
//! A week is an ISO 8601 week in UTC, named by its Monday.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// What a week's values come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeekMean {
    /// The arithmetic mean of the week's values.
    pub mean: f64,
    /// How many values there are, at least one.
    pub count: usize,
}

/// The Monday of the ISO week that `at` is in, in UTC.
pub fn monday_of(at: Timestamp) -> Date {
    let date = at.to_zoned(TimeZone::UTC).date();
    let since_monday = i32::from(date.weekday().to_monday_zero_offset());
    // Only in the first week of all that can be named is there no Monday.
    date.saturating_sub(jiff::Span::new().days(since_monday))
}

/// The mean of each week that has a value, by its Monday. A week without one is absent.
pub fn weekly_means(
    values: impl IntoIterator<Item = (Timestamp, f64)>,
) -> BTreeMap<Date, WeekMean> {
    let mut weeks: BTreeMap<Date, Vec<f64>> = BTreeMap::new();
    for (at, value) in values {
        weeks.entry(monday_of(at)).or_default().push(value);
    }
    let mean = |values: Vec<f64>| WeekMean {
        mean: values.iter().sum::<f64>() / values.len() as f64,
        count: values.len(),
    };
    weeks
        .into_iter()
        .map(|(monday, values)| (monday, mean(values)))
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_week_begins_on_monday_in_utc_and_may_be_of_two_years() {
        for (time, monday) in [
            ("2024-12-29T23:59:59.999999999Z", date(2024, 12, 23)),
            ("2024-12-30T00:00:00Z", date(2024, 12, 30)),
            // ISO week 1 of 2025 and of 2026 begin in December.
            ("2025-01-05T12:00:00Z", date(2024, 12, 30)),
            ("2026-01-01T00:00:00Z", date(2025, 12, 29)),
            ("2027-01-03T12:00:00Z", date(2026, 12, 28)),
            ("2024-10-21T01:30:00+02:00", date(2024, 10, 14)),
        ] {
            assert_eq!(monday_of(at(time)), monday, "{time}");
        }
    }

    #[test]
    fn a_mean_is_over_what_is_there() {
        let weeks = weekly_means([
            (at("2024-10-21T00:00:00Z"), 1.0),
            (at("2024-10-27T23:00:00Z"), 4.0),
            (at("2024-11-04T00:00:00Z"), 7.0),
        ]);
        let week = |mean, count| WeekMean { mean, count };
        let expected = [
            (date(2024, 10, 21), week(2.5, 2)),
            (date(2024, 11, 4), week(7.0, 1)),
        ];
        assert_eq!(weeks, expected.into());
    }
}
