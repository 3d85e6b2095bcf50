//! Streams around another one that mainly look at what is read: what is written goes to the inner
//! stream as it is.

/// `AsyncWrite` of a stream by that of its field `inner`. Of these methods of the stream one may be
/// named:
///
/// - `before_write: note`, called as `self.note()` before each write;
/// - `after_flush: note`, called as `self.note(context)` after each flush that is done;
/// - `each: check`, called as `self.check(context, poll)` with what each call of the inner stream
///   gave; it gives what is given in its place.
macro_rules! writes_to_inner {
    (
        $stream:ident $(<$inner:ident>)?
        $(, before_write: $before_write:ident)?
        $(, after_flush: $after_flush:ident)?
        $(, each: $each:ident)?
    ) => {
        impl $(<$inner: tokio::io::AsyncWrite + Unpin>)? tokio::io::AsyncWrite
            for $stream $(<$inner>)?
        {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                $(self.$before_write();)?
                let written = Pin::new(&mut self.inner).poll_write(context, bytes);
                $(let written = self.$each(context, written);)?
                written
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                $(self.$before_write();)?
                let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
                $(let written = self.$each(context, written);)?
                written
            }

            fn is_write_vectored(&self) -> bool {
                self.inner.is_write_vectored()
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                let flushed = Pin::new(&mut self.inner).poll_flush(context);
                $(
                    if flushed.is_ready() {
                        self.$after_flush(context);
                    }
                )?
                $(let flushed = self.$each(context, flushed);)?
                flushed
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                let shut_down = Pin::new(&mut self.inner).poll_shutdown(context);
                $(let shut_down = self.$each(context, shut_down);)?
                shut_down
            }
        }
    };
}

pub(crate) use writes_to_inner;
