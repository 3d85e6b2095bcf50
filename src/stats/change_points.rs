//! Change points of a series: E-divisive means in sliding windows, tested with Student's t, as in
//! Hunter and Apache Otava.
//!
//! The statistic is Matteson and James's: how far two adjacent pieces are apart, compared to how
//! far each is apart in itself. Student's t in place of their permutation test makes the result
//! deterministic. The windows bound the work to O(n · window).

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::sample::{median, robust_deviation};

/// Neighbours on each side of a value that say whether it is an outlier.
const NEIGHBOURS: usize = 5;
/// Robust deviations from its neighbours' median that make a value an outlier.
const OUTLIER: f64 = 3.0;

/// How to look for change points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Length of the sliding window in values, at least 2.
    pub window: usize,
    /// A change point is kept below this p; candidates may have ten times that.
    pub max_p: f64,
    /// A change point is kept above this change of the mean, relative to the smaller one.
    pub min_magnitude: f64,
}

/// Where a series changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// Index of the first value after the change.
    pub index: usize,
    /// Two-sided p of Student's t between the values to the previous and to the next change point.
    /// The point was chosen for its difference, so this is not the rate of false alarms.
    pub p: f64,
    /// Mean of the values since the previous change point.
    pub before: f64,
    /// Mean of the values until the next one.
    pub after: f64,
}

/// The change points of `series`, in its order.
pub fn change_points(series: &[f64], how: &Detection) -> Vec<ChangePoint> {
    let relaxed = match how.max_p {
        p if p < 0.05 => 10.0 * p,
        p if p < 0.5 => 2.0 * p,
        p => p,
    };
    let candidates = candidates(series, how.window.max(2), relaxed);
    merge(series, candidates, how)
}

/// The series with outliers replaced by the median of their neighbours. A step stays where it is.
pub fn tame(series: &[f64]) -> Vec<f64> {
    let tamed = |(at, value): (usize, &f64)| {
        let around =
            &series[at.saturating_sub(NEIGHBOURS)..(at + NEIGHBOURS + 1).min(series.len())];
        let center = median(around).unwrap_or(*value);
        if (value - center).abs() > OUTLIER * robust_deviation(around, center) {
            center
        } else {
            *value
        }
    };
    series.iter().enumerate().map(tamed).collect()
}

/// Indices that some window holds for a change point.
fn candidates(series: &[f64], window: usize, max_p: f64) -> Vec<usize> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < series.len() {
        let end = (start + window).min(series.len());
        let in_window = divide(&series[start..end], max_p);
        let last = in_window.last().map_or(0, |last| start + last);
        found.extend(in_window.into_iter().map(|at| start + at));
        start = last.max(start + window / 2);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Splits a series where its pieces differ most, again and again while that is significant.
fn divide(series: &[f64], max_p: f64) -> Vec<usize> {
    let distances = Distances::of(series);
    let mut points: Vec<usize> = Vec::new();
    let mut pieces: Vec<Piece> = distances.piece(0, series.len()).into_iter().collect();
    loop {
        let farthest = pieces.iter().enumerate().reduce(|best, next| {
            if next.1.apart > best.1.apart {
                next
            } else {
                best
            }
        });
        let Some((slot, piece)) = farthest else {
            return points;
        };
        let (start, at, end) = (piece.start, piece.at, piece.end);
        let left = Moments::of(&series[start..at]);
        let p = left.differs(&Moments::of(&series[at..end]));
        if p > max_p {
            return points;
        }
        points.insert(points.partition_point(|point| *point < at), at);
        let parts = [distances.piece(start, at), distances.piece(at, end)];
        pieces.splice(slot..=slot, parts.into_iter().flatten());
    }
}

/// Drops the weakest point until all are significant and large enough.
fn merge(series: &[f64], mut indices: Vec<usize>, how: &Detection) -> Vec<ChangePoint> {
    loop {
        let slots = 0..indices.len();
        let points: Vec<_> = slots.map(|slot| point_at(series, &indices, slot)).collect();
        let least = |key: fn(&ChangePoint) -> f64| {
            let keys = points.iter().map(key).enumerate();
            keys.reduce(|least, next| if next.1 < least.1 { next } else { least })
        };
        let Some((unlikely, negative)) = least(|point| -point.p) else {
            return points;
        };
        let weakest = if -negative < how.max_p {
            match least(ChangePoint::magnitude) {
                Some((slot, size)) if size <= how.min_magnitude => slot,
                _ => return points,
            }
        } else {
            unlikely
        };
        indices.remove(weakest);
    }
}

fn point_at(series: &[f64], points: &[usize], slot: usize) -> ChangePoint {
    let index = points[slot];
    let start = slot.checked_sub(1).map_or(0, |before| points[before]);
    let end = points.get(slot + 1).copied().unwrap_or(series.len());
    let (left, right) = (
        Moments::of(&series[start..index]),
        Moments::of(&series[index..end]),
    );
    ChangePoint {
        index,
        p: left.differs(&right),
        before: left.mean,
        after: right.mean,
    }
}

impl ChangePoint {
    /// The change of the mean, relative to the smaller one; not relative to 0.
    fn magnitude(&self) -> f64 {
        let relative = |from: f64, to: f64| {
            if from == 0.0 {
                0.0
            } else {
                (to / from - 1.0).abs()
            }
        };
        relative(self.before, self.after).max(relative(self.after, self.before))
    }
}

struct Moments {
    count: f64,
    mean: f64,
    /// Sum of squares over the count, as Otava has it.
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2));
        Self {
            count,
            mean,
            variance: squares.sum::<f64>() / count,
        }
    }

    /// Two-sided p of Student's t with pooled variance.
    fn differs(&self, other: &Self) -> f64 {
        let freedom = self.count + other.count - 2.0;
        if freedom <= 0.0 || self.mean == other.mean {
            return 1.0;
        }
        let pooled =
            ((self.count - 1.0) * self.variance + (other.count - 1.0) * other.variance) / freedom;
        let t = (self.mean - other.mean).abs()
            / (pooled * (1.0 / self.count + 1.0 / other.count)).sqrt();
        if t.is_infinite() {
            return 0.0;
        }
        StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |student| 2.0 * student.sf(t))
    }
}

/// A piece of a series and where its parts are farthest apart.
struct Piece {
    start: usize,
    at: usize,
    end: usize,
    apart: f64,
}

/// Sums of the distances of all pairs, in any block of them at once.
struct Distances {
    /// `sums[i][j]`: over the first i values and the first j.
    sums: Vec<Vec<f64>>,
}

impl Distances {
    fn of(series: &[f64]) -> Self {
        let size = series.len();
        let mut sums = vec![vec![0.0; size + 1]; size + 1];
        for row in 0..size {
            let mut along = 0.0;
            for column in 0..size {
                along += (series[row] - series[column]).abs();
                sums[row + 1][column + 1] = sums[row][column + 1] + along;
            }
        }
        Self { sums }
    }

    fn block(&self, rows: (usize, usize), columns: (usize, usize)) -> f64 {
        self.sums[rows.1][columns.1] - self.sums[rows.0][columns.1] - self.sums[rows.1][columns.0]
            + self.sums[rows.0][columns.0]
    }

    /// The split of `start..end`; `None` if there is nothing to split. The right part may end
    /// before `end`, so that what comes after it doesn't hide it.
    fn piece(&self, start: usize, end: usize) -> Option<Piece> {
        let splits = (start + 1..end).flat_map(|at| (at + 1..=end).map(move |end| (at, end)));
        let splits = splits.map(|(at, until)| Piece {
            start,
            at,
            end,
            apart: self.apart(start, at, until),
        });
        splits.reduce(|best, next| if next.apart > best.apart { next } else { best })
    }

    fn apart(&self, start: usize, at: usize, end: usize) -> f64 {
        let (left, right) = ((at - start) as f64, (end - at) as f64);
        let within = |from: usize, to: usize, count: f64| {
            if count < 2.0 {
                0.0
            } else {
                self.block((from, to), (from, to)) / 2.0 / (count - 1.0)
            }
        };
        let between = self.block((start, at), (at, end));
        2.0 / (left + right)
            * (between - right * within(start, at, left) - left * within(at, end, right))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        window: usize,
        max_p: f64,
        min_magnitude: f64,
        series: Vec<f64>,
        points: Vec<Point>,
    }

    #[derive(Deserialize)]
    struct Point {
        index: usize,
        p: f64,
        before: f64,
        after: f64,
    }

    #[test]
    fn agrees_with_apache_otava() {
        let text = include_str!("../../tests/vectors/stats/change_points.json");
        let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
        assert!(vectors.iter().map(|one| one.points.len()).sum::<usize>() > 30);
        for vector in vectors {
            let how = Detection {
                window: vector.window,
                max_p: vector.max_p,
                min_magnitude: vector.min_magnitude,
            };
            let found = change_points(&vector.series, &how);
            let ours: Vec<usize> = found.iter().map(|point| point.index).collect();
            let theirs: Vec<usize> = vector.points.iter().map(|point| point.index).collect();
            assert_eq!(ours, theirs, "{}", vector.name);
            for (ours, theirs) in found.iter().zip(&vector.points) {
                assert!((ours.before - theirs.before).abs() < 1e-9, "{ours:?}");
                assert!((ours.after - theirs.after).abs() < 1e-9, "{ours:?}");
                let off = (ours.p - theirs.p).abs();
                assert!(off <= 1e-6 * theirs.p + 1e-15, "{}: {ours:?}", vector.name);
            }
        }
    }

    #[test]
    fn an_outlier_is_tamed_and_a_step_is_not() {
        let mut series: Vec<f64> = (0..40).map(|at| f64::from(100 + at % 3)).collect();
        series[11] = 3000.0;
        series[12] = 0.0;
        let tamed = tame(&series);
        assert!(tamed.iter().all(|value| (100.0..=102.0).contains(value)));
        for value in &mut series[20..] {
            *value += 50.0;
        }
        let tamed = tame(&series);
        assert!(tamed[..20].iter().all(|value| *value <= 102.0));
        assert!(tamed[20..].iter().all(|value| *value >= 150.0));
    }

    #[test]
    fn short_and_constant_series_do_not_change() {
        let how = Detection {
            window: 50,
            max_p: 0.001,
            min_magnitude: 0.0,
        };
        for series in [vec![], vec![1.0], vec![1.0, 2.0], vec![5.0; 300]] {
            assert_eq!(change_points(&series, &how), []);
        }
        let step = [vec![5.0; 30], vec![6.0; 30]].concat();
        let found = change_points(&step, &how);
        assert_eq!((found.len(), found[0].index, found[0].p), (1, 30, 0.0));
    }
}
