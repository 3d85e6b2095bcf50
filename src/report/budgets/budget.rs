//! Budgets: how often a row may occur, such as `PATCH-pods<=200`.

use std::str::FromStr;

use crate::budgets::row_name::RowName;
use record::{BudgetVerdict, ResultRow};

/// A budget: `VERB-resource[/subresource][@code]<=N`, or `<N`, or `=N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    text: String,
    row: RowName,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtMost(u64),
    Exactly(u64),
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no budget: write VERB-resource[/subresource][@code]<=N, such as \
                 PATCH-pods<=200 or UPDATE-virtualmachines@409<=0"
            )
        };
        let at = text.find(['<', '=']).ok_or_else(wrong)?;
        let (name, bound) = text.split_at(at);
        let number = bound.trim_start_matches(['<', '=']).trim();
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let bound = match &bound[..bound.len() - bound.trim_start_matches(['<', '=']).len()] {
            "<=" => Bound::AtMost(number),
            "<" => Bound::AtMost(number.checked_sub(1).ok_or_else(wrong)?),
            "=" | "==" => Bound::Exactly(number),
            _ => return Err(wrong()),
        };
        Ok(Self {
            text: text.to_owned(),
            row: name.parse().map_err(|()| wrong())?,
            bound,
        })
    }
}

impl Budget {
    /// Whether the rows keep it.
    pub fn judge(&self, rows: &[ResultRow]) -> BudgetVerdict {
        let rows = rows.iter().filter(|row| self.row.names(row));
        let count = rows.map(|row| row.count).sum();
        BudgetVerdict {
            budget: self.text.clone(),
            count,
            kept: match self.bound {
                Bound::AtMost(bound) => count <= bound,
                Bound::Exactly(bound) => count == bound,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallRecord, Outcome, Share};

    fn row(verb: &str, resource: &str, subresource: &str, code: u16, count: u64) -> ResultRow {
        ResultRow {
            share: Share::Workload,
            component: "c".to_owned(),
            call: CallRecord {
                verb: verb.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                ..CallRecord::default()
            },
            outcome: Outcome::Code(code),
            count,
            per_object: 0.0,
            wasted: false,
            assumed: false,
        }
    }

    #[test]
    fn a_budget_names_one_resource_or_subresource_with_all_codes_or_one() {
        let rows = [
            row("patch", "pods", "", 200, 100),
            row("patch", "pods", "", 422, 9),
            row("patch", "pods", "status", 200, 101),
        ];
        let judge = |text: &str| {
            let verdict = text.parse::<Budget>().unwrap().judge(&rows);
            (verdict.count, verdict.kept)
        };
        assert_eq!(judge("PATCH-pods<=109"), (109, true));
        assert_eq!(judge("PATCH-pods<109"), (109, false));
        assert_eq!(judge("PATCH-pods/status=101"), (101, true));
        assert_eq!(judge("PATCH-pods@422<=8"), (9, false));
        assert_eq!(judge("CREATE-pods<=0"), (0, true));
        for bad in [
            "",
            "PATCH-pods",
            "PATCH-pods>1",
            "<=1",
            "pods<=1",
            "PATCH-<=1",
            "PATCH-pods<=x",
            "A-b<0",
        ] {
            assert!(bad.parse::<Budget>().is_err(), "{bad}");
        }
    }
}
