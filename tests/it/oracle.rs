//! The classifier against the real `RequestInfoFactory` of k8s.io/apiserver, on a million
//! generated requests.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use classify::{Target, classify};

use crate::support::real;

const REQUESTS: usize = 1_000_000;
const SEEDS: [u32; 2] = [1, 20_261_124];

/// What the oracle writes for a request, in its encoding.
fn ours(method: &str, raw: &[u8]) -> String {
    let Ok(target) = Target::parse(method, raw) else {
        return "error\ttarget".to_owned();
    };
    let call = classify(method, &target);
    if call.is_undetermined {
        return "error\trequestinfo".to_owned();
    }
    let resource_request = call.is_resource_request.to_string();
    let fields: [&[u8]; 11] = [
        b"ok",
        resource_request.as_bytes(),
        call.verb.as_bytes(),
        call.api_prefix.as_bytes(),
        call.api_group,
        call.api_version,
        call.namespace,
        call.resource,
        call.subresource,
        &call.name,
        call.path,
    ];
    fields.map(encode).join("\t")
}

fn encode(field: &[u8]) -> String {
    let byte = |&byte: &u8| match byte {
        0x21..=0x7e if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    field.iter().map(byte).collect()
}

fn lines(path: &Path) -> impl Iterator<Item = String> {
    BufReader::new(File::open(path).unwrap())
        .lines()
        .map(Result::unwrap)
}

fn compare(oracle: &Path, seed: u32) {
    let scratch = tempfile::tempdir().unwrap();
    let requests = scratch.path().join("requests");
    let answers = scratch.path().join("answers");
    let generated = Command::new(oracle)
        .args(["-generate", &(REQUESTS / SEEDS.len()).to_string()])
        .args(["-seed", &seed.to_string()])
        .stdout(File::create(&requests).unwrap())
        .status();
    assert!(generated.unwrap().success());
    let answered = Command::new(oracle)
        .stdin(Stdio::from(File::open(&requests).unwrap()))
        .stderr(Stdio::null())
        .stdout(File::create(&answers).unwrap())
        .status();
    assert!(answered.unwrap().success());
    let mut differences = Vec::new();
    let mut compared = 0;
    for (request, theirs) in lines(&requests).zip(lines(&answers)) {
        let (method, target) = request.split_once('\t').unwrap();
        let ours = ours(method, target.as_bytes());
        compared += 1;
        if ours != theirs {
            differences.push(format!("{request}\n  theirs {theirs}\n  ours   {ours}"));
        }
    }
    assert_eq!(compared, REQUESTS / SEEDS.len());
    assert!(
        differences.is_empty(),
        "{} of {compared} differ, such as\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}

#[test]
fn a_million_requests_are_classified_as_kube_apiserver_does() {
    let Some(oracle) = real::program("requestinfo") else {
        return;
    };
    for seed in SEEDS {
        compare(&oracle, seed);
    }
}
