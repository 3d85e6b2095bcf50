//! A page that several clients take at their own speed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;

use super::pieces::{PIECE, Pieces};

/// A finished page. Each piece is memory of its own, so that who holds one does not hold the
/// others.
pub(super) struct Rendering {
    length: usize,
    pieces: Mutex<Vec<Bytes>>,
}

/// A client took so long for a page that it was given up.
#[derive(Debug, thiserror::Error)]
#[error("the page was withdrawn")]
pub(super) struct Withdrawn;

impl Rendering {
    pub(super) fn new(text: Pieces) -> Arc<Self> {
        Arc::new(Self {
            length: text.length(),
            pieces: Mutex::new(text.into_iter().collect()),
        })
    }

    /// One piece, counted from 0.
    pub(super) fn piece(&self, number: usize) -> Result<Bytes, Withdrawn> {
        self.pieces().get(number).cloned().ok_or(Withdrawn)
    }

    /// Bytes of a piece and all after it.
    pub(super) fn bytes_from(&self, number: usize) -> usize {
        self.length.saturating_sub(number * PIECE)
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<Bytes>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pages that somebody holds. Beyond so many bytes the oldest are withdrawn: clients that
/// are slow or take nothing must not fill the memory.
#[derive(Default)]
pub(super) struct Held(VecDeque<Weak<Rendering>>);

impl Held {
    /// Adds the newest, which is never withdrawn for its own size.
    pub(super) fn add(&mut self, rendering: &Arc<Rendering>, bytes_max: usize) {
        self.0.retain(|one| one.strong_count() > 0);
        self.0.push_back(Arc::downgrade(rendering));
        let held = self.0.iter().filter_map(Weak::upgrade);
        let mut bytes: usize = held.map(|one| one.length).sum();
        while bytes > bytes_max && self.0.len() > 1 {
            if let Some(oldest) = self.0.pop_front().and_then(|one| one.upgrade()) {
                bytes -= oldest.length;
                oldest.pieces().clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body::Body;
    use http_body_util::BodyExt;

    use super::*;
    use crate::admin::reply::Content;

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 1_000) as u8).collect()
    }

    /// Written in parts of any size.
    fn pieces(length: usize) -> Pieces {
        let mut pieces = Pieces::default();
        for part in text(length).chunks(10_007) {
            pieces.write_all(part).unwrap();
        }
        pieces
    }

    #[tokio::test]
    async fn all_bytes_arrive_and_are_announced() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE] {
            let text = text(length);
            let shared = Rendering::new(pieces(length));
            for body in [
                Content::own(pieces(length)),
                Content::Shared(Arc::clone(&shared), 0),
                Content::Shared(shared, 0),
            ] {
                assert_eq!(body.size_hint().exact(), Some(length as u64));
                assert_eq!(body.is_end_stream(), length == 0);
                assert_eq!(body.collect().await.unwrap().to_bytes(), text);
            }
        }
    }

    #[tokio::test]
    async fn of_what_nobody_takes_the_oldest_are_withdrawn() {
        let mut pages = Held::default();
        let mut held = Vec::new();
        for _ in 0..10 {
            let rendering = Rendering::new(pieces(2 * PIECE));
            pages.add(&rendering, 6 * PIECE);
            let mut body = Content::Shared(rendering, 0);
            body.frame().await.unwrap().unwrap();
            held.push(body);
        }
        let newest = held.split_off(7);
        for body in held {
            assert!(body.collect().await.is_err());
        }
        for body in newest {
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), PIECE);
        }
    }

    #[tokio::test]
    async fn what_was_taken_counts_no_more_and_the_newest_is_never_withdrawn() {
        let mut pages = Held::default();
        let held = Rendering::new(pieces(2 * PIECE));
        pages.add(&held, 4 * PIECE);
        for _ in 0..10 {
            pages.add(&Rendering::new(pieces(2 * PIECE)), 4 * PIECE);
        }
        assert!(Content::Shared(held, 0).collect().await.is_ok());
        let large = Rendering::new(pieces(9 * PIECE));
        pages.add(&large, 4 * PIECE);
        assert!(Content::Shared(large, 0).collect().await.is_ok());
    }
}
