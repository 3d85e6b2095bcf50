//! What the proxies of a run gave while its books were open, in a file until its record is written: a
//! driver that is killed leaves it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use record::{KnownBooks, RunRecord, SPOOL_SCHEMA, Snapshot, SpoolEntry, SpoolHead, SpoolPage};

/// How the file of a run is called, after its id.
const EXTENSION: &str = "spool";

/// The place for a run's file, and the file once its books are open.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Place>);

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    /// Locked as long as the run's driver lives.
    file: File,
}

/// What is in a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// The run as it was when its books were opened.
    pub(super) run: RunRecord,
    /// What is known of each proxy.
    pub(super) known: Vec<KnownBooks>,
    /// Each proxy's books when the deletion began, if it had, and what is known of them since.
    pub(super) deletion: Option<(Vec<Snapshot>, Vec<KnownBooks>)>,
}

impl Spool {
    /// A file in this folder, which is made when there is something to write.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Arc::new(Place {
            folder: folder.to_owned(),
            open: Mutex::default(),
        }))
    }

    /// Begins the file of a run whose books are open; only its user may read it.
    pub(super) fn begin(&self, run: RunRecord) -> io::Result<()> {
        let path = self.0.folder.join(format!("{}.{EXTENSION}", run.id));
        fs::create_dir_all(&self.0.folder)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path)?;
        file.lock()?;
        let schema = SPOOL_SCHEMA.to_owned();
        let begun = append(&mut file, &SpoolHead { schema, run });
        match begun {
            Ok(()) => *self.open() = Some(Open { path, file }),
            Err(_) => remove_file(&path),
        }
        begun
    }

    /// Whether what is added is kept.
    pub(super) fn is_open(&self) -> bool {
        self.open().is_some()
    }

    /// Adds what came next. A file that can't be written to, as on a full disk, is removed, which is
    /// said.
    pub(super) fn add(&self, entry: &SpoolEntry) {
        let mut place = self.open();
        let Some(open) = place.as_mut() else { return };
        if let Err(error) = append(&mut open.file, entry) {
            let path = open.path.display();
            tracing::error!(%error, "{path} is gone: the journal is not kept on disk until the books are closed");
            remove_file(&open.path);
            *place = None;
        }
    }

    /// What is known of the proxies by the file.
    pub(super) fn contents(&self) -> io::Result<Contents> {
        let path = self.path();
        let path = path.ok_or_else(|| io::Error::other("no file was begun"))?;
        Contents::read(&path)
    }

    /// The file, if one was begun.
    pub fn path(&self) -> Option<PathBuf> {
        self.open().as_ref().map(|open| open.path.clone())
    }

    /// Removes the file: the run has its record.
    pub fn remove(&self) {
        if let Some(open) = self.open().take() {
            remove_file(&open.path);
        }
    }

    /// Files of the folder whose drivers have ended without having removed them, in the order of their
    /// names.
    pub fn left(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0.folder).into_iter().flatten().flatten();
        let files = files.map(|file| file.path());
        let is_left = |path: &PathBuf| {
            let is_one = path.extension().is_some_and(|end| end == EXTENSION);
            is_one && File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())
        };
        let mut left: Vec<PathBuf> = files.filter(is_left).collect();
        left.sort();
        left
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// Reads a file. Its last line may have no end: its driver was killed.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut lines = BufReader::new(File::open(path)?).lines();
        let head = lines.next().transpose()?.unwrap_or_default();
        let head: SpoolHead = serde_json::from_str(&head)?;
        if head.schema != SPOOL_SCHEMA {
            let other = format!("it is {}, and not {SPOOL_SCHEMA}", head.schema);
            return Err(io::Error::other(other));
        }
        let mut contents = Self {
            known: vec![KnownBooks::default(); head.run.proxies.len()],
            run: head.run,
            deletion: None,
        };
        for line in lines {
            match serde_json::from_str(&line?) {
                Ok(SpoolEntry::Page(page)) => contents.add(*page),
                Ok(SpoolEntry::Deletion(opened)) => {
                    let known = vec![KnownBooks::default(); opened.len()];
                    contents.deletion = Some((opened, known));
                }
                Err(_) => break,
            }
        }
        Ok(contents)
    }

    fn add(&mut self, page: SpoolPage) {
        let known = match &mut self.deletion {
            Some((_, known)) => known,
            None => &mut self.known,
        };
        if let Some(known) = known.get_mut(page.proxy) {
            known.add(page);
        }
    }
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::error!(%error, "cannot remove {}", path.display());
    }
}

/// One write for a line, so that another one is not begun where this one failed.
fn append(file: &mut File, entry: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::read_left;
    use record::{
        CallRecord, ClusterRecord, Durations, FailureReason, JournalRecord, Outcome, ProxyInfo,
        ProxyRun, RUN_SCHEMA, RowRecord, RunDetailRecord,
    };

    fn snapshot(answered: u64) -> Snapshot {
        let row = RowRecord {
            id: 7,
            component: "virt-api".to_owned(),
            user: String::new(),
            call: CallRecord::default(),
            outcome: Outcome::Code(200),
            answered,
            closed: answered,
            cut_short: 0,
            request_bytes: 0,
            response_bytes: 0,
            to_head: Durations::default(),
            to_end: Durations::default(),
        };
        Snapshot {
            schema: String::new(),
            proxy: ProxyInfo {
                instance: String::new(),
                started: Timestamp::UNIX_EPOCH,
                version: String::new(),
                component: None,
                upstream: String::new(),
            },
            taken: Timestamp::UNIX_EPOCH,
            overflowed: 0,
            rows: vec![row],
            calls: Vec::new(),
            watches: Vec::new(),
        }
    }

    /// A run of one proxy, whose books have just been opened.
    pub(crate) fn run() -> RunRecord {
        let opened = snapshot(1);
        let proxy = ProxyRun {
            admin: "http://127.0.0.1:1".to_owned(),
            pod: None,
            baseline: None,
            difference: Vec::new(),
            closed: RunDetailRecord {
                snapshot: opened.clone(),
                objects: Vec::new(),
                objects_lost: 0,
                journal: Vec::new(),
                journal_lost: 0,
                journal_lost_others: 0,
                clients: Vec::new(),
            },
            opened,
            deletion: None,
        };
        RunRecord {
            schema: RUN_SCHEMA.to_owned(),
            id: "run-1".to_owned(),
            scenario: "vmi".to_owned(),
            simulated: false,
            kubetoll_version: String::new(),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
            cluster: ClusterRecord::default(),
            configuration: std::collections::BTreeMap::new(),
            proxies: vec![proxy],
            objects: Vec::new(),
            driver: Vec::new(),
            checks: Vec::new(),
            crosscheck: None,
            api_server: None,
            command: None,
            failure: None,
        }
    }

    fn page(answered: u64, lines: &[usize]) -> SpoolEntry {
        let line = || JournalRecord {
            row: 7,
            ..JournalRecord::default()
        };
        SpoolEntry::Page(Box::new(SpoolPage {
            proxy: 0,
            snapshot: Some(snapshot(answered)),
            lines: lines.iter().map(|place| (*place, line())).collect(),
            clients: Vec::new(),
        }))
    }

    #[test]
    fn a_file_that_is_left_is_a_failed_run_with_its_deletion() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::in_folder(&dir.path().join("new"));
        spool.begin(run()).unwrap();
        spool.add(&page(3, &[0, 1]));
        spool.add(&SpoolEntry::Deletion(vec![snapshot(3)]));
        spool.add(&page(8, &[0, 1, 2]));
        assert!(spool.left().is_empty() && spool.is_open());
        let path = dir.path().join("new/run-1.spool");
        let mut text = fs::read(&path).unwrap();
        // Killed in the middle of a line.
        text.extend(br#"{"page":{"proxy":0,"li"#);
        let killed = dir.path().join("killed.spool");
        fs::write(&killed, text).unwrap();

        let run = read_left(&killed).unwrap();
        assert_eq!(run.failure.unwrap().reason, FailureReason::DriverEnded);
        let proxy = &run.proxies[0];
        assert_eq!(proxy.closed.journal.len(), 2);
        assert_eq!(proxy.difference[0].answered, 2);
        let deletion = proxy.deletion.as_ref().unwrap();
        assert_eq!(deletion.journal.len(), 3);
        assert_eq!(deletion.difference[0].answered, 5);
        let mut checks = run.checks.iter().map(|check| &*check.detail);
        let missing = "; 2 of these 5 requests have no line in the journal";
        assert!(
            checks.any(|detail| detail.ends_with(missing)),
            "{:?}",
            run.checks
        );

        spool.remove();
        assert!(!path.exists() && !spool.is_open());
        assert_eq!(Spool::in_folder(dir.path()).left(), [killed]);
    }

    #[test]
    fn what_is_no_spool_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.spool");
        for text in ["", "{", "{\"schema\":\"kubetoll.spool/1\"}"] {
            fs::write(&path, text).unwrap();
            assert!(read_left(&path).is_err(), "{text}");
        }
        assert!(read_left(&dir.path().join("none")).is_err());
    }
}
