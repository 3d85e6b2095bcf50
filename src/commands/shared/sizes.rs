//! Runs of one size: what 100 objects cost and what one costs have no average.

use std::{collections::BTreeMap, str::FromStr};

use clap::Args;
use jiff::Timestamp;

use record::{HistoryRun, Origin, label, number_of};
use terminal::tell;

/// Which runs are put into one series or average.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct SizeArgs {
    /// Only runs that created so many objects, or `all`, whatever they created [default: of each job
    /// and scenario as many as most of its runs; the others are left out, and that is said].
    #[arg(long, value_name = "COUNT")]
    objects: Option<Objects>,
}

/// What `--objects` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objects {
    Exactly(u64),
    All,
}

impl FromStr for Objects {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) => Ok(Self::Exactly(count)),
            _ => Err("a number of objects, or all"),
        }
    }
}

/// What must be the same for one average, but for the size: job, scenario and origin.
type Kind = (String, String, Origin);
/// How many objects a run created, if that is known.
type Size = Option<u64>;

impl SizeArgs {
    /// The runs of one size of each job, scenario and origin; with `join`, all jobs are one. Says what
    /// is left out.
    pub(crate) fn taken(self, mut runs: Vec<HistoryRun>, join: bool) -> Vec<HistoryRun> {
        if let Some(objects) = self.objects {
            let is_wanted = |run: &HistoryRun| match objects {
                Objects::Exactly(count) => run.objects == Some(count),
                Objects::All => true,
            };
            runs.retain(is_wanted);
            return runs;
        }
        let kind = |run: &HistoryRun| kind(run, join);
        let sizes = usual_sizes(&runs, kind);
        let (taken, others): (Vec<_>, Vec<_>) = runs
            .into_iter()
            .partition(|run| sizes[&kind(run)] == run.objects);
        let mut left_out: BTreeMap<(Kind, Size), u64> = BTreeMap::new();
        for run in &others {
            *left_out.entry((kind(run), run.objects)).or_default() += 1;
        }
        for ((kind, size), count) in &left_out {
            tell!("{}", told(kind, *count, *size, sizes[kind]));
        }
        taken
    }
}

fn kind(run: &HistoryRun, join: bool) -> Kind {
    let job = if join { "" } else { run.label(label::JOB) };
    let scenario = run.label(label::SCENARIO).to_owned();
    (job.to_owned(), scenario, run.origin)
}

/// The size that most runs of each kind have; of several that of the newest run.
fn usual_sizes(runs: &[HistoryRun], kind: impl Fn(&HistoryRun) -> Kind) -> BTreeMap<Kind, Size> {
    let mut sizes: BTreeMap<Kind, BTreeMap<Size, (u64, Timestamp)>> = BTreeMap::new();
    for run in runs {
        let of_kind = sizes.entry(kind(run)).or_default();
        let (count, newest) = of_kind.entry(run.objects).or_insert((0, run.at));
        *count += 1;
        *newest = run.at.max(*newest);
    }
    let usual = |sizes: BTreeMap<Size, (u64, Timestamp)>| {
        let usual = sizes.into_iter().max_by_key(|(_, often)| *often);
        usual.and_then(|(size, _)| size)
    };
    let kinds = sizes.into_iter();
    kinds.map(|(kind, sizes)| (kind, usual(sizes))).collect()
}

fn told((job, scenario, _): &Kind, count: u64, size: Size, usual: Size) -> String {
    let objects = |size: Size| match size {
        Some(count) => number_of(count, "object"),
        None => "an unknown number of objects".to_owned(),
    };
    let names = [job, scenario].map(|name| name.as_str());
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let choose = match size {
        Some(count) => {
            format!("; --objects {count} takes such runs alone, --objects all takes all")
        }
        None => "; --objects all takes all".to_owned(),
    };
    format!(
        "{}: left out: {} of {}, for most have {}, and the two have no average{choose}",
        names.join("/"),
        number_of(count, "run"),
        objects(size),
        objects(usual),
    )
}

#[cfg(test)]
mod tests {
    use record::RunRecord;

    use super::*;

    fn run(id: &str, second: i64, objects: Option<u64>) -> HistoryRun {
        HistoryRun {
            id: id.to_owned(),
            at: Timestamp::from_second(second).unwrap(),
            origin: Origin::Counted,
            valid: true,
            failure: None,
            labels: BTreeMap::from([(label::SCENARIO.to_owned(), "vmi".to_owned())]),
            objects,
            values: BTreeMap::new(),
            components: BTreeMap::new(),
            cost: None,
            record: None::<Box<RunRecord>>,
        }
    }

    fn ids(sizes: SizeArgs, runs: &[HistoryRun]) -> Vec<String> {
        let taken = sizes.taken(runs.to_vec(), false);
        taken.into_iter().map(|run| run.id).collect()
    }

    #[test]
    fn runs_of_another_size_than_most_are_left_out() {
        let mut runs = vec![run("a", 1, Some(100)), run("b", 2, Some(1))];
        assert_eq!(ids(SizeArgs::default(), &runs), ["b"], "the newest");
        runs.push(run("c", 0, Some(100)));
        assert_eq!(ids(SizeArgs::default(), &runs), ["a", "c"], "most");
        for (objects, wanted) in [("1", &["b"][..]), ("7", &[]), ("all", &["a", "b", "c"])] {
            let objects = Some(objects.parse().unwrap());
            assert_eq!(ids(SizeArgs { objects }, &runs), wanted);
        }
        assert!("-1".parse::<Objects>().is_err());
        let kind = kind(&runs[0], false);
        assert_eq!(
            told(&kind, 1, Some(1), Some(100)),
            "vmi: left out: 1 run of 1 object, for most have 100 objects, and the two have no \
             average; --objects 1 takes such runs alone, --objects all takes all"
        );
    }
}
