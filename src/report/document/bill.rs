//! The bill of a report: in words, and as stacked bars.

use super::{Document, chart::COLORS};
use crate::{
    bill_parts::{Part, by_call, by_component, by_purpose, whole},
    number::{cpu, share, tolls},
    prices::{by_list, cost},
    run::bill::tolls_per_object,
};
use record::Bill;

/// The bill of a run, if some of its calls have a price.
pub(super) struct BillView {
    /// One sentence each.
    pub(super) lines: Vec<String>,
    pub(super) stacks: Vec<Stack>,
}

/// A whole and its parts.
pub(super) struct Stack {
    pub(super) title: String,
    pub(super) parts: Vec<StackPart>,
}

pub(super) struct StackPart {
    pub(super) name: String,
    pub(super) value: String,
    /// Of the whole, with its sign.
    pub(super) share: String,
    /// Percent of the bar.
    pub(super) width: f64,
    pub(super) color: &'static str,
    pub(super) is_unexplained: bool,
}

impl BillView {
    pub(super) fn new(document: &Document<'_>) -> Option<Self> {
        let result = document.result;
        let bill = result.bill.as_ref()?;
        if bill.parts.calls <= 0.0 {
            return None;
        }
        let in_tolls = |value: f64| format!("{} tolls", tolls(value));
        let in_seconds = |seconds: f64| cpu(1e6 * seconds);
        let mut stacks = vec![
            Stack::new("By who called", by_component(&result.rows), &in_tolls),
            Stack::new("By what was called", by_call(&result.rows), &in_tolls),
        ];
        if let Some((parts, measured)) = by_purpose(bill).zip(bill.measured_cpu_seconds) {
            let taken = in_seconds(measured);
            let title = format!("The API server's CPU while the books were open, {taken}");
            stacks.push(Stack::new(&title, parts, &in_seconds));
        }
        Some(Self {
            lines: lines(document, bill),
            stacks,
        })
    }
}

fn lines(document: &Document<'_>, bill: &Bill) -> Vec<String> {
    let result = document.result;
    let mut first = format!(
        "The calls cost {}",
        cost(1e6 * bill.parts.calls, &bill.prices)
    );
    if result.count > 0 {
        let each = tolls_per_object(result);
        let each_cpu = cpu(each * bill.prices.toll_us);
        first += &format!("; those for an object {each_cpu}, {} tolls", tolls(each));
    }
    let by = by_list(&bill.prices, bill.unpriced_calls);
    let mut lines = vec![format!(
        "{first}, {by}. One toll is what a get of one Lease takes."
    )];
    if result.simulated {
        lines.push("KubeVirt was SIMULATED.".to_owned());
    }
    if let Some(measured) = bill.measured_cpu_seconds {
        let explained = bill.explained_cpu_seconds;
        lines.push(format!(
            "The API server took {measured:.2} s, of which {explained:.2} s ({}) are explained; the \
             rest is spread over nothing.",
            share(explained, measured)
        ));
    }
    lines
}

impl Stack {
    fn new(title: &str, parts: Vec<Part>, show: &dyn Fn(f64) -> String) -> Self {
        let all = whole(&parts);
        let parts = parts.into_iter().zip(COLORS.iter().cycle());
        let parts = parts.map(|(part, color)| StackPart {
            value: show(part.value),
            share: share(part.value, all),
            width: 1e2 * part.value / all,
            name: part.name,
            color,
            is_unexplained: part.is_unexplained,
        });
        Self {
            title: title.to_owned(),
            parts: parts.collect(),
        }
    }
}
