//! Histories for tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Once,
};

use record::HistoryRun;

use super::postgres::Database;

/// A history for commands of tests that don't care about it, so that none writes to the user's: a
/// file in the build's scratch folder, which all tests of a process share.
pub fn scratch() -> PathBuf {
    static CLEANED: Once = Once::new();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("histories");
    CLEANED.call_once(|| remove_of_ended_processes(&folder));
    folder
        .join(std::process::id().to_string())
        .join("history.db")
}

/// Removes the folders that are named after processes that are no more.
fn remove_of_ended_processes(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // Another process may be at it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder with a history of its own.
pub struct History {
    pub dir: tempfile::TempDir,
    pub location: String,
}

impl History {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let location = dir.path().join("history.db").display().to_string();
        Self { dir, location }
    }

    pub fn on(database: &Database) -> Self {
        Self {
            location: database.url(),
            ..Self::new()
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `kubetoll`; gives its output and its exit code.
    pub fn kubetoll(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_kubetoll"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("KUBETOLL_STORE", &self.location)
            .output()
            .unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs two VMIs in a lab.
    pub fn run_two(&self, more: &[&str]) -> Output {
        let run = ["run", "vmi", "--count", "2"];
        let quickly = ["--pause", "0s", "--baseline", "0s"];
        self.kubetoll(&[&run[..], &quickly, more].concat())
    }

    /// Runs it with `--output json`, and reads that.
    pub fn json<T: serde::de::DeserializeOwned>(&self, arguments: &[&str], code: i32) -> T {
        let output = self.kubetoll(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn runs(&self) -> BTreeMap<String, HistoryRun> {
        let runs: Vec<HistoryRun> = self.json(&["runs", "list"], 0);
        runs.into_iter().map(|run| (run.id.clone(), run)).collect()
    }

    /// Exports; gives the folder.
    pub fn export(&self, arguments: &[&str]) -> PathBuf {
        let out = self.path("out");
        let out_text = out.to_str().unwrap();
        let output = self.kubetoll(&[&["export"], arguments, &["--out", out_text]].concat());
        assert_eq!(output.status.code(), Some(0));
        out
    }
}
