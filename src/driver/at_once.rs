//! All proxies asked at the same time, so that what is opened and closed at them is one window.

use std::future::Future;

use futures_util::{StreamExt, stream};

use super::proxies::ProxyClient;

/// Proxies that are asked at the same time.
const AT_ONCE: usize = 32;

/// What each proxy answers, in the proxies' order. Each is asked, whatever the others answer.
pub(super) async fn ask_all<'p, T, F: Future<Output = T>>(
    proxies: &'p [ProxyClient],
    ask: impl Fn(&'p ProxyClient) -> F,
) -> Vec<T> {
    each(proxies.iter().map(ask)).await
}

/// The same where each has to answer well: the first error, in the proxies' order, is the answer.
pub(super) async fn try_ask_all<'p, T, E, F: Future<Output = Result<T, E>>>(
    proxies: &'p [ProxyClient],
    ask: impl Fn(&'p ProxyClient) -> F,
) -> Result<Vec<T>, E> {
    ask_all(proxies, ask).await.into_iter().collect()
}

async fn each<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    let numbered = asked.enumerate();
    // Futures made first: a closure in the stream would have to hold for any lifetime.
    let numbered: Vec<_> = numbered
        .map(|(number, asked)| async move { (number, asked.await) })
        .collect();
    let answers = stream::iter(numbered).buffer_unordered(AT_ONCE);
    let mut answers: Vec<_> = answers.collect().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn answers_are_in_order_and_only_so_many_are_asked_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = 3 * AT_ONCE;
        let asked = (0..count).map(|number| {
            let (now, most) = (&now, &most);
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // The later ones answer first.
                for _ in 0..(count - number) {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                number
            }
        });
        assert_eq!(each(asked).await, (0..count).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), AT_ONCE);
    }
}
