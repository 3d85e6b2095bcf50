//! What a run comes to, printed and in files.

use std::{
    fs,
    io::{self, ErrorKind, IsTerminal, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::output::Output;
use record::{RunRecord, RunResult, printable};
use report::{Shown, perf_audit_file_name, perf_audit_results};
use terminal::colour;

/// Makes the folder before anything runs, so that a bad one costs nothing.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    let failed = || format!("cannot write results to {}", dir.display());
    fs::create_dir_all(dir).with_context(failed)?;
    tempfile::tempfile_in(dir).with_context(failed)?;
    Ok(())
}

/// Tries a file and its folder before anything runs.
pub(crate) fn prepare_file(path: &Path) -> Result<()> {
    needs_file(path)?;
    let dir = folder_of(path);
    let failed = || format!("cannot write {}", path.display());
    fs::create_dir_all(dir).with_context(failed)?;
    tempfile::tempfile_in(dir).with_context(failed)?;
    Ok(())
}

/// Writes `record.json`, on one line since it is large, and KubeVirt's file, which people read. That
/// one can't say that its numbers mean nothing: a failed run has none, and an earlier run's goes.
pub(crate) fn write(dir: &Path, record: &RunRecord, result: &RunResult) -> Result<()> {
    write_json(&dir.join("record.json"), serde_json::to_string(record))?;
    let Some(name) = perf_audit_file_name(&record.scenario) else {
        return Ok(());
    };
    let path = dir.join(name);
    if record.failure.is_some() {
        return remove(&path);
    }
    let values = perf_audit_results(result);
    write_json(&path, serde_json::to_string_pretty(&values))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a result in place of printing it.
pub(crate) fn write_result(path: &Path, result: &RunResult, output: Output) -> Result<()> {
    write_text(path, &output.of(result, report::run_text::run)?)
}

/// Prints a result to standard output.
pub(crate) fn print(result: &RunResult, output: Output) -> Result<()> {
    print_shown(result, output, Shown::default())
}

/// The same, with the rows of the text in another order or not all of them; with colours and the bill
/// drawn on a terminal.
pub(crate) fn print_shown(result: &RunResult, output: Output, shown: Shown) -> Result<()> {
    let shown = Shown {
        bar: io::stdout().is_terminal(),
        ..shown
    };
    let text = output.of(result, |result| report::run_text::run_shown(result, shown))?;
    let mut text = printable(&text).into_owned();
    if matches!(output, Output::Text) && colour::is_wanted(&io::stdout()) {
        text = colour::report(&text);
    }
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print the result"),
    }
}

fn write_json(path: &Path, text: serde_json::Result<String>) -> Result<()> {
    let text = text.with_context(|| format!("cannot write {}", path.display()))?;
    write_text(path, &(text + "\n"))
}

/// Writes a report or a document. Whoever shows it in a terminal sees the names in it, and no more.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_file(path, printable(text).as_bytes())
}

/// What takes a file's place must not take that of a folder or a device. Nothing is there yet, or a file.
fn needs_file(path: &Path) -> Result<()> {
    let name = path.display();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => bail!("cannot write {name}: it is a folder, name a file"),
        Ok(found) if !found.is_file() => bail!("cannot write {name}: it is not a plain file"),
        _ => Ok(()),
    }
}

/// All of it or nothing: a crash leaves the old file or the new one. Folders are made.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    needs_file(path)?;
    let failed = || format!("cannot write {}", path.display());
    let dir = folder_of(path);
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

fn folder_of(path: &Path) -> &Path {
    let dir = path.parent().filter(|dir| *dir != Path::new(""));
    dir.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_no_place_for_a_file_and_is_said_so_before_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = format!(
            "cannot write {}: it is a folder, name a file",
            dir.path().display()
        );
        for refused in [prepare_file(dir.path()), write_file(dir.path(), b"")] {
            assert_eq!(refused.unwrap_err().to_string(), wanted);
        }
        let refused = prepare_file(Path::new("/dev/null")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot write /dev/null: it is not a plain file"
        );
        let new = dir.path().join("folder/file");
        prepare_file(&new).unwrap();
        write_file(&new, b"1").unwrap();
        write_file(&new, b"2").unwrap();
        prepare_file(&new).unwrap();
        assert_eq!(fs::read(new).unwrap(), b"2");
    }
}
