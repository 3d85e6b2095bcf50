//! The proxy's server side of HTTP/2 against the conformance suite h2spec.

use std::process::Command;

use crate::support::{real, recorder::Recorder};

/// What fails, with the reason in docs/SECURITY.md.
const FAILURES: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn http2_conforms() {
    let Some(program) = real::program("h2spec") else {
        return;
    };
    let recorder = Recorder::start(1_000).await;
    let proxy = recorder.proxy().await;
    let port = proxy.url.rsplit(':').next().unwrap().to_owned();
    let report = tempfile::NamedTempFile::new().unwrap();
    let report_path = report.path().to_owned();
    let run = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["--tls", "--insecure", "--strict", "--path", "/api"])
            .args(["--timeout", "5", "--port", &port, "--junit-report"])
            .arg(report_path)
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = std::fs::read_to_string(report.path()).unwrap();
    let cases: Vec<_> = report.split("<testcase ").skip(1).collect();
    assert!(cases.len() > 140, "{said}");
    let failed: Vec<_> = cases
        .iter()
        .filter(|case| case.contains("<failure") || case.contains("<error"))
        .map(|case| {
            let field = |name: &str| case.split(&format!("{name}=\"")).nth(1)?.split('"').next();
            format!(
                "{} {}",
                field("package").unwrap(),
                field("classname").unwrap()
            )
        })
        .collect();
    assert_eq!(failed, FAILURES, "{said}");
    proxy.stop().await;
}
