//! What is kept of requests' bodies, over all connections, to be sent again where the API server
//! closes a connection (GOAWAY) without having looked at them.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use crate::counters::{ConnectionCounters, count};

/// Largest body that kube-apiserver takes (`MaxRequestBodyBytes`).
const BODY_MAX: usize = 3 << 20;
/// The same of a client without a proved credential.
const UNPROVED_BODY_MAX: usize = 64 << 10;
/// Which part of the whole such clients share: they can't use up what the others need.
const UNPROVED_PART: usize = 8;
/// What a frame costs besides its bytes.
const FRAME: usize = 64;
/// A frame below this is copied: it would hold on to the whole buffer that it was read into.
const SMALL: usize = 1 << 10;

/// How much may still be kept.
pub(crate) struct KeptBodies {
    left: AtomicUsize,
    left_unproved: AtomicUsize,
    counters: Arc<ConnectionCounters>,
}

impl KeptBodies {
    /// At most `bytes` over all connections.
    pub(crate) fn new(bytes: usize, counters: Arc<ConnectionCounters>) -> Arc<Self> {
        let unproved = bytes / UNPROVED_PART;
        Arc::new(Self {
            left: AtomicUsize::new(bytes - unproved),
            left_unproved: AtomicUsize::new(unproved),
            counters,
        })
    }

    fn left(&self, is_proved: bool) -> &AtomicUsize {
        if is_proved {
            &self.left
        } else {
            &self.left_unproved
        }
    }
}

/// What is kept of one body.
pub(super) struct Kept {
    bodies: Arc<KeptBodies>,
    /// Whether its client has proved a credential.
    is_proved: bool,
    is_wanted: bool,
    is_whole: bool,
    frames: Vec<Bytes>,
    bytes: usize,
    /// What was taken of `bodies`.
    cost: usize,
}

impl Kept {
    pub(super) fn new(bodies: Arc<KeptBodies>, is_proved: bool) -> Self {
        Self {
            bodies,
            is_proved,
            is_wanted: false,
            is_whole: true,
            frames: Vec::new(),
            bytes: 0,
            cost: 0,
        }
    }

    /// From now on what passes is kept.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// All that has passed, as long as [`is_whole`](Self::is_whole).
    pub(super) fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    /// Whether everything that has passed is kept.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// These bytes pass.
    pub(super) fn add(&mut self, data: &Bytes) {
        if !self.is_whole {
            return;
        }
        let most = if self.is_proved {
            BODY_MAX
        } else {
            UNPROVED_BODY_MAX
        };
        self.bytes += data.len();
        if !self.is_wanted || self.bytes > most {
            return self.give_up();
        }
        let cost = data.len() + FRAME;
        let less = |left: usize| left.checked_sub(cost);
        let left = self.bodies.left(self.is_proved);
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if taken.is_err() {
            count(&self.bodies.counters.bodies_not_kept);
            return self.give_up();
        }
        self.cost += cost;
        self.frames.push(if data.len() < SMALL {
            Bytes::copy_from_slice(data)
        } else {
            data.clone()
        });
    }

    /// Lets go of everything.
    pub(super) fn give_up(&mut self) {
        self.is_whole = false;
        self.frames = Vec::new();
        let left = self.bodies.left(self.is_proved);
        left.fetch_add(mem::take(&mut self.cost), Ordering::Relaxed);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn bodies(bytes: usize) -> Arc<KeptBodies> {
        KeptBodies::new(bytes, Arc::default())
    }

    fn left(bodies: &KeptBodies) -> usize {
        bodies.left.load(Ordering::Relaxed) + bodies.left_unproved.load(Ordering::Relaxed)
    }

    fn refused(bodies: &KeptBodies) -> u64 {
        bodies.counters.bodies_not_kept.load(Ordering::Relaxed)
    }

    /// A body of this length, in frames of 16 KiB.
    fn keep(bodies: &Arc<KeptBodies>, is_proved: bool, bytes: usize) -> Kept {
        let mut kept = Kept::new(Arc::clone(bodies), is_proved);
        kept.want();
        let whole = Bytes::from(vec![7; bytes]);
        for at in (0..bytes).step_by(16 << 10) {
            kept.add(&whole.slice(at..bytes.min(at + (16 << 10))));
        }
        kept
    }

    #[test]
    fn the_largest_body_is_kept_and_all_is_given_back() {
        let bodies = bodies(64 * MIB);
        let mut kept = keep(&bodies, true, BODY_MAX);
        assert!(kept.is_whole());
        assert_eq!(kept.frames().concat(), vec![7; BODY_MAX]);
        assert!(left(&bodies) < 61 * MIB);
        kept.give_up();
        assert_eq!(left(&bodies), 64 * MIB);
        kept.add(&Bytes::from_static(b"more"));
        assert!(!kept.is_whole() && kept.frames().is_empty());
        let too_large = keep(&bodies, true, BODY_MAX + 1);
        assert!(!too_large.is_whole());
        drop(keep(&bodies, true, MIB));
        assert_eq!((left(&bodies), refused(&bodies)), (64 * MIB, 0));
    }

    #[test]
    fn a_body_for_which_nothing_is_left_is_not_kept_and_counted() {
        let bodies = bodies(8 * MIB);
        let kept: Vec<Kept> = (0..3).map(|_| keep(&bodies, true, 3 * MIB)).collect();
        let whole: Vec<bool> = kept.iter().map(Kept::is_whole).collect();
        assert_eq!(whole, [true, true, false]);
        assert_eq!(refused(&bodies), 1);
        drop(kept);
        assert!(keep(&bodies, true, 3 * MIB).is_whole());
    }

    #[test]
    fn clients_without_a_credential_leave_the_others_what_is_theirs() {
        let bodies = bodies(64 * MIB);
        assert!(!keep(&bodies, false, UNPROVED_BODY_MAX + 1).is_whole());
        let crowd: Vec<Kept> = (0..1_000).map(|_| keep(&bodies, false, 60 << 10)).collect();
        let whole = crowd.iter().filter(|kept| kept.is_whole()).count();
        assert!((100..=8 * MIB / (60 << 10)).contains(&whole), "{whole}");
        let others: Vec<Kept> = (0..18).map(|_| keep(&bodies, true, 3 * MIB)).collect();
        assert!(others.iter().all(Kept::is_whole));
    }

    #[test]
    fn a_flood_of_small_frames_costs_what_it_holds() {
        let bodies = bodies(8 * MIB);
        let mut kept = Kept::new(Arc::clone(&bodies), true);
        kept.want();
        let read = Bytes::from(vec![7; 64 << 10]);
        for _ in 0..7 * MIB / (FRAME + 1) {
            kept.add(&read.slice(..1));
            assert!(kept.is_whole());
        }
        assert!(read.is_unique(), "no frame holds on to what was read");
        kept.add(&read.slice(..1));
        assert!(!kept.is_whole());
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let bodies = bodies(64 * MIB);
        let mut kept = Kept::new(Arc::clone(&bodies), true);
        kept.add(&Bytes::from_static(b"body"));
        kept.want();
        assert!(!kept.is_whole() && left(&bodies) == 64 * MIB);
    }
}
