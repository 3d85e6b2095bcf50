//! The shared history: a PostgreSQL database.

use std::{collections::BTreeMap, env, fs, time::Duration};

use ::postgres::{Client, Config, NoTls, Row as SqlRow, Statement, Transaction, config::SslMode};
use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    backend::{Backend, Written},
    document::{Found, Row, acknowledgement, json, micros},
    error::{StoreError, with_causes},
    filter::Filter,
    location::without_secrets,
};
use record::Acknowledgement;

/// How long the server may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Of the advisory lock under which the schema is migrated: `KTOL`.
const MIGRATION_LOCK: i64 = 0x4b54_4f4c;

/// Each step brings the schema one version further. A step that was released never changes.
const MIGRATIONS: [&str; 2] = [
    include_str!("sql/postgres-1-runs.sql"),
    include_str!("sql/postgres-2-acknowledgements.sql"),
];

const SELECT: &str = include_str!("sql/postgres-select.sql");
const FIND: &str = "SELECT id, document, record, hash, relabelled, removed
    FROM kubetoll.present WHERE id = $1";
/// A run with its labels, if its id isn't there; tells whether it was not.
const INSERT: &str = "WITH run AS (
        INSERT INTO kubetoll.runs (id, at, origin, valid, document, record, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING
        RETURNING key
    ), label AS (
        INSERT INTO kubetoll.labels (run, name, value)
        SELECT run.key, given.name, given.value
        FROM run, unnest($8::text[], $9::text[]) AS given (name, value)
    )
    SELECT count(*) FROM run";

/// A connection to a PostgreSQL database.
pub(super) struct Postgres {
    client: Client,
    location: String,
}

impl Postgres {
    pub(super) fn connect(url: &str) -> Result<Self, StoreError> {
        let location = without_secrets(url);
        let unreachable = |reason: String| StoreError::Unreachable {
            location: location.clone(),
            reason,
        };
        let client = dial(url).map_err(unreachable)?;
        let mut store = Self { client, location };
        // What is acknowledged is on the server's disk, whatever the server's default.
        store.client.batch_execute(
            "SET synchronous_commit = on; SET lock_timeout = '30s'; \
             SET client_min_messages = warning",
        )?;
        if store.version()? < MIGRATIONS.len() {
            store.migrate()?;
        }
        Ok(store)
    }

    /// The schema's version, 0 if there is none.
    fn version(&mut self) -> Result<usize, StoreError> {
        let known = MIGRATIONS.len();
        let found = schema_version(&mut self.client)?;
        match usize::try_from(found) {
            Ok(version) if version <= known => Ok(version),
            _ => Err(StoreError::Newer {
                location: self.location.clone(),
                found,
                known: known as i64,
            }),
        }
    }

    /// Several processes may do this at once: each looks again when it has the lock.
    fn migrate(&mut self) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction()?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])?;
        let version = schema_version(&mut transaction)?;
        if version == 0 {
            transaction.batch_execute(
                "CREATE SCHEMA IF NOT EXISTS kubetoll;
                 CREATE TABLE kubetoll.schema_steps (version BIGINT PRIMARY KEY)",
            )?;
        }
        let steps = (1_i64..).zip(MIGRATIONS);
        for (number, step) in steps.filter(|(number, _)| *number > version) {
            transaction.batch_execute(step)?;
            transaction.execute(
                "INSERT INTO kubetoll.schema_steps (version) VALUES ($1)",
                &[&number],
            )?;
        }
        Ok(transaction.commit()?)
    }
}

/// The greatest step that was taken; a newer Kubetoll has taken more than this one knows.
fn schema_version(client: &mut impl ::postgres::GenericClient) -> Result<i64, StoreError> {
    // Not to_regclass: its cache may still say no after another process has made the table.
    let exists = client.query_one(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables
             WHERE schemaname = 'kubetoll' AND tablename = 'schema_steps')",
        &[],
    )?;
    if !exists.get::<_, bool>(0) {
        return Ok(0);
    }
    let version = client.query_one(
        "SELECT coalesce(max(version), 0) FROM kubetoll.schema_steps",
        &[],
    )?;
    Ok(version.get(0))
}

/// Connects as the URL's `sslmode` says: `require` and `verify-*` take no connection without TLS,
/// `disable` none with it. `prefer`, which is the default, uses TLS if the server offers it, and
/// goes on in plain text if it doesn't. Over TLS the server's certificate is always verified.
fn dial(url: &str) -> Result<Client, String> {
    let (url, authority) = take_parameter(url, "sslrootcert");
    let (url, mode) = take_parameter(&url, "sslmode");
    let mut config: Config = url.parse().map_err(|error| with_causes(&error))?;
    config.connect_timeout(CONNECT);
    config.application_name("kubetoll");
    if let (None, Some(password)) = (config.get_password(), env::var_os("PGPASSWORD")) {
        config.password(password.into_encoded_bytes());
    }
    config.ssl_mode(match mode.as_deref() {
        Some("disable") => SslMode::Disable,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        None | Some("prefer" | "allow") => SslMode::Prefer,
        Some(_) => return Err("sslmode is disable, prefer, require or verify-full".to_owned()),
    });
    let connected = if config.get_ssl_mode() == SslMode::Disable {
        config.connect(NoTls)
    } else {
        config.connect(tls(authority.as_deref())?)
    };
    connected.map_err(|error| with_causes(&error))
}

/// TLS with the system's authorities, or with the one in the file `authority`.
fn tls(authority: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = authority {
        let pem = fs::read(path).map_err(|error| format!("sslrootcert {path}: {error}"))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate =
                certificate.map_err(|error| format!("sslrootcert {path}: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("sslrootcert {path}: {error}"))?;
        }
        if roots.is_empty() {
            return Err(format!(
                "sslrootcert {path} holds no CA certificate in PEM form"
            ));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Takes a parameter out of a URL: those of libpq that the client doesn't know.
fn take_parameter(url: &str, name: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut taken = None;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((found, value)) if found == name => taken = Some(value.to_owned()),
            _ => rest.push(pair),
        }
    }
    (format!("{base}?{}", rest.join("&")), taken)
}

impl Backend for Postgres {
    fn write(&mut self, rows: &[Row]) -> Result<Vec<Written>, StoreError> {
        let mut transaction = self.client.transaction()?;
        let insert = transaction.prepare(INSERT)?;
        let written = rows
            .iter()
            .map(|row| write_row(&mut transaction, &insert, row));
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
        let rows = self.client.query(
            SELECT,
            &[
                &with_record,
                &filter.since.map(micros),
                &filter.until.map(micros),
                &json(&filter.wanted())?,
                &json(&origins)?,
            ],
        )?;
        Ok(rows.iter().map(found).collect::<Result<_, _>>()?)
    }

    fn ids(&mut self, part: &str, removed: bool) -> Result<Vec<String>, StoreError> {
        let rows = self.client.query(
            "SELECT id FROM kubetoll.present
             WHERE (starts_with(id, $1) OR right(id, length($1) + 1) = '/' || $1)
             AND removed = $2 ORDER BY id = $1 DESC, id",
            &[&part, &removed],
        )?;
        Ok(rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?)
    }

    fn find(&mut self, id: &str) -> Result<Option<Found>, StoreError> {
        let row = self.client.query_opt(FIND, &[&id])?;
        Ok(row.as_ref().map(found).transpose()?)
    }

    fn label(
        &mut self,
        id: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction()?;
        for (name, value) in labels {
            transaction.execute(
                "INSERT INTO kubetoll.labels (run, name, value, given)
                 SELECT key, $2, $3, $4 FROM kubetoll.runs WHERE id = $1",
                &[&id, name, value, &micros(Timestamp::now())],
            )?;
        }
        Ok(transaction.commit()?)
    }

    fn remove(&mut self, ids: &[String], removed: bool) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction()?;
        for id in ids {
            transaction.execute(
                "INSERT INTO kubetoll.removals (run, removed, at)
                 SELECT key, $2, $3 FROM kubetoll.runs WHERE id = $1",
                &[id, &removed, &micros(Timestamp::now())],
            )?;
        }
        Ok(transaction.commit()?)
    }

    fn acknowledge(&mut self, ack: &Acknowledgement, holds: bool) -> Result<(), StoreError> {
        self.client.execute(
            "INSERT INTO kubetoll.acknowledgements (job, scenario, metric, change_at, holds, at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                &ack.job,
                &ack.scenario,
                &ack.metric,
                &ack.at.to_string(),
                &holds,
                &micros(Timestamp::now()),
            ],
        )?;
        Ok(())
    }

    fn acknowledgements(&mut self) -> Result<Vec<Acknowledgement>, StoreError> {
        let rows = self.client.query(
            "SELECT job, scenario, metric, change_at FROM (
                 SELECT DISTINCT ON (job, scenario, metric, change_at) *
                 FROM kubetoll.acknowledgements
                 ORDER BY job, scenario, metric, change_at, seq DESC) AS latest
             WHERE holds",
            &[],
        )?;
        let acks = rows.iter().map(|row| {
            let [job, scenario, metric, at] = [0, 1, 2, 3].map(|column| row.try_get(column));
            acknowledgement([job?, scenario?, metric?, at?])
        });
        let mut acks = acks.collect::<Result<Vec<_>, _>>()?;
        acks.sort();
        Ok(acks)
    }

    fn all_ids(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = self
            .client
            .query("SELECT id FROM kubetoll.runs ORDER BY id", &[])?;
        Ok(rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?)
    }

    /// The server looks after its files itself.
    fn self_check(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

fn write_row(
    transaction: &mut Transaction<'_>,
    insert: &Statement,
    row: &Row,
) -> Result<Written, StoreError> {
    let (names, values): (Vec<&String>, Vec<&String>) = row.labels.iter().unzip();
    let inserted = transaction.query_one(
        insert,
        &[
            &row.id,
            &row.at,
            &row.origin,
            &row.valid,
            &row.document,
            &row.record,
            &row.hash,
            &names,
            &values,
        ],
    )?;
    if inserted.try_get::<_, i64>(0)? == 1 {
        return Ok(Written::New);
    }
    let present = transaction.query_opt(FIND, &[&row.id])?;
    let present = present.ok_or_else(|| StoreError::NotFound(row.id.clone()))?;
    Ok(Written::Present(Box::new(found(&present)?)))
}

fn found(row: &SqlRow) -> Result<Found, ::postgres::Error> {
    Ok(Found {
        id: row.try_get(0)?,
        document: row.try_get(1)?,
        record: row.try_get(2)?,
        hash: row.try_get(3)?,
        relabelled: row.try_get(4)?,
        removed: row.try_get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_libpq_are_taken_out_of_a_url() {
        let url = "postgres://db/runs?sslmode=verify-full&user=me&sslrootcert=/ca.pem";
        let (url, authority) = take_parameter(url, "sslrootcert");
        assert_eq!(authority.as_deref(), Some("/ca.pem"));
        let (url, mode) = take_parameter(&url, "sslmode");
        assert_eq!(mode.as_deref(), Some("verify-full"));
        assert_eq!(url, "postgres://db/runs?user=me");
        assert_eq!(take_parameter("postgres://db", "sslmode").1, None);
        let unknown = dial("postgres://db/runs?sslmode=maybe").err();
        assert!(unknown.is_some_and(|reason| reason.starts_with("sslmode is")));
        let empty = "sslrootcert /dev/null holds no CA certificate in PEM form";
        assert_eq!(tls(Some("/dev/null")).err().as_deref(), Some(empty));
    }
}
