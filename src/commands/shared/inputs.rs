//! Files that commands read.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use exchange::Known;
use record::{
    HistoryRun, PRICES_SCHEMA, PriceList, RUN_SCHEMA, RunRecord, SPOOL_SCHEMA, ThresholdFile,
};

/// perfscale-audit's expectations in a file, if one was given.
pub(crate) fn read_thresholds(path: Option<&Path>) -> Result<Option<ThresholdFile>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let name = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let file = serde_json::from_slice(&text).with_context(|| {
        format!("{name} has no thresholdExpectations as perfscale-audit has them")
    })?;
    Ok(Some(file))
}

/// The price list in a file, if one was given.
pub(crate) fn read_prices(path: Option<&Path>) -> Result<Option<PriceList>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let name = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let list: PriceList = serde_json::from_slice(&text)
        .with_context(|| format!("{name} is no price list of kubetoll price"))?;
    if list.schema != PRICES_SCHEMA {
        bail!(
            "{name} has schema {}, and this Kubetoll knows {PRICES_SCHEMA}",
            list.schema
        );
    }
    Ok(Some(list))
}

/// The `record.json` of a run, or the file that its driver left.
pub(crate) fn read_record(path: &Path) -> Result<RunRecord> {
    let name = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    if text.starts_with(format!("{{\"schema\":\"{SPOOL_SCHEMA}\"").as_bytes()) {
        let left = driver::read_left(path);
        return left.with_context(|| format!("{name} has no whole beginning"));
    }
    serde_json::from_slice(&text).with_context(|| format!("{name} is no record of a run"))
}

/// A run in a file: `record.json`, or a results file of perfscale-audit, of which only the name
/// can tell the scenario.
pub(crate) fn read_run(path: &Path) -> Result<HistoryRun> {
    let name = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let value: serde_json::Value =
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
