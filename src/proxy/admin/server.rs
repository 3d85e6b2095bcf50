//! The admin port's thread: it accepts connections, serves them, and makes room for new ones.

use std::{
    convert::Infallible,
    io, net,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime,
    task::yield_now,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    reply::Content,
    routes::{Routes, THREADS},
    slots::{ConnectionSlot, ConnectionSlots},
    state::Admin,
    write_timeout::WriteTimeout,
};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 64;
/// From the end of an answer to the end of the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time in which a client takes nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head, and most that is buffered of an answer.
const BUFFER_MAX: usize = 64 << 10;
/// What the system buffers of an answer: of more, a slow client would seem to take nothing for
/// too long.
const SEND_BUFFER: usize = 256 << 10;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Wait before the port is served again after a failure.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Starts a thread that serves the admin port until `stop`. It has a runtime of its own, so that
/// neither the data port nor large answers keep a probe waiting.
///
/// # Errors
/// Where the thread can't be started, or where others than this machine reach the port and it
/// has no token.
pub fn serve(listener: TcpListener, admin: Arc<Admin>, stop: CancellationToken) -> io::Result<()> {
    let is_loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
    if !is_loopback && admin.token.load().is_none() {
        let message = "an admin port that is not on a loopback address needs a token";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let listener = listener.into_std()?;
    let serve = move || {
        serve_again(&stop, RESTART_PAUSE, || {
            serve_port(
                listener.try_clone()?,
                Arc::clone(&admin),
                is_loopback,
                &stop,
            )
        });
    };
    let thread = thread::Builder::new().name("admin".to_owned());
    thread.spawn(serve).map(drop)
}

/// Serves again whatever happens: the books are of use only as long as they can be read.
fn serve_again(stop: &CancellationToken, pause: Duration, serve: impl Fn() -> io::Result<()>) {
    loop {
        match catch_unwind(AssertUnwindSafe(&serve)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::error!(%error, "cannot serve the admin port"),
            Err(_) => tracing::error!("the admin port's thread panicked"),
        }
        if stop.is_cancelled() {
            return;
        }
        thread::sleep(pause);
    }
}

fn serve_port(
    listener: net::TcpListener,
    admin: Arc<Admin>,
    is_loopback: bool,
    stop: &CancellationToken,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("admin-answers")
        .max_blocking_threads(THREADS)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let routes = Arc::new(Routes::new(admin, is_loopback));
        accept(listener, &routes, stop).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, routes: &Arc<Routes>, stop: &CancellationToken) {
    let slots = ConnectionSlots::new(CONNECTIONS_MAX);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, client)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let slot = slots.take(client.ip(), stop.child_token());
        tokio::spawn(serve_connection(stream, slot, Arc::clone(routes)));
        // Each is polled before others can take its slot.
        yield_now().await;
    }
}

async fn serve_connection(stream: TcpStream, slot: ConnectionSlot, routes: Arc<Routes>) {
    let socket = SockRef::from(&stream);
    let prepared = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_send_buffer_size(SEND_BUFFER));
    if let Err(error) = prepared {
        tracing::debug!(%error, "cannot set socket options");
    }
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(routes.answer(&slot, request).await) });
    // A client that breaks off is its own affair.
    let _ = slot
        .end
        .run_until_cancelled(serve_http(stream, service))
        .await;
}

async fn serve_http<S>(stream: impl AsyncRead + AsyncWrite + Unpin, service: S) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Content, Error = Infallible>,
{
    let stream = WriteTimeout::new(stream, WRITE_TIMEOUT);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_MAX)
        // Who asks by netcat ends its side with its request.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Write};

    use http::StatusCode;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;
    use crate::admin::{pieces::Pieces, rendering::Rendering, reply::reply};

    const ANSWER: usize = 4 << 20;

    /// A client that has asked for a large answer and may ask for more.
    async fn asking() -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (near, mut far) = duplex(16 << 10);
        let service = service_fn(async |_| {
            let mut text = Pieces::default();
            text.write_all(&vec![7; ANSWER]).unwrap();
            let answer = Content::Shared(Rendering::new(text), 0);
            Ok(reply(StatusCode::OK, "text/plain", answer))
        });
        let served = tokio::spawn(async move { drop(serve_http(near, service).await) });
        far.write_all(b"GET / HTTP/1.1\r\nHost: p\r\n\r\n")
            .await
            .unwrap();
        (far, served)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_gets_the_whole_of_a_large_answer() {
        let (mut client, _served) = asking().await;
        let (start, mut taken) = (Instant::now(), 0);
        while taken < ANSWER {
            sleep(HEAD_TIMEOUT / 10).await;
            let count = client.read(&mut [0; 16 << 10]).await.unwrap();
            assert!(count > 0, "cut after {taken} bytes");
            taken += count;
        }
        assert!(start.elapsed() > 10 * HEAD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (_client, served) = asking().await;
        let start = Instant::now();
        served.await.unwrap();
        assert!(start.elapsed() <= WRITE_TIMEOUT + Duration::from_secs(1));
    }

    #[test]
    fn a_port_that_fails_or_panics_is_served_again() {
        let served = Cell::new(0);
        let stop = CancellationToken::new();
        serve_again(&stop, Duration::ZERO, || {
            served.set(served.get() + 1);
            match served.get() {
                1 => panic!("a test of panics"),
                2 => Err(io::Error::other("a test of errors")),
                _ => Ok(()),
            }
        });
        assert_eq!(served.get(), 3);
    }
}
