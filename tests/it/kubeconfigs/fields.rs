//! The fields of a kubeconfig and its environment, each as a change of one that has none of them.

use serde_json::{Value, json};

use super::stage::{Case, NAME, OTHER_NAME, PREFIX, Stage, encoded};
use crate::support::tunnels::Tunnels;

const V1: &str = "client.authentication.k8s.io/v1";
const V1_BETA: &str = "client.authentication.k8s.io/v1beta1";

/// A field.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Of one kind at most one field is in a case.
    pub(super) kind: Kind,
    pub(super) change: fn(&mut Case, &Stage),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Server,
    Way,
    Login,
    Acting,
    Names,
    Other,
}

use Kind::{Acting, Login, Names, Other, Server, Way};

const fn field(name: &'static str, kind: Kind, change: fn(&mut Case, &Stage)) -> Field {
    Field { name, kind, change }
}

/// All of them.
pub(super) const FIELDS: &[Field] = &[
    field("server with a path", Server, |case, stage| {
        serve(case, stage.below, PREFIX);
    }),
    field("server with a slash", Server, |case, stage| {
        case.cluster()["server"] = json!(format!("{}/", stage.cluster.url()));
    }),
    field("server without a scheme", Server, |case, stage| {
        let url = stage.cluster.url();
        case.cluster()["server"] = json!(url.trim_start_matches("https://"));
    }),
    field("server that is away", Server, |case, _| serve(case, 1, "")),
    field("server with a user", Server, |case, stage| {
        let url = stage.cluster.url().replace("://", "://me:pass@");
        case.cluster()["server"] = json!(url);
    }),
    field("a leaf as CA", Server, |case, stage| {
        serve(case, stage.itself, "");
        case.cluster()["certificate-authority-data"] = encoded(&stage.leaf_pem);
    }),
    field("another CA", Server, |case, stage| {
        case.cluster()["certificate-authority-data"] = encoded(&stage.leaf_pem);
    }),
    field("no CA", Server, |case, stage| {
        without(case.cluster(), "certificate-authority-data");
        case.file("system.pem", &stage.cluster.ca_pem());
        let file = case.folder.join("system.pem").display().to_string();
        case.set("SSL_CERT_FILE", file);
    }),
    field("certificate-authority", Server, |case, stage| {
        without(case.cluster(), "certificate-authority-data");
        case.file("ca.crt", &stage.cluster.ca_pem());
        case.cluster()["certificate-authority"] = json!("ca.crt");
    }),
    field("certificate-authority twice", Server, |case, stage| {
        case.file("ca.crt", &stage.cluster.ca_pem());
        case.cluster()["certificate-authority"] = json!("./ca.crt");
    }),
    field("tls-server-name", Server, |case, stage| {
        serve(case, stage.other, "");
        case.cluster()["tls-server-name"] = json!(OTHER_NAME);
    }),
    field("no tls-server-name", Server, |case, stage| {
        serve(case, stage.other, "")
    }),
    field("insecure-skip-tls-verify", Server, |case, stage| {
        serve(case, stage.itself, "");
        without(case.cluster(), "certificate-authority-data");
        case.cluster()["insecure-skip-tls-verify"] = json!(true);
    }),
    field("insecure-skip-tls-verify and a CA", Server, |case, _| {
        case.cluster()["insecure-skip-tls-verify"] = json!(true);
    }),
    field("proxy-url http", Way, |case, _| {
        through(case, |to| format!("http://127.0.0.1:{}", to.connect));
    }),
    field("proxy-url http with a user", Way, |case, _| {
        through(case, |to| {
            format!("http://me:p%40ss@127.0.0.1:{}", to.connect)
        });
    }),
    field("proxy-url https", Way, |case, _| {
        through(case, |to| format!("https://127.0.0.1:{}", to.connect_tls));
    }),
    field("proxy-url socks5", Way, |case, _| {
        through(case, |to| format!("socks5://127.0.0.1:{}", to.socks5));
    }),
    field("proxy-url socks5 with a user", Way, |case, _| {
        through(case, |to| {
            format!("socks5://me:pass@127.0.0.1:{}", to.socks5)
        });
    }),
    field("proxy-url before a loopback address", Way, |case, _| {
        let url = format!("http://127.0.0.1:{}", case.tunnels.connect);
        case.cluster()["proxy-url"] = json!(url);
        case.set("NO_PROXY", "*");
    }),
    field("proxy-url ftp", Way, |case, _| {
        through(case, |_| "ftp://127.0.0.1:1".to_owned())
    }),
    field("HTTPS_PROXY", Way, |case, _| {
        case.is_named = true;
        case.set(
            "HTTPS_PROXY",
            format!("http://127.0.0.1:{}", case.tunnels.connect),
        );
        case.set("https_proxy", "http://127.0.0.1:1");
        case.set("NO_PROXY", "other.example,10.0.0.0/8");
    }),
    field("https_proxy without a scheme", Way, |case, _| {
        case.is_named = true;
        case.set("https_proxy", format!("127.0.0.1:{}", case.tunnels.connect));
    }),
    field("HTTPS_PROXY socks5", Way, |case, _| {
        case.is_named = true;
        case.set(
            "HTTPS_PROXY",
            format!("socks5://127.0.0.1:{}", case.tunnels.socks5),
        );
        case.set("no_proxy", ".kubernetes.default.svc");
    }),
    field("HTTPS_PROXY before a loopback address", Way, |case, _| {
        case.set(
            "HTTPS_PROXY",
            format!("http://127.0.0.1:{}", case.tunnels.connect),
        );
    }),
    field("NO_PROXY", Way, |case, _| {
        // Nobody knows the name but the proxy: without it the server is away.
        case.is_named = true;
        case.set(
            "HTTPS_PROXY",
            format!("http://127.0.0.1:{}", case.tunnels.connect),
        );
        case.set("NO_PROXY", NAME);
    }),
    field("HTTP_PROXY", Way, |case, _| {
        case.set(
            "HTTP_PROXY",
            format!("http://127.0.0.1:{}", case.tunnels.connect),
        );
    }),
    field("tokenFile", Login, |case, stage| {
        case.file("token", &format!("{}\n", stage.cluster.admin_token()));
        *case.user() = json!({"tokenFile": "token"});
    }),
    field("tokenFile and token", Login, |case, stage| {
        case.file("token", stage.cluster.admin_token());
        *case.user() = json!({"tokenFile": "./token", "token": "old"});
    }),
    field("tokenFile that is missing, and token", Login, |case, _| {
        case.user()["tokenFile"] = json!("missing");
    }),
    field("tokenFile that is missing", Login, |case, _| {
        *case.user() = json!({"tokenFile": "missing"});
    }),
    field("token that is nobody's", Login, |case, _| {
        *case.user() = json!({"token": "nobody"})
    }),
    field("client-certificate-data", Login, |case, stage| {
        *case.user() = json!({
            "client-certificate-data": encoded(&stage.user.certificate_pem),
            "client-key-data": encoded(&stage.user.key_pem),
        });
    }),
    field("client-certificate", Login, |case, stage| {
        case.file("user.crt", &stage.user.certificate_pem);
        case.file("user.key", &stage.user.key_pem);
        *case.user() = json!({"client-certificate": "user.crt", "client-key": "./user.key"});
    }),
    field("client-certificate and token", Login, |case, stage| {
        case.user()["client-certificate-data"] = encoded(&stage.user.certificate_pem);
        case.user()["client-key-data"] = encoded(&stage.user.key_pem);
    }),
    field("client-certificate without a key", Login, |case, stage| {
        *case.user() = json!({"client-certificate-data": encoded(&stage.user.certificate_pem)});
    }),
    field("client-certificate and exec", Login, |case, stage| {
        plugin(
            case,
            V1,
            &json!({"token": stage.cluster.admin_token()}),
            "false",
        );
        case.user()["client-certificate-data"] = encoded(&stage.user.certificate_pem);
        case.user()["client-key-data"] = encoded(&stage.user.key_pem);
    }),
    field("username and password", Login, |case, _| {
        *case.user() = json!({"username": "me", "password": "pass"});
    }),
    field("username and token", Login, |case, _| {
        case.user()["username"] = json!("me")
    }),
    field("exec", Login, |case, stage| {
        plugin(
            case,
            V1,
            &json!({"token": stage.cluster.admin_token()}),
            "true",
        );
    }),
    field("exec and an empty token", Login, |case, stage| {
        plugin(
            case,
            V1,
            &json!({"token": stage.cluster.admin_token()}),
            "true",
        );
        case.user()["token"] = json!("");
    }),
    field("exec and token", Login, |case, stage| {
        plugin(case, V1, &json!({}), "false");
        case.user()["token"] = json!(stage.cluster.admin_token());
    }),
    field("exec of v1beta1", Login, |case, stage| {
        plugin(
            case,
            V1_BETA,
            &json!({"token": stage.cluster.admin_token()}),
            "true",
        );
        without(&mut case.user()["exec"], "interactiveMode");
    }),
    field("exec without interactiveMode", Login, |case, stage| {
        plugin(
            case,
            V1,
            &json!({"token": stage.cluster.admin_token()}),
            "true",
        );
        without(&mut case.user()["exec"], "interactiveMode");
    }),
    field("exec with args and env", Login, |case, stage| {
        let check = "[ \"$1$2$TENANT\" = abblue ]";
        plugin(
            case,
            V1,
            &json!({"token": stage.cluster.admin_token()}),
            check,
        );
        let exec = &mut case.user()["exec"];
        exec["args"] = json!(["a", "b"]);
        exec["env"] = json!([{"name": "TENANT", "value": "blue"}]);
    }),
    field("exec with provideClusterInfo", Login, |case, stage| {
        let status = json!({"token": stage.cluster.admin_token()});
        // Both ways it is told the same: the first tells the second what.
        let told = "f=$(dirname \"$0\")/told; [ -e $f ] || echo \"$info\" > $f; \
            [ \"$info\" = \"$(cat $f)\" ] || { echo \"told otherwise: $info\" >&2; false; }";
        plugin(case, V1, &status, &format!("{{ {}; }}", sorted(told)));
        case.user()["exec"]["provideClusterInfo"] = json!(true);
    }),
    field("exec that gives a certificate", Login, |case, stage| {
        let status = json!({
            "clientCertificateData": stage.user.certificate_pem,
            "clientKeyData": stage.user.key_pem,
        });
        plugin(case, V1, &status, "true");
    }),
    field("exec that gives nothing", Login, |case, _| {
        plugin(case, V1, &json!({}), "true")
    }),
    field("exec that fails", Login, |case, _| {
        plugin(case, V1, &json!({"token": "t"}), "false")
    }),
    field("exec that is missing", Login, |case, _| {
        plugin(case, V1, &json!({"token": "t"}), "true");
        case.user()["exec"]["command"] = json!("./missing");
    }),
    field("auth-provider oidc", Login, |case, stage| {
        let provider = json!({"name": "oidc", "config": {
            "client-id": "c", "idp-issuer-url": "https://127.0.0.1:1", "id-token": stage.id_token,
        }});
        *case.user() = json!({"auth-provider": provider});
    }),
    field("auth-provider gcp", Login, |case, _| {
        *case.user() = json!({"auth-provider": {"name": "gcp", "config": {}}});
    }),
    field("as", Acting, |case, _| case.user()["as"] = json!("jane")),
    field("as-groups", Acting, |case, _| {
        case.user()["as"] = json!("jane");
        case.user()["as-groups"] = json!(["testers", "system:masters"]);
    }),
    field("as-uid and as-user-extra", Acting, |case, _| {
        case.user()["as"] = json!("jane");
        case.user()["as-uid"] = json!("4711");
        case.user()["as-user-extra"] =
            json!({"example.com/Scopes": ["view"], "reason": ["a", "b"]});
    }),
    field("as-groups without as", Acting, |case, _| {
        case.user()["as-groups"] = json!(["testers"])
    }),
    field("names", Names, |case, _| {
        case.config["clusters"][0]["name"] = json!("kind/ä b");
        case.config["users"][0]["name"] = json!("me@kind");
        case.config["contexts"][0]["name"] = json!("kind-kind");
        case.config["current-context"] = json!("kind-kind");
        case.context()["cluster"] = json!("kind/ä b");
        case.context()["user"] = json!("me@kind");
    }),
    field("two files", Names, |case, _| case.is_split = true),
    field("namespace", Other, |case, _| {
        case.context()["namespace"] = json!("dev")
    }),
    field("disable-compression", Other, |case, _| {
        case.cluster()["disable-compression"] = json!(true);
    }),
    field("extensions", Other, |case, _| {
        let extensions = json!([{"name": "kubetoll.test", "extension": {"a": [1, "b"]}}]);
        case.cluster()["extensions"] = extensions.clone();
        case.user()["extensions"] = extensions.clone();
        case.context()["extensions"] = extensions;
        case.config["preferences"] = json!({"colors": true});
    }),
    field("fields that are empty", Other, |case, _| {
        for field in ["tls-server-name", "certificate-authority", "proxy-url"] {
            if case.cluster().get(field).is_none() {
                case.cluster()[field] = json!("");
            }
        }
        for field in ["as", "tokenFile", "client-certificate", "username"] {
            if case.user().get(field).is_none() {
                case.user()[field] = Value::Null;
            }
        }
    }),
];

fn serve(case: &mut Case, port: u16, path: &str) {
    case.cluster()["server"] = json!(format!("https://127.0.0.1:{port}{path}"));
}

fn through(case: &mut Case, url: fn(&Tunnels) -> String) {
    case.is_named = true;
    let url = url(&case.tunnels);
    case.cluster()["proxy-url"] = json!(url);
}

fn plugin(case: &mut Case, version: &str, status: &Value, check: &str) {
    case.plugin(version, status, check);
    *case.user() = json!({"exec": {
        "command": "./plugin", "apiVersion": version, "interactiveMode": "Never",
    }});
}

/// What a plugin is told, whose fields come in any order.
fn sorted(script: &str) -> String {
    format!("info=$(echo \"$info\" | tr ',{{}}' '\\n\\n\\n' | sort); {script}")
}

fn without(value: &mut Value, field: &str) {
    value.as_object_mut().unwrap().remove(field);
}
