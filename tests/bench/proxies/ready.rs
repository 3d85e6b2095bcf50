//! How long a proxy takes from its start until it takes connections.

use std::path::Path;

use crate::{
    compare::least,
    kit::{contender::Contender, upstream::Upstream},
};

const ROUNDS: usize = 5;

pub async fn measure(programs: &Path) -> bool {
    let upstream = Upstream::start().await;
    let mut started = Vec::new();
    for _ in 0..ROUNDS {
        started.push(Contender::start_all(programs, &upstream).await);
    }
    let rounds = |at: usize| {
        let rounds = started
            .iter()
            .map(|contenders: &Vec<Contender>| &contenders[at]);
        rounds
            .map(|one| one.ready_after.as_secs_f64() * 1e3)
            .collect()
    };
    let first = started[0].iter().enumerate();
    let figures: Vec<(&Contender, Vec<f64>)> = first
        .map(|(at, contender)| (contender, rounds(at)))
        .collect();
    println!("from the start until connections are taken, {ROUNDS} times:");
    least("ms", &figures)
}
