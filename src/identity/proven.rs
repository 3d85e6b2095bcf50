//! Credentials that the API server has accepted, without the credentials.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Most credentials that are remembered. Then that one is forgotten whose proof on a new connection
/// is the longest ago.
const PROVEN_MAX: usize = 4_096;

/// The memory of one proxy process.
///
/// It holds 64-bit hashes by a key that only this process knows (SipHash): nothing of a token can
/// be read from it, and who would guess a token that hashes to one of them must try 2^52 on the
/// wire.
#[derive(Debug, Default)]
pub struct Proven {
    key: RandomState,
    /// When each was proven on a connection last, as a number that only grows.
    known: Mutex<HashMap<u64, u64>>,
    moment: AtomicU64,
}

impl Proven {
    /// The hash that a credential, or any other bytes of a client, is known by.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.key.hash_one(bytes)
    }

    /// Whether the API server accepted that credential, and has not refused it since.
    pub fn contains(&self, hash: u64) -> bool {
        self.known().contains_key(&hash)
    }

    /// Notes that the API server accepted it.
    pub fn insert(&self, hash: u64) {
        let moment = self.moment.fetch_add(1, Ordering::Relaxed);
        let mut known = self.known();
        if known.len() >= PROVEN_MAX && !known.contains_key(&hash) {
            let oldest = known.iter().min_by_key(|(_, moment)| **moment);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                known.remove(&oldest);
            }
        }
        known.insert(hash, moment);
    }

    /// Notes that the API server refused it.
    pub fn remove(&self, hash: u64) {
        self.known().remove(&hash);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_latest_and_forgets_what_was_refused() {
        let proven = Proven::default();
        for number in 0..PROVEN_MAX as u64 {
            proven.insert(number);
        }
        proven.insert(0);
        proven.insert(u64::MAX);
        assert!(proven.contains(0) && proven.contains(u64::MAX));
        assert!(!proven.contains(1));
        proven.remove(0);
        assert!(!proven.contains(0));
        assert!(proven.known().len() <= PROVEN_MAX);
        assert_ne!(proven.hash(b"a"), Proven::default().hash(b"a"));
    }
}
