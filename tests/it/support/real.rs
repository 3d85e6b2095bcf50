//! Programs of the real tier, built from Go modules when they are first needed.
//!
//! Without Go nothing of the real tier can run: on a developer's machine that is said loudly, and
//! with `CI` set it is a failure.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

/// The path of a program, or `None` where Go is missing and may be.
pub fn program(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/build");
    let directory = directory();
    let status = Command::new(script)
        .arg(&directory)
        .arg(name)
        .status()
        .expect("tests/real/build can be started");
    match status.code() {
        Some(0) => Some(directory.join(name)),
        Some(69) => {
            missing_go();
            None
        }
        _ => panic!("tests/real/build {name} failed"),
    }
}

/// Where the programs are kept between runs.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/bin")
}

fn missing_go() {
    static SAID: Once = Once::new();
    assert!(
        env::var_os("CI").is_none(),
        "Go is missing: the real tier can't run, and in CI it must"
    );
    SAID.call_once(|| eprintln!("\n*** THE REAL TIER DID NOT RUN: Go is not installed ***\n"));
}

/// etcd, kube-apiserver and kubectl; `None` where Go is missing and may be.
pub fn assets() -> Option<lab::real::Assets> {
    if env::var_os("KUBEBUILDER_ASSETS").is_none() {
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            program(name)?;
        }
    }
    Some(lab::real::Assets::find().unwrap())
}
