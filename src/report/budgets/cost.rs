//! Budgets of costs, such as `cost-per-object:PATCH-pods<=2.5`.

use classify::kubevirt::is_kubevirt_component;
use record::{BudgetVerdict, ResultRow};

use crate::{
    budgets::{
        budget::{Judged, kubevirt_name, what_was_meant},
        cost_name::CostName,
        row_name::{COUNT, RowName},
    },
    number::detailed,
};

/// At most so many tolls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CostBudget {
    per_object: bool,
    of: Option<RowName>,
    at_most: f64,
}

/// What was charged for some calls.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Charged {
    /// How many calls; those without a price too.
    pub calls: u64,
    /// What those with a price cost; `None` if there are calls and none has one.
    pub tolls: Option<f64>,
}

impl CostBudget {
    /// `None` for what is no budget of a cost. That is never met exactly, and `<` would say no more
    /// than `<=`.
    pub(crate) fn parse(name: &str, bound: &str) -> Option<Self> {
        let CostName { per_object, of } = CostName::parse(name.trim())?;
        let at_most: f64 = bound.strip_prefix("<=")?.trim().parse().ok()?;
        Some(Self {
            per_object,
            of: of.map(str::parse).transpose().ok()?,
            at_most,
        })
        .filter(|budget| budget.at_most.is_finite() && budget.at_most >= 0.0)
    }

    pub(crate) fn judge(&self, text: &str, of: &Judged<'_>) -> BudgetVerdict {
        let charged = match &self.of {
            None => Some(charged(of.priced, |_| true)),
            Some(row) => charged_row(row, of.priced),
        };
        let Charged { calls, tolls } = charged.unwrap_or_default();
        let tolls = tolls.map(|tolls| tolls / of.divisor(self.per_object));
        let meant = match (&self.of, charged) {
            (Some(row), None) => what_was_meant(row, of.rows, of.values),
            (_, Some(_)) if tolls.is_none() => {
                "the list that Kubetoll comes with has no price for such calls".to_owned()
            }
            _ => String::new(),
        };
        BudgetVerdict {
            budget: text.to_owned(),
            count: calls,
            kept: tolls.map(|tolls| tolls <= self.at_most).into(),
            tolls,
            other: None,
            meant,
        }
    }
}

/// What the calls of a name cost, in tolls; `None` if there can't be any, or their price is not known.
pub(crate) fn tolls(name: &CostName<'_>, of: &Judged<'_>) -> Option<f64> {
    let charged = match name.of {
        None => charged(of.priced, |_| true),
        Some(row) => charged_row(&row.parse().ok()?, of.priced)?,
    };
    Some(charged.tolls? / of.divisor(name.per_object))
}

/// What the calls of a row cost, or of KubeVirt's value; `None` if there can't be any.
fn charged_row(name: &RowName, rows: &[ResultRow]) -> Option<Charged> {
    match kubevirt_name(name) {
        Some(kubevirt) => {
            let is_of = |row: &ResultRow| {
                is_kubevirt_component(&row.component)
                    && kubevirt.strip_suffix(COUNT) == Some(&*row.call.key())
            };
            rows.iter().any(is_of).then(|| charged(rows, is_of))
        }
        None => name
            .is_known(rows)
            .then(|| charged(rows, |row| name.names(row))),
    }
}

/// The calls of these rows; those of none cost nothing.
fn charged(rows: &[ResultRow], is_of: impl Fn(&ResultRow) -> bool) -> Charged {
    let rows: Vec<&ResultRow> = rows.iter().filter(|row| is_of(row)).collect();
    let tolls = rows.iter().filter_map(|row| row.cost_tolls);
    let is_known = rows.is_empty() || tolls.clone().next().is_some();
    Charged {
        calls: rows.iter().map(|row| row.count).sum(),
        tolls: is_known.then(|| tolls.sum()),
    }
}

/// What a budget was compared with: a count, or a cost.
pub(crate) fn found(verdict: &BudgetVerdict) -> String {
    match verdict.tolls {
        Some(tolls) => format!("{} tolls", detailed(tolls)),
        None => verdict.count.to_string(),
    }
}

/// Why nothing is known of a budget, before the words of what was meant.
pub(crate) fn unknown(verdict: &BudgetVerdict) -> &'static str {
    if verdict.count > 0 {
        "not known"
    } else {
        "there is no such row"
    }
}
