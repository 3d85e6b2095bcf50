//! Whether calls can cease for long enough before nobody waits for it any more.

use std::time::Duration;

use anyhow::{Result, bail};

use terminal::exit::Misuse;

/// Before anything runs: a silence that is as long as the longest wait for it never comes, and what was
/// counted would not be valid though no call came.
pub(crate) fn refuse_restless(silence: Duration, longest: Duration, wait: &str) -> Result<()> {
    if silence.is_zero() || silence < longest {
        return Ok(());
    }
    bail!(Misuse(format!(
        "the silence of {} s (--settle) can't come within {} s ({wait}): --settle must be the \
         shorter one",
        silence.as_secs_f64(),
        longest.as_secs_f64()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_that_cannot_come_is_refused() {
        let of = |silence, longest| {
            let [silence, longest] = [silence, longest].map(Duration::from_millis);
            refuse_restless(silence, longest, "--timeout")
        };
        for (silence, longest) in [(1000, 1001), (0, 0), (0, 5)] {
            of(silence, longest).unwrap();
        }
        assert!(of(3000, 3000).is_err());
        assert_eq!(
            of(15_000, 2500).unwrap_err().to_string(),
            "the silence of 15 s (--settle) can't come within 2.5 s (--timeout): --settle must be \
             the shorter one"
        );
    }
}
