//! Where a command acts and as whom, under `exec` and through `kubeconfig`, as without them: with
//! kubectl on a real kube-apiserver, and for what is refused without one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cluster::kubeconfig::{Credential, kubeconfig};
use lab::real::RealCluster;
use serde_json::{Value, json};

use crate::support::{history, lines::assert_line, process::ProxyProcess, real};

fn kubetoll(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubetoll"));
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("KUBETOLL_STORE", history::scratch());
    command
}

/// What a program said, and its exit code.
fn said(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

/// The same without what differs from second to second: times, and ages with their columns' width.
fn timeless(
    (code, output, complaint): (Option<i32>, String, String),
) -> (Option<i32>, String, String) {
    let is_age = |word: &str| {
        let digits = word.strip_suffix('s').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let lines = output
        .lines()
        .filter(|line| !line.contains("creationTimestamp"));
    let lines = lines.map(|line| {
        let words = line.split_whitespace();
        let words = words.map(|word| if is_age(word) { "AGE" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    (code, lines.collect::<Vec<_>>().join("\n"), complaint)
}

fn write(path: &Path, config: &Value) {
    fs::write(path, config.to_string()).unwrap();
}

/// A real cluster, and a kubeconfig of its admin in a folder of the test's own.
struct Stage {
    cluster: RealCluster,
    kubectl: String,
    config: Value,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Option<Self> {
        identity::install_provider();
        let cluster = RealCluster::start(real::assets()?, &[]).await.unwrap();
        let token = Credential::Token(cluster.admin_token().to_owned());
        Some(Self {
            kubectl: cluster.assets().kubectl().to_str().unwrap().to_owned(),
            config: kubeconfig(&cluster.url(), cluster.ca_pem().as_bytes(), &token),
            dir: tempfile::tempdir().unwrap(),
            cluster,
        })
    }

    /// The admin's kubeconfig with a change.
    fn file(&self, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut config = self.config.clone();
        change(&mut config);
        let path = self.dir.path().join(name);
        write(&path, &config);
        path
    }

    /// kubectl as a user has it.
    fn direct(&self, config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut kubectl = Command::new(&self.kubectl);
        timeless(said(kubectl.args(arguments).env("KUBECONFIG", config)))
    }

    /// The same under `exec`.
    fn under_exec(&self, config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let config = config.to_str().unwrap();
        let exec = ["exec", "--kubeconfig", config, "--", &self.kubectl];
        timeless(said(kubetoll(&exec).args(arguments)))
    }

    fn config_maps(&self, namespace: &str) -> String {
        let admin = self.file("admin", |_| {});
        let get = ["get", "configmaps", "-o", "name", "-n", namespace];
        let (code, names, complaint) = self.direct(&admin, &get);
        assert_eq!(code, Some(0), "{complaint}");
        names.replace("configmap/", "").replace('\n', " ")
    }
}

fn impersonate(config: &mut Value) {
    let user = &mut config["users"][0]["user"];
    user["as"] = json!("jane");
    user["as-uid"] = json!("4711");
    user["as-groups"] = json!(["testers", "readers"]);
    user["as-user-extra"] = json!({"example.com/Scopes": ["view", "edit"], "reason": ["drill"]});
}

fn in_namespace(config: &mut Value) {
    config["contexts"][0]["context"]["namespace"] = json!("dev");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_under_exec_acts_as_whom_and_where_it_would_without() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let whoami = ["auth", "whoami", "-o", "json"];
    let jane = stage.file("jane", impersonate);
    let plain = stage.file("plain", |_| {});
    for (config, name) in [(&plain, "admin"), (&jane, "jane")] {
        let (direct, exec) = (
            stage.direct(config, &whoami),
            stage.under_exec(config, &whoami),
        );
        let who = |said: &str| serde_json::from_str::<Value>(said).unwrap()["status"].clone();
        assert_eq!(who(&direct.1)["userInfo"]["username"], name, "{direct:?}");
        assert_eq!(who(&direct.1), who(&exec.1), "{}", exec.2);
    }
    let (_, who, _) = stage.under_exec(&jane, &whoami);
    for part in [
        "4711",
        "testers",
        "readers",
        "example.com/scopes",
        "view",
        "edit",
        "drill",
    ] {
        assert!(who.contains(part), "{part}: {who}");
    }
    let secrets = ["get", "secrets"];
    let (direct, exec) = (
        stage.direct(&jane, &secrets),
        stage.under_exec(&jane, &secrets),
    );
    assert_eq!((direct.0, exec.0), (Some(1), Some(1)));
    assert!(direct.2.contains("User \"jane\" cannot list"), "{direct:?}");
    assert_line(&exec.2, direct.2.trim_end());
    stage.acts_in_its_namespace_alone(&plain);
    stage.merged_files_and_another_context();
    stage.a_rewritten_kubeconfig_keeps_both();
    stage.own_commands_act_as_the_same();
}

impl Stage {
    fn acts_in_its_namespace_alone(&self, admin: &Path) {
        let (code, _, complaint) = self.direct(admin, &["create", "namespace", "dev"]);
        assert_eq!(code, Some(0), "{complaint}");
        for namespace in ["default", "dev"] {
            let create = ["create", "configmap", "before", "-n", namespace];
            assert_eq!(self.direct(admin, &create).0, Some(0));
        }
        let dev = self.file("dev", in_namespace);
        let (code, _, complaint) = self.under_exec(&dev, &["create", "configmap", "made"]);
        assert_eq!(code, Some(0), "{complaint}");
        assert_eq!(self.config_maps("dev"), "before made");
        let (code, _, complaint) = self.under_exec(&dev, &["delete", "cm", "--all"]);
        assert_eq!(code, Some(0), "{complaint}");
        assert_eq!(self.config_maps("dev"), "");
        assert_eq!(self.config_maps("default"), "before");
    }

    /// The context from one file of KUBECONFIG, the user from another, and not the current context.
    fn merged_files_and_another_context(&self) {
        let first = self.file("first", |config| {
            in_namespace(config);
            config["users"] = json!([]);
            config["contexts"][0]["name"] = json!("other");
        });
        let second = self.file("second", |config| {
            impersonate(config);
            config["clusters"] = json!([]);
        });
        let merged = std::env::join_paths([&first, &second]).unwrap();
        let exec = ["exec", "--context", "other", "--", &self.kubectl];
        let mut whoami = kubetoll(&exec);
        let (_, who, complaint) = said(
            whoami
                .args(["auth", "whoami", "-o", "json"])
                .env("KUBECONFIG", &merged),
        );
        assert!(who.contains("\"jane\""), "{who} {complaint}");
        let mut get = kubetoll(&exec);
        let get = get.args(["get", "configmaps"]).env("KUBECONFIG", &merged);
        let (_, _, complaint) = said(get);
        assert!(
            complaint.contains("in the namespace \"dev\""),
            "{complaint}"
        );
    }

    fn a_rewritten_kubeconfig_keeps_both(&self) {
        let certificates = self.dir.path().join("tls");
        let certs = ["certs", "--out", certificates.to_str().unwrap()];
        assert_eq!(said(&mut kubetoll(&certs)).0, Some(0));
        let jane = self.file("jane-in-dev", |config| {
            impersonate(config);
            in_namespace(config);
        });
        let upstream = format!("kubeconfig:{}", jane.display());
        let proxy = ProxyProcess::launch(&certificates, &["--upstream", &upstream]);
        let (ca, through) = (certificates.join("ca.crt"), self.dir.path().join("through"));
        let mut rewrite = kubetoll(&["kubeconfig", "--through", &proxy.url]);
        rewrite.arg("--ca").arg(ca).arg("--kubeconfig").arg(&jane);
        let (code, _, complaint) = said(rewrite.arg("--out").arg(&through));
        assert_eq!(code, Some(0), "{complaint}");
        for arguments in [
            &["auth", "whoami", "-o", "json"][..],
            &["get", "configmaps"],
        ] {
            let direct = self.direct(&jane, arguments);
            assert_eq!(direct, self.direct(&through, arguments));
        }
    }

    /// The driver's own client sends the same headers: the API server's log has all four.
    fn own_commands_act_as_the_same(&self) {
        let jane = self.file("jane-again", impersonate);
        let status = ["status", "--kubeconfig", jane.to_str().unwrap()];
        let (code, _, complaint) = said(&mut kubetoll(&status));
        assert_ne!(code, Some(0));
        assert_line(
            &complaint,
            "kubetoll: you may not list kubevirts.kubevirt.io; what is missing, as rules of a \
             ClusterRole:",
        );
        let log = fs::read_to_string(self.cluster.audit_log()).unwrap();
        let own = log.lines().filter_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let asks = event["requestURI"].as_str()?;
            // kubectl asks who it is, the driver what it may.
            let is_own = asks.contains("/selfsubjectaccess") || asks.contains("/selfsubjectrules");
            is_own.then_some(event)
        });
        let own: Vec<_> = own.collect();
        assert!(!own.is_empty());
        for event in own {
            let user = &event["impersonatedUser"];
            assert_eq!(
                (&user["username"], &user["uid"]),
                (&json!("jane"), &json!("4711"))
            );
            assert_eq!(user["extra"]["example.com/scopes"], json!(["view", "edit"]));
            assert!(
                user["groups"]
                    .as_array()
                    .unwrap()
                    .contains(&json!("testers"))
            );
        }
    }
}

/// A field that says who acts or where, and that `exec` can't follow.
type Case = (&'static str, fn(&mut Value));

const V1: &str = "client.authentication.k8s.io/v1";

const REFUSED: [Case; 25] = [
    (
        "cluster.proxy-url must begin with http://, https:// or socks5://",
        |config| {
            cluster(config)["proxy-url"] = json!("ftp://127.0.0.1:1");
        },
    ),
    (
        "the kubeconfig's cluster.server has a query, which kubectl drops: take it out",
        |config| {
            cluster(config)["server"] = json!("https://127.0.0.1:1/a?b=c");
        },
    ),
    (
        "the kubeconfig's cluster.server has no https://, so that kubectl speaks to it without TLS and without a credential: exec can't stand before it",
        |config| {
            cluster(config)["server"] = json!("http://127.0.0.1:1");
        },
    ),
    (
        "the kubeconfig's cluster.server names a user, which is not supported",
        |config| {
            cluster(config)["server"] = json!("https://me:Pass@127.0.0.1:1");
        },
    ),
    ("the kubeconfig's cluster has no server", |config| {
        cluster(config)["server"] = json!("")
    }),
    (
        "the kubeconfig's cluster.insecure-skip-tls-verify stands beside a certificate-authority: take one out",
        |config| {
            cluster(config)["insecure-skip-tls-verify"] = json!(true);
        },
    ),
    (
        "the kubeconfig's cluster.certificate-authority and cluster.certificate-authority-data are both there: take one out",
        |config| {
            cluster(config)["certificate-authority"] = json!("/nowhere");
        },
    ),
    (
        "the kubeconfig's cluster.certificate-authority-data is not base64",
        |config| {
            cluster(config)["certificate-authority-data"] = json!("Pass!");
        },
    ),
    (
        "the kubeconfig's user.as-scopes is not known here, and could change who acts or where: take it out",
        |config| user(config)["as-scopes"] = json!(["all"]),
    ),
    (
        "the kubeconfig's context.tenant is not known here, and could change who acts or where: take it out",
        |config| {
            config["contexts"][0]["context"]["tenant"] = json!("a");
        },
    ),
    (
        "the kubeconfig's cluster.shard is not known here, and could change who acts or where: take it out",
        |config| {
            cluster(config)["shard"] = json!("a");
        },
    ),
    (
        "the kubeconfig's user.exec.profile is not known here, and could change who acts or where: take it out",
        |config| {
            *user(config) = json!({"exec": {"command": "true", "profile": "a"}});
        },
    ),
    (
        "the kubeconfig's user.token is not of the kind that Kubernetes has for it",
        |config| {
            user(config)["token"] = json!(["Pass"]);
        },
    ),
    (
        "the kubeconfig's user.as-groups is there without `as`",
        |config| {
            user(config)["as-groups"] = json!(["a"]);
        },
    ),
    (
        "the kubeconfig's user has a password and a token: only one can count",
        |config| user(config)["username"] = json!("a"),
    ),
    (
        "the kubeconfig's user.client-certificate has no client-key",
        |config| {
            user(config)["client-certificate-data"] = json!("YQ==");
        },
    ),
    (
        "the kubeconfig's user.client-key and user.client-key-data are both there: take one out",
        |config| {
            user(config)["client-certificate-data"] = json!("YQ==");
            user(config)["client-key-data"] = json!("YQ==");
            user(config)["client-key"] = json!("/nowhere");
        },
    ),
    (
        "the exec plugin echo gave no token and no certificate",
        |config| {
            let gives = json!({"kind": "ExecCredential", "apiVersion": V1, "status": {}});
            *user(config) = json!({"exec": {"command": "echo", "args": [gives.to_string()],
            "apiVersion": V1, "interactiveMode": "Never"}});
        },
    ),
    (
        "the exec plugin echo printed no ExecCredential of client.authentication.k8s.io/v1",
        |config| {
            let gives =
                json!({"kind": "ExecCredential", "apiVersion": "v1", "status": {"token": "a"}});
            *user(config) = json!({"exec": {"command": "echo", "args": [gives.to_string()],
            "apiVersion": V1, "interactiveMode": "Never"}});
        },
    ),
    (
        "the exec plugin true has interactiveMode Always, and standard input is no terminal",
        |config| {
            *user(config) = json!({"exec": {"command": "true", "apiVersion": V1,
            "interactiveMode": "Always"}});
        },
    ),
    (
        "the kubeconfig's user.exec has no interactiveMode, which client.authentication.k8s.io/v1 needs",
        |config| {
            *user(config) = json!({"exec": {"command": "true", "apiVersion": V1}});
        },
    ),
    (
        "the kubeconfig's user.exec.apiVersion must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1",
        |config| {
            *user(config) = json!({"exec": {"command": "true",
            "apiVersion": "client.authentication.k8s.io/v1alpha1"}});
        },
    ),
    (
        "the exec plugin /nowhere/plugin can't be run: No such file or directory (os error 2); the kubeconfig's installHint: get it",
        |config| {
            *user(config) = json!({"exec": {"command": "/nowhere/plugin", "apiVersion": V1,
            "interactiveMode": "Never", "installHint": "get it"}});
        },
    ),
    (
        "the kubeconfig's user.auth-provider gcp is gone from Kubernetes: use its exec plugin",
        |config| {
            *user(config) = json!({"auth-provider": {"name": "gcp", "config": {}}});
        },
    ),
    (
        "the kubeconfig's user.auth-provider oidc has no id-token: let kubectl get one by any call, then run this again",
        |config| {
            let provider = json!({"name": "oidc", "config": {"refresh-token": "Pass"}});
            *user(config) = json!({"auth-provider": provider});
        },
    ),
];

fn cluster(config: &mut Value) -> &mut Value {
    &mut config["clusters"][0]["cluster"]
}

fn user(config: &mut Value) -> &mut Value {
    &mut config["users"][0]["user"]
}

#[test]
fn what_exec_cannot_follow_is_refused_by_its_name_and_nothing_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let authority = identity::mint::Authority::new("nobody").unwrap();
    let token = Credential::Token("secret".to_owned());
    let ca = authority.certificate_pem();
    let good = kubeconfig("https://127.0.0.1:1", ca.as_bytes(), &token);
    let (file, ran) = (dir.path().join("config"), dir.path().join("ran"));
    let exec = |config: &Value| {
        write(&file, config);
        let exec = [
            "exec",
            "--allow-no-calls",
            "--kubeconfig",
            file.to_str().unwrap(),
            "--",
            "touch",
        ];
        said(kubetoll(&exec).arg(&ran).stdin(std::process::Stdio::null()))
    };
    for (words, change) in REFUSED {
        let mut config = good.clone();
        change(&mut config);
        let (code, _, complaint) = exec(&config);
        assert_eq!(code, Some(1), "{words}: {complaint}");
        assert_line(&complaint, &format!("kubetoll: {words}"));
        assert!(!complaint.contains("Pass"), "{complaint}");
        assert!(!ran.exists(), "{words}");
    }
    exec(&good);
    assert!(ran.exists(), "without such a field it is run");
}

/// Which of several credentials counts, and what a plugin is told, is as client-go has it.
#[test]
fn a_plugin_is_told_of_the_cluster_and_asked_only_where_nothing_else_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let authority = identity::mint::Authority::new("nobody").unwrap();
    let unused = Credential::Token("given".to_owned());
    let ca = authority.certificate_pem();
    let mut config = kubeconfig("https://127.0.0.1:1", ca.as_bytes(), &unused);
    let told = dir.path().join("told");
    let script = format!(
        "printf %s \"$KUBERNETES_EXEC_INFO\" > {}; echo '{{\"kind\":\"ExecCredential\",\
         \"apiVersion\":\"{V1}\",\"status\":{{\"token\":\"t\"}}}}'",
        told.display()
    );
    let plugin = json!({
        "command": "sh", "args": ["-c", script], "interactiveMode": "Never",
        "apiVersion": V1, "provideClusterInfo": true,
    });
    config["clusters"][0]["cluster"]["extensions"] = json!([
        {"name": "client.authentication.k8s.io/exec", "extension": {"tenant": "blue"}},
    ]);
    user(&mut config)["exec"] = plugin;
    let file = dir.path().join("config");
    let exec = [
        "exec",
        "--allow-no-calls",
        "--kubeconfig",
        file.to_str().unwrap(),
        "--",
        "true",
    ];
    write(&file, &config);
    assert_eq!(said(&mut kubetoll(&exec)).0, Some(0));
    assert!(!told.exists(), "a token comes before a plugin");
    user(&mut config)["token"] = json!("");
    write(&file, &config);
    assert_eq!(said(&mut kubetoll(&exec)).0, Some(0));
    let info: Value = serde_json::from_slice(&fs::read(&told).unwrap()).unwrap();
    let cluster = &info["spec"]["cluster"];
    assert_eq!(cluster["server"], "https://127.0.0.1:1");
    assert_eq!(cluster["config"]["tenant"], "blue");
    let given = &config["clusters"][0]["cluster"]["certificate-authority-data"];
    assert_eq!(&cluster["certificate-authority-data"], given);
    let mut rewrite = kubetoll(&["kubeconfig", "--through", "https://127.0.0.1:1", "--ca"]);
    let of_proxy = dir.path().join("ca.crt");
    fs::write(&of_proxy, ca).unwrap();
    rewrite.arg(of_proxy).arg("--kubeconfig").arg(&file);
    let (code, _, complaint) = said(&mut rewrite);
    assert_eq!(code, Some(1));
    assert_line(
        &complaint,
        "kubetoll: the user kubetoll has exec.provideClusterInfo: its plugin would be told of the \
         proxy instead of the cluster. `kubetoll exec -- COMMAND` works with it",
    );
}
