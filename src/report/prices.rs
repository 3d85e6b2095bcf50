//! A price list as text.

use crate::{
    number::{bytes, cpu, rounded, tolls},
    text::{align_right, resource, table},
};
use record::{Estimate, Price, PriceList, PricesUsed, WebhookKind, number_of};

/// A price list, the dearest calls first.
pub fn prices(list: &PriceList) -> String {
    let mut text = String::new();
    put_line!(
        text,
        "Kubernetes {}, measured on {} CPUs of {}, {} rounds in {:.0} s",
        list.kubernetes_version,
        list.machine.cpus,
        list.machine.cpu,
        list.rounds,
        list.seconds
    );
    put_line!(
        text,
        "1 toll, a get of one Lease: {} us of the API server's CPU; idle: {} us a second",
        rounded(list.toll_us),
        rounded(list.idle_us_per_second)
    );
    if list.mixed > 1.0 {
        put_line!(
            text,
            "calls in random order take {} times what they take kind by kind: so do these",
            rounded(list.mixed)
        );
    }
    text.push('\n');
    calls(&mut text, list);
    extras(&mut text, list);
    text
}

/// `3.40 s of the API server's CPU, 3,270 tolls`.
pub(crate) fn cost(us: f64, list: &PricesUsed) -> String {
    let tolls = tolls(us / list.toll_us);
    format!("{} of the API server's CPU, {tolls} tolls", cpu(us))
}

/// `by the prices of Kubernetes v1.34.4 on CPU`, and how many calls have none: `; 12 calls more have no
/// price there`.
pub(crate) fn by_list(list: &PricesUsed, unpriced: u64) -> String {
    let have = if unpriced == 1 { "has" } else { "have" };
    let without = match unpriced {
        0 => String::new(),
        _ => format!(
            "; {} more {have} no price there",
            number_of(unpriced, "call")
        ),
    };
    let on = match &*list.machine.cpu {
        "" => String::new(),
        cpu => format!(" on {cpu}"),
    };
    let version = &list.kubernetes_version;
    format!("by the prices of Kubernetes {version}{on}{without}")
}

fn calls(text: &mut String, list: &PriceList) {
    let mut prices: Vec<&Price> = list.prices.iter().collect();
    prices.sort_by(|one, other| other.cpu_us.value.total_cmp(&one.cpu_us.value));
    let mut table = table(&[
        "VERB",
        "RESOURCE",
        "OUTCOME",
        "TOLLS",
        "CPU US",
        "± %",
        "US/KIB",
        "AT",
        "ETCD US",
        "ALLOCATED",
        "WRITTEN",
    ]);
    for price in prices {
        let call = &price.call;
        let or_empty = |text: Option<String>| text.unwrap_or_default();
        table.add_row([
            call.verb.clone(),
            resource(&call.group, &call.resource, &call.subresource, &call.path),
            price.outcome.as_str().to_owned(),
            rounded(price.cpu_us.value / list.toll_us),
            format!("{:.0}", price.cpu_us.value),
            percent(price.cpu_us),
            or_empty(price.cpu_us_per_kib.map(|slope| rounded(slope.value))),
            bytes(price.bytes),
            or_empty(price.etcd_cpu_us.map(|etcd| format!("{:.0}", etcd.value))),
            or_empty(price.allocated_bytes.map(bytes)),
            or_empty(price.written_bytes.map(bytes)),
        ]);
    }
    align_right(&mut table, &[3, 4, 5, 6, 7, 8, 9, 10]);
    table.put(text, "");
}

/// What calls set off.
fn extras(text: &mut String, list: &PriceList) {
    let mut table = table(&[
        "SET OFF BY A CALL",
        "TOLLS",
        "CPU US",
        "± %",
        "US/KIB",
        "AT",
    ]);
    let mut add = |what: String, us: Estimate, slope: Option<Estimate>, size: f64| {
        table.add_row([
            what,
            rounded(us.value / list.toll_us),
            format!("{:.0}", us.value),
            percent(us),
            slope.map_or_else(String::new, |slope| rounded(slope.value)),
            bytes(size),
        ]);
    };
    for webhook in &list.webhooks {
        let kind = match webhook.kind {
            WebhookKind::Mutating => "mutating",
            WebhookKind::Validating => "validating",
        };
        let what = format!("a {kind} webhook's call, {}", resources(webhook.custom));
        add(what, webhook.cpu_us, webhook.cpu_us_per_kib, webhook.bytes);
    }
    for event in &list.watch_events {
        let of = resources(event.custom);
        let what = format!("an event to a first watch, {of}");
        add(what, event.first_us, event.first_us_per_kib, event.bytes);
        let what = format!("the same event to a further watch, {of}");
        add(what, event.further_us, None, event.bytes);
    }
    if list.webhooks.is_empty() && list.watch_events.is_empty() {
        return;
    }
    text.push('\n');
    align_right(&mut table, &[1, 2, 3, 4, 5]);
    table.put(text, "");
}

fn resources(custom: bool) -> &'static str {
    if custom {
        "custom resources"
    } else {
        "built-in resources"
    }
}

/// Half of the interval by the mean.
fn percent(estimate: Estimate) -> String {
    let half = (estimate.high - estimate.low) / 2.0;
    format!("{:.0}", 1e2 * half / estimate.value.abs())
}
