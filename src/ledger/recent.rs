//! The lines of the last requests, whether or not a run is open.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use recorder::Line;

use super::open_run::LINES_BYTES_MAX;

/// Most bytes that a line takes on average, where not all of them fit into [`LINES_BYTES_MAX`].
const LINE_BYTES_MAX: usize = 4 << 10;

/// The last requests of authenticated clients.
pub(super) struct Recent {
    most: usize,
    most_bytes: usize,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// With the bytes that each was counted as.
    lines: VecDeque<(Arc<Line>, usize)>,
    bytes: usize,
    /// The number of the oldest.
    first: u64,
}

impl Recent {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            most_bytes: most.saturating_mul(LINE_BYTES_MAX).min(LINES_BYTES_MAX),
            ring: Mutex::default(),
        }
    }

    /// Whether anything is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.most > 0
    }

    /// Adds the newest, which takes so many bytes, and lets go of the oldest. Gives its number.
    pub(super) fn add(&self, line: &Arc<Line>, bytes: usize) -> u64 {
        let mut ring = self.locked();
        let number = ring.first + ring.lines.len() as u64;
        ring.lines.push_back((Arc::clone(line), bytes));
        ring.bytes += bytes;
        self.let_go(ring);
        number
    }

    /// The line of that number has ended, by which it takes so many bytes more.
    pub(super) fn add_bytes(&self, number: u64, more: usize) {
        let mut ring = self.locked();
        let place = number.checked_sub(ring.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some((_, bytes)) = place.and_then(|place| ring.lines.get_mut(place)) else {
            return;
        };
        *bytes += more;
        ring.bytes += more;
        self.let_go(ring);
    }

    /// Lets go of the oldest until the others fit. Their memory is given back while nobody waits
    /// for the lock.
    fn let_go<'r>(&'r self, mut ring: MutexGuard<'r, Ring>) {
        while let Some(oldest) = ring.pop_beyond(self.most, self.most_bytes) {
            let is_last = ring.fits(self.most, self.most_bytes);
            drop(ring);
            drop(oldest);
            if is_last {
                return;
            }
            ring = self.locked();
        }
    }

    /// All of them, the oldest first.
    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        let ring = self.locked();
        ring.lines
            .iter()
            .map(|(line, _)| Arc::clone(line))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn fits(&self, most: usize, most_bytes: usize) -> bool {
        self.lines.len() <= most && self.bytes <= most_bytes
    }

    fn pop_beyond(&mut self, most: usize, most_bytes: usize) -> Option<Arc<Line>> {
        if self.fits(most, most_bytes) {
            return None;
        }
        let (line, bytes) = self.lines.pop_front()?;
        self.bytes -= bytes;
        self.first += 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(recent: &Recent) -> Vec<u32> {
        recent.lines().iter().map(|line| line.row).collect()
    }

    fn add(recent: &Recent, row: u32, bytes: usize) -> u64 {
        let line = Line {
            row,
            ..Line::default()
        };
        recent.add(&Arc::new(line), bytes)
    }

    #[test]
    fn the_oldest_go_first_by_their_number() {
        let recent = Recent::new(3);
        for row in 0..5 {
            add(&recent, row, 1);
        }
        assert_eq!(numbers(&recent), [2, 3, 4]);
    }

    #[test]
    fn the_oldest_go_first_by_their_bytes() {
        let recent = Recent::new(3);
        let room = 3 * LINE_BYTES_MAX;
        let first = add(&recent, 0, 10);
        let second = add(&recent, 1, 10);
        recent.add_bytes(second, room - 20);
        assert_eq!(numbers(&recent), [0, 1]);
        // One that is gone takes nothing.
        add(&recent, 2, 10);
        recent.add_bytes(first, room);
        assert_eq!(numbers(&recent), [1, 2]);
        recent.add_bytes(second, 1);
        assert_eq!(numbers(&recent), [2]);
        // And one that is too large by itself makes room for the next.
        add(&recent, 3, room + 1);
        assert_eq!(numbers(&recent), [0; 0]);
        add(&recent, 4, room);
        assert_eq!(numbers(&recent), [4]);
    }
}
