//! The history that a command works on, and which of its runs.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{
    record::label,
    store::{Filter, Location, Store},
};

/// The history.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
    /// The history: an SQLite file or postgres://USER@HOST/DATABASE, the password in PGPASSWORD
    /// [default: kubetoll/history.db in $XDG_DATA_HOME or ~/.local/share].
    #[arg(
        long,
        value_name = "LOCATION",
        env = "KUBETOLL_STORE",
        hide_env_values = true
    )]
    store: Option<Location>,
}

/// Which runs of the history.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SelectArgs {
    /// Only runs of this job.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only runs of this scenario, such as vmi, vm or instancetype.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only runs at this time or later: 2024-10-21 (in UTC) or 2024-10-21T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only runs before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only runs with this label, such as kubevirt=v1.8.0; repeatable. KEY= takes runs without it.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    label: Vec<(String, String)>,
}

impl StoreArgs {
    /// Where the history is.
    pub(super) fn location(&self) -> Result<Location> {
        if let Some(location) = &self.store {
            return Ok(location.clone());
        }
        let data = env::var_os("XDG_DATA_HOME").filter(|folder| !folder.is_empty());
        let home = || env::home_dir().map(|home| home.join(".local/share"));
        let data = data.map(PathBuf::from).or_else(home);
        let data =
            data.context("there is no home folder for the history: name one with --store")?;
        Ok(Location::Sqlite(data.join("kubetoll/history.db")))
    }

    /// Opens the history.
    pub(super) fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.location()?)?)
    }
}

impl SelectArgs {
    /// What the history is asked for.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            job: self.job.clone(),
            scenario: self.scenario.clone(),
            labels: self.label.iter().cloned().collect(),
            since: self.since,
            until: self.until,
            ..Filter::default()
        }
    }
}

/// `KEY=VALUE`, as a run can carry it.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    label::check(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// An instant, or the beginning of a day in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let day: Result<Date, _> = text.parse();
    day.and_then(|day| day.to_zoned(TimeZone::UTC))
        .map(|day| day.timestamp())
        .map_err(|_| "a time is 2024-10-21 or 2024-10-21T08:00:00Z".to_owned())
}
