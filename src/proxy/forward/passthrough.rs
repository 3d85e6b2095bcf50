//! Connections that pass through as bytes, chosen by the server name that the client asks for:
//! for clients whose credential is a certificate. They are counted as connections only.

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use crate::{counters::count, proxy::Proxy};

/// Copies bytes both ways until both sides have ended. `hello` is what was read of
/// the client.
pub(crate) async fn relay(proxy: &Proxy, mut client: TcpStream, hello: Vec<u8>) {
    count(&proxy.connections.passed_through);
    let mut server = match proxy.dialer.dial_tcp().await {
        Ok(server) => TokioIo::new(server),
        Err(error) => {
            count(&proxy.connections.upstream_failed);
            tracing::warn!(%error, "no upstream connection to pass through to");
            return;
        }
    };
    count(&proxy.connections.upstream_opened);
    let copied = async {
        server.write_all(&hello).await?;
        drop(hello);
        copy_bidirectional(&mut client, &mut server).await
    };
    if let Err(error) = copied.await {
        tracing::debug!(%error, "a connection that was passed through broke");
    }
}
