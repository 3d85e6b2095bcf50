//! What calls of a run cost by a price list.

use std::collections::BTreeMap;

use record::{
    AuditBill, AuditReport, CallFinding, CallFindingKind, Outcome, PriceList, PricedCall,
    PricedOutcome, ResultRow, call_name,
};

/// Enters into each row what its calls cost. What `findings` say of writes that changed nothing is
/// charged as such.
pub fn charge(rows: &mut [ResultRow], findings: &[CallFinding], list: &PriceList) {
    let no_ops = NoOps::new(rows, findings);
    for row in rows {
        let us = cost_us(row, no_ops.share(row), list);
        row.cost_cpu_us = us;
        row.cost_tolls = us.map(|us| us / list.toll_us);
    }
}

/// Enters into each count of an audit log what its requests cost at the sizes of the list, and the bill.
pub fn charge_audit(report: &mut AuditReport, list: &PriceList) {
    let (mut us, mut unpriced_calls) = (0.0, 0);
    for count in &mut report.counts {
        let call = PricedCall {
            verb: count.verb.clone(),
            group: count.group.clone(),
            resource: count.resource.clone(),
            subresource: count.subresource.clone(),
            path: count.path.clone(),
        };
        let price = priced_outcome(&Outcome::Code(count.code));
        let price = price.and_then(|outcome| list.price(&call, outcome));
        count.cost_cpu_us = price.map(|price| price.cost_us(None) * count.count as f64);
        match count.cost_cpu_us {
            Some(cost) => us += cost,
            None => unpriced_calls += count.count,
        }
    }
    report.bill = Some(AuditBill {
        cpu_seconds: us / 1e6,
        unpriced_calls,
        prices: list.into(),
    });
}

fn cost_us(row: &ResultRow, no_ops: f64, list: &PriceList) -> Option<f64> {
    let call = PricedCall::from(&row.call);
    let bytes = row.took.map(|took| {
        let both = took.request_bytes + took.response_bytes;
        both as f64 / row.count as f64
    });
    let each = |outcome| Some(list.price(&call, outcome)?.cost_us(bytes));
    let outcome = priced_outcome(&row.outcome)?;
    let count = row.count as f64;
    // A write that changed nothing has no bytes of its own: they are the row's.
    let unchanged = match each(PricedOutcome::NoOp) {
        Some(us) if outcome == PricedOutcome::Success && no_ops > 0.0 => us * no_ops * count,
        _ => return Some(each(outcome)? * count),
    };
    Some(each(outcome)? * (1.0 - no_ops) * count + unchanged)
}

/// Which price an outcome has; none for what has no price.
pub(super) fn priced_outcome(outcome: &Outcome) -> Option<PricedOutcome> {
    outcome_of(outcome.code()?)
}

/// The same of a code.
pub(super) fn outcome_of(code: u16) -> Option<PricedOutcome> {
    match code {
        200..300 => Some(PricedOutcome::Success),
        404 => Some(PricedOutcome::NotFound),
        409 => Some(PricedOutcome::Conflict),
        422 => Some(PricedOutcome::Invalid),
        _ => None,
    }
}

/// Which share of a component's successful calls changed nothing, by component and call.
struct NoOps(BTreeMap<(String, String), f64>);

impl NoOps {
    fn new(rows: &[ResultRow], findings: &[CallFinding]) -> Self {
        let mut successes: BTreeMap<(String, String), u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.outcome.is_success()) {
            *successes.entry(name(row)).or_default() += row.count;
        }
        let no_ops = findings
            .iter()
            .filter(|finding| finding.kind == CallFindingKind::NoOpWrite);
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for finding in no_ops {
            let name = (finding.component.clone(), finding.call.clone());
            *counts.entry(name).or_default() += finding.calls;
        }
        let share = |(name, count): ((String, String), u64)| {
            let of = *successes.get(&name)?;
            Some((name, (count as f64 / of as f64).min(1.0)))
        };
        Self(counts.into_iter().filter_map(share).collect())
    }

    fn share(&self, row: &ResultRow) -> f64 {
        self.0.get(&name(row)).copied().unwrap_or_default()
    }
}

fn name(row: &ResultRow) -> (String, String) {
    let call = &row.call;
    let name = call_name(&call.verb, &call.resource, &call.subresource, &call.path);
    (row.component.clone(), name)
}
