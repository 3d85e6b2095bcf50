//! From batches to prices.

use std::collections::BTreeMap;

use super::{
    collector::fair_us,
    idle::Idle,
    measured::{Extra, Kind, Measured, Measurements, Size, What},
};
use record::{
    Estimate, Price, PricedCall, PricedOutcome, WatchEventPrice, WebhookKind, WebhookPrice,
};
use stats::{mean_interval, without_outliers};

/// How exact a list is to be: half of an interval is at most this share of its mean, or of a toll
/// for what costs less than one.
const EXACT: f64 = 0.05;

/// What batches come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Microseconds of a toll.
    pub toll_us: f64,
    /// How many times as much calls of many kinds in random order take as the same calls kind by kind;
    /// the prices and the toll are multiplied by it.
    pub mixed: f64,
    /// Microseconds of a second in which nobody calls.
    pub idle_us_per_second: f64,
    /// By call and outcome.
    pub prices: Vec<Price>,
    /// By kind, for custom and for built-in resources.
    pub webhooks: Vec<WebhookPrice>,
    /// For custom and for built-in resources.
    pub watch_events: Vec<WatchEventPrice>,
    /// The widest interval of all prices: half of it by its mean, or by a toll for what costs less.
    pub widest: f64,
}

impl Fit {
    /// Whether every price is known within 5 %.
    pub fn is_exact(&self) -> bool {
        self.widest <= EXACT
    }

    /// Whether what these batches are for has a price. One round alone makes none.
    pub fn has(&self, what: &What) -> bool {
        let by_webhooks = |custom| self.webhooks.iter().any(|one| one.custom == custom);
        let by_events = |custom| self.watch_events.iter().any(|one| one.custom == custom);
        match what {
            What::Call(call, outcome) => {
                let mut prices = self.prices.iter();
                prices.any(|price| price.call == *call && price.outcome == *outcome)
            }
            What::With(Extra::Nothing, call, _) => {
                by_webhooks(is_custom(call)) || by_events(is_custom(call))
            }
            What::With(Extra::Webhook(kind), call, _) => {
                let mut prices = self.webhooks.iter();
                prices.any(|one| one.kind == *kind && one.custom == is_custom(call))
            }
            What::With(Extra::Watches(_), call, _) => by_events(is_custom(call)),
            What::Idle | What::Reading | What::Toll | What::Mix => true,
        }
    }
}

/// A price list of all batches. `None` without a toll.
pub fn fit(all: &Measurements) -> Option<Fit> {
    let batches = Batches::new(all);
    let toll_us = batches.toll_us? * batches.mixed;
    let prices = batches.prices();
    let (webhooks, watch_events) = (batches.webhooks(), batches.watch_events());
    let calls = prices.iter().map(|price| price.cpu_us);
    let by_webhooks = webhooks.iter().map(|webhook| webhook.cpu_us);
    let by_events = watch_events
        .iter()
        .flat_map(|event| [event.first_us, event.further_us]);
    let all = calls.chain(by_webhooks).chain(by_events);
    let widest = all.map(|estimate| width(estimate, toll_us));
    Some(Fit {
        toll_us,
        mixed: batches.mixed,
        idle_us_per_second: batches.idle.us_per_second,
        widest: widest.fold(0.0, f64::max),
        webhooks,
        watch_events,
        prices,
    })
}

fn width(estimate: Estimate, toll_us: f64) -> f64 {
    (estimate.high - estimate.low) / 2.0 / estimate.value.abs().max(toll_us)
}

/// A kind's batches, with what is not theirs taken off.
struct Batches<'m> {
    all: &'m Measurements,
    kinds: BTreeMap<Kind, Vec<(usize, &'m Measured)>>,
    idle: Idle,
    /// Microseconds of a toll, if there was one.
    toll_us: Option<f64>,
    /// The same by place in the order of all batches.
    tolls: BTreeMap<usize, f64>,
    /// By how much all is multiplied.
    mixed: f64,
}

/// How many batches of tolls, next to a batch, say how fast the machine was: some to each side.
const NEXT: usize = 3;

/// What a call cost in each round, by round.
type Rounds = BTreeMap<usize, f64>;

impl<'m> Batches<'m> {
    fn new(all: &'m Measurements) -> Self {
        let mut kinds: BTreeMap<Kind, Vec<(usize, &Measured)>> = BTreeMap::new();
        for (at, one) in all.batches.iter().enumerate() {
            kinds.entry(one.kind()).or_default().push((at, one));
        }
        let mut batches = Self {
            all,
            kinds,
            idle: Idle::of(all),
            toll_us: None,
            tolls: BTreeMap::new(),
            mixed: 1.0,
        };
        let tolls = all.batches.iter().enumerate();
        let tolls = tolls.filter(|(_, one)| one.what == What::Toll);
        batches.tolls = tolls.map(|(at, one)| (at, batches.us(one))).collect();
        let tolls = estimate(batches.tolls.values().copied());
        batches.toll_us = tolls.map(|tolls| tolls.value);
        batches.mixed = batches.mixed().unwrap_or(1.0);
        batches
    }

    /// What the mixes took, by what their calls take kind by kind.
    fn mixed(&self) -> Option<f64> {
        let ratio = |(at, one): &(usize, &Measured)| {
            let took = self.us(one) * self.speed(*at) * one.calls as f64;
            let mix = self.all.mixes.get(&one.round)?.iter();
            let parts: Option<Vec<f64>> = mix
                .map(|(what, count)| Some(self.mean(what, Size::Small)?.value * *count as f64))
                .collect();
            Some(took / parts?.into_iter().sum::<f64>())
        };
        let mixes = self.of(&What::Mix, Size::Small).iter();
        Some(estimate(mixes.filter_map(ratio))?.value)
    }

    /// Microseconds of a call, as it was measured.
    fn us(&self, one: &Measured) -> f64 {
        (fair_us(one, self.all) - self.idle.us_of(one)) / one.calls as f64
    }

    /// How much faster than in the mean the machine was at a place in the order of batches. Of a machine
    /// that is shared with others that changes by tens of percent within minutes.
    fn speed(&self, at: usize) -> f64 {
        let before = self.tolls.range(..at).rev().take(NEXT);
        let after = self.tolls.range(at..).take(NEXT);
        let near: Vec<f64> = before.chain(after).map(|(_, us)| *us).collect();
        let near = mean_interval(&without_outliers(&near));
        let speed = self.toll_us.zip(near);
        speed.map_or(1.0, |(mean, (near, _))| mean / near)
    }

    fn of(&self, what: &What, size: Size) -> &[(usize, &'m Measured)] {
        self.kinds
            .get(&(what.clone(), size))
            .map_or(&[], Vec::as_slice)
    }

    /// Microseconds of the API server's CPU that a call took in each round.
    fn rounds(&self, what: &What, size: Size) -> Rounds {
        let mut rounds: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (at, one) in self.of(what, size) {
            let (us, batches) = rounds.entry(one.round).or_default();
            *us += self.us(one) * self.speed(*at) * self.mixed;
            *batches += 1.0;
        }
        let means = rounds.into_iter();
        means
            .map(|(round, (us, batches))| (round, us / batches))
            .collect()
    }

    fn mean(&self, what: &What, size: Size) -> Option<Estimate> {
        estimate(self.rounds(what, size).into_values())
    }

    fn prices(&self) -> Vec<Price> {
        let calls = self.kinds.keys().filter_map(|(what, size)| match what {
            What::Call(call, outcome) if *size == Size::Small => Some((what, call, *outcome)),
            _ => None,
        });
        calls
            .filter_map(|(what, call, outcome)| self.price(what, call, outcome))
            .collect()
    }

    fn price(&self, what: &What, call: &PricedCall, outcome: PricedOutcome) -> Option<Price> {
        let batches = self.of(what, Size::Small);
        Some(Price {
            call: call.clone(),
            outcome,
            bytes: mean_of(batches, |one| Some(one.bytes))?,
            cpu_us: self.mean(what, Size::Small)?,
            cpu_us_per_kib: self.slope(what),
            etcd_cpu_us: self.etcd(batches),
            allocated_bytes: self
                .all
                .allocated
                .get(&(what.clone(), Size::Small))
                .copied(),
            written_bytes: mean_of(batches, |one| {
                Some(one.usage.written_bytes? / one.calls as f64)
            }),
            calls: batches.iter().map(|(_, one)| one.calls).sum(),
        })
    }

    /// More for each KiB of both bodies, by the two sizes of each round.
    fn slope(&self, what: &What) -> Option<Estimate> {
        let bytes = |size| mean_of(self.of(what, size), |one| Some(one.bytes));
        let kib = (bytes(Size::Large)? - bytes(Size::Small)?) / 1024.0;
        let more = difference(
            &self.rounds(what, Size::Large),
            &self.rounds(what, Size::Small),
        );
        if kib < 1.0 {
            return None;
        }
        estimate(more.into_values().map(|more| more / kib))
    }

    fn etcd(&self, batches: &[(usize, &Measured)]) -> Option<Estimate> {
        let cost = |(_, one): &(usize, &Measured)| {
            let idle = self.idle.etcd_us_per_second * one.usage.seconds;
            Some((one.usage.etcd_cpu_us? - idle) / one.calls as f64)
        };
        estimate(batches.iter().filter_map(cost))
    }

    /// What calls took more with something that they set off, by round, and the bytes of an object.
    fn more(&self, what: &What, size: Size) -> Option<(Rounds, f64)> {
        let What::With(_, call, outcome) = what else {
            return None;
        };
        let nothing = What::With(Extra::Nothing, call.clone(), *outcome);
        let alone = self.rounds(&nothing, size);
        let more = difference(&self.rounds(what, size), &alone);
        let bytes = mean_of(self.of(what, size), |one| Some(one.object_bytes))?;
        Some((more, bytes))
    }

    /// More for each KiB of an object.
    fn more_slope(&self, what: &What) -> Option<Estimate> {
        slope(
            &self.more(what, Size::Large)?,
            &self.more(what, Size::Small)?,
        )
    }

    fn extras(&self) -> impl Iterator<Item = (&What, Extra, bool)> {
        let small = self.kinds.keys().filter(|(_, size)| *size == Size::Small);
        small.filter_map(|(what, _)| match what {
            What::With(extra, call, _) => Some((what, *extra, is_custom(call))),
            _ => None,
        })
    }

    fn webhooks(&self) -> Vec<WebhookPrice> {
        let webhooks = self.extras().filter_map(|(what, extra, custom)| {
            let Extra::Webhook(kind) = extra else {
                return None;
            };
            self.webhook(what, kind, custom)
        });
        webhooks.collect()
    }

    fn webhook(&self, what: &What, kind: WebhookKind, custom: bool) -> Option<WebhookPrice> {
        let (more, bytes) = self.more(what, Size::Small)?;
        Some(WebhookPrice {
            kind,
            custom,
            bytes,
            cpu_us: estimate(more.into_values())?,
            cpu_us_per_kib: self.more_slope(what),
        })
    }

    fn watch_events(&self) -> Vec<WatchEventPrice> {
        [false, true]
            .into_iter()
            .filter_map(|custom| self.watch_event(custom))
            .collect()
    }

    fn watch_event(&self, custom: bool) -> Option<WatchEventPrice> {
        let watched = |wanted: fn(u32) -> bool| {
            self.extras()
                .find_map(|(what, extra, is_custom)| match extra {
                    Extra::Watches(watches) if wanted(watches) && is_custom == custom => {
                        Some((what, watches))
                    }
                    _ => None,
                })
        };
        let (one, _) = watched(|watches| watches == 1)?;
        let (many, watches) = watched(|watches| watches > 1)?;
        let (first, bytes) = self.more(one, Size::Small)?;
        let further = |size| {
            let (first, _) = self.more(one, size)?;
            let (all, bytes) = self.more(many, size)?;
            let further = difference(&all, &first).into_iter();
            let each = further.map(|(round, more)| (round, more / f64::from(watches - 1)));
            Some((each.collect::<Rounds>(), bytes))
        };
        let small = further(Size::Small)?;
        Some(WatchEventPrice {
            custom,
            bytes,
            first_us: estimate(first.into_values())?,
            further_us: estimate(small.0.values().copied())?,
            first_us_per_kib: self.more_slope(one),
            further_us_per_kib: further(Size::Large).and_then(|large| slope(&large, &small)),
        })
    }
}

/// Custom resources have groups with a dot that are not Kubernetes's own.
pub(super) fn is_custom(call: &PricedCall) -> bool {
    call.group.contains('.') && !call.group.ends_with(".k8s.io")
}

/// More for each KiB, by rounds and bytes of large objects and of small ones.
fn slope(large: &(Rounds, f64), small: &(Rounds, f64)) -> Option<Estimate> {
    let kib = (large.1 - small.1) / 1024.0;
    let slopes = difference(&large.0, &small.0).into_values();
    estimate(slopes.map(|more| more / kib))
}

fn difference(more: &Rounds, less: &Rounds) -> Rounds {
    let pairs = more.iter();
    pairs
        .filter_map(|(round, more)| Some((*round, more - less.get(round)?)))
        .collect()
}

/// `None` of fewer than two samples: nothing says how far from the truth they are. What the API server
/// does now and then by itself falls into few of them, which are left out.
fn estimate(samples: impl Iterator<Item = f64>) -> Option<Estimate> {
    let samples = without_outliers(&samples.collect::<Vec<f64>>());
    let (value, interval) = mean_interval(&samples).filter(|_| samples.len() > 1)?;
    Some(Estimate {
        value,
        low: interval.low,
        high: interval.high,
    })
}

fn mean_of(
    batches: &[(usize, &Measured)],
    value: impl Fn(&Measured) -> Option<f64>,
) -> Option<f64> {
    let values: Vec<f64> = batches.iter().filter_map(|(_, one)| value(one)).collect();
    Some(mean_interval(&values)?.0)
}
