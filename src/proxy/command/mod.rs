//! `kubetoll-proxy`: flags, environment and file, and what they mean together.

mod args;
mod errors;
mod file;
mod listen;
mod reload;
mod resolve;

use std::{io, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Listener, Proxy,
    admin::{self, Admin},
};
use args::LogFormat;
pub use args::ProxyArgs;
use reload::Reloader;
use resolve::Config;
use terminal::{colour, exit::Exit, limits, log, signal::asked_to_end, tell};

/// The admin port's connections, listeners, files that are read again.
const DESCRIPTORS_RESERVED: usize = 128;
/// The connection itself, one upstream, and one that is being exchanged for another.
const DESCRIPTORS_PER_CONNECTION: usize = 3;

/// Runs the proxy until SIGTERM or Ctrl-C.
pub fn run(args: ProxyArgs) -> Exit {
    identity::install_provider();
    let config = match args.resolve() {
        Ok(config) => config,
        Err(errors) => return usage(&errors),
    };
    log_to_stderr(config.log_format);
    set_process_limits();
    let served = runtime(config.threads).and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tell!("kubetoll-proxy: {error}");
            Exit::Failed
        }
    }
}

/// On one thread by default: at the rate of a component, what is handed from one thread to another costs
/// more than it saves.
fn runtime(threads: Option<usize>) -> io::Result<Runtime> {
    let mut builder = match threads {
        None | Some(0 | 1) => Builder::new_current_thread(),
        Some(threads) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build()
}

fn usage(errors: &[String]) -> Exit {
    for error in errors {
        tell!("kubetoll-proxy: {error}");
    }
    tell!("kubetoll-proxy: --help explains the options");
    Exit::Usage
}

async fn serve(config: Config) -> io::Result<()> {
    let tcp = config.listen.bind()?;
    let admin_tcp = config.admin.bind()?;
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
    tokio::spawn(try_upstream(Arc::clone(&proxy)));
    tracing::info!(%listen, admin = %admin_address, upstream = %proxy.dialer.urls(), "ready");
    crate::serve(Listener { tcp, tls }, proxy, stop).await;
    stop_admin.cancel();
    Ok(())
}

/// Says at once, and not at the first request, what is wrong with the way to the API server.
async fn try_upstream(proxy: Arc<Proxy>) {
    proxy.dialer.try_all().await;
    if let Some(front_proxy) = &proxy.front_proxy {
        front_proxy.try_all().await;
    }
}

/// The first signal drains, the second ends the process at once.
async fn stop_on_signal(proxy: Arc<Proxy>, delay: Duration, stop: CancellationToken) {
    asked_to_end().await;
    tracing::info!("draining");
    proxy.set_not_ready();
    tokio::select! {
        () = sleep(delay) => stop.cancel(),
        () = asked_to_end() => {}
    }
    if stop.is_cancelled() {
        asked_to_end().await;
    }
    std::process::exit(Exit::Failed.code().into());
}

fn log_to_stderr(format: LogFormat) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour::is_wanted(&io::stderr()))
        .log_internal_errors(false); // on a standard error that nobody reads it would panic
    match format {
        LogFormat::Json => log::begin(lines.json(), "info"),
        LogFormat::Text => log::begin(lines, "info"),
    }
}

/// A core would hold the tokens of all clients.
fn set_process_limits() {
    limits::allow_open_files();
    limits::set(rustix::process::Resource::Core, Some(0));
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
