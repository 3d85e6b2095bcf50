//! The requests of an audit log and what they cost, as text.

use std::collections::BTreeMap;

use super::{
    number::{rounded, share},
    prices::{by_list, cost},
    text::{align_right, row_of, table},
};
use record::{AuditBill, AuditReport};

/// Requests and what they cost.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    count: u64,
    us: f64,
}

impl Cost {
    fn add(&mut self, count: u64, us: Option<f64>) {
        self.count += count;
        self.us += us.unwrap_or_default();
    }
}

/// Sums by a key, the dearest first; what costs nothing that is known by its number.
fn dearest<K: Ord>(sums: BTreeMap<K, Cost>) -> Vec<(K, Cost)> {
    let mut sums: Vec<(K, Cost)> = sums.into_iter().collect();
    sums.sort_by(|(_, one), (_, other)| {
        let by_cost = other.us.total_cmp(&one.us);
        by_cost.then(other.count.cmp(&one.count))
    });
    sums
}

/// Counts; with prices the dearest first.
pub(crate) fn counts(report: &AuditReport) -> String {
    let mut sums: BTreeMap<([String; 3], u16), Cost> = BTreeMap::new();
    for count in &report.counts {
        let sum = sums.entry((row_of(count), count.code)).or_default();
        sum.add(count.count, count.cost_cpu_us);
    }
    let headings = ["COMPONENT", "VERB", "RESOURCE", "CODE", "COUNT", "CPU MS"];
    let (sums, shown) = match &report.bill {
        Some(_) => (dearest(sums), headings.len()),
        None => (sums.into_iter().collect(), headings.len() - 1),
    };
    let mut table = table(&headings[..shown]);
    for (([component, verb, resource], code), cost) in sums {
        let row = [component, verb, resource, code.to_string()];
        table.add_row(row.into_iter().chain(numbers(cost)).take(shown));
    }
    let of_numbers: Vec<usize> = (3..shown).collect();
    align_right(&mut table, &of_numbers);
    format!("{table}\n")
}

/// The number of requests, and milliseconds; nothing where there is no price.
fn numbers(cost: Cost) -> [String; 2] {
    let us = if cost.us > 0.0 {
        rounded(cost.us / 1e3)
    } else {
        String::new()
    };
    [cost.count.to_string(), us]
}

/// Who cost how much.
pub(crate) fn callers(report: &AuditReport, bill: &AuditBill) -> String {
    let mut sums: BTreeMap<String, Cost> = BTreeMap::new();
    for count in &report.counts {
        let [caller, _, _] = row_of(count);
        let sum = sums.entry(caller).or_default();
        sum.add(count.count, count.cost_cpu_us);
    }
    let mut table = table(&["COMPONENT", "COUNT", "CPU MS", "SHARE"]);
    for (caller, cost) in dearest(sums) {
        let share = share(cost.us, bill.cpu_seconds * 1e6);
        let row = [caller].into_iter().chain(numbers(cost)).chain([share]);
        table.add_row(row);
    }
    align_right(&mut table, &[1, 2, 3]);
    let mut text = String::new();
    put_line!(
        text,
        "What the calls cost: {}",
        cost(bill.cpu_seconds * 1e6, &bill.prices)
    );
    put_line!(text, "  {}", by_list(&bill.prices, bill.unpriced_calls));
    put_line!(
        text,
        "  each request at the size that was measured: a log has no sizes"
    );
    text + &format!("{table}\n")
}
