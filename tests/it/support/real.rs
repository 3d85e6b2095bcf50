//! Programs of the real tier, built from Go modules when they are first needed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::skip;

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
            skip::because("Go is not installed");
            None
        }
        _ => panic!("tests/real/build {name} failed"),
    }
}

/// Where the programs are kept between runs.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/bin")
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
