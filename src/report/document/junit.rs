//! JUnit XML: a case for each check, threshold and budget.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{
    budgets::cost::{found, unknown},
    graph::DrawError,
    run::text::beside,
};
use record::{BudgetVerdict, Kept, RunResult};

/// The report of a run for a CI: what it checked of itself, and what was asked of it.
pub fn junit(result: &RunResult) -> Result<String, DrawError> {
    let mut report = Report::new(format!("kubetoll {}", result.id));
    report.add_test_suite(suite(
        "checks",
        result.checks.iter().map(|check| Case {
            name: check.name.clone(),
            ok: check.ok,
            detail: check.detail.clone(),
        }),
    ));
    report.add_test_suite(suite(
        "thresholds",
        result.thresholds.iter().map(|verdict| Case {
            name: verdict.name.clone(),
            // What can't be known is no pass.
            ok: verdict.kept == Kept::Yes,
            detail: format!(
                "{} of at most {}{}",
                or_missing(verdict.value),
                or_missing(verdict.limit),
                beside(verdict.other.as_ref(), &verdict.meant)
            ),
        }),
    ));
    report.add_test_suite(suite(
        "budgets",
        result.budgets.iter().map(|verdict| Case {
            name: verdict.budget.clone(),
            ok: verdict.kept == Kept::Yes,
            detail: format!(
                "{}{}",
                counted(verdict),
                beside(verdict.other.as_ref(), &verdict.meant)
            ),
        }),
    ));
    report
        .to_string()
        .map_err(|error| DrawError(error.to_string()))
}

struct Case {
    name: String,
    ok: bool,
    detail: String,
}

fn suite(name: &str, cases: impl Iterator<Item = Case>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    for case in cases {
        let mut status = if case.ok {
            TestCaseStatus::success()
        } else {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        };
        if !case.ok {
            status.set_message(case.detail.clone());
        }
        let mut test = TestCase::new(case.name, status);
        test.set_classname(format!("kubetoll.{name}"));
        if case.ok {
            test.set_system_out(case.detail);
        }
        suite.add_test_case(test);
    }
    suite
}

/// What a budget was compared with.
pub(super) fn counted(verdict: &BudgetVerdict) -> String {
    match verdict.kept {
        Kept::Unknown => unknown(verdict).to_owned(),
        _ if verdict.tolls.is_some() => found(verdict),
        _ => format!("{} counted", verdict.count),
    }
}

fn or_missing(value: Option<f64>) -> String {
    value.map_or("missing".to_owned(), |value| value.to_string())
}
