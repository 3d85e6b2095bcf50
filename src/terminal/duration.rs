//! Durations as people write them.

use std::time::Duration;

use jiff::SignedDuration;

/// `100ms`, `5m`, `1h30m`; a negative one is refused.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "write it like 100ms, 10s or 5m".to_owned())?;
    Duration::try_from(duration).map_err(|_| "a duration can't be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_people_write_and_never_negative() {
        assert_eq!(parse("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert!(parse("-5s").unwrap_err().contains("negative"));
        assert!(parse("5").unwrap_err().contains("write it like"));
    }
}
