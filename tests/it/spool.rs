//! Lines that leave a proxy while a run is open: what is left of them when the proxy or the driver is
//! killed.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use cluster::kubeconfig::write_private;
use driver::{Spool, proxies::ProxyClient};
use identity::mint::Authority;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client,
    api::{ListParams, WatchParams},
};
use lab::embedded::EmbeddedLab;
use record::{BooksKept, FailureReason, JournalRecord, RunRecord};

use crate::support::{history, lines::assert_line, process::ProxyProcess, wait};

const TOKEN: &str = "the-admin-token-of-this-test";

/// A measurement that goes on; killed when dropped.
struct Measuring(Child);

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy in front of an API server in this process.
struct Stage {
    lab: EmbeddedLab,
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        identity::install_provider();
        let lab = EmbeddedLab::start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let write = |name, text: &str| write_private(&dir.path().join(name), text.as_bytes());
        write("upstream-ca.crt", &lab.authority.certificate_pem()).unwrap();
        write("token", TOKEN).unwrap();
        Self {
            lab,
            authority: Authority::new("proxy").unwrap(),
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn proxy(&self, more: &[&str]) -> ProxyProcess {
        let ca = self.path("upstream-ca.crt");
        let mut arguments = vec!["--upstream", &self.lab.url, "--upstream-ca"];
        arguments.push(ca.to_str().unwrap());
        arguments.extend(more);
        ProxyProcess::start(self.dir.path(), &self.authority, &arguments)
    }

    fn proxy_with_token(&self) -> ProxyProcess {
        let token = self.path("token");
        self.proxy(&["--admin-token-file", token.to_str().unwrap()])
    }

    fn client(&self, proxy: &ProxyProcess) -> Client {
        let token = self.lab.token_for("caller", &["system:masters"]);
        lab::client(&proxy.url, &self.authority, &token, "caller").unwrap()
    }

    /// A measurement that goes on until there is a file `done`.
    fn measure(&self, proxy: &ProxyProcess) -> Measuring {
        let done = self.path("done").display().to_string();
        // It outlives a driver that is killed, but not for ever.
        let script =
            format!("n=0; until [ -e {done} ] || [ $n -gt 3000 ]; do n=$((n+1)); sleep 0.05; done");
        let mut measure = self.kubetoll(&["measure", "--proxy", &proxy.admin, "--journal"]);
        measure.env("RUST_LOG", "error,driver::last_known=debug");
        measure.arg("--proxy-token-file").arg(self.path("token"));
        measure.arg("--results-dir").arg(self.path("results"));
        measure.args(["--settle", "300ms", "--", "sh", "-c", &script]);
        let measure = measure.stdout(Stdio::null()).stderr(Stdio::piped());
        Measuring(measure.spawn().unwrap())
    }

    fn kubetoll(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
        command
            .args(arguments)
            .env("XDG_STATE_HOME", self.path("state"))
            .env("KUBETOLL_STORE", history::scratch());
        command
    }

    fn output(&self, arguments: &[&str], code: i32) -> String {
        let output = self.kubetoll(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends it; gives its exit code, and what it said that nobody has read.
    fn end(&self, mut measuring: Measuring) -> (Option<i32>, String) {
        fs::write(self.path("done"), "").unwrap();
        let mut said = String::new();
        if let Some(mut stderr) = measuring.0.stderr.take() {
            stderr.read_to_string(&mut said).unwrap();
        }
        (measuring.0.wait().unwrap().code(), said)
    }

    fn record(&self) -> RunRecord {
        let text = fs::read(self.path("results/record.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The spool file in the folder of results.
    fn spooled(&self) -> Option<PathBuf> {
        let files = fs::read_dir(self.path("results")).into_iter().flatten();
        let mut files = files.map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "spool"))
    }

    /// The lines that it has.
    fn lines(&self) -> Vec<JournalRecord> {
        let Some(path) = self.spooled() else {
            return Vec::new();
        };
        match driver::read_left(&path) {
            Ok(run) => run.proxies[0].closed.journal.clone(),
            // Its beginning is being written.
            Err(_) => Vec::new(),
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_killed_leaves_its_lines_up_to_its_last_second() {
    let stage = Stage::set().await;
    let proxy = stage.proxy_with_token();
    let measuring = stage.measure(&proxy);
    let namespaces: Api<Namespace> = Api::all(stage.client(&proxy));
    let list = ListParams::default();
    wait::until("a hundred lines", async || {
        namespaces.list(&list).await.unwrap();
        stage.lines().len() > 100
    })
    .await;
    let came = stage.lines();
    let killed = now();
    drop(proxy);
    let (code, said) = stage.end(measuring);
    assert_eq!(code, Some(1), "{said}");

    let record = stage.record();
    assert!(!record.is_valid());
    let failure = record.failure.as_ref().unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::ProxyUnreachable, BooksKept::LastKnown)
    );
    let proxy = &record.proxies[0];
    let journal = &proxy.closed.journal;
    let ids = |lines: &[JournalRecord]| -> Vec<String> {
        lines.iter().map(|line| line.audit_id.clone()).collect()
    };
    assert_eq!(ids(&journal[..came.len()]), ids(&came));
    let last = journal.iter().map(|line| line.at).max().unwrap();
    assert!(killed - last < 5_000_000, "{} us", killed - last);
    let answered: u64 = proxy.difference.iter().map(|row| row.answered).sum();
    assert_eq!(answered, journal.len() as u64);
    let mut checks = record.checks.iter();
    let check = checks.find(|check| check.name == "the proxy gave its books when the run ended");
    let counted = format!("; 0 of these {answered} requests have no line in the journal");
    let detail = &check.unwrap().detail;
    assert!(detail.ends_with(&counted), "{detail}");
    assert_eq!(stage.spooled(), None, "the record takes its place");
    let found = stage.output(
        &["why", stage.path("results/record.json").to_str().unwrap()],
        0,
    );
    assert!(found.contains("LIST-namespaces"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_killed_leaves_a_file_with_the_lines() {
    let stage = Stage::set().await;
    let proxy = stage.proxy_with_token();
    let measuring = stage.measure(&proxy);
    let client = stage.client(&proxy);
    let pods: Api<Pod> = Api::all(client.clone());
    wait::until("open books", async || stage.spooled().is_some()).await;
    // A line that comes twice: without its end, and with it.
    let watch = WatchParams::default().timeout(4);
    let watch = Box::pin(pods.watch(&watch, "0").await.unwrap());
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.list(&ListParams::default()).await.unwrap();
    let has_ended = |at: usize| stage.lines().get(at).map(|line| line.end_us.is_some());
    wait::until("two lines", async || {
        has_ended(0) == Some(false) && has_ended(1) == Some(true)
    })
    .await;
    drop(watch);
    wait::until("the watch's end", async || has_ended(0) == Some(true)).await;
    let folder = Spool::in_folder(&stage.path("results"));
    assert_eq!(folder.left(), [] as [PathBuf; 0], "its driver lives");
    drop(measuring);

    let left = stage.spooled().unwrap();
    assert_eq!(folder.left(), std::slice::from_ref(&left));
    let run = driver::read_left(&left).unwrap();
    let failure = run.failure.as_ref().unwrap();
    assert_eq!(
        (failure.reason, failure.books),
        (FailureReason::DriverEnded, BooksKept::LastKnown)
    );
    // What comes bit by bit is what comes at the end.
    let admin = ProxyClient::new(&proxy.admin, Some(TOKEN)).unwrap();
    let detail = admin.close_run(&run.id).await.unwrap();
    assert_eq!(run.proxies[0].closed.journal, detail.journal);
    assert_eq!(run.proxies[0].closed.clients, detail.clients);
    assert_eq!(
        run.proxies[0].closed.snapshot.rows.len(),
        detail.snapshot.rows.len()
    );

    let left = left.to_str().unwrap();
    let printed = stage.output(&["journal", left], 0);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    let why = stage.output(&["why", left], 0);
    assert!(why.contains("LIST-namespaces"), "{why}");
    let imported = stage.output(&["runs", "import", left], 0);
    assert_eq!(imported, "1 run new, 0 known already\n");
    let mut compare = stage.kubetoll(&["compare", left, left, "--with-failed"]);
    let said = String::from_utf8(compare.output().unwrap().stderr).unwrap();
    assert_line(
        &said,
        &format!("kubetoll: all runs of {left} are in {left}, too"),
    );
    let (code, said) = stage.end(stage.measure(&proxy));
    assert_eq!(code, Some(0), "{said}");
    assert_line(
        &said,
        &format!(
            "a run that ended without its record left {left}: `kubetoll why {left}` and `kubetoll \
             journal {left}` read it; remove it afterwards"
        ),
    );
    assert!(Path::new(left).exists(), "only a run's own file goes");
}

/// Lines name users and objects: a port without a token keeps them until the end, on loopback too.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_a_token_gives_its_lines_at_the_end() {
    let stage = Stage::set().await;
    let proxy = stage.proxy(&[]);
    let mut measuring = stage.measure(&proxy);
    let warning = format!(
        "DEBUG driver::last_known: the journal comes when the books are closed, and not before: the proxy at {} answers 403 \
         Forbidden: lines of an open run are only for who has the admin token, and this proxy has \
         none: start it with --admin-token-file",
        proxy.admin
    );
    let mut said = BufReader::new(measuring.0.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains(&warning)));
    let namespaces: Api<Namespace> = Api::all(stage.client(&proxy));
    namespaces.list(&ListParams::default()).await.unwrap();
    assert!(stage.lines().is_empty());
    assert_eq!(stage.end(measuring).0, Some(0));
    assert_eq!(stage.record().proxies[0].closed.journal.len(), 1);
}
