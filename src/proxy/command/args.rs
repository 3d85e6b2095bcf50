//! The flags of `kubetoll-proxy`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use terminal::exit;

/// A transparent HTTPS proxy in front of kube-apiserver that counts every call.
///
/// Put it between a component and kube-apiserver, as a sidecar or by a kubeconfig: it forwards
/// each request byte for byte, adds no credential, and counts what the request was (verb,
/// resource, subresource, code) and who made it. Its admin port gives the counts out.
#[derive(Debug, Parser)]
#[command(name = "kubetoll-proxy", version, after_help = exit::HELP)]
pub struct ProxyArgs {
    /// Address for the components' HTTPS connections: an IP address or a name and a port, or :PORT
    /// for all addresses of this machine.
    #[arg(long, env = "KUBETOLL_LISTEN", value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,
    /// The same for /metrics, /readyz, /livez, /snapshot, /runs and /requests, in plain HTTP.
    #[arg(long, env = "KUBETOLL_ADMIN", value_name = "HOST:PORT")]
    pub(super) admin: Option<String>,
    /// The API server: https://HOST:PORT (several addresses with commas: one that can't be reached
    /// is passed over), `in-cluster`, or `kubeconfig:FILE` (server and CA of the current context,
    /// never its credential).
    #[arg(long, env = "KUBETOLL_UPSTREAM", value_name = "WHERE")]
    pub(super) upstream: Option<String>,
    /// PEM file of the CA that signed the API server's certificate.
    #[arg(long, env = "KUBETOLL_UPSTREAM_CA", value_name = "FILE")]
    pub(super) upstream_ca: Option<PathBuf>,
    /// Name that the API server's certificate must have, if it isn't the upstream's host.
    #[arg(long, env = "KUBETOLL_UPSTREAM_SERVER_NAME", value_name = "NAME")]
    pub(super) upstream_server_name: Option<String>,
    /// PEM file of the serving certificate, leaf first. Read again when it changes.
    #[arg(long, env = "KUBETOLL_TLS_CERT", value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// PEM file of the serving certificate's key.
    #[arg(long, env = "KUBETOLL_TLS_KEY", value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// PEM file of a client certificate that the API server takes from an authenticating proxy
    /// (its --requestheader-client-ca-file signed it). With it, clients that come with a
    /// certificate of --client-ca pass: the API server is told by X-Remote-User and
    /// X-Remote-Group who they are. Whoever holds this key can be any user of the cluster.
    #[arg(long, env = "KUBETOLL_FRONT_PROXY_CERT", value_name = "FILE")]
    pub(super) front_proxy_cert: Option<PathBuf>,
    /// PEM file of the key of --front-proxy-cert.
    #[arg(long, env = "KUBETOLL_FRONT_PROXY_KEY", value_name = "FILE")]
    pub(super) front_proxy_key: Option<PathBuf>,
    /// PEM file of the CA that signs the certificates of the cluster's users (the API server's
    /// --client-ca-file).
    #[arg(long, env = "KUBETOLL_CLIENT_CA", value_name = "FILE")]
    pub(super) client_ca: Option<PathBuf>,
    /// Server name whose connections pass through as bytes, for clients with a certificate; they
    /// are counted as connections only. Repeatable, or with commas.
    #[arg(
        long,
        env = "KUBETOLL_SNI_PASSTHROUGH",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(super) sni_passthrough: Vec<String>,
    /// Component that all requests are counted for; otherwise each client's token or user agent
    /// names it.
    #[arg(long, env = "KUBETOLL_COMPONENT", value_name = "NAME")]
    pub(super) component: Option<String>,
    /// Threads that forward requests [default: 1]. One costs the least CPU a request, and serves tens of
    /// thousands of requests a second.
    #[arg(long, env = "KUBETOLL_THREADS", value_name = "N")]
    pub(super) threads: Option<String>,
    /// File with the bearer token that /snapshot, /runs and /requests ask for. Needed where the admin
    /// address is not loopback.
    #[arg(long, env = "KUBETOLL_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(super) admin_token_file: Option<PathBuf>,
    /// Also give out `kubevirt_rest_client_requests_total` in /metrics, counted by KubeVirt's rule
    /// over KubeVirt's components, for dashboards and perfscale-audit [default: false]. Only where
    /// the proxy is scraped apart from the components: beside their own counter it would double
    /// what KubeVirt's alerts and audits see.
    #[arg(
        long,
        env = "KUBETOLL_COMPAT_METRICS",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(super) compat_metrics: Option<String>,
    /// Most downstream connections at once [default: 10000].
    #[arg(long, env = "KUBETOLL_CONNECTIONS_MAX", value_name = "N")]
    pub(super) connections_max: Option<String>,
    /// Most bytes of requests' bodies that are kept, over all connections, to be sent again where
    /// the API server closes a connection (GOAWAY) without having looked at them [default: 64Mi].
    /// A body is kept up to 3 MiB, as much as kube-apiserver takes, until its answer comes.
    #[arg(long, env = "KUBETOLL_RESEND_MEMORY", value_name = "BYTES")]
    pub(super) resend_memory: Option<String>,
    /// Keep the last N requests, to be asked for at any time with `kubetoll journal --proxy`; about
    /// 1 kB of memory each, and at most 1000000. Never more than 4 KiB each on average and 1 GiB in
    /// all: fewer are kept then [default: 0].
    #[arg(long, env = "KUBETOLL_RECORDER", value_name = "N")]
    pub(super) recorder: Option<String>,
    /// Resource, as `configmaps` or `widgets.example.com`, of whose bodies nothing is read for a
    /// journal; of Secrets nothing ever is. Repeatable, or with commas.
    #[arg(
        long,
        env = "KUBETOLL_JOURNAL_NEVER",
        value_name = "RESOURCE",
        value_delimiter = ','
    )]
    pub(super) journal_never: Vec<String>,
    /// How long requests in flight may take after SIGTERM [default: 10s].
    #[arg(long, env = "KUBETOLL_DRAIN", value_name = "DURATION")]
    pub(super) drain: Option<String>,
    /// Within which time after SIGTERM watches end, each at a moment of its own; their clients
    /// come back where they were [default: 5s].
    #[arg(long, env = "KUBETOLL_WATCH_DRAIN", value_name = "DURATION")]
    pub(super) watch_drain: Option<String>,
    /// How long to serve on after SIGTERM while /readyz says no, so that a Service stops sending
    /// clients [default: 0s].
    #[arg(long, env = "KUBETOLL_SHUTDOWN_DELAY", value_name = "DURATION")]
    pub(super) shutdown_delay: Option<String>,
    /// Form of the log on stderr; RUST_LOG sets its level [default: text].
    #[arg(long, env = "KUBETOLL_LOG_FORMAT", value_name = "text|json")]
    pub(super) log_format: Option<String>,
    /// YAML file with any of these options by their names, such as `upstream-ca: FILE`. Flags
    /// come before the environment, and that before the file.
    #[arg(long, env = "KUBETOLL_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}
