//! What is kept of a run that ended early: the books so far, and what its objects wait for.

use jiff::Timestamp;

use super::{
    context::Run,
    create::Created,
    error::{RunError, RunFailed},
    last_known::LastKnown,
    measure::{self, Opened},
    observe::Observer,
    proxies::ProxyError,
    times::times,
    unclosed::Unclosed,
};
use record::{BooksKept, RunDetailRecord, RunFailure, RunRecord, Snapshot, printable_line};

/// How far a run has come.
pub(super) struct SoFar {
    pub(super) observer: Observer,
    /// What was created; while the primer is under way, only that.
    pub(super) created: Vec<Created>,
    /// Whether that is so.
    pub(super) is_primer: bool,
    /// The books at the beginning of the baseline window.
    pub(super) before: Vec<Snapshot>,
    pub(super) opened: Option<Opened>,
    /// What the proxies answered when the books were closed; empty before.
    pub(super) closed: Vec<Result<RunDetailRecord, ProxyError>>,
}

impl SoFar {
    pub(super) fn new(observer: Observer) -> Self {
        Self {
            observer,
            created: Vec::new(),
            is_primer: false,
            before: Vec::new(),
            opened: None,
            closed: Vec::new(),
        }
    }

    /// How far a run of `count` objects was, unless all were created.
    fn at(&self, count: usize) -> Option<String> {
        let primer = "that was the primer, one object that is made and deleted before anything is \
                      counted (--no-primer goes without)";
        let created = self.created.len();
        if self.is_primer {
            return Some(primer.to_owned());
        }
        let is_creating = self.opened.is_some() && created < count;
        is_creating.then(|| format!("{created} of {count} created"))
    }
}

impl Run<'_> {
    /// Closes the books of a run that ended early, and asks why its objects are not Running.
    pub(super) async fn salvaged(
        &self,
        cause: RunError,
        mut so_far: SoFar,
        last: LastKnown,
    ) -> RunFailed {
        let (started, at) = (self.started, so_far.at(self.plan.count));
        let mut record = measure::new_record(&self.measure_plan(), started);
        let books = self.books_so_far(&mut so_far, last, &mut record).await;
        let objects = so_far.observer.objects();
        let not_running = self.not_running(&so_far.created, &objects).await;
        // The primer is none of the objects that were asked for.
        if !so_far.is_primer {
            record.objects = times(&so_far.created, &objects);
        }
        self.describe(&mut record, so_far.before);
        let cause = cause.ended_at(at);
        let failure = RunFailure {
            not_running,
            ..failure(&cause, books)
        };
        record.fail(failure);
        RunFailed {
            cause,
            record: Some(Box::new(record)),
        }
    }

    async fn books_so_far(
        &self,
        so_far: &mut SoFar,
        last: LastKnown,
        record: &mut RunRecord,
    ) -> BooksKept {
        let proxies = &self.driver.proxies;
        let Some(opened) = so_far.opened.take() else {
            // A proxy may have opened them before the answer was read.
            measure::abandon(&self.id, proxies).await;
            return BooksKept::None;
        };
        let unclosed = Unclosed {
            opened,
            closed: std::mem::take(&mut so_far.closed),
            last,
        };
        unclosed.enter(record, proxies, self.driver.roster).await
    }

    /// Enters where and how the run took place.
    pub(super) fn describe(&self, record: &mut RunRecord, before: Vec<Snapshot>) {
        for (proxy, before) in record.proxies.iter_mut().zip(before) {
            proxy.baseline = Some(before);
        }
        record.started = self.started;
        record.finished = Timestamp::now();
        record.simulated = self.plan.simulated;
        record.cluster = self.cluster.clone();
        record.configuration = self.plan.recorded();
    }
}

/// Why a run ended, without what its objects wait for.
pub(super) fn failure(cause: &RunError, books: BooksKept) -> RunFailure {
    RunFailure {
        reason: cause.reason(),
        detail: printable_line(&cause.to_string()).into_owned(),
        books,
        not_running: None,
    }
}
