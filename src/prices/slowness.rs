//! A list on another machine than its own, or on its own at another time: by a get of a Lease there.

use std::borrow::Cow;

use record::{ApiServerUsage, Estimate, PriceList};

/// How many times as much a get of a Lease took around a run as where the list was measured.
pub(super) fn slowness(usage: Option<&ApiServerUsage>, list: &PriceList) -> Option<f64> {
    let tolls = &usage?.tolls_us;
    let sum: f64 = tolls.iter().sum();
    let ratio = sum / tolls.len() as f64 / list.plain_toll_us?;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// The list with all of the API server's CPU as it was at the run, if that is known.
pub(super) fn at<'l>(usage: Option<&ApiServerUsage>, list: &'l PriceList) -> Cow<'l, PriceList> {
    match slowness(usage, list) {
        Some(ratio) => Cow::Owned(times(ratio, list)),
        None => Cow::Borrowed(list),
    }
}

fn times(ratio: f64, list: &PriceList) -> PriceList {
    let more = |estimate: Estimate| Estimate {
        value: estimate.value * ratio,
        low: estimate.low * ratio,
        high: estimate.high * ratio,
    };
    let mut list = list.clone();
    list.toll_us *= ratio;
    list.idle_us_per_second *= ratio;
    for price in &mut list.prices {
        price.cpu_us = more(price.cpu_us);
        price.cpu_us_per_kib = price.cpu_us_per_kib.map(more);
    }
    for webhook in &mut list.webhooks {
        webhook.cpu_us = more(webhook.cpu_us);
        webhook.cpu_us_per_kib = webhook.cpu_us_per_kib.map(more);
    }
    for event in &mut list.watch_events {
        (event.first_us, event.further_us) = (more(event.first_us), more(event.further_us));
        event.first_us_per_kib = event.first_us_per_kib.map(more);
        event.further_us_per_kib = event.further_us_per_kib.map(more);
    }
    list
}
