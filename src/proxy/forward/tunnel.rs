//! The bytes of an upgraded connection, both ways, booked as they pass.

use std::{
    io,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::timeout,
};

use ledger::Ending;

/// What is held of each direction: one TLS record.
const BUFFER: usize = 16 << 10;
/// How long a side may be silent once the other has ended. Kubernetes closes both at the first end;
/// a side that still sends is heard to its end.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// Copies both ways, and tells `received` of bytes that were handed to the server and `sent` of
/// those to the client. The end of one side is passed on as the end of writing; the tunnel closes
/// at the other's end or error, or once the other is silent for `linger`. It has failed only if
/// no side ended: what follows the first end is how connections are closed.
pub(super) async fn join<C, S>(
    client: C,
    server: S,
    received: impl Fn(u64),
    sent: impl Fn(u64),
    linger: Duration,
) -> Ending
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (client_reader, client_writer) = split(client);
    let (server_reader, server_writer) = split(server);
    let passed = AtomicU64::new(0);
    let mut up = pin!(pump(client_reader, server_writer, &passed, received));
    let mut down = pin!(pump(server_reader, client_writer, &passed, sent));
    tokio::select! {
        first = up.as_mut() => finish(first, down, &passed, linger).await,
        first = down.as_mut() => finish(first, up, &passed, linger).await,
    }
}

async fn finish(
    first: io::Result<()>,
    mut second: Pin<&mut impl Future<Output = io::Result<()>>>,
    passed: &AtomicU64,
    linger: Duration,
) -> Ending {
    if first.is_err() {
        return Ending::Failed;
    }
    loop {
        let before = passed.load(Ordering::Relaxed);
        let ended = timeout(linger, second.as_mut()).await.is_ok();
        if ended || passed.load(Ordering::Relaxed) == before {
            return Ending::Complete;
        }
    }
}

/// Copies one way until the reader ends, and then ends the writer.
async fn pump(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    passed: &AtomicU64,
    count: impl Fn(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return writer.shutdown().await;
        }
        writer.write_all(&buffer[..length]).await?;
        writer.flush().await?;
        passed.fetch_add(length as u64, Ordering::Relaxed);
        count(length as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
    };

    use super::*;

    struct Tunnel {
        client: DuplexStream,
        server: DuplexStream,
        /// Bytes to the server, bytes to the client.
        counts: Arc<(AtomicU64, AtomicU64)>,
        ending: JoinHandle<Ending>,
    }

    impl Tunnel {
        fn start() -> Self {
            let (client, outer) = duplex(64);
            let (inner, server) = duplex(64);
            let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let counted = Arc::clone(&counts);
            let ending = tokio::spawn(async move {
                let add = |counter: &AtomicU64, bytes| {
                    counter.fetch_add(bytes, Ordering::Relaxed);
                };
                let received = |bytes| add(&counted.0, bytes);
                let sent = |bytes| add(&counted.1, bytes);
                join(outer, inner, received, sent, Duration::from_millis(200)).await
            });
            Self {
                client,
                server,
                counts,
                ending,
            }
        }

        fn counts(&self) -> (u64, u64) {
            let (received, sent) = &*self.counts;
            (
                received.load(Ordering::Relaxed),
                sent.load(Ordering::Relaxed),
            )
        }
    }

    async fn pass(from: &mut DuplexStream, to: &mut DuplexStream, text: &[u8]) {
        from.write_all(text).await.unwrap();
        let mut got = vec![0; text.len()];
        to.read_exact(&mut got).await.unwrap();
        assert_eq!(got, text);
    }

    #[tokio::test]
    async fn bytes_are_counted_while_the_tunnel_is_open_and_kept_when_it_breaks() {
        let mut tunnel = Tunnel::start();
        pass(&mut tunnel.client, &mut tunnel.server, b"question").await;
        pass(&mut tunnel.server, &mut tunnel.client, b"answer").await;
        while tunnel.counts() != (8, 6) {
            tokio::task::yield_now().await;
        }
        assert!(!tunnel.ending.is_finished());
        drop(tunnel.client);
        drop(tunnel.server);
        tunnel.ending.await.unwrap();
        let (received, sent) = &*tunnel.counts;
        assert_eq!(
            (
                received.load(Ordering::Relaxed),
                sent.load(Ordering::Relaxed)
            ),
            (8, 6)
        );
    }

    #[tokio::test]
    async fn a_side_that_still_sends_is_heard_to_its_end() {
        let mut tunnel = Tunnel::start();
        tunnel.client.shutdown().await.unwrap();
        let mut nothing = [0];
        assert_eq!(tunnel.server.read(&mut nothing).await.unwrap(), 0);
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            pass(&mut tunnel.server, &mut tunnel.client, b"more").await;
        }
        tunnel.server.shutdown().await.unwrap();
        assert_eq!(tunnel.ending.await.unwrap(), Ending::Complete);
    }

    #[tokio::test]
    async fn a_side_that_is_silent_after_the_others_end_holds_nothing_open() {
        let mut tunnel = Tunnel::start();
        pass(&mut tunnel.client, &mut tunnel.server, b"bye").await;
        tunnel.client.shutdown().await.unwrap();
        let mut nothing = [0];
        assert_eq!(tunnel.server.read(&mut nothing).await.unwrap(), 0);
        assert_eq!((&mut tunnel.ending).await.unwrap(), Ending::Complete);
        assert_eq!(
            tunnel.server.write(b"late").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        assert_eq!(tunnel.counts(), (3, 0));
    }
}
