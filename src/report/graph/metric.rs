//! The metrics of KubeVirt's benchmark page, and what is known of any metric by its name.

use crate::budgets::cost_name::{CostName, is_cost_name};

/// The scenarios of KubeVirt's density tests, in the order of its page.
pub const SCENARIOS: [&str; 3] = ["vmi", "vm", "instancetype"];

/// The metrics that KubeVirt's page shows, in its order: performance first, then scalability.
pub const KUBEVIRT_METRICS: [&str; 14] = [
    "vmiCreationToRunningSecondsP50",
    "vmiCreationToRunningSecondsP95",
    "avgVirtAPICPUUsage",
    "avgVirtControllerCPUUsage",
    "avgVirtAPIMemoryUsageInMB",
    "avgVirtControllerMemoryUsageInMB",
    "avgVirtHandlerCPUUsage",
    "avgVirtHandlerMemoryUsageInMB",
    "PATCH-pods-count",
    "UPDATE-virtualmachineinstances-count",
    "PATCH-virtualmachineinstances-count",
    "PATCH-nodes-count",
    "GET-nodes-count",
    "WATCH-virtualmachineinstances-count",
];

/// A metric, known by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<'a>(pub &'a str);

impl Metric<'_> {
    /// The unit, for an axis.
    pub fn unit(self) -> &'static str {
        let name = self.0;
        if let Some(cost) = CostName::parse(name) {
            return if cost.per_object {
                "tolls per object"
            } else {
                "tolls per run"
            };
        }
        if name.ends_with("-phase-count") {
            "VMIs in the phase, per run"
        } else if name.ends_with("-count") {
            "API calls per run"
        } else if name.contains("Seconds") || name.ends_with("Latency") {
            "seconds"
        } else if name.ends_with("InMB") {
            "MB"
        } else if name.ends_with("CPUUsage") {
            "CPU cores"
        } else {
            "value"
        }
    }

    /// Whether it says how fast or how heavy KubeVirt is, rather than what it asks of the API
    /// server.
    pub fn is_performance(self) -> bool {
        !self.0.ends_with("-count") && !is_cost_name(self.0)
    }
}

/// What a scenario creates, for a heading.
pub fn scenario_title(scenario: &str) -> &str {
    match scenario {
        "vmi" => "VMI",
        "vm" => "VM",
        "instancetype" => "VM with instancetype and preference",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_of_kubevirts_page_has_a_unit() {
        for name in KUBEVIRT_METRICS {
            assert_ne!(Metric(name).unit(), "value", "{name}");
        }
        assert!(Metric("avgVirtAPICPUUsage").is_performance());
        assert!(!Metric("PATCH-pods-count").is_performance());
        assert!(!Metric("cost").is_performance());
        assert_eq!(Metric("cost:PATCH-pods-count").unit(), "tolls per run");
        assert_eq!(Metric("cost-per-object").unit(), "tolls per object");
    }
}
