//! A run as it is stored: its document, its raw record, and the hash of both.

use std::{collections::BTreeMap, io::Read};

use flate2::{Compression, read::GzDecoder, read::GzEncoder};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::StoreError;
use record::{Acknowledgement, HistoryRun, RunRecord, label};

/// Longest raw record, in bytes of JSON. A run of 100,000 objects with a journal of a million lines
/// has some 400 MB.
const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Longest id, and longest name of a metric or a component, in bytes.
const NAME_MAX: usize = 512;

/// A run that is to be written.
pub(super) struct Row {
    pub id: String,
    /// Microseconds since 1970.
    pub at: i64,
    pub origin: &'static str,
    pub valid: bool,
    pub labels: BTreeMap<String, String>,
    /// The run as JSON, without its raw record.
    pub document: String,
    /// The raw record as gzipped JSON.
    pub record: Option<Vec<u8>>,
    /// SHA-256 of the document, a newline, and the raw record's JSON.
    pub hash: Vec<u8>,
}

/// A run that was read.
pub(super) struct Found {
    pub id: String,
    pub document: String,
    pub record: Option<Vec<u8>>,
    pub hash: Vec<u8>,
    /// `[[NAME, VALUE or null], ...]`: labels given since it was appended, the latest last.
    pub relabelled: Option<String>,
    pub removed: bool,
}

impl Row {
    pub(super) fn new(run: &HistoryRun) -> Result<Self, StoreError> {
        let unstorable = |reason: String| StoreError::Unstorable {
            id: run.id.clone(),
            reason,
        };
        check(run).map_err(unstorable)?;
        let bare = run.without_record();
        let json = |error: serde_json::Error| unstorable(error.to_string());
        let document = serde_json::to_string(&bare).map_err(json)?;
        let record = run.record.as_ref().map(serde_json::to_vec);
        let record = record.transpose().map_err(json)?;
        if record
            .as_ref()
            .is_some_and(|json| json.len() as u64 > RECORD_BYTES_MAX)
        {
            return Err(unstorable("its record is larger than 1 GiB".to_owned()));
        }
        let hash = hash(&document, record.as_deref());
        let record = record.map(|json| zip(&json)).transpose();
        Ok(Self {
            id: run.id.clone(),
            at: micros(run.at),
            origin: run.origin.as_str(),
            valid: run.valid,
            labels: bare.labels,
            document,
            record: record.map_err(|error| unstorable(error.to_string()))?,
            hash,
        })
    }
}

impl Row {
    /// What it takes in memory and in the database, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.document.len() + self.record.as_ref().map_or(0, Vec::len)
    }
}

/// Whether a run can be stored, read again, and shown on a terminal.
fn check(run: &HistoryRun) -> Result<(), String> {
    let odd =
        |name: &str| name.is_empty() || name.len() > NAME_MAX || name.contains(char::is_control);
    if odd(&run.id) {
        return Err(format!(
            "an id has 1 to {NAME_MAX} bytes and no control character"
        ));
    }
    for (name, value) in &run.labels {
        label::check(name, value)?;
    }
    let costs = run.cost.iter();
    if let Some(cost) = &run.cost
        && (odd(&cost.list) || !cost.tolls.is_finite())
    {
        return Err("its cost is no number, or of no price list".to_owned());
    }
    let values = costs.clone().map(|cost| &cost.values).chain([&run.values]);
    let components = costs.flat_map(|cost| &cost.components);
    let components = components.chain(&run.components);
    let values = values.chain(components.clone().map(|(_, values)| values));
    for (name, value) in values.flatten() {
        if !value.is_finite() {
            return Err(format!("{name:?} is {value}, which is no number"));
        }
        if odd(name) {
            return Err(format!("{name:?} is no name of a metric"));
        }
    }
    let mut names = components.map(|(name, _)| name);
    match names.find(|name| name.len() > NAME_MAX || name.contains(char::is_control)) {
        Some(name) => Err(format!("{name:?} is no name of a component")),
        None => Ok(()),
    }
}

impl Found {
    /// The run as it is now: as it was appended, with the labels that it was given since.
    pub(super) fn into_run(self) -> Result<HistoryRun, StoreError> {
        let id = self.id.clone();
        let damaged = |reason: String| StoreError::Damaged { id, reason };
        self.decode().map_err(damaged)
    }

    fn decode(&self) -> Result<HistoryRun, String> {
        let mut run = self.bare()?;
        if let Some(zipped) = &self.record {
            let record: RunRecord = serde_json::from_slice(&unzip(zipped)?).map_err(text)?;
            run.record = Some(Box::new(record));
        }
        Ok(run)
    }

    /// The run as it is now, without its record.
    fn bare(&self) -> Result<HistoryRun, String> {
        let mut run: HistoryRun = serde_json::from_str(&self.document).map_err(text)?;
        let changes: Vec<(String, Option<String>)> = match &self.relabelled {
            Some(changes) => serde_json::from_str(changes).map_err(text)?,
            None => Vec::new(),
        };
        for (name, value) in changes {
            match value {
                Some(value) => run.labels.insert(name, value),
                None => run.labels.remove(&name),
            };
        }
        Ok(run)
    }

    /// Whether the run has other labels now than `row` has.
    pub(super) fn has_other_labels(&self, row: &Row) -> Result<bool, StoreError> {
        if self.hash == row.hash && self.relabelled.is_none() {
            return Ok(false);
        }
        let run = self.bare().map_err(|reason| StoreError::Damaged {
            id: self.id.clone(),
            reason,
        })?;
        Ok(run.labels != row.labels)
    }

    /// Whether this is what `row` would write. A later version may write the same run in other
    /// bytes, so that other bytes alone mean nothing; and with another cost, by another price list.
    /// Labels are entries of their own, but for those that tell what was run.
    pub(super) fn is(&self, row: &Row) -> Result<bool, StoreError> {
        if self.hash == row.hash {
            return Ok(true);
        }
        let damaged = |reason: String| StoreError::Damaged {
            id: self.id.clone(),
            reason,
        };
        let appended = |document: &str, record: Option<&Vec<u8>>| {
            let found = Self {
                id: row.id.clone(),
                document: document.to_owned(),
                record: record.cloned(),
                hash: Vec::new(),
                relabelled: None,
                removed: false,
            };
            let run = found.decode().map_err(damaged)?;
            Ok::<_, StoreError>(content(run))
        };
        let given = appended(&row.document, row.record.as_ref())?;
        if given == appended(&self.document, self.record.as_ref())? {
            return Ok(true);
        }
        // A fact that was not known at first may have been given as a label since.
        Ok(self.relabelled.is_some() && given == content(self.decode().map_err(damaged)?))
    }

    /// Whether it is what was appended, bit by bit.
    pub(super) fn verify(&self) -> Result<(), String> {
        let record = self.record.as_deref().map(unzip).transpose()?;
        if hash(&self.document, record.as_deref()) != self.hash {
            return Err("it is not what was appended: the hash differs".to_owned());
        }
        let run = self.decode()?;
        (run.id == self.id)
            .then_some(())
            .ok_or_else(|| format!("it is filed under the id of another run, {}", run.id))
    }
}

/// What of a run never changes.
fn content(mut run: HistoryRun) -> HistoryRun {
    run.cost = None;
    run.labels
        .retain(|name, _| label::FACTS.contains(&name.as_str()));
    run
}

fn text(error: serde_json::Error) -> String {
    error.to_string()
}

fn hash(document: &str, record: Option<&[u8]>) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(document);
    if let Some(record) = record {
        hash.update(b"\n");
        hash.update(record);
    }
    hash.finalize().to_vec()
}

fn zip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut zipped = Vec::new();
    GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut zipped)?;
    Ok(zipped)
}

fn unzip(zipped: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(zipped).take(RECORD_BYTES_MAX + 1);
    decoder
        .read_to_end(&mut bytes)
        .map_err(|error| format!("its record can't be unpacked: {error}"))?;
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err("its record is larger than 1 GiB".to_owned());
    }
    Ok(bytes)
}

/// Microseconds since 1970: what the databases order by.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A parameter of a query.
pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unstorable {
        id: "(a filter)".to_owned(),
        reason: error.to_string(),
    })
}

/// Job, scenario, metric and time as a database has them.
pub(super) fn acknowledgement(
    [job, scenario, metric, at]: [String; 4],
) -> Result<Acknowledgement, StoreError> {
    let at = at
        .parse()
        .map_err(|error: jiff::Error| StoreError::Damaged {
            id: format!("(acknowledgement of {metric})"),
            reason: error.to_string(),
        })?;
    Ok(Acknowledgement {
        job,
        scenario,
        metric,
        at,
    })
}
