//! Budgets in a user's repository, and what became of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::is_default;

/// The schema's name and version.
pub const BUDGET_SCHEMA: &str = "kubetoll.budget/1";

/// How often a component may make a call per object, by the name of the row; and what its calls may
/// cost per object, in tolls: `cost` those of all rows, `cost:ROW` those of one.
pub type ComponentBudget = BTreeMap<String, f64>;

/// The budgets of a scenario, by component.
pub type ScenarioBudget = BTreeMap<String, ComponentBudget>;

/// `kubetoll-budget.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetFile {
    /// `kubetoll.budget/1`.
    pub schema: String,
    /// The price list by which costs were written; none if a user wrote them, or there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<String>,
    /// The budgets by scenario, then by component and row.
    #[serde(default)]
    pub scenarios: BTreeMap<String, ScenarioBudget>,
}

impl Default for BudgetFile {
    fn default() -> Self {
        Self {
            schema: BUDGET_SCHEMA.to_owned(),
            prices: None,
            scenarios: BTreeMap::new(),
        }
    }
}

/// What became of the budgets: `kubetoll budget --output json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// The runs that were checked.
    pub runs: Vec<String>,
    /// Whether the runs' checks of themselves held.
    pub valid: bool,
    /// How many are not valid and were taken in because that was asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub not_valid: usize,
    /// Each row of the runs' cost; one that is only in the file has spent nothing and is not here.
    pub rows: Vec<BudgetRow>,
}

impl BudgetReport {
    /// Whether what the runs spent means something to who asked.
    pub fn counts(&self) -> bool {
        self.valid || self.not_valid > 0
    }
}

/// A row and its budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetRow {
    /// The scenario of the runs, such as `vmi`.
    pub scenario: String,
    /// The component that makes the calls, such as `virt-controller`.
    pub component: String,
    /// The row's name, such as `PATCH-pods/status`; or a cost, `cost` or `cost:PATCH-pods/status`.
    pub row: String,
    /// Calls per object that the file allows, or tolls; `None` if the row is not in it.
    pub allowed: Option<f64>,
    /// Calls per object, or tolls, of the run that made most of them.
    pub found: f64,
    /// Whether the budget is kept; a row that is not in the file has none to spend.
    pub kept: bool,
}
