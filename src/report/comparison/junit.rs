//! A comparison in a CI's list of tests.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::comparison::text::{cells, limit_line};
use record::{Comparison, Kept, LimitVerdict};

/// JUnit: one case for each limit, and one for each metric if there are none.
///
/// # Errors
/// If it can't be written as XML.
pub fn junit(found: &Comparison) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("kubetoll compare");
    for scenario in &found.scenarios {
        let mut suite = TestSuite::new(format!("compare {}", scenario.scenario));
        let limits = found.limits.iter();
        let own = limits.filter(|limit| limit.scenario == scenario.scenario);
        let mut cases: Vec<TestCase> = own.map(limit_case).collect();
        if found.limits.is_empty() {
            cases.extend(scenario.metrics.iter().map(|metric| {
                let mut case = TestCase::new(metric.metric.clone(), TestCaseStatus::success());
                case.set_classname("kubetoll.compare");
                case.set_system_out(cells(metric, scenario, found.alpha).join("  "));
                case
            }));
        }
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn limit_case(limit: &LimitVerdict) -> TestCase {
    let status = match limit.kept {
        Kept::Yes => TestCaseStatus::success(),
        Kept::No => failed(limit, NonSuccessKind::Failure, "exceeded"),
        Kept::Unknown => failed(limit, NonSuccessKind::Error, "missing"),
    };
    let name = if limit.limit == "learned" {
        format!("learned {}", limit.metric)
    } else {
        limit.limit.clone()
    };
    let mut case = TestCase::new(name, status);
    case.set_classname("kubetoll.compare");
    case
}

fn failed(limit: &LimitVerdict, kind: NonSuccessKind, what: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what);
    status.set_message(limit_line(limit));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::text::tests::comparison;

    #[test]
    fn junit_has_a_case_for_each_limit_or_each_metric() {
        let text = junit(&comparison()).unwrap();
        assert!(
            text.contains(r#"tests="2" skipped="0" failures="1" errors="1""#),
            "{text}"
        );
        assert!(text.contains("kubetoll.compare"), "{text}");
        let mut without_limits = comparison();
        without_limits.limits.clear();
        let text = junit(&without_limits).unwrap();
        assert!(
            text.contains(r#"tests="3" skipped="0" failures="0" errors="0""#),
            "{text}"
        );
    }
}
