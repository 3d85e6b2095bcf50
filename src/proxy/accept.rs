//! Accepts connections until the stop signal, and drains.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::Connection,
    counters::count,
    downstream::{handshake_slots::HandshakeSlots, permit::ConnectionPermit},
    proxy::Proxy,
};

/// Wait after an error of accept, such as no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often such errors are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A bound socket with its TLS configuration.
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// The server side of TLS.
    pub tls: Arc<ServerConfig>,
}

/// Serves until `stop`, then lets what is in flight end, at the longest [`Options::drain`].
///
/// [`Options::drain`]: crate::Options
pub async fn serve(listener: Listener, proxy: Arc<Proxy>, stop: CancellationToken) {
    refuse_to_dial_itself(&listener, &proxy);
    let tasks = TaskTracker::new();
    let kill = CancellationToken::new();
    accept(&listener, &proxy, &stop, &tasks, &kill).await;
    drop(listener.tcp);
    proxy.set_not_ready();
    proxy.drain.begin();
    tasks.close();
    if timeout(proxy.options.drain, tasks.wait()).await.is_err() {
        kill.cancel();
        tasks.wait().await;
    }
}

fn refuse_to_dial_itself(listener: &Listener, proxy: &Proxy) {
    if let Ok(own) = listener.tcp.local_addr() {
        for dialer in proxy.front_proxy.iter().chain([&proxy.dialer]) {
            dialer.set_own_address(own);
        }
    }
}

/// Accepts until `stop`. Each connection has a token of `tasks`, and ends with `kill`.
async fn accept(
    listener: &Listener,
    proxy: &Arc<Proxy>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
    kill: &CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(proxy.options.connections_max));
    let handshakes = HandshakeSlots::new();
    let mut errors = AcceptErrors::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.tcp.accept()).await {
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                errors.pause_after(&error).await;
                continue;
            }
        };
        let counters = &proxy.connections;
        count(&counters.accepted);
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            count(&counters.turned_away);
            count(&counters.closed);
            continue;
        };
        let kill = kill.clone();
        let permit = ConnectionPermit::new(Arc::clone(counters), permit, tasks.token(), kill);
        let permit = Arc::new(permit);
        let connection = Connection {
            proxy: Arc::clone(proxy),
            client,
            stop: stop.clone(),
            permit: Arc::clone(&permit),
        };
        let (tls, handshakes) = (Arc::clone(&listener.tls), Arc::clone(&handshakes));
        tokio::spawn(async move {
            let served = connection.serve(stream, tls, &handshakes);
            permit.run_until_killed(served).await;
        });
    }
}

/// Waits where a connection can't be accepted, and logs it now and then: without descriptors
/// each try fails, and the log must not be what fills the disk.
#[derive(Default)]
struct AcceptErrors {
    logged: Option<Instant>,
}

impl AcceptErrors {
    async fn pause_after(&mut self, error: &io::Error) {
        // A connection that was reset before it was accepted is no reason to wait.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        ) {
            return;
        }
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL)
        {
            tracing::warn!(%error, "cannot accept connections");
            self.logged = Some(Instant::now());
        }
        sleep(ACCEPT_PAUSE).await;
    }
}
