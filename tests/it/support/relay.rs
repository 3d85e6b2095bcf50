//! A TCP relay that fails as a network does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A relay to one server.
pub struct Relay {
    pub url: String,
    cut: watch::Sender<u64>,
    down: Arc<AtomicBool>,
}

impl Relay {
    /// A relay to `target`, an `https://` URL.
    pub async fn start(target: &str) -> Self {
        let target = target.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (cut, cuts) = watch::channel(0);
        let down = Arc::new(AtomicBool::new(false));
        let is_down = Arc::clone(&down);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let (target, mut cuts) = (target.clone(), cuts.clone());
                tokio::spawn(async move {
                    cuts.mark_unchanged();
                    let Ok(mut server) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { url, cut, down }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Closes new connections at once, or no longer does.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}
