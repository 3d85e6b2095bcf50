//! `kubetoll` in a folder of its own, which also holds the history.

use std::{
    path::Path,
    process::{Command, Output},
};

pub fn kubetoll(dir: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
        .args(arguments)
        .current_dir(dir)
        .env("KUBETOLL_STORE", dir.join("history.db"))
        .env_remove("KUBECONFIG")
        .output()
        .unwrap();
    eprintln!("{}", said(&output));
    output
}

pub fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn json<T: serde::de::DeserializeOwned>(output: &Output) -> T {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A lab's run of a few VMIs, kept in the history and in the folder `name`.
pub fn run(dir: &Path, name: &str, count: &str, more: &[&str]) -> Output {
    let arguments = [
        "run",
        "vmi",
        "--count",
        count,
        "--pause",
        "1ms",
        "--baseline",
        "0s",
        "--no-primer",
        "--results-dir",
        name,
        "--job",
        "test",
    ];
    kubetoll(dir, &[&arguments, more].concat())
}
