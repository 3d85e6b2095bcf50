//! The bill of a run: what its calls cost, and what the API server took beside them.

use std::collections::BTreeMap;

use record::{
    ApiServerUsage, Bill, BillParts, EventsSent, Outcome, PriceList, PricedCall, RequestsServed,
    ResultRow, WebhookCalls,
};

use super::{charge::priced_outcome, fit::is_custom};

/// The bill of rows that are charged already, of books that were open for so many seconds. Without the
/// API server's own counters it has nothing but the rows.
pub fn bill(
    rows: &[ResultRow],
    seconds: f64,
    usage: Option<&ApiServerUsage>,
    list: &PriceList,
) -> Bill {
    let unpriced = rows.iter().filter(|row| row.cost_cpu_us.is_none());
    let object_bytes = written_bytes(rows);
    let others = usage.map(|usage| others(rows, &usage.requests, list));
    let part = |us: f64| us / 1e6;
    let parts = BillParts {
        calls: part(rows.iter().filter_map(|row| row.cost_cpu_us).sum()),
        webhooks: usage.and_then(|usage| webhooks(&usage.webhook_calls, object_bytes, list)),
        watch_events: usage.and_then(|usage| watch_events(usage, list)),
        others: others.as_ref().map(|others| part(others.us)),
        baseline: part(list.idle_us_per_second * usage.map_or(seconds, |usage| usage.seconds)),
    };
    Bill {
        measured_cpu_seconds: usage.map(|usage| usage.cpu_seconds),
        explained_cpu_seconds: parts.sum(),
        parts,
        unpriced_calls: unpriced.map(|row| row.count).sum(),
        unpriced_others: others.map(|others| others.unpriced),
        prices: list.into(),
    }
}

/// Bytes of the object that a write of the rows answers with, in the mean.
fn written_bytes(rows: &[ResultRow]) -> Option<f64> {
    let writes = rows.iter().filter(|row| {
        ["create", "update", "patch"].contains(&&*row.call.verb) && is_custom(&(&row.call).into())
    });
    let (mut bytes, mut count) = (0, 0);
    for row in writes.filter(|row| row.outcome.is_success()) {
        if let Some(took) = row.took {
            bytes += took.response_bytes;
            count += row.count;
        }
    }
    (count > 0).then(|| bytes as f64 / count as f64)
}

/// Seconds of CPU. The counters don't say of which resource a webhook was asked; most are of custom
/// ones. `None` if webhooks were called and the list has no price for them.
fn webhooks(calls: &[WebhookCalls], bytes: Option<f64>, list: &PriceList) -> Option<f64> {
    let mut us = 0.0;
    for call in calls {
        let prices = list.webhooks.iter().filter(|price| price.kind == call.kind);
        let price = prices.max_by_key(|price| price.custom)?;
        let kib = bytes.map_or(0.0, |bytes| (bytes - price.bytes) / 1024.0);
        let slope = price.cpu_us_per_kib.map_or(0.0, |slope| slope.value);
        us += call.count as f64 * (price.cpu_us.value + slope * kib).max(0.0);
    }
    Some(us / 1e6)
}

/// Seconds of CPU. An event that was written once is encoded once, whatever the number of watches.
fn watch_events(usage: &ApiServerUsage, list: &PriceList) -> Option<f64> {
    let mut us = 0.0;
    for sent in &usage.watch_events {
        let of = PricedCall {
            group: sent.group.clone(),
            ..PricedCall::default()
        };
        let custom = is_custom(&of);
        let mut prices = list.watch_events.iter();
        let price = prices.find(|price| price.custom == custom)?;
        let written = writes(&usage.requests, sent).min(sent.count);
        let kib = (sent.bytes as f64 / sent.count as f64 - price.bytes) / 1024.0;
        let slope = price.first_us_per_kib.map_or(0.0, |slope| slope.value);
        us += written as f64 * (price.first_us.value + slope * kib).max(0.0);
        let slope = price.further_us_per_kib.map_or(0.0, |slope| slope.value);
        let further = (price.further_us.value + slope * kib).max(0.0);
        us += (sent.count - written) as f64 * further;
    }
    Some(us / 1e6)
}

/// Successful writes of a resource.
fn writes(requests: &[RequestsServed], sent: &EventsSent) -> u64 {
    let writes = requests.iter().filter(|served| {
        let call = &served.call;
        (&call.group, &call.resource) == (&sent.group, &sent.resource)
            && ["create", "update", "patch", "delete"].contains(&&*call.verb)
            && (200..300).contains(&served.code)
    });
    writes.map(|served| served.count).sum()
}

/// Requests that are in no row.
#[derive(Debug, Clone, Copy, Default)]
struct Others {
    us: f64,
    unpriced: u64,
}

/// What they cost, each at the size of the list.
fn others(rows: &[ResultRow], requests: &[RequestsServed], list: &PriceList) -> Others {
    let mut booked: BTreeMap<(PricedCall, u16), u64> = BTreeMap::new();
    for row in rows {
        if let Some(code) = row.outcome.code() {
            *booked.entry(((&row.call).into(), code)).or_default() += row.count;
        }
    }
    let mut others = Others::default();
    for served in requests {
        let ours = booked.get(&(served.call.clone(), served.code));
        let ours = ours.copied().unwrap_or_default();
        let count = served.count.saturating_sub(ours);
        let price = priced_outcome(&Outcome::Code(served.code));
        match price.and_then(|outcome| list.price(&served.call, outcome)) {
            Some(price) => others.us += price.cost_us(None) * count as f64,
            None => others.unpriced += count,
        }
    }
    others
}
