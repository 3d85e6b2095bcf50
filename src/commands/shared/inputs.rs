//! Files that commands read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use exchange::Known;
use record::{HistoryRun, RUN_SCHEMA, RunRecord, SPOOL_SCHEMA, ThresholdFile};
use terminal::tell;

/// A file's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| cannot_read(path))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Whether a killed driver left the file, by its beginning: it may be large.
pub(crate) fn is_left(path: &Path) -> Result<bool> {
    // What is read of a pipe is gone.
    if !path.is_file() {
        return Ok(false);
    }
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
    let file = parse_object(&text).with_context(|| {
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
            .map_err(|error| yaml_error(&error))
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

/// A document that is an object of JSON. serde takes a list for an object too, and speaks of what is
/// wrong with it in the words of this program.
pub(crate) fn parse_object<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    match text.trim_ascii_start().first() {
        Some(b'{') => Ok(serde_json::from_slice(text)?),
        Some(_) => bail!("it is no JSON object"),
        None => bail!("it is empty"),
    }
}

/// A document of YAML.
pub(crate) fn parse_yaml<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| yaml_error(&error))
}

/// What is wrong and where, in one line: without the lines of the file that it is in.
fn yaml_error(error: &serde_saphyr::Error) -> anyhow::Error {
    anyhow::Error::msg(error.without_snippet().to_string())
}

/// The `record.json` of a run, or the file that its driver left.
pub(crate) fn read_record(path: &Path) -> Result<RunRecord> {
    let name = path.display();
    if is_left(path)? {
        let left = driver::read_left(path);
        return left.with_context(|| format!("{name} has no whole beginning"));
    }
    let text = read(path)?;
    parse_object(&text).with_context(|| format!("{name} is no record of a run"))
}

/// Says that there are exact counts beside a results file, which can't tell that its own are: whoever
/// wrote it, it counts as an estimate.
pub(crate) fn tell_of_record(path: &Path) {
    let record = path.with_file_name("record.json");
    if record.is_file() {
        tell!(
            "{} can't tell where its numbers come from and counts as an estimate: if a run of Kubetoll \
             wrote it, {} beside it has the exact counts",
            path.display(),
            record.display()
        );
    }
}

/// A run in a file: `record.json`, what a killed driver left, or a results file of perfscale-audit, of
/// which only the name
/// can tell the scenario.
pub(crate) fn read_run(path: &Path) -> Result<HistoryRun> {
    if is_left(path)? {
        return Ok(report::history_run(read_record(path)?, &BTreeMap::new()));
    }
    let name = path.display();
    let text = read(path)?;
    let value: Value = parse_object(&text)
        .with_context(|| format!("{name} is neither a record of a run nor a results file"))?;
    if value.get("schema").is_some() {
        let record: RunRecord = serde_json::from_value(value)
            .with_context(|| format!("{name} is no record of a run ({RUN_SCHEMA})"))?;
        return Ok(report::history_run(record, &BTreeMap::new()));
    }
    tell_of_record(path);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let scenario = exchange::scenario_of_file(&file).unwrap_or_default();
    let known = Known::default();
    exchange::perf_audit_run(name.to_string(), Timestamp::now(), scenario, &text, &known)
        .with_context(|| format!("{name} is neither a record of a run nor a results file"))
}
