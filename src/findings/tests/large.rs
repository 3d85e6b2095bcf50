//! A million requests.

use super::{Made, made};
use crate::{Request, findings};

/// Objects of the run, each with ten requests, and the processes that make them.
const OBJECTS: i64 = 100_000;
const PROCESSES: i64 = 20;

/// What becomes of one object: created, watched, read twice, written for nothing, refused, deleted.
fn of_object(number: i64, name: &'static str, kinds: &[Request<'static>]) -> Vec<Request<'static>> {
    let process = u32::try_from(number % PROCESSES).unwrap();
    let requests = kinds.iter().enumerate().map(|(step, request)| {
        let step = i64::try_from(step).unwrap();
        let at = number * 1_000 + step * 150_000;
        Request {
            name: if request.name.is_empty() { "" } else { name },
            instance: process,
            begun: at - 500,
            answered: at,
            ended: Some(at),
            ..*request
        }
    });
    requests.collect()
}

#[test]
#[ignore = "to measure time and memory"]
fn a_million_requests_are_a_matter_of_seconds() {
    let kinds = [
        made(0, "create virtualmachines", "a", 201).version("1"),
        made(0, "get virtualmachines", "a", 200).version("1"),
        made(0, "get virtualmachines", "a", 200).version("1"),
        made(0, "patch virtualmachines", "a", 200).version("2"),
        made(0, "patch virtualmachines", "a", 200).version("2"),
        made(0, "update virtualmachines/status", "a", 409)
            .sent("1")
            .status("Conflict", &[]),
        made(0, "update virtualmachines/status", "a", 200).version("3"),
        made(0, "list pods", "", 200),
        made(0, "delete virtualmachines", "a", 200),
        made(0, "get virtualmachines", "a", 404).status("NotFound", &[]),
    ];
    let requests: Vec<Request<'_>> = (0..OBJECTS)
        .flat_map(|number| {
            let name = Box::leak(format!("object-{number}").into_boxed_str());
            of_object(number, name, &kinds)
        })
        .collect();
    let found = findings(&requests, Some(100_000));
    let calls: u64 = found.iter().map(|one| one.calls).sum();
    let saved: u64 = found.iter().map(|one| one.saved).sum();
    println!(
        "{} requests of {} bytes, {} findings of {calls} calls, {saved} saved",
        requests.len(),
        size_of::<Request<'_>>(),
        found.len()
    );
    for finding in &found {
        println!(
            "{} {} {}: {}",
            finding.saved, finding.calls, finding.id, finding.detail
        );
    }
    assert!(saved <= 1_000_000);
}
