//! `kubetoll runs export` and `import`: a history as lines of JSON, to move it or to keep it safe.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::value::RawValue;

use crate::commands::shared::{
    history::{SelectArgs, StoreArgs},
    inputs::{is_left, parse_object, read_record},
};
use record::{
    HISTORY_SCHEMA, HistoryLine, HistoryRun, ImportReport, RUN_SCHEMA, RunRecord, SchemaName,
    Tally, number_of, printable,
};
use store::Store;
use terminal::{exit::Exit, lines, tell};

/// Writes the runs one by one, so that their records are not all in memory at once.
pub(super) fn export(select: &SelectArgs, store: &StoreArgs, out: Option<&Path>) -> Result<Exit> {
    let mut store = store.open()?;
    let runs = store.runs(&select.filter())?;
    let Some(path) = out else {
        return Ok(lines::exit_after_writing(write(
            &mut store,
            &runs,
            io::stdout().lock(),
        )?));
    };
    let failed = || format!("cannot write {}", path.display());
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
    let file = file.with_context(failed)?;
    write(&mut store, &runs, io::BufWriter::new(&file))?.with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).with_context(failed)?;
    let count = number_of(runs.len() as u64, "run");
    tell!("{count} in {}", path.display());
    Ok(Exit::Ok)
}

fn write(store: &mut Store, runs: &[HistoryRun], mut out: impl Write) -> Result<io::Result<()>> {
    for run in runs {
        // Removed meanwhile.
        let Some(run) = store.run(&run.id)? else {
            continue;
        };
        let line = HistoryLine {
            schema: HISTORY_SCHEMA.to_owned(),
            run,
        };
        let text = serde_json::to_string(&line)? + "\n";
        if let Err(error) = out.write_all(printable(&text).as_bytes()) {
            return Ok(Err(error));
        }
    }
    Ok(out.flush())
}

/// Reads files, each run as it comes. What can't be read is in the report; of a file that is no JSON any
/// more from some place on, the rest is lost.
pub(super) fn import(files: &[PathBuf], store: &StoreArgs) -> Result<ImportReport> {
    let mut store = store.open_or_make()?;
    let mut report = ImportReport::default();
    for path in files {
        let tally = if path == Path::new("-") {
            let documents = Documents::of(io::stdin().lock(), "standard input");
            documents.append(&mut store, &mut report.skipped)?
        } else if is_left(path)? {
            let run = report::history_run(read_record(path)?, &BTreeMap::new());
            store.append_all([run])?
        } else {
            let name = path.display().to_string();
            let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
            Documents::of(BufReader::new(file), &name).append(&mut store, &mut report.skipped)?
        };
        report.runs.new += tally.new;
        report.runs.known += tally.known;
        report.runs.removed += tally.removed;
        report.runs.conflicts.extend(tally.conflicts);
        report.runs.refused.extend(tally.refused);
        report.runs.other_labels.extend(tally.other_labels);
    }
    Ok(report)
}

/// The documents of a file, each with the name that it is told by.
struct Documents<'n, R> {
    read: R,
    name: &'n str,
}

impl<'n, R: Read> Documents<'n, R> {
    fn of(read: R, name: &'n str) -> Self {
        Self { read, name }
    }

    /// Adds the runs to the history, and what can't be read to `skipped`.
    fn append(self, store: &mut Store, skipped: &mut Vec<String>) -> Result<Tally> {
        let documents = serde_json::Deserializer::from_reader(self.read);
        let documents = documents.into_iter::<Box<RawValue>>();
        let mut count = 0;
        let runs = documents.filter_map(|document| {
            count += 1;
            let run = document.map_err(anyhow::Error::from);
            let run = run.and_then(|document| parse(document.get()));
            run.inspect_err(|error| {
                skipped.push(format!("{}, document {count}: {error:#}", self.name));
            })
            .ok()
        });
        let tally = store.append_all(runs)?;
        if count == 0 {
            skipped.push(format!("{} is empty", self.name));
        }
        Ok(tally)
    }
}

/// A line of an exported history, or a record.
fn parse(text: &str) -> Result<HistoryRun> {
    let document: SchemaName = parse_object(text.as_bytes())?;
    match document.schema.as_str() {
        HISTORY_SCHEMA => Ok(serde_json::from_str::<HistoryLine>(text)?.run),
        RUN_SCHEMA => {
            let record: RunRecord = serde_json::from_str(text)?;
            Ok(report::history_run(record, &BTreeMap::new()))
        }
        "" => bail!("it has no schema: it is neither of `kubetoll runs export` nor a record.json"),
        schema => bail!("its schema is {schema}, which this Kubetoll doesn't know"),
    }
}
