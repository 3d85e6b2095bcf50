//! Costs by name, wherever a metric, a row or a finding can be named: `cost` is what all calls of a
//! run cost, `cost:PATCH-pods` what those of `PATCH-pods` do; `cost-per-object` and
//! `cost-per-object:PATCH-pods` are the same by the number of objects. All are in tolls.

/// Of all objects together.
const COST: &str = "cost";
/// By the number of objects.
const COST_PER_OBJECT: &str = "cost-per-object";
/// Before the name of the calls that are meant.
const OF: char = ':';

/// What is meant by the name of a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CostName<'n> {
    /// Whether by the number of objects.
    pub per_object: bool,
    /// The name of the calls that are meant; `None` for all.
    pub of: Option<&'n str>,
}

impl<'n> CostName<'n> {
    /// `None` for what is no name of a cost.
    pub(crate) fn parse(name: &'n str) -> Option<Self> {
        let (per_object, rest) = match name.strip_prefix(COST_PER_OBJECT) {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix(COST)?),
        };
        let of = match rest.strip_prefix(OF) {
            None if rest.is_empty() => None,
            Some(of) if !of.is_empty() => Some(of),
            _ => return None,
        };
        Some(Self { per_object, of })
    }

    /// The same cost of other calls.
    pub(crate) fn name_of(self, of: Option<&str>) -> String {
        let cost = if self.per_object {
            COST_PER_OBJECT
        } else {
            COST
        };
        match of {
            None => cost.to_owned(),
            Some(of) => format!("{cost}{OF}{of}"),
        }
    }
}

/// Whether a name is meant as that of a cost.
pub fn is_cost_name(name: &str) -> bool {
    CostName::parse(name).is_some()
}

/// The name of the cost of these calls.
pub(crate) fn cost_of(calls: &str) -> String {
    let all = CostName {
        per_object: false,
        of: None,
    };
    all.name_of(Some(calls))
}

/// The unit of a metric, where it is one of costs: nothing or ` tolls`.
pub(crate) fn unit_after(metric: &str) -> &'static str {
    if is_cost_name(metric) { " tolls" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_of_all_calls_or_of_some_and_of_all_objects_or_of_one() {
        let parsed = |name| CostName::parse(name).map(|name| (name.per_object, name.of));
        assert_eq!(parsed("cost"), Some((false, None)));
        assert_eq!(parsed("cost-per-object"), Some((true, None)));
        assert_eq!(
            parsed("cost:PATCH-pods/status"),
            Some((false, Some("PATCH-pods/status")))
        );
        assert_eq!(
            parsed("cost-per-object:virt-api:GET-pods"),
            Some((true, Some("virt-api:GET-pods")))
        );
        for other in [
            "costs",
            "cost:",
            "cost-per",
            "COST",
            "PATCH-pods",
            "why:cost",
            "",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
        assert_eq!(cost_of("GET-pods"), "cost:GET-pods");
    }
}
