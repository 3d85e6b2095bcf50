//! The history of runs, in an embedded SQLite file or in a PostgreSQL database.
//!
//! Invariants: what `append` acknowledged is on the disk and never changes. Nothing is updated or
//! deleted: labels and removals are entries of their own, of which the latest holds. Each run is one
//! JSON document, kept as the bytes that were hashed. A history that a newer Kubetoll has written is
//! refused.

mod backend;
mod document;
mod error;
mod filter;
mod location;
mod postgres;
mod sqlite;

pub use self::{error::StoreError, filter::Filter, location::Location};

use std::collections::BTreeMap;

use self::{
    backend::{Backend, Written},
    document::{Found, Row},
};
use record::{Acknowledgement, Checked, HistoryRun, Tally};

/// Runs that are written in one transaction, at the most.
const BATCH: usize = 500;
/// Bytes of a batch after which it is written.
const BATCH_BYTES: usize = 64 << 20;
/// How many runs an ambiguous beginning of an id names.
const CANDIDATES: usize = 5;

/// An open history: a file, or a connection to a server.
pub struct Store {
    backend: Box<dyn Backend + Send>,
    /// As errors name it.
    location: String,
}

/// What became of a run that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the history now.
    New,
    /// The same run with the same content was there already.
    Known,
    /// The same run was there and has been removed; it stays so.
    Removed,
}

impl Store {
    /// Opens a history, which is made if there is none, and brings it to this version's schema.
    ///
    /// # Errors
    /// If it can't be reached or read, is something else, or is of a newer Kubetoll.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        let place = location.to_string();
        let backend = connect(location).map_err(|error| error.at(&place))?;
        Ok(Self {
            backend,
            location: place,
        })
    }

    /// Appends a run; when this returns, it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another content has that id.
    pub fn append(&mut self, run: &HistoryRun) -> Result<Appended, StoreError> {
        let row = Row::new(run)?;
        let written = self.asked(|backend| backend.write(std::slice::from_ref(&row)))?;
        let written = written.into_iter().next();
        let appended = written.map(|written| judge(&row, written)).transpose()?;
        appended.flatten().ok_or(StoreError::Conflict(row.id))
    }

    /// Appends runs, many in a transaction. A run whose id is there with other content, or that can't
    /// be stored, is left out and named; the others go in.
    pub fn append_all(
        &mut self,
        runs: impl IntoIterator<Item = HistoryRun>,
    ) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
        for run in runs {
            match Row::new(&run) {
                Ok(row) => {
                    bytes += row.bytes();
                    batch.push(row);
                }
                Err(error) => tally.refused.push(error.to_string()),
            }
            if batch.len() == BATCH || bytes > BATCH_BYTES {
                self.append_batch(&mut batch, &mut tally)?;
                batch.clear();
                bytes = 0;
            }
        }
        self.append_batch(&mut batch, &mut tally)?;
        Ok(tally)
    }

    fn append_batch(&mut self, batch: &mut [Row], tally: &mut Tally) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        // Two that import the same runs at once wait for each other, and not in a circle.
        batch.sort_by(|one, other| one.id.cmp(&other.id));
        let written = self.asked(|backend| backend.write(batch))?;
        for (row, written) in batch.iter().zip(written) {
            let differs = match &written {
                Written::Present(found) if !found.removed => found.has_other_labels(row)?,
                _ => false,
            };
            match judge(row, written)? {
                Some(Appended::New) => tally.new += 1,
                Some(Appended::Known) => {
                    tally.known += 1;
                    tally.other_labels.extend(differs.then(|| row.id.clone()));
                }
                Some(Appended::Removed) => tally.removed += 1,
                None => tally.conflicts.push(row.id.clone()),
            }
        }
        Ok(())
    }

    /// The runs that `filter` takes, ordered by time, then id; without their raw records.
    pub fn runs(&mut self, filter: &Filter) -> Result<Vec<HistoryRun>, StoreError> {
        let found = self.asked(|backend| backend.select(filter, false))?;
        found.into_iter().map(Found::into_run).collect()
    }

    /// The same with their raw records, which can be large.
    pub fn runs_with_records(&mut self, filter: &Filter) -> Result<Vec<HistoryRun>, StoreError> {
        let found = self.asked(|backend| backend.select(filter, true))?;
        found.into_iter().map(Found::into_run).collect()
    }

    /// A run with its raw record, by its id, or by a beginning of it or an end after a slash that no
    /// other run has.
    ///
    /// # Errors
    /// [`StoreError::Ambiguous`] if several runs begin or end so.
    pub fn run(&mut self, id: &str) -> Result<Option<HistoryRun>, StoreError> {
        let Some(id) = self.resolve(id, false)? else {
            return Ok(None);
        };
        self.asked(|backend| backend.find(&id))?
            .map(Found::into_run)
            .transpose()
    }

    /// The same of a run that has to be there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Removed`] if it is not.
    pub fn existing_run(&mut self, id: &str) -> Result<HistoryRun, StoreError> {
        let id = self.existing(id, false)?;
        let found = self.asked(|backend| backend.find(&id))?;
        found.ok_or(StoreError::NotFound(id))?.into_run()
    }

    /// Gives a run labels; `None` takes one away. Gives the run's id.
    ///
    /// # Errors
    /// If there is no such run, or if a label is not [valid](record::label::check).
    pub fn label(
        &mut self,
        id: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<String, StoreError> {
        for (name, value) in labels {
            let value = value.as_deref().unwrap_or_default();
            record::label::check(name, value).map_err(StoreError::Label)?;
        }
        let id = self.existing(id, false)?;
        self.asked(|backend| backend.label(&id, labels))?;
        Ok(id)
    }

    /// Removes runs from the history's view, all or none; gives their ids. What is removed stays on
    /// the disk, does not come back by importing it again, and can be restored.
    pub fn delete(&mut self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        self.remove(ids, true)
    }

    /// Brings removed runs back.
    pub fn restore(&mut self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        self.remove(ids, false)
    }

    fn remove(&mut self, ids: &[String], removed: bool) -> Result<Vec<String>, StoreError> {
        let ids = ids.iter().map(|id| self.existing(id, !removed));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        self.asked(|backend| backend.remove(&ids, removed))?;
        Ok(ids)
    }

    /// Acknowledges a change, so that it is not reported again.
    pub fn ack(&mut self, ack: &Acknowledgement) -> Result<(), StoreError> {
        self.asked(|backend| backend.acknowledge(ack, true))
    }

    /// Takes an acknowledgement back.
    pub fn unack(&mut self, ack: &Acknowledgement) -> Result<(), StoreError> {
        self.asked(|backend| backend.acknowledge(ack, false))
    }

    /// The changes that are acknowledged now, in their order.
    pub fn acks(&mut self) -> Result<Vec<Acknowledgement>, StoreError> {
        self.asked(|backend| backend.acknowledgements())
    }

    /// Reads everything and compares each run with the hash of what was appended.
    pub fn check(&mut self) -> Result<Checked, StoreError> {
        let mut checked = Checked {
            damage: self.asked(|backend| backend.self_check())?,
            ..Checked::default()
        };
        for id in self.asked(|backend| backend.all_ids())? {
            let Some(found) = self.asked(|backend| backend.find(&id))? else {
                continue;
            };
            checked.runs += 1;
            checked.removed += u64::from(found.removed);
            if let Err(damage) = found.verify() {
                checked.damage.push(format!("run {id}: {damage}"));
            }
        }
        Ok(checked)
    }

    /// Asks the database; its errors name the history.
    fn asked<T>(
        &mut self,
        ask: impl FnOnce(&mut (dyn Backend + Send)) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        ask(&mut *self.backend).map_err(|error| error.at(&self.location))
    }

    fn existing(&mut self, id: &str, removed: bool) -> Result<String, StoreError> {
        if let Some(id) = self.resolve(id, removed)? {
            return Ok(id);
        }
        Err(match self.resolve(id, !removed)? {
            None => StoreError::NotFound(id.to_owned()),
            Some(id) if removed => StoreError::NotRemoved(id),
            Some(id) => StoreError::Removed(id),
        })
    }

    /// The id that `part` is, or the only one that begins with it, or ends with it after a slash.
    fn resolve(&mut self, part: &str, removed: bool) -> Result<Option<String>, StoreError> {
        let ids = self.asked(|backend| backend.ids(part, removed))?;
        match &ids[..] {
            [] => Ok(None),
            [id] => Ok(Some(id.clone())),
            [id, ..] if id == part => Ok(Some(id.clone())),
            _ => Err(StoreError::Ambiguous {
                part: part.to_owned(),
                more: ids.len().saturating_sub(CANDIDATES),
                ids: ids.into_iter().take(CANDIDATES).collect(),
            }),
        }
    }
}

fn connect(location: &Location) -> Result<Box<dyn Backend + Send>, StoreError> {
    Ok(match location {
        Location::Sqlite(path) => Box::new(sqlite::Sqlite::open(path)?),
        Location::Postgres(url) => Box::new(postgres::Postgres::connect(url)?),
    })
}

/// What became of a row; `None` if its id has other content.
fn judge(row: &Row, written: Written) -> Result<Option<Appended>, StoreError> {
    match written {
        Written::New => Ok(Some(Appended::New)),
        Written::Present(found) if !found.is(row)? => Ok(None),
        Written::Present(found) if found.removed => Ok(Some(Appended::Removed)),
        Written::Present(_) => Ok(Some(Appended::Known)),
    }
}
