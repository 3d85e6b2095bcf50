//! perfscale-audit's thresholds, judged.

use std::collections::{BTreeMap, BTreeSet};

use record::{OtherCount, ThresholdExpectation, ThresholdFile, ThresholdVerdict};

use crate::{
    budgets::{
        budget::{Judged, count, other},
        cost::tolls,
        cost_name::CostName,
        row_name::RowName,
    },
    nearest::meant,
};

/// What thresholds are judged by: a name is KubeVirt's, or that of a row or a cost.
pub(super) struct Counted<'r> {
    pub metrics: &'r BTreeMap<String, f64>,
    pub of: Judged<'r>,
}

impl Counted<'_> {
    /// Judges as perfscale-audit meant to: too much is what exceeds, and a missing metric is no pass.
    pub(super) fn judge(&self, thresholds: &ThresholdFile) -> Vec<ThresholdVerdict> {
        let verdict = |(name, expected): (&String, &ThresholdExpectation)| {
            let value = self.value(name);
            let (of, limit) = if expected.metric.is_empty() {
                (name, Some(expected.value))
            } else {
                let other = self.value(&expected.metric);
                (&expected.metric, other.map(|other| other * expected.ratio))
            };
            let missing = if value.is_none() { name } else { of };
            let is_known = value.is_some() && limit.is_some();
            ThresholdVerdict {
                name: name.clone(),
                value,
                limit,
                expected: expected.clone(),
                kept: value.zip(limit).map(|(value, limit)| value <= limit).into(),
                other: self.other(name, value),
                meant: if is_known {
                    String::new()
                } else {
                    self.meant(missing)
                },
            }
        };
        thresholds.expectations.iter().map(verdict).collect()
    }

    fn value(&self, name: &str) -> Option<f64> {
        if let Some(cost) = CostName::parse(name) {
            return tolls(&cost, &self.of);
        }
        let of_row = || {
            let row: RowName = name.parse().ok()?;
            Some(count(&row, self.of.rows, self.of.values)? as f64)
        };
        self.metrics.get(name).copied().or_else(of_row)
    }

    fn other(&self, name: &str, value: Option<f64>) -> Option<OtherCount> {
        let row: RowName = name.parse().ok()?;
        other(&row, value? as u64, self.of.rows, self.of.values)
    }

    fn meant(&self, name: &str) -> String {
        let mut known: BTreeSet<String> = self.metrics.keys().cloned().collect();
        let row = name.parse::<RowName>().ok();
        if let Some(row) = row.filter(|row| !row.is_kubevirts()) {
            known.extend(row.candidates(self.of.rows));
        }
        meant(name, known.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Kept;

    fn judge_one(text: &str, values: &[(&str, f64)]) -> ThresholdVerdict {
        let thresholds: ThresholdFile = serde_json::from_str(text).unwrap();
        let metrics = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        let counted = Counted {
            metrics: &metrics.collect(),
            of: Judged {
                rows: &[],
                priced: &[],
                values: &BTreeMap::new(),
                findings: None,
                objects: 1,
            },
        };
        counted.judge(&thresholds).remove(0)
    }

    #[test]
    fn a_ratio_is_exceeded_by_too_much_and_not_by_too_little() {
        let ratio = r#"{"prometheusURL": "http://127.0.0.1:9090", "thresholdExpectations":
            {"PATCH-virtualmachineinstances-count": {"ratio": 2, "metric": "CREATE-pods-count"}}}"#;
        let patched = |count: f64| {
            let values = [
                ("PATCH-virtualmachineinstances-count", count),
                ("CREATE-pods-count", 100.0),
            ];
            judge_one(ratio, &values).kept
        };
        assert_eq!(patched(20.0), Kept::Yes);
        assert_eq!(patched(200.0), Kept::Yes);
        assert_eq!(patched(201.0), Kept::No);
        let missing = judge_one(ratio, &[("CREATE-pods-count", 100.0)]);
        assert_eq!((missing.kept, missing.limit), (Kept::Unknown, Some(200.0)));
        assert_eq!(missing.meant, "there is only CREATE-pods-count");
    }
}
