//! watch, also as kube's watcher uses it.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, pin_mut};
use kube::api::{DeleteParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use kube::runtime::watcher::{self, watcher};
use serde_json::json;

use super::{Lab, vm};
use crate::apiserver::{Fault, Options};

#[tokio::test]
async fn selected_objects_enter_and_leave() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    let params = WatchParams::default().labels("on=yes").disable_bookmarks();
    let events = vms.watch(&params, "0").await.unwrap();
    pin_mut!(events);
    let mut object = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    for labels in [
        json!({"on": "yes"}),
        json!({"on": "yes", "more": "x"}),
        json!({"on": "no"}),
    ] {
        object.metadata.labels = serde_json::from_value(labels).unwrap();
        object = vms
            .replace("a", &PostParams::default(), &object)
            .await
            .unwrap();
    }
    vms.delete("a", &DeleteParams::default()).await.unwrap();
    let mut seen = vec![];
    while seen.len() < 3 {
        seen.push(match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(left) => {
                assert_eq!(left.metadata.labels.unwrap()["on"], "yes");
                assert_eq!(
                    left.metadata.resource_version,
                    object.metadata.resource_version
                );
                "deleted"
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
}

#[tokio::test]
async fn a_watcher_recovers_from_an_expired_history() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let stream = watcher(vms.clone(), watcher::Config::default());
    pin_mut!(stream);
    let mut ready = 0;
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::InitDone) if ready == 0 => {
                ready = 1;
                vms.create(&PostParams::default(), &vm("b")).await.unwrap();
            }
            Ok(watcher::Event::Apply(object)) if object.metadata.name.as_deref() == Some("b") => {
                lab.server.inject(Fault::ExpireHistory);
            }
            Ok(watcher::Event::InitDone) => break,
            _ => {}
        }
    }
    assert_eq!(
        lab.server
            .request_log()
            .iter()
            .filter(|record| record.verb == "list")
            .count(),
        2
    );
}

#[tokio::test]
async fn streaming_lists_end_with_the_annotated_bookmark() {
    let lab = Lab::start().await;
    let vms = lab.vms();
    vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    let stream = watcher(vms, watcher::Config::default().streaming_lists());
    pin_mut!(stream);
    let mut names = vec![];
    loop {
        match stream.next().await.unwrap().unwrap() {
            watcher::Event::InitApply(object) => names.push(object.metadata.name.unwrap()),
            watcher::Event::InitDone => break,
            _ => {}
        }
    }
    assert_eq!(names, ["a"]);
    assert_eq!(lab.server.request_log()[1].verb, "watch");
}

#[tokio::test]
async fn cut_watches_end() {
    let lab = Lab::start().await;
    let quiet = WatchParams::default().disable_bookmarks();
    let events = lab.vms().watch(&quiet, "0").await.unwrap();
    pin_mut!(events);
    lab.server.inject(Fault::CutWatches);
    assert!(events.try_next().await.unwrap().is_none());
    let events = lab.vms().watch(&quiet, "0").await.unwrap();
    pin_mut!(events);
    lab.stop.cancel();
    assert!(events.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn bookmarks_come_in_their_interval_and_a_watch_ends_in_time() {
    let options = Options {
        bookmark_interval: Duration::from_millis(300),
        ..Options::default()
    };
    let lab = Lab::with(options).await;
    let events = lab
        .vms()
        .watch(&WatchParams::default().timeout(1), "0")
        .await
        .unwrap();
    let events: Vec<_> = events.try_collect().await.unwrap();
    assert!((2..=4).contains(&events.len()), "{events:?}");
    assert!(
        events
            .iter()
            .all(|event| matches!(event, WatchEvent::Bookmark(_))),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_client_that_is_too_far_behind_gets_410() {
    let lab = Lab::with(Options {
        history: 2,
        ..Options::default()
    })
    .await;
    let vms = lab.vms();
    let first = vms.create(&PostParams::default(), &vm("a")).await.unwrap();
    for name in ["b", "c", "d"] {
        vms.create(&PostParams::default(), &vm(name)).await.unwrap();
    }
    let version = first.metadata.resource_version.unwrap();
    let events = vms.watch(&WatchParams::default(), &version).await.unwrap();
    let events: Vec<_> = events.try_collect().await.unwrap();
    let [WatchEvent::Error(status)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}
