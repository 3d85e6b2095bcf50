//! The files of a run.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};

use record::{RunRecord, RunResult, ThresholdFile, printable};
use report::{perf_audit_file_name, perf_audit_results};

/// Makes the folder before anything runs, so that a bad one costs nothing.
pub(super) fn prepare(dir: &Path) -> Result<()> {
    let failed = || format!("cannot write results to {}", dir.display());
    fs::create_dir_all(dir).with_context(failed)?;
    tempfile::tempfile_in(dir).with_context(failed)?;
    Ok(())
}

/// perfscale-audit's expectations in a file, if one was given.
pub(super) fn read_thresholds(path: Option<&Path>) -> Result<Option<ThresholdFile>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let name = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let file = serde_json::from_slice(&text).with_context(|| {
        format!("{name} has no thresholdExpectations as perfscale-audit has them")
    })?;
    Ok(Some(file))
}

/// Writes `record.json`, on one line since it is large, and KubeVirt's file, which people read.
pub(super) fn write(dir: &Path, record: &RunRecord, result: &RunResult) -> Result<()> {
    write_json(&dir.join("record.json"), serde_json::to_string(record))?;
    if let Some(name) = perf_audit_file_name(&record.scenario) {
        let values = perf_audit_results(result);
        write_json(&dir.join(name), serde_json::to_string_pretty(&values))?;
    }
    Ok(())
}

fn write_json(path: &Path, text: serde_json::Result<String>) -> Result<()> {
    let text = text.with_context(|| format!("cannot write {}", path.display()))?;
    write_text(path, &(text + "\n"))
}

/// Writes a report or a document. Whoever shows it in a terminal sees the names in it, and no more.
pub(super) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_file(path, printable(text).as_bytes())
}

/// All of it or nothing: a crash leaves the old file or the new one. Folders are made.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).with_context(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(dir).with_context(failed)?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .with_context(failed)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file.path(), permissions).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}
