//! `kubetoll journal`: each call of a run.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use anyhow::{Result, bail};
use clap::Args;

use super::shared::{history::StoreArgs, proxies::proxy_clients, results};
use record::{ClientRecord, JournalLine, JournalRecord, ProxyRun, RowRecord, RunRecord};
use terminal::{
    exit::{Exit, Misuse},
    lines,
};

/// Print the journal of a run, or the last requests of a proxy: one line of JSON for each call.
///
/// Each has its time, component, user, call, code, object, bytes and durations, and what its bodies
/// said of versions and fields; never a value of a field. docs/FORMATS.md names all of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubetoll journal results/record.json | jq 'select(.code == \"409\")'
  kubetoll journal run-1795496959-j5vw5 --out calls.jsonl
  kubetoll journal --proxy http://127.0.0.1:16444 | jq .user_agent")]
pub(super) struct JournalArgs {
    /// The run's record.json, the file that a killed driver left, or the run's id in the history.
    #[arg(value_name = "RUN", required_unless_present = "proxy")]
    run: Option<String>,
    /// Admin address of a running proxy that keeps its last requests (kubetoll-proxy --recorder N),
    /// such as http://127.0.0.1:16444: these, in place of a run's.
    #[arg(long, value_name = "URL", conflicts_with_all = ["run", "deletion"])]
    proxy: Option<String>,
    /// File with that proxy's admin token.
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_token_file: Option<PathBuf>,
    /// The deletion of the run's objects, in place of their creation.
    #[arg(long)]
    deletion: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// File for the lines, in place of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A journal, and what its lines name by number.
struct Journal<'r> {
    /// Admin address of its proxy.
    proxy: &'r str,
    lines: &'r [JournalRecord],
    rows: &'r [RowRecord],
    clients: &'r [ClientRecord],
}

pub(super) async fn run(args: JournalArgs) -> Result<Exit> {
    match (&args.proxy, &args.run) {
        (Some(url), _) => {
            let urls = std::slice::from_ref(url);
            let proxies = proxy_clients(urls, args.proxy_token_file.as_deref())?;
            let recent = proxies[0].recent().await?;
            let journal = Journal {
                proxy: url,
                lines: &recent.journal,
                rows: &recent.snapshot.rows,
                clients: &recent.clients,
            };
            args.give(&[journal])
        }
        (None, Some(run)) => {
            let record = args.store.record(run)?;
            needs_journal(&record, args.deletion)?;
            let proxies = record.proxies.iter();
            let journals: Vec<_> = proxies
                .map(|proxy| Journal::of(proxy, args.deletion))
                .collect();
            args.give(&journals)
        }
        (None, None) => bail!(Misuse("a run, or --proxy".to_owned())),
    }
}

impl JournalArgs {
    fn give(&self, journals: &[Journal<'_>]) -> Result<Exit> {
        let Some(path) = &self.out else {
            let written = write(journals, io::stdout().lock());
            return Ok(lines::exit_after_writing(written));
        };
        let mut text = Vec::new();
        write(journals, &mut text)?;
        results::write_text(path, &String::from_utf8(text)?)?;
        Ok(Exit::Ok)
    }
}

/// # Errors
/// If no proxy of the run kept a journal.
pub(super) fn needs_journal(record: &RunRecord, deletion: bool) -> Result<()> {
    let mut proxies = record.proxies.iter();
    if proxies.all(|proxy| Journal::of(proxy, deletion).lines.is_empty()) {
        let of = if deletion { " of its deletion" } else { "" };
        bail!(
            "run {} kept no journal{of}: `kubetoll run --journal` and `kubetoll measure --journal` \
             keep one, and `kubetoll exec` does by itself",
            record.id
        );
    }
    Ok(())
}

fn write(journals: &[Journal<'_>], out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for journal in journals {
        let rows = journal.rows.iter().map(|row| (row.id, row));
        let rows: HashMap<u32, &RowRecord> = rows.collect();
        for line in journal.lines {
            if let Some(row) = rows.get(&line.row) {
                let client = journal.clients.get(line.client as usize);
                let line = JournalLine::new(journal.proxy, row, client, line);
                serde_json::to_writer(&mut out, &line)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()
}

impl<'r> Journal<'r> {
    /// Of a run, or of the deletion of its objects.
    fn of(proxy: &'r ProxyRun, deletion: bool) -> Self {
        let (closed, admin) = (&proxy.closed, &*proxy.admin);
        match (&proxy.deletion, deletion) {
            (_, false) => Self {
                proxy: admin,
                lines: &closed.journal,
                rows: &proxy.difference,
                clients: &closed.clients,
            },
            (Some(deletion), true) => Self {
                proxy: admin,
                lines: &deletion.journal,
                rows: &deletion.difference,
                clients: &deletion.clients,
            },
            (None, true) => Self {
                proxy: admin,
                lines: &[],
                rows: &[],
                clients: &[],
            },
        }
    }
}
