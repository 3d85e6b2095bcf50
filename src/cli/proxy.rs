//! `kubetoll-proxy`: flags, environment and file, and what they mean together.

use std::{
    fmt::Write as _,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use jiff::SignedDuration;
use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{
    exit::{self, Exit},
    log,
};
use crate::{
    admin::{self, Admin},
    identity::{
        self, IdentityError,
        server::ServingCertificate,
        upstream::{CaSource, Upstream},
    },
    proxy::{self, Dialer, Listener, Options, Proxy},
};

/// Waiting connections of a listener.
const BACKLOG: u32 = 1024;
/// How often certificate and CA files are read again: a mounted Secret changes by a link.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
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
    listen: Option<SocketAddr>,
    /// Address of /metrics, /readyz, /livez and /snapshot, in plain HTTP.
    #[arg(long, env = "KUBETOLL_ADMIN", value_name = "HOST:PORT")]
    admin: Option<SocketAddr>,
    /// The API server: https://HOST:PORT, `in-cluster`, or `kubeconfig:FILE` (server and CA of
    /// the current context, never its credential).
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
    /// Component that all requests are counted for; otherwise each client's token or user agent
    /// names it.
    #[arg(long, env = "KUBETOLL_COMPONENT", value_name = "NAME")]
    component: Option<String>,
    /// Worker threads; by default one for each CPU that the process may use.
    #[arg(long, env = "KUBETOLL_THREADS", value_name = "N")]
    threads: Option<usize>,
    /// File with the bearer token that /snapshot and /runs ask for. Needed where the admin
    /// address is not loopback.
    #[arg(long, env = "KUBETOLL_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Most downstream connections at once [default: 10000].
    #[arg(long, env = "KUBETOLL_CONNECTIONS_MAX", value_name = "N")]
    connections_max: Option<usize>,
    /// How long requests in flight may take after SIGTERM [default: 10s].
    #[arg(long, env = "KUBETOLL_DRAIN", value_name = "DURATION")]
    drain: Option<SignedDuration>,
    /// Form of the log on stderr; RUST_LOG sets its level [default: text].
    #[arg(long, env = "KUBETOLL_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// YAML file with any of these options by their names, such as `upstream-ca: FILE`. Flags
    /// come before the environment, and that before the file.
    #[arg(long, env = "KUBETOLL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LogFormat {
    Text,
    Json,
}

/// The same options in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct ProxyFile {
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    upstream: Option<String>,
    upstream_ca: Option<PathBuf>,
    upstream_server_name: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    component: Option<String>,
    threads: Option<usize>,
    admin_token_file: Option<PathBuf>,
    connections_max: Option<usize>,
    drain: Option<SignedDuration>,
    log_format: Option<LogFormat>,
}

/// What a proxy needs to run.
struct Config {
    listen: SocketAddr,
    admin: SocketAddr,
    upstream: Upstream,
    certificate: Arc<ServingCertificate>,
    dialer: Dialer,
    options: Options,
    admin_token: Option<String>,
}

/// Runs the proxy until SIGTERM or Ctrl-C.
pub fn run(args: ProxyArgs) -> Exit {
    identity::install_provider();
    let file = match read_config(args.config.as_deref()) {
        Ok(file) => file,
        Err(message) => return usage(&[message]),
    };
    let args = args.or(file);
    log_to_stderr(args.log_format);
    let threads = args.threads;
    let config = match args.resolve() {
        Ok(config) => config,
        Err(errors) => return usage(&errors),
    };
    set_process_limits();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads.max(1));
    }
    let served = runtime
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("kubetoll-proxy: {error}");
            Exit::Failed
        }
    }
}

fn usage(errors: &[String]) -> Exit {
    for error in errors {
        eprintln!("kubetoll-proxy: {error}");
    }
    eprintln!("kubetoll-proxy: --help explains the options");
    Exit::Usage
}

async fn serve(config: Config) -> io::Result<()> {
    let tcp = bind(config.listen)?;
    let admin_tcp = bind(config.admin)?;
    let (listen, admin_address) = (tcp.local_addr()?, admin_tcp.local_addr()?);
    let tls = config
        .certificate
        .server_config()
        .map_err(io::Error::other)?;
    let mut options = config.options;
    options.connections_max = connections_within_descriptors(options.connections_max);
    let proxy = Proxy::new(config.dialer, options);
    let instance = format!("{:032x}", rand::random::<u128>());
    let admin = Admin::new(Arc::clone(&proxy), instance, config.admin_token.as_deref());
    let (stop, stop_admin) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(admin::serve(admin_tcp, admin, stop_admin.clone()));
    tokio::spawn(reload(
        Arc::clone(&proxy),
        config.upstream,
        config.certificate,
    ));
    let stopped = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("draining");
        stopped.cancel();
        wait_for_signal().await;
        std::process::exit(Exit::Failed.code().into());
    });
    tracing::info!(%listen, admin = %admin_address, upstream = %proxy.dialer.uri(), "ready");
    proxy::serve(Listener { tcp, tls }, proxy, stop).await;
    stop_admin.cancel();
    Ok(())
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

pub(super) async fn wait_for_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot listen for signals");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Reads the serving certificate and the upstream's CA again, as long as the process lives.
async fn reload(proxy: Arc<Proxy>, upstream: Upstream, certificate: Arc<ServingCertificate>) {
    let mut known_ca = upstream.ca.content().ok();
    loop {
        sleep(RELOAD_EVERY).await;
        match certificate.reload() {
            Ok(true) => tracing::info!("new serving certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "keeping the serving certificate"),
        }
        let ca = upstream.ca.content().ok();
        if ca.is_none() || ca == known_ca {
            continue;
        }
        match upstream.client_config(None) {
            Ok(tls) => {
                proxy.dialer.reconfigure(tls);
                known_ca = ca;
                tracing::info!("new CA of the upstream");
            }
            Err(error) => tracing::error!(%error, "keeping the upstream's CA"),
        }
    }
}

fn log_to_stderr(format: Option<LogFormat>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        Some(LogFormat::Json) => lines.json().finish().with(filter_fn(log::is_safe)).init(),
        Some(LogFormat::Text) | None => lines.finish().with(filter_fn(log::is_safe)).init(),
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

fn read_config(path: Option<&Path>) -> Result<ProxyFile, String> {
    let Some(path) = path else {
        return Ok(ProxyFile::default());
    };
    let text = fs::read_to_string(path)
        .map_err(|error| format!("--config {}: {error}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("--config {}: {error}", path.display()))
}

impl ProxyArgs {
    /// Fills what was not given from the file.
    fn or(self, file: ProxyFile) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            admin: self.admin.or(file.admin),
            upstream: self.upstream.or(file.upstream),
            upstream_ca: self.upstream_ca.or(file.upstream_ca),
            upstream_server_name: self.upstream_server_name.or(file.upstream_server_name),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            component: self.component.or(file.component),
            threads: self.threads.or(file.threads),
            admin_token_file: self.admin_token_file.or(file.admin_token_file),
            connections_max: self.connections_max.or(file.connections_max),
            drain: self.drain.or(file.drain),
            log_format: self.log_format.or(file.log_format),
            config: self.config,
        }
    }

    /// What is meant, or everything that is wrong with it.
    fn resolve(self) -> Result<Config, Vec<String>> {
        let mut errors = Errors::default();
        let listen = errors.need("--listen HOST:PORT", self.listen);
        let admin = errors.need("--admin HOST:PORT", self.admin);
        let certificate_file = errors.need("--tls-cert FILE", self.tls_cert.clone());
        let key_file = errors.need("--tls-key FILE", self.tls_key.clone());
        let certificate = certificate_file
            .zip(key_file)
            .and_then(|(certificate, key)| {
                errors.take(
                    "--tls-cert, --tls-key",
                    ServingCertificate::from_files(&certificate, &key),
                )
            });
        let upstream = self.resolve_upstream(&mut errors);
        let dialer = upstream.as_ref().and_then(|upstream| {
            let tls = errors.take("--upstream-ca", upstream.client_config(None))?;
            let dialer = Dialer::new(&upstream.url, upstream.server_name.as_deref(), tls);
            errors.take("--upstream", dialer)
        });
        let admin_token = self.resolve_admin_token(&mut errors);
        let options = self.resolve_options(&mut errors);
        let (Some(listen), Some(admin), Some(certificate)) = (listen, admin, certificate) else {
            return Err(errors.0);
        };
        match (upstream, dialer) {
            (Some(upstream), Some(dialer)) if errors.0.is_empty() => Ok(Config {
                listen,
                admin,
                upstream,
                certificate,
                dialer,
                options,
                admin_token,
            }),
            _ => Err(errors.0),
        }
    }

    fn resolve_upstream(&self, errors: &mut Errors) -> Option<Upstream> {
        let given = errors.need("--upstream WHERE", self.upstream.clone())?;
        let found = match given.split_once(':') {
            None if given == "in-cluster" => Upstream::in_cluster(),
            Some(("kubeconfig", file)) => Upstream::from_kubeconfig(Path::new(file)),
            _ => {
                let ca = errors.need("--upstream-ca FILE", self.upstream_ca.clone())?;
                Ok(Upstream {
                    url: given,
                    ca: CaSource::File(ca),
                    server_name: None,
                })
            }
        };
        let mut upstream = errors.take::<_, IdentityError>("--upstream", found)?;
        if let Some(ca) = &self.upstream_ca {
            upstream.ca = CaSource::File(ca.clone());
        }
        if self.upstream_server_name.is_some() {
            upstream.server_name.clone_from(&self.upstream_server_name);
        }
        Some(upstream)
    }

    fn resolve_admin_token(&self, errors: &mut Errors) -> Option<String> {
        if let Some(file) = &self.admin_token_file {
            let token = errors.take("--admin-token-file", identity::read_token(file))?;
            return Some(token);
        }
        if self.admin.is_some_and(|admin| !admin.ip().is_loopback()) {
            errors.0.push(
                "--admin is not a loopback address: give --admin-token-file, since /snapshot and \
                 /runs tell names of objects"
                    .to_owned(),
            );
        }
        None
    }

    fn resolve_options(&self, errors: &mut Errors) -> Options {
        let default = Options::default();
        let drain = self.drain.map(Duration::try_from).transpose();
        let component = self.component.as_deref();
        if component
            .is_some_and(|name| name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()))
        {
            errors
                .0
                .push("--component must be a name without spaces".to_owned());
        }
        Options {
            component: component.map(Arc::from),
            connections_max: self.connections_max.unwrap_or(default.connections_max),
            drain: errors
                .take("--drain", drain)
                .flatten()
                .unwrap_or(default.drain),
            gate: None,
        }
    }
}

/// Collects everything that is wrong, so that it can be told at once.
#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    fn need<T>(&mut self, what: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("{what} is missing"));
        }
        value
    }

    fn take<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|error| {
                let mut message = String::new();
                let _ = write!(message, "{what}: {error}");
                self.0.push(message);
            })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ProxyFile, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_that_unpacks_to_gigabytes_is_refused() {
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (one, next) in ('a'..='y').zip('b'..='z') {
            let references = vec![format!("*{one}"); 9].join(", ");
            bomb.push_str(&format!("{next}: &{next} [{references}]\n"));
        }
        assert!(parse(&bomb).is_err());
        assert!(parse(&format!("listen: {}", "[".repeat(100_000))).is_err());
    }

    proptest! {
        #[test]
        fn no_configuration_panics(
            text in "((listen|admin|upstream|tls-cert|drain|threads|log-format|[a-z]{1,5}): ?(127.0.0.1:1|[0-9]{1,20}|-1|10s|json|[\\[{&*!|>'\"%]|\\PC{0,8})\n|\\PC{0,12}\n){0,6}",
        ) {
            let _ = parse(&text);
        }
    }
}
