//! What calls cost that could go.

use std::{cmp::Ordering, collections::HashMap};

use findings::{Answer, Request, Saving};
use record::{CallFinding, CallFindingKind, CallRecord, Price, PriceList, PricedOutcome};

use super::charge::outcome_of;

/// Enters into each finding what the calls cost that it saves, and brings the dearest first; those
/// without a price keep their order behind them. Each call is charged by how it ended and at its own
/// size, so that what several findings save can be added up.
pub fn charge_findings(found: Vec<Saving<'_>>, list: &PriceList) -> Vec<CallFinding> {
    let mut prices = Prices::new(list);
    let mut found: Vec<CallFinding> = found
        .into_iter()
        .map(|Saving { mut finding, saved }| {
            let costs = saved
                .iter()
                .filter_map(|request| prices.of_saved(request, finding.kind));
            finding.saved_cpu_us = costs.reduce(|sum, us| sum + us);
            finding.saved_tolls = finding.saved_cpu_us.map(|us| us / list.toll_us);
            finding
        })
        .collect();
    found.sort_by(dearest);
    found
}

/// Microseconds of the API server's CPU that all of these requests cost which have a price, of which
/// `found` was found.
pub fn all_cpu_us(requests: &[Request<'_>], found: &[Saving<'_>], list: &PriceList) -> f64 {
    let mut prices = Prices::new(list);
    let counted = requests.iter().filter(|request| !request.is_before);
    let all: f64 = counted.filter_map(|request| prices.of(request)).sum();
    let no_ops = found
        .iter()
        .filter(|saving| saving.finding.kind == CallFindingKind::NoOpWrite);
    let no_ops = no_ops.flat_map(|saving| &saving.saved);
    let less = no_ops.filter_map(|request| {
        Some(prices.of(request)? - prices.of_saved(request, CallFindingKind::NoOpWrite)?)
    });
    all - less.sum::<f64>()
}

fn dearest(one: &CallFinding, other: &CallFinding) -> Ordering {
    let cost = |of: &CallFinding| of.saved_cpu_us.unwrap_or(f64::NEG_INFINITY);
    cost(other).total_cmp(&cost(one))
}

/// The prices of a list, each looked for once.
struct Prices<'r> {
    list: &'r PriceList,
    known: HashMap<(&'r CallRecord, PricedOutcome), Option<&'r Price>>,
}

impl<'r> Prices<'r> {
    fn new(list: &'r PriceList) -> Self {
        Self {
            list,
            known: HashMap::new(),
        }
    }

    /// Microseconds of a request that did something, or failed.
    fn of(&mut self, request: &Request<'r>) -> Option<f64> {
        match request.answer {
            Answer::Code(code) => self.cost_us(request, outcome_of(code)?),
            Answer::None(_) => None,
        }
    }

    /// Of one that a finding of this kind saves. Without a price of writes that change nothing they
    /// cost what others do.
    fn of_saved(&mut self, request: &Request<'r>, kind: CallFindingKind) -> Option<f64> {
        let is_no_op = kind == CallFindingKind::NoOpWrite;
        let no_op = is_no_op.then(|| self.cost_us(request, PricedOutcome::NoOp));
        no_op.flatten().or_else(|| self.of(request))
    }

    fn cost_us(&mut self, request: &Request<'r>, outcome: PricedOutcome) -> Option<f64> {
        let list = self.list;
        let known = self.known.entry((request.call, outcome));
        let price = known.or_insert_with(|| list.price(&request.call.into(), outcome));
        let bytes = request.request_bytes.saturating_add(request.response_bytes);
        let bytes = request.known.bytes.then_some(bytes as f64);
        price.map(|price| price.cost_us(bytes))
    }
}
