//! The connections of the admin port: so many have a slot, and a new one gets that of another.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::eviction::evicted;

/// All slots, taken or free.
pub(super) struct ConnectionSlots {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by_id: BTreeMap<u64, Holder>,
}

/// A connection that has a slot.
struct Holder {
    address: IpAddr,
    /// When its last complete request came; before the first one, when it was accepted.
    last_request: Instant,
    end: CancellationToken,
}

/// A connection's slot, free again when dropped.
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
    /// Cancelled when the connection must end.
    pub(super) end: CancellationToken,
}

impl ConnectionSlots {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// A slot for a connection from `address`, which ends by `end`. If all are taken, one of the
    /// address that has the most loses its slot: the connection that has been longest without a
    /// complete request. So those that are silent, send halves or read nothing go first, and one
    /// address can't evict another.
    pub(super) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        end: CancellationToken,
    ) -> ConnectionSlot {
        let address = address.to_canonical();
        let mut taken = self.lock();
        if taken.by_id.len() >= self.most
            && let Some(id) = taken.longest_without_request(address)
            && let Some(holder) = taken.by_id.remove(&id)
        {
            holder.end.cancel();
        }
        let id = taken.next;
        taken.next += 1;
        let holder = Holder {
            address,
            last_request: Instant::now(),
            end: end.clone(),
        };
        taken.by_id.insert(id, holder);
        ConnectionSlot {
            slots: Arc::clone(self),
            id,
            end,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Of the address that will have the most with the one that comes from `newcomer`.
    fn longest_without_request(&self, newcomer: IpAddr) -> Option<u64> {
        let holders = self.by_id.iter();
        let holders = holders.map(|(&id, holder)| (id, holder.address, holder.last_request));
        evicted(holders, Some(newcomer)).map(|(id, _)| id)
    }
}

impl ConnectionSlot {
    /// Notes that a complete request came.
    pub(super) fn note_request(&self) {
        if let Some(holder) = self.slots.lock().by_id.get_mut(&self.id) {
            holder.last_request = Instant::now();
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    /// Takes a slot, a second after the one before.
    async fn take(slots: &Arc<ConnectionSlots>, address: &str) -> ConnectionSlot {
        advance(Duration::from_secs(1)).await;
        slots.take(address.parse().unwrap(), CancellationToken::new())
    }

    fn ended(held: &[ConnectionSlot]) -> Vec<usize> {
        let ended = held.iter().enumerate();
        let ended = ended.filter(|(_, slot)| slot.end.is_cancelled());
        ended.map(|(number, _)| number).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_its_own_connections() {
        let slots = ConnectionSlots::new(4);
        let kubelet = take(&slots, "10.0.0.1").await;
        let mut flood = Vec::new();
        for _ in 0..100 {
            flood.push(take(&slots, "10.0.0.2").await);
        }
        assert!(!kubelet.end.is_cancelled());
        assert_eq!(ended(&flood), (0..97).collect::<Vec<_>>());
        let _another = take(&slots, "10.0.0.1").await;
        assert!(!kubelet.end.is_cancelled());
        assert_eq!(ended(&flood), (0..98).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_stays_and_who_is_silent_goes() {
        let slots = ConnectionSlots::new(3);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(take(&slots, "::ffff:10.0.0.1").await);
        }
        advance(Duration::from_secs(1)).await;
        held[0].note_request();
        held.push(take(&slots, "10.0.0.1").await);
        assert_eq!(ended(&held), [1]);
        held.push(take(&slots, "10.0.0.1").await);
        assert_eq!(ended(&held), [1, 2]);
        held.push(take(&slots, "10.0.0.1").await);
        assert_eq!(ended(&held), [0, 1, 2]);
    }

    /// A newcomer counts with its address: two that have equally many can't take from each other.
    #[tokio::test(start_paused = true)]
    async fn of_two_equal_addresses_each_loses_its_own() {
        let slots = ConnectionSlots::new(4);
        let mut held = Vec::new();
        for address in ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2"] {
            held.push(take(&slots, address).await);
        }
        assert_eq!(ended(&held), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_free_again_when_its_connection_ends() {
        let slots = ConnectionSlots::new(2);
        let mut held = vec![
            take(&slots, "10.0.0.1").await,
            take(&slots, "10.0.0.1").await,
        ];
        drop(held.remove(0));
        held.push(take(&slots, "10.0.0.1").await);
        assert!(ended(&held).is_empty());
    }
}
