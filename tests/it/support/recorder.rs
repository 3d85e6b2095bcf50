//! An API server of HTTP/2 that behaves well and records its requests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{proxy::TestProxy, wire::TlsListener};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Number of the connection, from 0.
    pub connection: usize,
    pub target: String,
    pub headers: HeaderMap,
}

/// An HTTPS server of HTTP/2.
pub struct Recorder {
    pub url: String,
    pub ca_pem: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Recorder {
    /// Answers each request when all of it is there, with 200 and this many bytes, but watches with a
    /// head only, and what is to hang with nothing.
    pub async fn start(size: usize) -> Self {
        let listener = TlsListener::bind(&["h2"]).await;
        let (url, ca_pem) = (listener.url.clone(), listener.authority.certificate_pem());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let connections = Mutex::new(0);
        listener.serve(move |stream| {
            let mut connections = connections.lock().unwrap();
            *connections += 1;
            serve(stream, *connections - 1, Arc::clone(&recorded), size)
        });
        Self {
            url,
            ca_pem,
            requests,
        }
    }

    pub async fn proxy(&self) -> TestProxy {
        TestProxy::start(&self.url, &self.ca_pem).await
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn serve(
    stream: TlsStream<TcpStream>,
    connection: usize,
    requests: Arc<Mutex<Vec<Recorded>>>,
    size: usize,
) {
    let Ok(mut http2) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = http2.accept().await {
        let target = request.uri().path_and_query().unwrap().to_string();
        let size = if request.method() == http::Method::HEAD {
            0
        } else {
            size
        };
        let is_watch = target.contains("watch=");
        requests.lock().unwrap().push(Recorded {
            connection,
            target: target.clone(),
            headers: request.headers().clone(),
        });
        tokio::spawn(async move {
            if target.contains("hang") {
                let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                return;
            }
            if !read(request.into_body()).await {
                return;
            }
            let Ok(mut body) = respond.send_response(Response::new(()), false) else {
                return;
            };
            if is_watch {
                let _ = std::future::poll_fn(|context| body.poll_reset(context)).await;
                return;
            }
            send(&mut body, size).await;
        });
    }
}

/// Reads a body to its end; says whether it came to one.
async fn read(mut body: h2::RecvStream) -> bool {
    while let Some(data) = body.data().await {
        let Ok(data) = data else {
            return false;
        };
        let _ = body.flow_control().release_capacity(data.len());
    }
    true
}

/// Sends as the client's windows allow.
async fn send(body: &mut h2::SendStream<Bytes>, mut left: usize) {
    while left > 0 {
        body.reserve_capacity(left.min(16 << 10));
        match std::future::poll_fn(|context| body.poll_capacity(context)).await {
            Some(Ok(room)) if room > 0 => {
                let size = room.min(left);
                if body
                    .send_data(Bytes::from(vec![b'x'; size]), false)
                    .is_err()
                {
                    return;
                }
                left -= size;
            }
            _ => return,
        }
    }
    let _ = body.send_data(Bytes::new(), true);
}
