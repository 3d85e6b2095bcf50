//! `kubetoll-proxy`: flags, environment and file, and what they mean together.

mod file;
mod reload;
mod resolve;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{Parser, ValueEnum};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{
    Listener, Proxy,
    admin::{self, Admin},
};
use reload::Reloader;
use resolve::Config;
use terminal::{
    exit::{self, Exit},
    log,
    signal::asked_to_end,
    tell,
};

/// Waiting connections of a listener.
const BACKLOG: u32 = 1024;
/// The admin port's connections, listeners, files that are read again.
const DESCRIPTORS_RESERVED: usize = 128;
/// The connection itself, one upstream, and one that is being exchanged for another.
const DESCRIPTORS_PER_CONNECTION: usize = 3;

/// A transparent HTTPS proxy in front of kube-apiserver that counts every call.
///
/// Put it between a component and kube-apiserver, as a sidecar or by a kubeconfig: it forwards
/// each request byte for byte, adds no credential, and counts what the request was (verb,
/// resource, subresource, code) and who made it. Its admin port gives the counts out.
#[derive(Debug, Parser)]
#[command(name = "kubetoll-proxy", version, after_help = exit::HELP)]
pub struct ProxyArgs {
    /// Address for the components' HTTPS connections.
    #[arg(long, env = "KUBETOLL_LISTEN", value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Address of /metrics, /readyz, /livez, /snapshot and /runs, in plain HTTP.
    #[arg(long, env = "KUBETOLL_ADMIN", value_name = "HOST:PORT")]
    admin: Option<String>,
    /// The API server: https://HOST:PORT (several addresses with commas: one that can't be reached
    /// is passed over), `in-cluster`, or `kubeconfig:FILE` (server and CA of the current context,
    /// never its credential).
    #[arg(long, env = "KUBETOLL_UPSTREAM", value_name = "WHERE")]
    upstream: Option<String>,
    /// PEM file of the CA that signed the API server's certificate.
    #[arg(long, env = "KUBETOLL_UPSTREAM_CA", value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// Name that the API server's certificate must have, if it isn't the upstream's host.
    #[arg(long, env = "KUBETOLL_UPSTREAM_SERVER_NAME", value_name = "NAME")]
    upstream_server_name: Option<String>,
    /// PEM file of the serving certificate, leaf first. Read again when it changes.
    #[arg(long, env = "KUBETOLL_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the serving certificate's key.
    #[arg(long, env = "KUBETOLL_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// PEM file of a client certificate that the API server takes from an authenticating proxy
    /// (its --requestheader-client-ca-file signed it). With it, clients that come with a
    /// certificate of --client-ca pass: the API server is told by X-Remote-User and
    /// X-Remote-Group who they are. Whoever holds this key can be any user of the cluster.
    #[arg(long, env = "KUBETOLL_FRONT_PROXY_CERT", value_name = "FILE")]
    front_proxy_cert: Option<PathBuf>,
    /// PEM file of the key of --front-proxy-cert.
    #[arg(long, env = "KUBETOLL_FRONT_PROXY_KEY", value_name = "FILE")]
    front_proxy_key: Option<PathBuf>,
    /// PEM file of the CA that signs the certificates of the cluster's users (the API server's
    /// --client-ca-file).
    #[arg(long, env = "KUBETOLL_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Server name whose connections pass through as bytes, for clients with a certificate; they
    /// are counted as connections only. Repeatable, or with commas.
    #[arg(
        long,
        env = "KUBETOLL_SNI_PASSTHROUGH",
        value_name = "NAME",
        value_delimiter = ','
    )]
    sni_passthrough: Vec<String>,
    /// Component that all requests are counted for; otherwise each client's token or user agent
    /// names it.
    #[arg(long, env = "KUBETOLL_COMPONENT", value_name = "NAME")]
    component: Option<String>,
    /// Worker threads; by default one for each CPU that the process may use.
    #[arg(long, env = "KUBETOLL_THREADS", value_name = "N")]
    threads: Option<String>,
    /// File with the bearer token that /snapshot and /runs ask for. Needed where the admin
    /// address is not loopback.
    #[arg(long, env = "KUBETOLL_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
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
    compat_metrics: Option<String>,
    /// Most downstream connections at once [default: 10000].
    #[arg(long, env = "KUBETOLL_CONNECTIONS_MAX", value_name = "N")]
    connections_max: Option<String>,
    /// How long requests in flight may take after SIGTERM [default: 10s].
    #[arg(long, env = "KUBETOLL_DRAIN", value_name = "DURATION")]
    drain: Option<String>,
    /// Within which time after SIGTERM watches end, each at a moment of its own; their clients
    /// come back where they were [default: 5s].
    #[arg(long, env = "KUBETOLL_WATCH_DRAIN", value_name = "DURATION")]
    watch_drain: Option<String>,
    /// How long to serve on after SIGTERM while /readyz says no, so that a Service stops sending
    /// clients [default: 0s].
    #[arg(long, env = "KUBETOLL_SHUTDOWN_DELAY", value_name = "DURATION")]
    shutdown_delay: Option<String>,
    /// Form of the log on stderr; RUST_LOG sets its level [default: text].
    #[arg(long, env = "KUBETOLL_LOG_FORMAT", value_name = "text|json")]
    log_format: Option<String>,
    /// YAML file with any of these options by their names, such as `upstream-ca: FILE`. Flags
    /// come before the environment, and that before the file.
    #[arg(long, env = "KUBETOLL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs the proxy until SIGTERM or Ctrl-C.
pub fn run(args: ProxyArgs) -> Exit {
    identity::install_provider();
    let config = match args.resolve() {
        Ok(config) => config,
        Err(errors) => return usage(&errors),
    };
    log_to_stderr(config.log_format);
    set_process_limits();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        runtime.worker_threads(threads.max(1));
    }
    let served = runtime
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tell!("kubetoll-proxy: {error}");
            Exit::Failed
        }
    }
}

fn usage(errors: &[String]) -> Exit {
    for error in errors {
        tell!("kubetoll-proxy: {error}");
    }
    tell!("kubetoll-proxy: --help explains the options");
    Exit::Usage
}

async fn serve(config: Config) -> io::Result<()> {
    let tcp = bind(config.listen)?;
    let admin_tcp = bind(config.admin)?;
    let (listen, admin_address) = (tcp.local_addr()?, admin_tcp.local_addr()?);
    let tls = config
        .certificate
        .server_config(&config.clients)
        .map_err(io::Error::other)?;
    let mut options = config.options;
    options.connections_max = connections_within_descriptors(options.connections_max);
    let proxy = Proxy::with_front_proxy(config.dialer, config.front_proxy, options);
    let instance = format!("{:032x}", rand::random::<u128>());
    let admin_options = admin::Options {
        instance,
        token: config.admin_token.as_ref().map(|(token, _)| token.clone()),
        compat_metrics: config.compat_metrics,
    };
    let admin = Admin::new(Arc::clone(&proxy), admin_options);
    let (stop, stop_admin) = (CancellationToken::new(), CancellationToken::new());
    admin::serve(admin_tcp, Arc::clone(&admin), stop_admin.clone())?;
    let reloader = Reloader {
        proxy: Arc::clone(&proxy),
        admin,
        admin_token: config.admin_token.map(|(_, file)| file),
        certificate: config.certificate,
        clients: config.clients,
        upstream: config.upstream,
        front_proxy: config.front_proxy_files,
    };
    reloader.note_ends();
    tokio::spawn(reloader.run());
    tokio::spawn(stop_on_signal(
        Arc::clone(&proxy),
        config.shutdown_delay,
        stop.clone(),
    ));
    tracing::info!(%listen, admin = %admin_address, upstream = %proxy.dialer.urls(), "ready");
    crate::serve(Listener { tcp, tls }, proxy, stop).await;
    stop_admin.cancel();
    Ok(())
}

/// The first signal drains, the second ends the process at once.
async fn stop_on_signal(proxy: Arc<Proxy>, delay: Duration, stop: CancellationToken) {
    asked_to_end().await;
    tracing::info!("draining");
    proxy.leave();
    tokio::select! {
        () = sleep(delay) => stop.cancel(),
        () = asked_to_end() => {}
    }
    if stop.is_cancelled() {
        asked_to_end().await;
    }
    std::process::exit(Exit::Failed.code().into());
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false); // on a standard error that nobody reads it would panic
    match format {
        LogFormat::Json => lines.json().finish().with(filter_fn(log::is_safe)).init(),
        LogFormat::Text => lines.finish().with(filter_fn(log::is_safe)).init(),
    }
}

/// Go raises its soft limit of open files by itself; a proxy needs descriptors as much. A core
/// would hold the tokens of all clients.
fn set_process_limits() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    for (resource, most) in [(Resource::Nofile, None), (Resource::Core, Some(0))] {
        let mut limit = getrlimit(resource);
        limit.current = most.or(limit.maximum);
        if let Err(error) = setrlimit(resource, limit) {
            tracing::warn!(?resource, %error, "cannot set a limit of the process");
        }
    }
}

/// As many connections as there are descriptors for, with some left for the admin port and files.
fn connections_within_descriptors(wanted: usize) -> usize {
    use rustix::process::{Resource, getrlimit};
    let Some(descriptors) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let reserve = DESCRIPTORS_RESERVED.min(descriptors / 2);
    let possible = (descriptors - reserve) / DESCRIPTORS_PER_CONNECTION;
    if possible < wanted {
        tracing::warn!(
            descriptors,
            connections = possible,
            "fewer connections than configured"
        );
    }
    wanted.min(possible.max(1))
}
