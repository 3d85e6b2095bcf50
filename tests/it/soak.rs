//! The soak test for seconds: `tests/bench/soak` runs it for minutes on the release binary.

use std::time::Duration;

use crate::kit::soak::Soak;

#[tokio::test(flavor = "multi_thread")]
async fn books_equal_the_upstreams_records_through_restarts_and_nothing_is_kept() {
    let mut soak = Soak::start(100).await;
    for _ in 0..2 {
        let round = soak.round(Duration::from_secs(4)).await;
        println!("{round}");
        assert!(round.faults.is_empty(), "{:?}", round.faults);
        assert!(round.answers >= 200, "the recorder is full");
    }
}
