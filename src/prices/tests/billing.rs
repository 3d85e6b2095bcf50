//! What an API server took, by its own counters.

use serde_json::from_value;

use super::charging::{UPDATE, list, row, took};
use crate::{Served, bill, charge};
use record::{
    ApiServerUsage, Estimate, EventsSent, PriceList, PricedCall, RequestsServed, WatchEventPrice,
    WebhookCalls, WebhookKind, WebhookPrice,
};

fn page(requests: u64, started: u64) -> String {
    let request = |verb: &str, group: &str, resource: &str, code: u16, count: u64| {
        format!(
            "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",\
             group=\"{group}\",resource=\"{resource}\",scope=\"resource\",subresource=\"\",\
             verb=\"{verb}\",version=\"v1\"}} {count}\n"
        )
    };
    let webhook = "apiserver_admission_webhook_admission_duration_seconds_count{name=\"vmi.example\",\
                   operation=\"UPDATE\",rejected=\"false\",type=\"validating\"}";
    let events = "group=\"kubevirt.io\",resource=\"virtualmachineinstances\",version=\"v1\"";
    [
        "# TYPE apiserver_request_total counter\n".to_owned(),
        request(
            "PUT",
            "kubevirt.io",
            "virtualmachineinstances",
            200,
            10 * requests,
        ),
        request("APPLY", "", "pods", 200, requests),
        request("GET", "coordination.k8s.io", "leases", 200, 7),
        format!("{webhook} {requests}\n"),
        format!(
            "apiserver_watch_events_total{{{events}}} {}\n",
            30 * requests
        ),
        format!(
            "apiserver_watch_events_sizes_sum{{{events}}} {}\n",
            30_000 * requests
        ),
        format!("process_cpu_seconds_total {requests}.5\n"),
        format!("process_start_time_seconds {started}\n"),
    ]
    .concat()
}

fn since(now: &str, then: &str) -> Option<ApiServerUsage> {
    let read = |page: &str| Served::parse(page.as_bytes()).unwrap();
    read(now).since(&read(then), 10.0)
}

#[test]
fn what_was_served_between_two_readings_has_the_verbs_of_the_books() {
    let found = since(&page(3, 100), &page(1, 100)).unwrap();
    let call = |verb: &str, group: &str, resource: &str| PricedCall {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        ..PricedCall::default()
    };
    let served = |call, count| RequestsServed {
        call,
        code: 200,
        count,
    };
    let (verb, group, resource) = UPDATE;
    assert_eq!(
        found.requests,
        [
            served(call("patch", "", "pods"), 2),
            served(call(verb, group, resource), 20)
        ]
    );
    let webhook = &found.webhook_calls[0];
    assert_eq!((webhook.kind, webhook.count), (WebhookKind::Validating, 2));
    let events = &found.watch_events[0];
    assert_eq!((events.count, events.bytes), (60, 60_000));
    assert_eq!(found.cpu_seconds, 2.0);
}

#[test]
fn another_process_is_not_compared() {
    assert_eq!(since(&page(3, 101), &page(1, 100)), None);
    assert_eq!(since(&page(1, 100), &page(3, 100)), None);
}

fn estimate(value: f64) -> Estimate {
    Estimate {
        value,
        low: value,
        high: value,
    }
}

/// With prices of what calls set off, of objects of 1 KiB.
fn whole_list() -> PriceList {
    PriceList {
        idle_us_per_second: 1_000.0,
        webhooks: vec![WebhookPrice {
            kind: WebhookKind::Validating,
            custom: true,
            bytes: 1024.0,
            cpu_us: estimate(4_000.0),
            cpu_us_per_kib: Some(estimate(500.0)),
        }],
        watch_events: vec![WatchEventPrice {
            custom: true,
            bytes: 1024.0,
            first_us: estimate(1_000.0),
            further_us: estimate(100.0),
            first_us_per_kib: None,
            further_us_per_kib: None,
        }],
        ..list()
    }
}

/// Ten updates of a VMI in the books, one more by somebody else, who makes calls that have no price, a
/// webhook for each of the ten, three
/// watches.
fn usage() -> ApiServerUsage {
    let (verb, group, resource) = UPDATE;
    let served = |verb: &str, count: u64| RequestsServed {
        call: PricedCall {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            ..PricedCall::default()
        },
        code: 200,
        count,
    };
    ApiServerUsage {
        seconds: 10.0,
        cpu_seconds: 0.25,
        etcd_cpu_seconds: None,
        requests: vec![served(verb, 11), served("deletecollection", 4)],
        webhook_calls: vec![WebhookCalls {
            kind: WebhookKind::Validating,
            name: "vmi.example".to_owned(),
            count: 10,
        }],
        watch_events: vec![EventsSent {
            group: group.to_owned(),
            resource: resource.to_owned(),
            count: 33,
            bytes: 33 * 1024,
        }],
    }
}

#[test]
fn each_part_stands_under_its_own_heading_and_nowhere_else() {
    let list = whole_list();
    // 2 KiB a call, of which the answer is 1 KiB: 600 us less than at the list's 8 KiB.
    let mut rows = [row(UPDATE, "200", 10, took(10 * 2048))];
    charge(&mut rows, &[], &list);
    let found = bill(&rows, 9.0, Some(&usage()), &list);
    let parts = found.parts;
    assert_near(parts.calls, 0.024);
    assert_near(parts.webhooks.unwrap(), 0.040);
    // Eleven were written, and each went to three watches.
    assert_near(parts.watch_events.unwrap(), 0.011 + 0.0022);
    assert_near(parts.others.unwrap(), 0.003);
    assert_near(parts.baseline, 0.010);
    assert_near(found.explained_cpu_seconds, parts.sum());
    assert_eq!(found.measured_cpu_seconds, Some(0.25));
    assert_eq!((found.unpriced_calls, found.unpriced_others), (0, Some(4)));
}

fn assert_near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-9,
        "{found} in place of {expected}"
    );
}

#[test]
fn what_nothing_tells_of_is_not_zero() {
    let list = whole_list();
    let rows = [
        row(UPDATE, "429", 2, took(0)),
        row(UPDATE, "403", 3, took(0)),
    ];
    let found = bill(&rows, 9.0, None, &list);
    assert_eq!((found.unpriced_calls, found.unpriced_others), (5, None));
    assert_eq!(found.measured_cpu_seconds, None);
    let parts = found.parts;
    assert_eq!(
        [parts.webhooks, parts.watch_events, parts.others],
        [None; 3]
    );
    // Counted, but without a price.
    let bare = bill(&rows, 9.0, Some(&usage()), &self::list());
    assert_eq!([bare.parts.webhooks, bare.parts.watch_events], [None; 2]);
    let json = serde_json::to_value(&bare).unwrap();
    let again: record::Bill = from_value(json).unwrap();
    assert_eq!(again, bare);
}
