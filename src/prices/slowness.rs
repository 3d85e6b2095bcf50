//! A list on another machine than its own, or on its own at another time: by a get of a Lease there.

use std::borrow::Cow;

use record::{ApiServerUsage, Estimate, PriceList};

/// A list with all of the API server's CPU as it was at a run, if that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct AtRun<'l> {
    list: Cow<'l, PriceList>,
    slowness: Option<f64>,
}

impl<'l> AtRun<'l> {
    /// By what gets of a Lease took around the run.
    pub fn new(usage: Option<&ApiServerUsage>, list: &'l PriceList) -> Self {
        let slowness = slowness(usage, list);
        let list = match slowness {
            Some(ratio) => Cow::Owned(times(ratio, list)),
            None => Cow::Borrowed(list),
        };
        Self { list, slowness }
    }

    /// The prices at the run.
    pub fn list(&self) -> &PriceList {
        &self.list
    }

    /// How many times as much a get of a Lease took there as where the list was measured.
    pub fn slowness(&self) -> Option<f64> {
        self.slowness
    }
}

fn slowness(usage: Option<&ApiServerUsage>, list: &PriceList) -> Option<f64> {
    let tolls = &usage?.tolls_us;
    let sum: f64 = tolls.iter().sum();
    let ratio = sum / tolls.len() as f64 / list.plain_toll_us?;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
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
