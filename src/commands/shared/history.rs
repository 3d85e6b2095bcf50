//! The history that a command works on, and which of its runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, builder::NonEmptyStringValueParser};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{inputs::read_record, limits::LimitArgs, priced::priced_if};
use record::{HistoryRun, Origin, RunRecord, label};
use store::{Filter, Location, Store, StoreError};
use terminal::{
    exit::{Exit, Misuse},
    tell,
};

/// Names the newest run of a history.
pub(crate) const NEWEST: &str = "newest";

/// The environment's word for `--store`.
const STORE: &str = "KUBETOLL_STORE";
/// How many jobs are told to who asked for one that there is not.
const JOBS_TOLD: usize = 10;

/// The history.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// The history: an SQLite file or postgres://USER@HOST/DATABASE, the password in PGPASSWORD
    /// [env: KUBETOLL_STORE] [default: kubetoll/history.db in $XDG_DATA_HOME or ~/.local/share].
    #[arg(long, value_name = "LOCATION")]
    store: Option<Location>,
}

/// Which runs of the history.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SelectArgs {
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
    /// Only runs whose numbers come from there: counted, simulated, audit or estimate; repeatable.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Vec<Origin>,
}

/// Whether and as what a run is kept in the history.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeepArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Don't keep the run in the history.
    #[arg(long)]
    no_store: bool,
    /// The job of the run: runs of different jobs are not compared unless one asks for it [default:
    /// lab in a lab, local otherwise].
    #[arg(long, value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    job: Option<String>,
    /// A label of the run, such as commit=d923fdb8; repeatable. What a run knows by itself, such as its
    /// scenario, is refused.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The newest run of a history with its record, valid or not.
fn newest(store: &mut Store) -> Result<Option<HistoryRun>, StoreError> {
    let runs = store.runs(&Filter::default())?;
    let newest = runs.iter().max_by_key(|run| run.at);
    newest.map_or(Ok(None), |run| store.run(&run.id))
}

impl StoreArgs {
    /// What was named, by the option or by the environment. That is read here: clap would take the
    /// option for one that was typed, and show it in every usage.
    fn given(&self) -> Option<Location> {
        if self.store.is_some() {
            return self.store.clone();
        }
        let named = env::var_os(STORE).filter(|named| !named.is_empty())?;
        match named.to_str() {
            Some(named) => named.parse().ok(),
            None => Some(Location::Sqlite(named.into())),
        }
    }

    /// The record of a run: a file, its id in the history, or [`NEWEST`].
    pub(crate) fn record(&self, run: &str) -> Result<RunRecord> {
        let path = Path::new(run);
        if path.is_file() {
            return read_record(path);
        }
        self.find_record(&mut self.open()?, run)
    }

    /// The record of the history's run with this id.
    pub(crate) fn find_record(&self, store: &mut Store, id: &str) -> Result<RunRecord> {
        let history = self.location()?;
        let run = if id == NEWEST {
            newest(store)?
        } else {
            store.run(id)?
        };
        let run =
            run.with_context(|| format!("{id} is no file and no run of the history {history}"))?;
        let record = run.record.with_context(|| {
            format!("run {id} was imported: the history has its numbers, but no record of it")
        })?;
        Ok(*record)
    }

    /// Where the history is.
    pub(crate) fn location(&self) -> Result<Location> {
        if let Some(location) = self.given() {
            return Ok(location);
        }
        let data = env::var_os("XDG_DATA_HOME").filter(|folder| !folder.is_empty());
        let home = || env::home_dir().map(|home| home.join(".local/share"));
        let data = data.map(PathBuf::from).or_else(home);
        let data =
            data.context("there is no home folder for the history: name one with --store")?;
        Ok(Location::Sqlite(data.join("kubetoll/history.db")))
    }

    /// Opens a history that is there.
    pub(crate) fn open(&self) -> Result<Store> {
        let location = self.location()?;
        if let Location::Sqlite(path) = &location
            && !path.exists()
        {
            bail!(
                "there is no history {location}: `kubetoll run`, `kubetoll measure`, `kubetoll \
                 exec` and `kubetoll import` make one, --store names another"
            );
        }
        Ok(Store::open(&location)?)
    }

    /// Why nothing can be done with the runs that were asked for: there is none. Says which jobs the
    /// history has.
    pub(crate) fn no_such_run(&self, store: &mut Store) -> anyhow::Error {
        let told = self.jobs_told(store);
        told.map_or_else(|error| error, anyhow::Error::msg)
    }

    fn jobs_told(&self, store: &mut Store) -> Result<String> {
        let runs = store.runs(&Filter::default())?;
        let jobs = runs.iter().map(|run| run.label(label::JOB)).collect();
        Ok(no_such_run(&self.location()?.to_string(), &jobs))
    }

    /// Opens the history, which is made if there is none.
    pub(crate) fn open_or_make(&self) -> Result<Store> {
        Ok(Store::open(&self.location()?)?)
    }
}

impl SelectArgs {
    /// What the history is asked for.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            job: self.job.clone(),
            scenario: self.scenario.clone(),
            labels: self.label.iter().cloned().collect(),
            since: self.since,
            until: self.until,
            origins: self.origin.clone(),
        }
    }
}

impl KeepArgs {
    /// Opens a history that was asked for, before anything runs, so that a bad one costs nothing. Refuses
    /// labels that the run has by itself: its job and scenario, and those that are `known` besides.
    pub(crate) async fn prepare(&self, known: &[&str]) -> Result<()> {
        self.refuse_idle_store()?;
        for (name, _) in &self.label {
            refuse_own_label(name, known)?;
        }
        if self.no_store || self.store.given().is_none() {
            return Ok(());
        }
        let location = self.store.location()?;
        blocking(move || Store::open(&location).map(drop)).await
    }

    /// Keeps a run in the history. It has its result already, and never loses it to the history:
    /// what goes wrong is said, and is a failure only where a history was asked for.
    pub(crate) async fn keep(&self, record: RunRecord) -> Exit {
        let run = report::history_run(record, &self.labels());
        self.keep_run(run).await
    }

    /// The same for a run whose id may come again: its time is added.
    pub(crate) async fn keep_named(&self, record: RunRecord) -> Exit {
        let mut run = report::history_run(record, &self.labels());
        run.id = format!("{}-{}", run.id, run.at.as_second());
        self.keep_run(run).await
    }

    /// A history that is named is kept in, or compared with.
    fn refuse_idle_store(&self) -> Result<()> {
        if self.no_store && self.store.store.is_some() && self.limits.fail_on.is_empty() {
            let both = "--no-store keeps nothing, so that --store has nothing to say: give one";
            bail!(Misuse(both.to_owned()));
        }
        Ok(())
    }

    async fn keep_run(&self, run: HistoryRun) -> Exit {
        let judged = self.judge(&run).await.unwrap_or_else(|error| {
            tell!("kubetoll: the run is not compared with the history: {error:#}");
            Exit::NotValid
        });
        if self.no_store {
            return judged;
        }
        let asked_for = self.store.given().is_some();
        let kept = match self.store.location() {
            Ok(location) => {
                let shown = location.to_string();
                let id = run.id.clone();
                blocking(move || Store::open(&location)?.append(&run))
                    .await
                    .map(|_| tell!("kept as {id} in the history {shown}"))
            }
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => judged,
            Err(error) => {
                tell!("kubetoll: the run is not in the history: {error:#}");
                judged.or(if asked_for { Exit::Failed } else { Exit::Ok })
            }
        }
    }

    /// Compares a run with the earlier ones of its job and scenario, if a limit asks for it.
    async fn judge(&self, run: &HistoryRun) -> Result<Exit> {
        if self.limits.fail_on.is_empty() || !self.limits.failed.takes(run) {
            return Ok(Exit::Ok);
        }
        let location = self.store.location()?;
        let filter = Filter {
            job: Some(run.label(label::JOB).to_owned()),
            scenario: Some(run.label(label::SCENARIO).to_owned()),
            origins: vec![run.origin],
            ..Filter::default()
        };
        let of_cost = self.limits.are_of_cost();
        let earlier = blocking(move || {
            let mut store = Store::open(&location)?;
            let runs = store.runs(&filter)?;
            priced_if(of_cost, &mut store, runs)
        });
        let earlier = earlier.await?;
        self.limits.judge(earlier, run)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_string_lossy().into_owned();
        let mut labels = BTreeMap::from([(label::MACHINE.to_owned(), machine)]);
        labels.extend(self.label.iter().cloned());
        labels.extend(self.job.clone().map(|job| (label::JOB.to_owned(), job)));
        labels
    }
}

/// A label that hid what a run is would take it out of its series, silently.
fn refuse_own_label(name: &str, known: &[&str]) -> Result<()> {
    if name == label::JOB {
        let option = "--label job=...: the job of a run is what --job says";
        bail!(Misuse(option.to_owned()));
    }
    if name == label::SCENARIO || known.contains(&name) {
        bail!(Misuse(format!(
            "--label {name}=...: the run knows its {name} by itself, and keeps it under that label: \
             choose another name"
        )));
    }
    Ok(())
}

fn no_such_run(place: &str, jobs: &BTreeSet<&str>) -> String {
    if jobs.is_empty() {
        return format!(
            "the history {place} has no run: `kubetoll run` adds one, `kubetoll import` what others \
             published"
        );
    }
    let named = jobs.iter().take(JOBS_TOLD).map(|job| match *job {
        "" => "(none)",
        job => job,
    });
    let mut named = named.collect::<Vec<_>>().join(", ");
    if jobs.len() > JOBS_TOLD {
        named += &format!(" and {} more", jobs.len() - JOBS_TOLD);
    }
    format!("the history {place} has no such run; the jobs of its runs: {named}")
}

/// The databases are synchronous, and wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// An origin by its name.
fn origin(text: &str) -> Result<Origin, String> {
    let all = [
        Origin::Counted,
        Origin::Simulated,
        Origin::Audit,
        Origin::Estimate,
    ];
    let found = all.into_iter().find(|origin| origin.as_str() == text);
    found.ok_or_else(|| "an origin is counted, simulated, audit or estimate".to_owned())
}

/// `KEY=VALUE`, as a run can carry it.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    label::check(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// An instant, or the beginning of a day in UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let day: Result<Date, _> = text.parse();
    day.and_then(|day| day.to_zoned(TimeZone::UTC))
        .map(|day| day.timestamp())
        .map_err(|_| format!("{text:?} is no time: write 2024-10-21 or 2024-10-21T08:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_job_that_is_not_there_is_told_which_are() {
        let told = |jobs: &[&'static str]| no_such_run("h.db", &jobs.iter().copied().collect());
        assert_eq!(
            told(&["nightly", ""]),
            "the history h.db has no such run; the jobs of its runs: (none), nightly"
        );
        let many: Vec<String> = (10..22).map(|job| job.to_string()).collect();
        let many: BTreeSet<&str> = many.iter().map(String::as_str).collect();
        let many = no_such_run("h.db", &many);
        assert!(many.ends_with("18, 19 and 2 more"), "{many}");
        assert!(told(&[]).starts_with("the history h.db has no run: "));
    }
}
