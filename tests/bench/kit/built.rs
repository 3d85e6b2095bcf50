//! The proxy's program. It is another package's, so cargo builds it for no test by itself.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// `kubetoll-proxy` as its source is now, with the libraries that this program has too.
pub fn kubetoll_proxy() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let messages = cargo_build(&["--bin", "kubetoll-proxy"]);
        let mut artifacts = messages.iter().filter_map(|message| {
            let is_it = message["target"]["name"] == "kubetoll-proxy";
            message["executable"].as_str().filter(|_| is_it)
        });
        artifacts.next().unwrap().into()
    })
}

/// What `cargo build` says of each thing that it has built with this program, by the same profile:
/// its messages of `--message-format=json`.
pub fn cargo_build(targets: &[&str]) -> Vec<serde_json::Value> {
    // Only with a test or a bench among the targets does cargo use the features that tests need
    // of libraries; without them all would be built anew.
    let (kind, profile) = match env!("CARGO_CRATE_NAME") {
        "it" if cfg!(debug_assertions) => ("--test", "test"),
        "it" => ("--test", "release"),
        _ => ("--bench", "bench"),
    };
    let output = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--locked", "--offline"])
        .args(["--profile", profile, kind, env!("CARGO_CRATE_NAME")])
        .args(targets)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo can't build {targets:?}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
