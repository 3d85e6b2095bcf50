//! The Mann-Whitney U test: do two groups come from the same distribution?

use statrs::distribution::{ContinuousCDF, Normal};

use super::sample::sorted;

/// The null distribution is computed exactly while the size of the smaller group times that of
/// both is at most this: 31 against 31, or 3 against 600. Beyond, the normal approximation is good
/// to more digits than anybody reads.
const EXACT_UP_TO: usize = 2_000;

/// What the test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// How many pairs have the greater value in the first group; a tie is half a pair.
    pub u: f64,
    /// Two-sided: how likely groups of the same distribution are to differ this much or more.
    pub p: f64,
    /// The smallest p that groups of these sizes with these ties can give. If it isn't below what
    /// one asks for, the groups are too small to know anything.
    pub smallest_p: f64,
    /// Whether the null distribution is exact, ties included; otherwise it is the normal
    /// approximation, corrected for ties and for continuity.
    pub exact: bool,
}

/// Compares two groups. `None` if one is empty.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let ties = Ties::of(first, second);
    let doubled: u64 = first.iter().map(|value| ties.doubled_rank(*value)).sum();
    let own = first.len() as f64;
    let u = doubled as f64 / 2.0 - own * (own + 1.0) / 2.0;
    let (small, all) = (first.len().min(second.len()), first.len() + second.len());
    let exact = small * all <= EXACT_UP_TO;
    let (p, smallest_p) = if exact {
        // U of the one group is n·m less U of the other: the distribution of the smaller will do.
        let sum = if first.len() == small {
            doubled
        } else {
            ties.doubled_sum() - doubled
        };
        ties.exact(small, sum)
    } else {
        (ties.approximate(first.len(), second.len(), u), 0.0)
    };
    Some(MannWhitney {
        u,
        p,
        smallest_p,
        exact,
    })
}

/// The values of both groups, each with its mean rank, doubled to be a whole number.
struct Ties {
    /// Value, doubled mean rank, how often it occurs.
    groups: Vec<(f64, u64, usize)>,
}

impl Ties {
    fn of(first: &[f64], second: &[f64]) -> Self {
        let all = sorted(&[first, second].concat());
        let mut groups = Vec::new();
        let mut before = 0;
        for tied in all.chunk_by(|one, other| one == other) {
            // Ranks before + 1 ..= before + len have this mean, doubled.
            let rank = 2 * before + tied.len() + 1;
            groups.push((tied[0], rank as u64, tied.len()));
            before += tied.len();
        }
        Self { groups }
    }

    fn doubled_rank(&self, value: f64) -> u64 {
        let at = self.groups.partition_point(|group| group.0 < value);
        self.groups.get(at).map_or(0, |group| group.1)
    }

    fn doubled_sum(&self) -> u64 {
        self.groups
            .iter()
            .map(|group| group.1 * group.2 as u64)
            .sum()
    }

    /// The p of `sum` as the doubled rank sum of `size` of all values, and the smallest p that
    /// any sum has. Every choice of `size` values is equally likely under the null hypothesis:
    /// `ways[chosen][sum]` counts the choices, value by value.
    fn exact(&self, size: usize, sum: u64) -> (f64, f64) {
        let top = self.largest_sum(size);
        let mut ways = vec![vec![0.0; top + 1]; size + 1];
        ways[0][0] = 1.0;
        for &(_, rank, often) in &self.groups {
            let rank = rank as usize;
            for _ in 0..often {
                for chosen in (1..=size).rev() {
                    let (fewer, more) = ways.split_at_mut(chosen);
                    for (to, from) in more[0][rank..].iter_mut().zip(&fewer[chosen - 1]) {
                        *to += from;
                    }
                }
            }
        }
        let ways = &ways[size];
        let all: f64 = ways.iter().sum();
        let sum = sum as usize;
        let below: f64 = ways[..=sum].iter().sum();
        let above: f64 = ways[sum..].iter().sum();
        let two_sided = |one_sided: f64| (2.0 * one_sided / all).min(1.0);
        let mut reachable = ways.iter().copied().filter(|ways| *ways > 0.0);
        let lowest = reachable.next().unwrap_or(all);
        let highest = reachable.next_back().unwrap_or(lowest);
        (two_sided(below.min(above)), two_sided(lowest.min(highest)))
    }

    fn largest_sum(&self, size: usize) -> usize {
        let ranks = self.groups.iter().rev();
        let ranks = ranks.flat_map(|group| std::iter::repeat_n(group.1 as usize, group.2));
        ranks.take(size).sum()
    }

    fn approximate(&self, first: usize, second: usize, u: f64) -> f64 {
        let pairs = first as f64 * second as f64;
        let all = (first + second) as f64;
        let ties = self.groups.iter().map(|group| {
            let often = group.2 as f64;
            often * often * often - often
        });
        let ties: f64 = ties.sum();
        let variance = pairs / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
        if variance <= 0.0 {
            return 1.0;
        }
        let z = ((u - pairs / 2.0).abs() - 0.5) / variance.sqrt();
        (2.0 * Normal::standard().sf(z)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        a: Vec<f64>,
        b: Vec<f64>,
        u: f64,
        p: f64,
        exact: bool,
    }

    #[test]
    fn agrees_with_scipy() {
        let text = include_str!("../../tests/vectors/stats/mann_whitney.json");
        let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
        assert!(vectors.len() > 30);
        for vector in vectors {
            let found = mann_whitney(&vector.a, &vector.b).unwrap();
            let name = &vector.name;
            assert_eq!((found.u, found.exact), (vector.u, vector.exact), "{name}");
            let off = (found.p - vector.p).abs() / vector.p;
            assert!(off < 1e-9, "{name}: {} instead of {}", found.p, vector.p);
        }
    }

    #[test]
    fn small_groups_cannot_be_significant() {
        let smallest = |size: usize| {
            let a: Vec<f64> = (0..size).map(|one| one as f64).collect();
            let b: Vec<f64> = a.iter().map(|one| one + 100.0).collect();
            let found = mann_whitney(&a, &b).unwrap();
            assert_eq!(found.p, found.smallest_p);
            (found.p * 1e4).round() / 1e4
        };
        assert_eq!([3, 4, 5].map(smallest), [0.1, 0.0286, 0.0079]);
        let tied = mann_whitney(&[1.0, 1.0, 1.0], &[1.0, 1.0]).unwrap();
        assert_eq!((tied.p, tied.smallest_p), (1.0, 1.0));
        assert!(mann_whitney(&[], &[1.0]).is_none());
    }

    #[test]
    fn exact_and_approximate_meet_where_the_one_ends() {
        let a: Vec<f64> = (0..31).map(|one| f64::from(one % 7)).collect();
        let b: Vec<f64> = (0..31).map(|one| f64::from(one % 7 + one % 2)).collect();
        let exact = mann_whitney(&a, &b).unwrap();
        assert!(exact.exact);
        let approximate = Ties::of(&a, &b).approximate(31, 31, exact.u);
        assert!((approximate - exact.p).abs() < 0.002);
    }
}
