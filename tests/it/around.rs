//! What `exec` does around its command: signals, what it says and where, the command's environment,
//! its discovery, and the history. With kubectl on a real kube-apiserver.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use cluster::kubeconfig::Credential;
use lab::real::RealCluster;
use record::{RunRecord, RunResult};

use crate::support::{lines::assert_line, real};

/// A cluster, and a home folder with its kubeconfig.
struct Site {
    cluster: RealCluster,
    kubectl: String,
    home: tempfile::TempDir,
}

impl Site {
    async fn set() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let token = Credential::Token(cluster.admin_token().to_owned());
        let (url, ca) = (cluster.url(), cluster.ca_pem());
        let config = cluster::kubeconfig::kubeconfig(&url, ca.as_bytes(), &token);
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".kube")).unwrap();
        fs::write(home.path().join(".kube/config"), config.to_string()).unwrap();
        Some(Self {
            kubectl: cluster.assets().kubectl().to_str().unwrap().to_owned(),
            cluster,
            home,
        })
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("KUBETOLL_STORE", self.home.path().join("history.db"))
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    fn kubetoll(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_kubetoll"));
        command.args(arguments);
        command
    }

    /// `exec` with options before a command.
    fn exec(&self, options: &[&str], command: &[&str]) -> Output {
        let mut exec = self.kubetoll(&["exec"]);
        let output = exec.args(options).arg("--").args(command).output().unwrap();
        eprintln!("{}", said(&output));
        output
    }

    fn result(&self, options: &[&str], command: &[&str]) -> RunResult {
        let out = self.home.path().join("result.json");
        let mut all = vec!["--output", "json", "--out", out.to_str().unwrap()];
        all.extend(options);
        let done = self.exec(&all, command);
        assert_eq!(done.status.code(), Some(0));
        serde_json::from_slice(&fs::read(&out).unwrap()).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_says_what_it_ran_and_whether_anything_was_counted() {
    let Some(site) = Site::set().await else {
        return;
    };
    let raw = [&*site.kubectl, "get", "--raw", "/apis"];
    let text = said(&site.exec(&[], &raw));
    let is_command = |line: &&str| line.starts_with("command kubectl with 3 arguments, ");
    let command = text.lines().find(is_command).unwrap();
    let end = " s; discovery began cold and is 1 of the calls";
    assert!(command.ends_with(end), "{command}");
    assert!(
        !text.contains("PER OBJECT") && !text.contains("/raw"),
        "{text}"
    );
    assert_line(&text, "  ok      calls came through the proxy: 1 requests");

    let none = site.exec(&[], &["true"]);
    assert_eq!(none.status.code(), Some(4));
    let failed = "  FAILED  calls came through the proxy: none: the command takes another \
                  kubeconfig than the one in KUBECONFIG, or makes no call; --allow-no-calls if \
                  that is right";
    assert_line(&said(&none), failed);
    let allowed = site.exec(&["--allow-no-calls"], &["true"]);
    assert_eq!(allowed.status.code(), Some(0));
    assert_eq!(site.exec(&[], &["false"]).status.code(), Some(1));

    let out = site.home.path().join("new/result.json");
    let options = ["--out", out.to_str().unwrap(), "--output", "json"];
    let apart = site.exec(&options, &raw);
    let own: serde_json::Value = serde_json::from_str(&printed(&apart)).unwrap();
    assert_eq!(own["kind"], "APIGroupList");
    let result: RunResult = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(result.rows.iter().map(|row| row.count).sum::<u64>(), 1);
    let unwritable = site.exec(&["--out", "/dev/null/x"], &["touch", "ran"]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(!site.home.path().join("ran").exists());
    let folder = site.exec(&["--out", "."], &["touch", "ran"]);
    assert_eq!(folder.status.code(), Some(1));
    let refused = "kubetoll: cannot write .: it is a folder, name a file";
    assert_eq!(said(&folder).trim_end(), refused);
    assert!(!site.home.path().join("ran").exists());

    a_result_that_cannot_be_written_is_printed_and_kept(&site);
    the_command_has_the_proxys_address_excepted(&site);
    a_signal_to_exec_alone_reaches_the_command(&site);
}

fn a_result_that_cannot_be_written_is_printed_and_kept(site: &Site) {
    let script = format!("mkdir late && {} get --raw /apis", site.kubectl);
    let late = site.exec(&["--out", "late"], &["sh", "-c", &script]);
    let text = said(&late);
    assert_eq!(late.status.code(), Some(1), "{text}");
    assert_line(&text, "  ok      calls came through the proxy: 1 requests");
    assert_line(&text, "kept as exec-… in the history …");
    assert_line(
        &text,
        "kubetoll: not everything was written: what the proxies gave is still in …",
    );
    assert_line(
        &text,
        "kubetoll: cannot write late: it is a folder, name a file",
    );
}

fn the_command_has_the_proxys_address_excepted(site: &Site) {
    let mut exec = site.kubetoll(&["exec", "--allow-no-calls", "--", "sh", "-c"]);
    exec.arg("echo $NO_PROXY $no_proxy")
        .env("no_proxy", "10.0.0.0/8");
    let output = exec.output().unwrap();
    assert_eq!(
        printed(&output),
        "10.0.0.0/8,127.0.0.1 10.0.0.0/8,127.0.0.1\n"
    );
}

/// What was counted so far is said all the same.
fn a_signal_to_exec_alone_reaches_the_command(site: &Site) {
    for signal in ["INT", "TERM"] {
        let script = format!(
            "trap 'echo ended' {signal}; {} get --raw /version >/dev/null; echo begun; \
             sleep 600 & wait; kill $!",
            site.kubectl
        );
        let mut child = site
            .kubetoll(&["exec", "--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().unwrap().unwrap(), "begun");
        let id = child.id().to_string();
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(output.next().unwrap().unwrap(), "ended", "{signal}");
        assert!(output.next().is_none(), "once");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let mut text = String::new();
        child.stderr.unwrap().read_to_string(&mut text).unwrap();
        let row = |line: &str| {
            let cells: Vec<_> = line.split_whitespace().take(5).collect();
            cells == ["kubectl", "get", "/version", "200", "1"]
        };
        assert!(text.lines().any(row), "{text}");
        assert_line(&text, "THE RUN FAILED: it was stopped by Ctrl-C or SIGTERM");
        let kept = "kept as exec-… in the history …/history.db";
        assert_line(&text, kept);
        assert!(text.ends_with("\nkubetoll: interrupted\n"), "{text}");
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_not_reached_is_told_at_once_and_why() {
    let Some(site) = Site::set().await else {
        return;
    };
    let nowhere = site.home.path().join("nowhere");
    let (token, ca) = (Credential::Token("t".to_owned()), site.cluster.ca_pem());
    let config = cluster::kubeconfig::kubeconfig("https://127.0.0.1:1", ca.as_bytes(), &token);
    fs::write(&nowhere, config.to_string()).unwrap();
    let raw = [&*site.kubectl, "get", "--raw", "/apis"];
    let output = site.exec(&["--kubeconfig", nowhere.to_str().unwrap()], &raw);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    let why = "cannot reach 127.0.0.1:1: tcp connect error: Connection refused (os error 111)";
    assert_line(&text, &format!("kubetoll: {why}"));
    // One call: had kubectl been told to wait, it would have tried ten times more, each after 1 s.
    assert_line(
        &text,
        "  kubectl    get   /apis     connect      1    0 B  …ms",
    );
    drop(site.cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_begins_with_the_discovery_that_was_asked_for_and_leaves_no_litter() {
    let Some(site) = Site::set().await else {
        return;
    };
    let get = [&*site.kubectl, "get", "configmaps"];
    let discovery = |options: &[&str]| {
        site.result(options, &get)
            .command
            .unwrap()
            .discovery
            .unwrap()
    };
    // Nothing is there to begin with.
    let cold = discovery(&["--discovery", "warm"]);
    assert!(cold.calls > 0, "{cold:?}");
    assert!(files(&site.home.path().join(".kube/cache")).is_empty());
    assert!(
        site.program(get[0])
            .args(&get[1..])
            .status()
            .unwrap()
            .success()
    );
    let own = files(&site.home.path().join(".kube/cache"));
    assert!(!own.is_empty());
    for _ in 0..2 {
        assert_eq!(discovery(&[]).calls, cold.calls);
    }
    let warm = discovery(&["--discovery", "warm"]);
    assert_eq!((warm.warm, warm.calls), (true, 0));
    assert_eq!(files(&site.home.path().join(".kube/cache")), own);
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_is_kept_like_a_run_and_can_be_compared() {
    let Some(site) = Site::set().await else {
        return;
    };
    let get = |verb: &'static str| {
        [
            site.kubectl.clone(),
            verb.to_owned(),
            "--raw".into(),
            "/version".into(),
        ]
    };
    let kept = |commit: &str, command: &[String]| {
        let label = format!("commit={commit}");
        let options = [
            "--job",
            "e2e",
            "--label",
            &label,
            "--results-dir",
            "results",
        ];
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = site.exec(&options, &command);
        assert_eq!(output.status.code(), Some(0));
        let text = said(&output);
        let line = text
            .lines()
            .find(|line| line.starts_with("kept as exec-"))
            .unwrap();
        line.split(' ').nth(2).unwrap().to_owned()
    };
    let first = kept("a", &get("get"));
    let record = fs::read(site.home.path().join("results/record.json")).unwrap();
    let record: RunRecord = serde_json::from_slice(&record).unwrap();
    let command = record.command.unwrap();
    assert_eq!((&*command.program, command.arguments), ("kubectl", 3));
    assert_eq!((&*record.id, &*record.scenario), (&*first, "exec"));
    let twice = format!(
        "{0} get --raw /version; {0} get --raw /version",
        site.kubectl
    );
    let second = kept("b", &["sh".to_owned(), "-c".to_owned(), twice]);
    let mut compare = site.kubetoll(&["compare", "commit=a", "commit=b", "--components"]);
    let compared = compare.output().unwrap();
    let text = printed(&compared);
    assert_line(&text, &format!("A  commit=a: 1 run, counted ({first})"));
    let list = site
        .kubetoll(&["runs", "list", "--job", "e2e"])
        .output()
        .unwrap();
    assert_line(
        &printed(&list),
        &format!("{second}  …Z  exec                            counted                16  yes"),
    );
    drop(site.cluster);
}
