//! Budgets: how often a row may occur, such as `PATCH-pods<=200`, or what it may cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use crate::{
    budgets::{
        cost::CostBudget,
        cost_name::is_cost_name,
        finding_name::{finding_count, finding_names, is_finding_name},
        row_name::{COUNT, RowName},
    },
    nearest::meant,
};
use classify::VERBS;
use record::{BudgetVerdict, CallFinding, OtherCount, ResultRow};

/// A budget: a name, and `<=N`, or `<N`, or `=N`.
///
/// `VERB-resource[/subresource][@code]` is a row; `VERB-resource-count` is KubeVirt's value, over
/// KubeVirt's components and with the subresources that its rule folds into their resource;
/// `why:KIND` is how many calls findings of that kind have. `cost`, `cost:ROW`, `cost-per-object` and
/// `cost-per-object:ROW` are costs in tolls, by the price list that Kubetoll comes with; they are
/// budgeted with `<=N` alone, of which N needs not be whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    text: String,
    of: Name,
}

/// What a budget is of, and what is allowed.
#[derive(Debug, Clone, PartialEq)]
enum Name {
    Row(RowName, Bound),
    /// `why:KIND`.
    Finding(String, Bound),
    Cost(CostBudget),
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
                 PATCH-pods<=200 or UPDATE-virtualmachines@409<=0, KubeVirt's name of a value, such \
                 as PATCH-pods-count<=300, a kind of finding, such as why:no-op-write<=0, or a cost \
                 in tolls, such as cost-per-object<=70 or cost-per-object:PATCH-pods<=4.5"
            )
        };
        let at = text.find(['<', '=']).ok_or_else(wrong)?;
        let (name, bound) = text.split_at(at);
        if is_cost_name(name.trim()) {
            let cost = CostBudget::parse(name, bound).ok_or_else(wrong)?;
            return Ok(Self {
                text: text.to_owned(),
                of: Name::Cost(cost),
            });
        }
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
            of: if is_finding_name(name) {
                Name::Finding(name.to_owned(), bound)
            } else {
                Name::Row(row_name(name).ok_or_else(wrong)??, bound)
            },
        })
    }
}

/// The name of a row, if it is one; an error if its verb is none.
fn row_name(name: &str) -> Option<Result<RowName, String>> {
    let row: RowName = name.parse().ok()?;
    let unknown = row.unknown_verb().map(|verb| {
        let verbs = VERBS.iter().copied().filter(|verb| !verb.is_empty());
        format!(
            "{:?} in {name:?} is no verb: {}",
            verb.to_uppercase(),
            meant(verb, verbs)
        )
    });
    Some(unknown.map_or(Ok(row), Err))
}

/// What of a run is judged by budgets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'r> {
    /// Its rows.
    pub rows: &'r [ResultRow],
    /// The same with what they cost by the list that Kubetoll comes with.
    pub priced: &'r [ResultRow],
    /// KubeVirt's values.
    pub values: &'r BTreeMap<String, u64>,
    /// The findings, if it kept a journal.
    pub findings: Option<&'r [CallFinding]>,
    /// How many objects it created.
    pub objects: usize,
}

impl Judged<'_> {
    /// What a cost is divided by; a run without objects is budgeted as one.
    pub(crate) fn divisor(&self, per_object: bool) -> f64 {
        if per_object {
            self.objects.max(1) as f64
        } else {
            1.0
        }
    }
}

impl Bound {
    fn keeps(self, count: u64) -> bool {
        match self {
            Self::AtMost(bound) => count <= bound,
            Self::Exactly(bound) => count == bound,
        }
    }
}

impl Budget {
    /// Whether a run keeps it. What is not known to be a name of anything is not said to be kept.
    pub(crate) fn judge(&self, of: &Judged<'_>) -> BudgetVerdict {
        match &self.of {
            Name::Row(row, bound) => self.judge_row(row, *bound, of),
            Name::Finding(name, bound) => self.judge_finding(name, *bound, of.findings),
            Name::Cost(cost) => cost.judge(&self.text, of),
        }
    }

    fn judge_row(&self, row: &RowName, bound: Bound, of: &Judged<'_>) -> BudgetVerdict {
        let Judged { rows, values, .. } = *of;
        let count = count(row, rows, values);
        let verdict = self.verdict(count, bound);
        BudgetVerdict {
            other: count.and_then(|count| other(row, count, rows, values)),
            meant: match count {
                Some(_) => String::new(),
                None => what_was_meant(row, rows, values),
            },
            ..verdict
        }
    }

    fn judge_finding(
        &self,
        name: &str,
        bound: Bound,
        findings: Option<&[CallFinding]>,
    ) -> BudgetVerdict {
        let count = findings.and_then(|found| finding_count(name, found));
        let verdict = self.verdict(count, bound);
        let known: Vec<String> = finding_names().collect();
        BudgetVerdict {
            meant: match (count, findings) {
                (Some(_), _) => String::new(),
                (None, None) => "the run kept no journal, which findings are made of".to_owned(),
                (None, Some(_)) => meant(name, known.iter().map(String::as_str)),
            },
            ..verdict
        }
    }

    fn verdict(&self, count: Option<u64>, bound: Bound) -> BudgetVerdict {
        BudgetVerdict {
            budget: self.text.clone(),
            count: count.unwrap_or_default(),
            tolls: None,
            kept: count.map(|count| bound.keeps(count)).into(),
            other: None,
            meant: String::new(),
        }
    }
}

/// KubeVirt's name, if it is one.
pub(crate) fn kubevirt_name(name: &RowName) -> Option<&str> {
    name.is_kubevirts().then(|| name.without_code())
}

/// Calls of that name; `None` if there can't be any. Exact counts have a call that was not made 0
/// times.
pub(crate) fn count(
    name: &RowName,
    rows: &[ResultRow],
    values: &BTreeMap<String, u64>,
) -> Option<u64> {
    if let Some(kubevirt) = kubevirt_name(name) {
        return values.get(kubevirt).copied();
    }
    let counted = rows.iter().filter(|row| name.names(row));
    name.is_known(rows)
        .then(|| counted.map(|row| row.count).sum())
}

/// The count of nearly the same name, if it is another: KubeVirt's beside a row's, a row's beside
/// KubeVirt's.
pub(crate) fn other(
    name: &RowName,
    count: u64,
    rows: &[ResultRow],
    values: &BTreeMap<String, u64>,
) -> Option<OtherCount> {
    let (other, found) = match kubevirt_name(name) {
        Some(kubevirt) => {
            let row = kubevirt.strip_suffix(COUNT)?;
            let found = self::count(&row.parse().ok()?, rows, values)?;
            (row.to_owned(), found)
        }
        None if name.has_code() => return None,
        None => {
            let kubevirt = format!("{}{COUNT}", name.without_code());
            let found = *values.get(&kubevirt)?;
            (kubevirt, found)
        }
    };
    (found != count).then_some(OtherCount {
        name: other,
        count: found,
    })
}

/// What may have been meant by a name that is none.
pub(crate) fn what_was_meant(
    name: &RowName,
    rows: &[ResultRow],
    values: &BTreeMap<String, u64>,
) -> String {
    let mut known: BTreeSet<String> = values.keys().cloned().collect();
    if !name.is_kubevirts() {
        known.extend(name.candidates(rows));
    }
    meant(name.without_code(), known.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{CallRecord, Kept, Outcome, Share};

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
            took: None,
            cost_cpu_us: None,
            cost_tolls: None,
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
            let verdict = judged(text, &rows);
            (verdict.count, verdict.kept)
        };
        assert_eq!(judge("PATCH-pods<=109"), (109, Kept::Yes));
        assert_eq!(judge("PATCH-pods<109"), (109, Kept::No));
        assert_eq!(judge("PATCH-pods/status=101"), (101, Kept::Yes));
        assert_eq!(judge("PATCH-pods@422<=8"), (9, Kept::No));
        assert_eq!(judge("CREATE-pods<=0"), (0, Kept::Yes));
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
        for (unknown, why) in [
            (
                "LISD-pods<=1",
                "\"LISD\" in \"LISD-pods\" is no verb: did you mean list?",
            ),
            (
                "PTCH-pods<=2",
                "\"PTCH\" in \"PTCH-pods\" is no verb: did you mean patch?",
            ),
            (
                "FOO-pods<=2",
                "\"FOO\" in \"FOO-pods\" is no verb: there are connect, create, delete and 12 more",
            ),
        ] {
            assert_eq!(unknown.parse::<Budget>().unwrap_err(), why);
        }
    }

    fn judged(text: &str, rows: &[ResultRow]) -> BudgetVerdict {
        let values = [("PATCH-pods-count".to_owned(), 207)].into();
        text.parse::<Budget>().unwrap().judge(&Judged {
            rows,
            priced: rows,
            values: &values,
            findings: None,
            objects: 10,
        })
    }

    #[test]
    fn a_cost_is_of_the_run_or_of_one_object_and_of_a_row_or_of_all() {
        let priced = |tolls: Option<f64>, row: ResultRow| ResultRow {
            cost_tolls: tolls,
            ..row
        };
        let rows = [
            priced(Some(30.0), row("patch", "pods", "", 200, 10)),
            priced(Some(1.5), row("patch", "pods", "", 422, 1)),
            priced(Some(8.5), row("get", "nodes", "", 200, 5)),
            row("watch", "nodes", "", 200, 3),
        ];
        let judge = |text: &str| {
            let verdict = judged(text, &rows);
            (verdict.count, verdict.tolls, verdict.kept)
        };
        assert_eq!(judge("cost<=40"), (19, Some(40.0), Kept::Yes));
        assert_eq!(judge("cost<=39.9"), (19, Some(40.0), Kept::No));
        assert_eq!(judge("cost-per-object <= 4"), (19, Some(4.0), Kept::Yes));
        assert_eq!(judge("cost:PATCH-pods<=31"), (11, Some(31.5), Kept::No));
        assert_eq!(judge("cost:PATCH-pods@422<=2"), (1, Some(1.5), Kept::Yes));
        assert_eq!(
            judge("cost-per-object:PATCH-pods<=3.15"),
            (11, Some(3.15), Kept::Yes)
        );
        assert_eq!(judge("cost:CREATE-pods<=0"), (0, Some(0.0), Kept::Yes));
        let unpriced = judged("cost:WATCH-nodes<=5", &rows);
        assert_eq!((unpriced.count, unpriced.kept), (3, Kept::Unknown));
        assert_eq!(
            unpriced.meant,
            "the list that Kubetoll comes with has no price for such calls"
        );
        let misspelt = judged("cost:PATCH-podz<=5", &rows);
        assert_eq!(misspelt.kept, Kept::Unknown);
        assert!(
            misspelt.meant.starts_with("did you mean "),
            "{}",
            misspelt.meant
        );
        for bad in [
            "cost<5",
            "cost=5",
            "cost",
            "cost<=x",
            "cost<=-1",
            "cost:pods<=1",
        ] {
            assert!(bad.parse::<Budget>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kubevirts_value_has_its_own_name_and_is_told_beside_the_row() {
        let rows = [
            row("patch", "pods", "", 200, 100),
            row("patch", "pods", "status", 200, 107),
        ];
        let other = |name: &str, count| {
            let name = name.to_owned();
            Some(OtherCount { name, count })
        };
        let row = judged("PATCH-pods<=100", &rows);
        assert_eq!((row.count, row.kept), (100, Kept::Yes));
        assert_eq!(row.other, other("PATCH-pods-count", 207));
        let folded = judged("PATCH-pods-count<=206", &rows);
        assert_eq!((folded.count, folded.kept), (207, Kept::No));
        assert_eq!(folded.other, other("PATCH-pods", 100));
        assert_eq!(judged("PATCH-pods/status<=107", &rows).other, None);
    }

    #[test]
    fn a_name_that_can_not_be_is_not_kept_and_a_call_that_was_not_made_is() {
        let mut widget = row("update", "widgets", "", 200, 1);
        widget.call.group = "example.com".to_owned();
        let rows = [row("list", "pods", "", 200, 1), widget];
        for (budget, kept) in [
            ("LIST-nodes<=0", Kept::Yes),
            ("GET-/version<=0", Kept::Yes),
            ("PATCH-pods/status<=0", Kept::Yes),
            ("UPDATE-widgets<=1", Kept::Yes),
            ("UPDATE-widgets.example.com<=1", Kept::Yes),
            ("UPDATE-widgets.example.com<=0", Kept::No),
            ("DELETE-gadgets.example.com<=0", Kept::Yes),
            ("LIST-podz<=1", Kept::Unknown),
            ("PATCH-pods/statuz<=0", Kept::Unknown),
            ("GET-/verzion<=0", Kept::Unknown),
            ("LIST-pods-count<=1", Kept::Unknown),
        ] {
            assert_eq!(judged(budget, &rows).kept, kept, "{budget}");
        }
        let meant = judged("LIST-podz<=1", &rows).meant;
        assert!(meant.starts_with("did you mean LIST-pods or "), "{meant}");
        assert_eq!(judged("LIST-pods<=1", &rows).meant, "");
    }
}
