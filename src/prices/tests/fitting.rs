//! Prices that are known are found again in batches that were made of them.

use std::collections::BTreeMap;

use crate::{Extra, Measured, Measurements, Size, Usage, What, fit};
use record::{PricedCall, PricedOutcome, WebhookKind};

const IDLE_US_PER_SECOND: f64 = 2_000.0;
const TOLL_US: f64 = 400.0;
const COLLECTION_US: f64 = 60_000.0;
/// Bytes that are allocated until garbage is collected.
const COLLECTED_AFTER: f64 = 50e6;

/// An API server whose costs are known, collections among them.
#[derive(Default)]
struct Server {
    all: Measurements,
    allocated: f64,
}

impl Server {
    /// A batch with tolls before it. The machine becomes slower and faster by a third within 20 rounds.
    fn batch(&mut self, (round, what, size): (usize, What, Size), us: f64, allocates: f64) {
        let slower = 1.0 + (round as f64 / 10.0 * std::f64::consts::PI).sin() / 3.0;
        self.one((round, What::Toll, Size::Small), TOLL_US * slower, 40e3);
        self.one((round, what, size), us * slower, allocates);
    }

    fn one(&mut self, (round, what, size): (usize, What, Size), us: f64, allocates: f64) {
        const CALLS: u64 = 20;
        let kib = if size == Size::Large { 10.0 } else { 2.0 };
        let before = (self.allocated / COLLECTED_AFTER).floor();
        self.allocated += allocates * CALLS as f64;
        let collections = (self.allocated / COLLECTED_AFTER).floor() - before;
        self.all.allocated.insert((what.clone(), size), allocates);
        let seconds = 0.1;
        self.all.batches.push(Measured {
            round,
            what,
            size,
            calls: CALLS,
            bytes: kib * 1024.0,
            object_bytes: kib * 512.0,
            usage: Usage {
                seconds,
                cpu_us: us * CALLS as f64
                    + collections * COLLECTION_US
                    + seconds * IDLE_US_PER_SECOND,
                etcd_cpu_us: Some(us * CALLS as f64 / 2.0),
                collecting_us: Some(collections * COLLECTION_US),
                written_bytes: Some(4096.0 * CALLS as f64),
            },
        });
    }
}

fn update() -> PricedCall {
    PricedCall {
        verb: "update".to_owned(),
        group: "kubevirt.io".to_owned(),
        resource: "virtualmachineinstances".to_owned(),
        ..PricedCall::default()
    }
}

/// A toll is 400 us; an update 2,000 us with 2 KiB and 100 us more for each KiB; a validating
/// webhook 3,000 us and 500 us more for each KiB of the object; a first watch 900 us, others 100 us.
fn measured() -> Server {
    let mut server = Server::default();
    server.all.collecting_us_per_byte = COLLECTION_US / COLLECTED_AFTER;
    let update = || (update(), PricedOutcome::Success);
    let with = |extra| {
        let (call, outcome) = update();
        What::With(extra, call, outcome)
    };
    for round in 0..40 {
        server.one((round, What::Idle, Size::Small), 0.0, 0.0);
        for (size, us, webhook) in [
            (Size::Small, 2_000.0, 3_000.0),
            (Size::Large, 2_800.0, 5_000.0),
        ] {
            let (call, outcome) = update();
            server.batch((round, What::Call(call, outcome), size), us, 300e3);
            server.batch((round, with(Extra::Nothing), size), us, 300e3);
            let validating = with(Extra::Webhook(WebhookKind::Validating));
            server.batch((round, validating, size), us + webhook, 300e3);
            server.batch((round, with(Extra::Watches(1)), size), us + 900.0, 300e3);
            let many = with(Extra::Watches(11));
            server.batch((round, many, size), us + 1_900.0, 300e3);
        }
    }
    server
}

/// What a call is charged for collections.
fn due(allocates: f64) -> f64 {
    allocates / COLLECTED_AFTER * COLLECTION_US
}

fn assert_near(found: f64, expected: f64) {
    let off = (found - expected).abs() / expected;
    assert!(off < 0.02, "{found} in place of {expected}");
}

#[test]
fn known_costs_are_found_again_with_collections_shared_by_what_is_allocated() {
    let fit = fit(&measured().all).unwrap();
    assert_near(fit.idle_us_per_second, IDLE_US_PER_SECOND);
    assert_near(fit.toll_us, 400.0 + due(40e3));
    let [price] = &fit.prices[..] else {
        panic!("{:?}", fit.prices)
    };
    assert_near(price.cpu_us.value, 2_000.0 + due(300e3));
    assert_near(price.cpu_us_per_kib.unwrap().value, 100.0);
    assert_near(price.cost_us(Some(10.0 * 1024.0)), 2_800.0 + due(300e3));
    assert_near(price.allocated_bytes.unwrap(), 300e3);
    assert_eq!(price.written_bytes, Some(4096.0));
    assert_eq!((price.calls, price.bytes), (800, 2048.0));
    // Collections were told apart from calls: the same call cost nearly the same in each round.
    assert!(fit.is_exact(), "{}", fit.widest);
}

#[test]
fn all_is_multiplied_by_what_calls_in_random_order_take_more() {
    let mut server = measured();
    let (call, outcome) = (update(), PricedOutcome::Success);
    let what = What::Call(call, outcome);
    for round in 0..40 {
        // Twenty of the updates, which take a quarter more among others.
        server.batch((round, What::Mix, Size::Small), 2_500.0, 0.0);
        let mix = BTreeMap::from([(what.clone(), 20)]);
        server.all.mixes.insert(round, mix);
    }
    let alone = fit(&measured().all).unwrap();
    let fit = fit(&server.all).unwrap();
    assert_near(fit.mixed, 2_500.0 / (2_000.0 + due(300e3)));
    assert_near(fit.toll_us, fit.mixed * alone.toll_us);
    let pairs = fit.prices.iter().zip(&alone.prices);
    for (one, other) in pairs {
        assert_near(one.cpu_us.value, fit.mixed * other.cpu_us.value);
        assert_near(one.cpu_us.high, fit.mixed * other.cpu_us.high);
    }
    assert_near(fit.webhooks[0].cpu_us.value, fit.mixed * 3_000.0);
    assert_eq!((alone.mixed, fit.prices.len()), (1.0, 1));
}

#[test]
fn what_a_call_sets_off_is_the_difference() {
    let fit = fit(&measured().all).unwrap();
    let [webhook] = &fit.webhooks[..] else {
        panic!("{:?}", fit.webhooks)
    };
    assert_eq!(
        (webhook.kind, webhook.custom),
        (WebhookKind::Validating, true)
    );
    assert_near(webhook.cpu_us.value, 3_000.0);
    assert_near(webhook.cpu_us_per_kib.unwrap().value, 500.0);
    let [event] = &fit.watch_events[..] else {
        panic!("{:?}", fit.watch_events)
    };
    assert_near(event.first_us.value, 900.0);
    assert_near(event.further_us.value, 100.0);
    let slope = event.further_us_per_kib.unwrap();
    assert!(slope.value.abs() < 1.0, "{slope:?}");
}

#[test]
fn what_was_measured_in_one_round_alone_has_no_price_and_is_told_from_what_has() {
    let mut server = measured();
    let watches = What::With(Extra::Watches(1), update(), PricedOutcome::Success);
    assert!(fit(&server.all).unwrap().has(&watches));
    server
        .all
        .batches
        .retain(|one| one.what != watches || one.round == 0);
    let fit = fit(&server.all).unwrap();
    assert!(!fit.has(&watches) && fit.watch_events.is_empty());
    assert!(fit.has(&What::Call(update(), PricedOutcome::Success)));
}

#[test]
fn batches_of_one_round_are_one_sample() {
    let mut server = measured();
    let alone = fit(&server.all).unwrap();
    for round in 0..40 {
        let (call, outcome) = (update(), PricedOutcome::Success);
        let what = What::Call(call, outcome);
        server.batch((round, what, Size::Small), 1_000.0, 300e3);
    }
    let both = fit(&server.all).unwrap();
    let (alone, both) = (alone.prices[0].cpu_us.value, both.prices[0].cpu_us.value);
    assert_near(both, alone - 500.0);
}

#[test]
fn what_was_measured_once_has_no_price() {
    let mut server = measured();
    server.all.batches.truncate(1);
    assert_eq!(fit(&server.all), None);
    assert_eq!(fit(&Measurements::default()), None);
}
