//! The embedded history: one SQLite file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row as SqlRow, Transaction, TransactionBehavior,
    params,
};

use super::{
    backend::{Backend, Written},
    document::{Found, Row, acknowledgement, json, micros},
    error::StoreError,
    filter::Filter,
};
use record::Acknowledgement;

/// `KTOL`: tells the file from other programs' databases.
const APPLICATION_ID: i64 = 0x4b54_4f4c;
/// How long a writer waits for others.
const BUSY: Duration = Duration::from_secs(30);

/// Each step brings the schema one version further. A step that was released never changes.
const MIGRATIONS: [&str; 2] = [
    include_str!("sql/sqlite-1-runs.sql"),
    include_str!("sql/sqlite-2-acknowledgements.sql"),
];

const SELECT: &str = include_str!("sql/sqlite-select.sql");

/// An open SQLite file with a history.
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let unreachable = |reason: String| StoreError::Unreachable {
            location: path.display().to_string(),
            reason,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder).map_err(|error| unreachable(error.to_string()))?;
        }
        let connection = Connection::open(path).map_err(|error| unreachable(error.to_string()))?;
        let mut store = Self {
            connection,
            path: path.to_owned(),
        };
        store.prepare()?;
        Ok(store)
    }

    /// Sets the connection up, looks whose file it is, and migrates it.
    fn prepare(&mut self) -> Result<(), StoreError> {
        self.connection.busy_timeout(BUSY)?;
        self.connection
            .pragma_update(None, "trusted_schema", false)?;
        let version = self.version()?;
        self.connection.pragma_update(None, "foreign_keys", true)?;
        set_journal(&self.connection, on_network(&self.path))?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        if version < MIGRATIONS.len() {
            self.migrate()?;
        }
        Ok(())
    }

    /// The schema's version, 0 for a new file. All is read in one transaction: another process may
    /// be making the history.
    fn version(&self) -> Result<usize, StoreError> {
        let location = || self.path.display().to_string();
        let not_ours = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotAHistory(location()),
            _ => error.into(),
        };
        let transaction = self.connection.unchecked_transaction()?;
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = transaction
            .query_row(tables, [], |row| row.get(0))
            .map_err(not_ours)?;
        let number = |name| transaction.pragma_query_value(None, name, |row| row.get(0));
        let application: i64 = number("application_id")?;
        let version: i64 = number("user_version")?;
        drop(transaction);
        if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
            return Err(StoreError::NotAHistory(location()));
        }
        match usize::try_from(version) {
            Ok(version) if version <= MIGRATIONS.len() => Ok(version),
            _ => Err(StoreError::Newer {
                location: location(),
                found: version,
                known: MIGRATIONS.len() as i64,
            }),
        }
    }

    /// Several processes may do this at once: each looks again when it has the file for itself.
    fn migrate(&mut self) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for step in MIGRATIONS
            .iter()
            .skip(usize::try_from(version).unwrap_or(0))
        {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
        Ok(transaction.commit()?)
    }

    /// A transaction that has the file for itself from the beginning: one that only turns into a
    /// writer later can fail in the middle.
    fn write_transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// The write-ahead log, in which readers and a writer don't wait for each other. It needs memory
/// that is shared by all users of the file, which there is not across the machines of a network
/// file system; the rollback journal works there.
fn set_journal(connection: &Connection, on_network: bool) -> Result<(), StoreError> {
    let wanted = if on_network { "DELETE" } else { "WAL" };
    let set = |mode| {
        connection
            .pragma_update_and_check(None, "journal_mode", mode, |row| row.get::<_, String>(0))
    };
    // Of several processes that make the file at once, one sees the others' locks; SQLite doesn't
    // wait there by itself.
    let began = Instant::now();
    loop {
        match set(wanted) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < BUSY =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            Err(_) if wanted == "WAL" => return Ok(set("DELETE").map(drop)?),
            set => return Ok(set.map(drop)?),
        }
    }
}

/// Whether the file is on a network file system, or on one that may be.
fn on_network(path: &Path) -> bool {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let kind = rustix::fs::statfs(folder.unwrap_or(Path::new("."))).map(|stat| stat.f_type);
    kind.is_ok_and(|kind| is_network_kind(kind as u32))
}

/// The magic numbers of statfs(2).
fn is_network_kind(kind: u32) -> bool {
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517b;
    const CIFS: u32 = 0xff53_4d42;
    const SMB2: u32 = 0xfe53_4d42;
    const FUSE: u32 = 0x6573_5546;
    const NINE_P: u32 = 0x0102_1997;
    const CEPH: u32 = 0x00c3_6400;
    const AFS: u32 = 0x5346_414f;
    const LUSTRE: u32 = 0x0bd0_0bd0;
    const GPFS: u32 = 0x4750_4653;
    [NFS, SMB, CIFS, SMB2, FUSE, NINE_P, CEPH, AFS, LUSTRE, GPFS].contains(&kind)
}

impl Backend for Sqlite {
    fn write(&mut self, rows: &[Row]) -> Result<Vec<Written>, StoreError> {
        let transaction = self.write_transaction()?;
        let written = rows.iter().map(|row| write_row(&transaction, row));
        let written = written.collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(written)
    }

    fn select(&mut self, filter: &Filter, with_record: bool) -> Result<Vec<Found>, StoreError> {
        let origins: Vec<_> = filter
            .origins
            .iter()
            .map(|origin| origin.as_str())
            .collect();
        let mut statement = self.connection.prepare(SELECT)?;
        let found = statement.query_map(
            params![
                with_record,
                filter.since.map(micros),
                filter.until.map(micros),
                json(&filter.wanted())?,
                json(&origins)?,
            ],
            found,
        )?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn ids(&mut self, part: &str, removed: bool) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT id FROM present
             WHERE (substr(id, 1, length(?1)) = ?1 OR substr(id, -length(?1) - 1) = '/' || ?1)
             AND removed = ?2 ORDER BY id = ?1 DESC, id",
        )?;
        let ids = statement.query_map(params![part, removed], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn find(&mut self, id: &str) -> Result<Option<Found>, StoreError> {
        find(&self.connection, id)
    }

    fn label(
        &mut self,
        id: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        let transaction = self.write_transaction()?;
        for (name, value) in labels {
            transaction.execute(
                "INSERT INTO labels (run, name, value, given)
                 SELECT key, ?2, ?3, ?4 FROM runs WHERE id = ?1",
                params![id, name, value, micros(Timestamp::now())],
            )?;
        }
        Ok(transaction.commit()?)
    }

    fn remove(&mut self, ids: &[String], removed: bool) -> Result<(), StoreError> {
        let transaction = self.write_transaction()?;
        for id in ids {
            transaction.execute(
                "INSERT INTO removals (run, removed, at) SELECT key, ?2, ?3 FROM runs WHERE id = ?1",
                params![id, removed, micros(Timestamp::now())],
            )?;
        }
        Ok(transaction.commit()?)
    }

    fn acknowledge(&mut self, ack: &Acknowledgement, holds: bool) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT INTO acknowledgements (job, scenario, metric, change_at, holds, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                ack.job,
                ack.scenario,
                ack.metric,
                ack.at.to_string(),
                holds,
                micros(Timestamp::now()),
            ],
        )?;
        Ok(())
    }

    fn acknowledgements(&mut self) -> Result<Vec<Acknowledgement>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT job, scenario, metric, change_at FROM acknowledgements AS latest
             WHERE holds AND seq = (
                 SELECT max(seq) FROM acknowledgements
                 WHERE job = latest.job AND scenario = latest.scenario
                   AND metric = latest.metric AND change_at = latest.change_at)
             ORDER BY job, scenario, metric, change_at",
        )?;
        let acks = statement.query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?;
        acks.map(|ack| acknowledgement(ack?)).collect()
    }

    fn all_ids(&mut self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("SELECT id FROM runs ORDER BY id")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn self_check(&mut self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check")?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut damage = lines.collect::<Result<Vec<_>, _>>()?;
        damage.retain(|line| line != "ok");
        Ok(damage)
    }
}

fn write_row(transaction: &Transaction<'_>, row: &Row) -> Result<Written, StoreError> {
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO runs (id, at, origin, valid, document, record, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            row.id,
            row.at,
            row.origin,
            row.valid,
            row.document,
            row.record,
            row.hash,
        ])?;
    if inserted == 0 {
        let found = find(transaction, &row.id)?;
        let missing = || StoreError::NotFound(row.id.clone());
        return Ok(Written::Present(Box::new(found.ok_or_else(missing)?)));
    }
    let key = transaction.last_insert_rowid();
    let mut insert =
        transaction.prepare_cached("INSERT INTO labels (run, name, value) VALUES (?1, ?2, ?3)")?;
    for (name, value) in &row.labels {
        insert.execute(params![key, name, value])?;
    }
    Ok(Written::New)
}

fn find(connection: &Connection, id: &str) -> Result<Option<Found>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, document, record, hash, relabelled, removed FROM present WHERE id = ?1",
    )?;
    Ok(statement.query_row([id], found).optional()?)
}

fn found(row: &SqlRow<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        id: row.get(0)?,
        document: row.get(1)?,
        record: row.get(2)?,
        hash: row.get(3)?,
        relabelled: row.get(4)?,
        removed: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(connection: &Connection) -> String {
        connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_file_on_a_network_gets_a_rollback_journal_and_nothing_less_durable() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("history.db")).unwrap();
        let full = 2;
        let synchronous = store
            .connection
            .pragma_query_value(None, "synchronous", |row| row.get(0));
        assert_eq!(synchronous, Ok(full));
        assert_eq!(journal(&store.connection), "wal");
        set_journal(&store.connection, true).unwrap();
        assert_eq!(journal(&store.connection), "delete");
        assert!(is_network_kind(0x6969) && is_network_kind(0xff53_4d42));
        let ext4 = 0xef53;
        assert!(!is_network_kind(ext4));
    }
}
