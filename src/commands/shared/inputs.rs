//! Files that commands read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use exchange::Known;
use record::{HistoryRun, RUN_SCHEMA, RunRecord, SPOOL_SCHEMA, ThresholdFile};

/// A file's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| cannot_read(path))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Whether a killed driver left the file, by its beginning: it may be large.
fn is_left(path: &Path) -> Result<bool> {
    let head = format!("{{\"schema\":\"{SPOOL_SCHEMA}\"");
    let mut found = Vec::new();
    let file = File::open(path).with_context(|| cannot_read(path))?;
    let mut beginning = file.take(head.len() as u64);
    let read = beginning.read_to_end(&mut found);
    read.with_context(|| cannot_read(path))?;
    Ok(found == head.as_bytes())
}

/// perfscale-audit's expectations in a file, if one was given.
pub(crate) fn read_thresholds(path: Option<&Path>) -> Result<Option<ThresholdFile>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let name = path.display();
    let text = read(path)?;
    let file = serde_json::from_slice(&text).with_context(|| {
        format!("{name} has no thresholdExpectations as perfscale-audit has them")
    })?;
    Ok(Some(file))
}

/// The definitions of custom resources in a file of YAML or JSON, whose documents may be lists.
pub(crate) fn read_definitions(path: &Path) -> Result<Vec<Value>> {
    let name = path.display();
    let text = String::from_utf8(read(path)?).with_context(|| format!("{name} is not UTF-8"))?;
    let documents: Vec<Value> = match serde_json::from_str(&text) {
        Ok(document) => vec![document],
        Err(_) => serde_saphyr::from_multiple(&text)
            .with_context(|| format!("{name} is neither YAML nor JSON"))?,
    };
    let items = documents
        .into_iter()
        .flat_map(|mut document| match document["items"].take() {
            Value::Array(items) => items,
            _ => vec![document],
        });
    let definitions: Vec<Value> = items
        .filter(|item| item["kind"] == "CustomResourceDefinition")
        .collect();
    if definitions.is_empty() {
        bail!("{name} has no CustomResourceDefinition");
    }
    Ok(definitions)
}

/// The `record.json` of a run, or the file that its driver left.
pub(crate) fn read_record(path: &Path) -> Result<RunRecord> {
    let name = path.display();
    if is_left(path)? {
        let left = driver::read_left(path);
        return left.with_context(|| format!("{name} has no whole beginning"));
    }
    let text = read(path)?;
    serde_json::from_slice(&text).with_context(|| format!("{name} is no record of a run"))
}

/// A run in a file: `record.json`, or a results file of perfscale-audit, of which only the name
/// can tell the scenario.
pub(crate) fn read_run(path: &Path) -> Result<HistoryRun> {
    let name = path.display();
    let text = read(path)?;
    let value: Value =
        serde_json::from_slice(&text).with_context(|| format!("{name} is no JSON"))?;
    if value.get("schema").is_some() {
        let record: RunRecord = serde_json::from_value(value)
            .with_context(|| format!("{name} is no record of a run ({RUN_SCHEMA})"))?;
        return Ok(report::history_run(record, &BTreeMap::new()));
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let scenario = exchange::scenario_of_file(&file).unwrap_or_default();
    let known = Known::default();
    exchange::perf_audit_run(name.to_string(), Timestamp::now(), scenario, &text, &known)
        .with_context(|| format!("{name} is neither a record of a run nor a results file"))
}
