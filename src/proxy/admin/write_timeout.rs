//! Ends a connection whose client takes nothing.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

use crate::wire::writes::writes_to_inner;

/// A stream whose writer fails after a while in which not one byte could be written. Reading has
/// no limit here: nobody sends anything while a long answer is on its way.
pub(super) struct WriteTimeout<S> {
    inner: S,
    longest: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(inner: S, longest: Duration) -> Self {
        Self {
            inner,
            longest,
            waiting: None,
        }
    }

    fn unless_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let longest = self.longest;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(longest)));
        waiting
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

writes_to_inner!(WriteTimeout<S>, each: unless_stalled);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, timeout},
    };

    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_waits_too_long_fails() {
        let (near, _far) = duplex(16);
        let start = Instant::now();
        let error = WriteTimeout::new(near, LONGEST)
            .write_all(&[0; 17])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_everything() {
        let (near, mut far) = duplex(16);
        let start = Instant::now();
        let mut near = WriteTimeout::new(near, LONGEST);
        let writer = tokio::spawn(async move { near.write_all(&[7; 160]).await });
        for _ in 0..10 {
            sleep(LONGEST - Duration::from_secs(1)).await;
            far.read_exact(&mut [0; 16]).await.unwrap();
        }
        writer.await.unwrap().unwrap();
        assert!(start.elapsed() > 9 * LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_may_take_any_time() {
        let (near, mut far) = duplex(16);
        let mut near = WriteTimeout::new(near, LONGEST);
        near.write_all(&[0; 8]).await.unwrap();
        let waited = timeout(10 * LONGEST, near.read_u8()).await;
        assert!(waited.is_err());
        far.write_all(&[7]).await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), 7);
    }
}
