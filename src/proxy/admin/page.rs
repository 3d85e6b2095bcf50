//! A page that costs much to make: made once for all who ask for it at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::{
    pieces::Pieces,
    rendering::{Held, Rendering},
};

/// Shortest and longest pause between two renderings.
const PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// How much longer than a rendering the pause after it is: a flood takes a quarter of one CPU.
const PAUSE_PER_RENDERING: u32 = 3;

/// Most bytes of renderings that clients hold; one alone may have more.
const HELD_MAX: usize = 64 << 20;

/// The newest rendering of a page; it is made anew by a task that ends with this.
pub(super) struct Page {
    /// The rendering that somebody waits for.
    asked: watch::Sender<u64>,
    /// The rendering that began last.
    begun: Arc<AtomicU64>,
    rendered: watch::Receiver<Rendered>,
}

/// A finished rendering; 0 is the number of none.
#[derive(Default)]
struct Rendered {
    number: u64,
    page: Option<Arc<Rendering>>,
}

impl Page {
    /// A page made by `render`, which gives nothing where it fails. Needs a runtime.
    pub(super) fn new(render: impl Fn() -> Option<Pieces> + Send + Sync + 'static) -> Self {
        let (asked, wanted) = watch::channel(0);
        let (finished, rendered) = watch::channel(Rendered::default());
        let begun = Arc::<AtomicU64>::default();
        tokio::spawn(render_when_asked(
            Arc::new(render),
            wanted,
            Arc::clone(&begun),
            finished,
        ));
        Self {
            asked,
            begun,
            rendered,
        }
    }

    /// A rendering that began after this was called.
    pub(super) async fn get(&self) -> Option<Arc<Rendering>> {
        let next = self.begun.load(Ordering::SeqCst) + 1;
        self.asked.send_if_modified(|asked| {
            let is_later = next > *asked;
            *asked = next.max(*asked);
            is_later
        });
        let mut rendered = self.rendered.clone();
        let rendered = rendered.wait_for(|rendered| rendered.number >= next).await;
        rendered.ok()?.page.clone()
    }
}

async fn render_when_asked(
    render: Arc<impl Fn() -> Option<Pieces> + Send + Sync + 'static>,
    mut wanted: watch::Receiver<u64>,
    begun: Arc<AtomicU64>,
    finished: watch::Sender<Rendered>,
) {
    let (mut earliest, mut held) = (Instant::now(), Held::default());
    for number in 1.. {
        if wanted.wait_for(|asked| *asked >= number).await.is_err() {
            return;
        }
        sleep_until(earliest).await;
        begun.store(number, Ordering::SeqCst);
        let start = Instant::now();
        let render = Arc::clone(&render);
        let made = spawn_blocking(move || render().map(Rendering::new));
        let page = made.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a page's rendering ended badly");
            None
        });
        if let Some(page) = &page {
            held.add(page, HELD_MAX);
        }
        let pause = PAUSE_PER_RENDERING * start.elapsed();
        earliest = Instant::now() + pause.clamp(PAUSE[0], PAUSE[1]);
        finished.send_replace(Rendered { number, page });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::join_all;
    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;
    use crate::admin::reply::Content;

    async fn text(page: &Page) -> String {
        let body = Content::Shared(page.get().await.unwrap(), 0);
        let body = body.collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// A page that tells how often it was rendered, and what it read when it began.
    fn counting(read: &Arc<Mutex<u32>>) -> (Arc<Page>, Arc<AtomicU64>) {
        let renderings = Arc::<AtomicU64>::default();
        let (counter, read) = (Arc::clone(&renderings), Arc::clone(read));
        let page = Page::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Some(Pieces::one(&read.lock().unwrap().to_string()))
        });
        (Arc::new(page), renderings)
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_share_one_rendering() {
        let (page, renderings) = counting(&Arc::default());
        let pages = join_all((0..1_000).map(|_| page.get())).await;
        assert_eq!(renderings.load(Ordering::SeqCst), 1);
        let first = pages[0].as_ref().unwrap();
        let mut pages = pages.iter().flatten();
        assert!(pages.all(|page| Arc::ptr_eq(page, first)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_happened_before_a_request_is_in_its_page() {
        let read = Arc::<Mutex<u32>>::default();
        let (page, _) = counting(&read);
        // Others ask all the time, so that some rendering has always begun already.
        let others = Arc::clone(&page);
        let others = tokio::spawn(async move {
            loop {
                join_all((0..10).map(|_| others.get())).await;
            }
        });
        for number in 1..=20_u32 {
            *read.lock().unwrap() = number;
            assert_eq!(text(&page).await, number.to_string());
        }
        others.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_does_not_render_all_the_time_and_a_quiet_port_answers_at_once() {
        let (page, renderings) = counting(&Arc::default());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            page.get().await.unwrap();
        }
        assert!(renderings.load(Ordering::SeqCst) <= 21);
        sleep(PAUSE[1]).await;
        let asked = Instant::now();
        page.get().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rendering_that_fails_is_not_the_last() {
        let count = AtomicU64::new(0);
        let page = Page::new(move || {
            assert!(
                count.fetch_add(1, Ordering::SeqCst) > 0,
                "the first one fails"
            );
            Some(Pieces::one("page"))
        });
        assert!(page.get().await.is_none());
        assert_eq!(text(&page).await, "page");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_holds_up_nobody() {
        let (page, _) = counting(&Arc::default());
        page.get().await.unwrap();
        let mut gone = Box::pin(page.get());
        let polled = futures_util::poll!(gone.as_mut());
        assert!(polled.is_pending());
        drop(gone);
        assert!(page.get().await.is_some());
    }
}
