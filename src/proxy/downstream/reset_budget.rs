//! How many requests a client may reset before they are answered.

use tokio::time::Instant;

/// Requests that may be reset at once: more than there can be streams, since a component that
/// stops resets all of them.
const RESETS_BURST: u32 = 300;
/// Further requests per second that may be reset.
const RESETS_PER_SECOND: u32 = 50;

/// A token bucket of client resets.
pub(super) struct ResetBudget {
    left: u32,
    filled: Instant,
}

impl ResetBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: RESETS_BURST,
            filled: now,
        }
    }

    /// Takes one; says whether there was one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(RESETS_PER_SECOND);
            self.left = self.left.saturating_add(more).min(RESETS_BURST);
            self.filled = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_streams_may_be_reset_at_once_but_not_for_ever() {
        let start = Instant::now();
        let mut resets = ResetBudget::new(start);
        let allowed = (0..1_000).filter(|_| resets.take(start)).count();
        assert_eq!(allowed, RESETS_BURST as usize);
        let later = start + Duration::from_secs(2);
        let allowed = (0..1_000).filter(|_| resets.take(later)).count();
        assert_eq!(allowed, 2 * RESETS_PER_SECOND as usize);
        let much_later = later + Duration::from_secs(3_600);
        let allowed = (0..1_000).filter(|_| resets.take(much_later)).count();
        assert_eq!(allowed, RESETS_BURST as usize);
    }
}
