//! How the figures of proxies compare.

use stats::median;

use crate::kit::{
    contender::Contender,
    cpu::{SystemCalls, Used},
    program,
};

/// What requests took in one proxy.
pub struct Found<'n> {
    pub name: &'n str,
    is_rival: bool,
    /// Of one request, in each round.
    pub rounds: Vec<Used>,
    /// Of one request; `None` where nothing can count them.
    pub system_calls: Option<f64>,
}

impl<'c> Found<'c> {
    pub fn new(contender: &'c Contender) -> Self {
        Self {
            name: contender.name,
            is_rival: contender.is_rival(),
            rounds: Vec::new(),
            system_calls: None,
        }
    }

    /// Takes up how many system calls there were.
    pub fn count(&mut self, counting: Option<SystemCalls>, requests: u64) {
        let calls = counting.and_then(SystemCalls::stop);
        self.system_calls = calls.map(|calls| calls / requests as f64);
    }
}

/// Prints what a request took in each proxy, ours first, and how it compares. Whether ours is the least
/// of CPU. Whatever else a machine does makes a request dearer, never cheaper, so that the quiet rounds
/// say what it costs; the middle half of all rounds stands beside.
pub fn compare(found: &[Found<'_>]) -> bool {
    let lines: Vec<Line<'_>> = found.iter().map(Line::new).collect();
    for line in &lines {
        let system_calls = line.system_calls.map_or_else(
            || "system calls not counted".to_owned(),
            |calls| format!("{calls:.1} system calls"),
        );
        println!(
            "  {:24} {:6.1} us of CPU a request ({:.1} to {:.1}), {:.2} of ours; {:.2} switches, \
             {system_calls}",
            line.name,
            line.us,
            line.low,
            line.high,
            line.us / lines[0].us,
            line.switches,
        );
    }
    let others = lines.iter().zip(found).filter(|(_, found)| found.is_rival);
    judge(lines[0].us, others.map(|(line, _)| line.us))
}

/// Whether ours is no more than the least of the others, where there are others.
fn judge(ours: f64, others: impl Iterator<Item = f64>) -> bool {
    let Some(best) = others.min_by(f64::total_cmp) else {
        return true;
    };
    let ratio = ours / best;
    program::judge(
        ratio <= 1.0,
        &format!("ours is {ratio:.2} of the best of the others"),
    )
}

/// Prints a figure of each proxy, ours first, of which less is better, and whether ours is the least.
/// Whatever else a machine does makes it larger, so that the least of the rounds is what counts; the
/// largest stands beside.
pub fn least(what: &str, found: &[(&Contender, Vec<f64>)]) -> bool {
    let least = |rounds: &[f64]| rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let ours = least(&found[0].1);
    for (contender, rounds) in found {
        let (name, figure) = (contender.name, least(rounds));
        let most = rounds.iter().copied().fold(0.0, f64::max);
        println!(
            "  {name:24} {figure:8.2} {what} (up to {most:.2}), {:.2} of ours",
            figure / ours
        );
    }
    let others = found.iter().filter(|(contender, _)| contender.is_rival());
    judge(ours, others.map(|(_, rounds)| least(rounds)))
}

/// What a request took in one proxy.
struct Line<'n> {
    name: &'n str,
    us: f64,
    low: f64,
    high: f64,
    switches: f64,
    system_calls: Option<f64>,
}

impl<'n> Line<'n> {
    fn new(found: &Found<'n>) -> Self {
        let of = |value: fn(&Used) -> f64| -> Vec<f64> { found.rounds.iter().map(value).collect() };
        let mut us = of(|used| used.us);
        us.sort_by(f64::total_cmp);
        Self {
            name: found.name,
            us: us[us.len() / 8],
            low: us[us.len() / 4],
            high: us[us.len() * 3 / 4],
            switches: median(&of(|used| used.switches)).unwrap(),
            system_calls: found.system_calls,
        }
    }
}
