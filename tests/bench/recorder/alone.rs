//! The recorder by itself, on one thread: what the proxy does for each line, without HTTP.

use std::{sync::Arc, time::Duration};

use classify::{CallName, Target, classify, kubevirt::kubevirt_call, request_options};
use ledger::{Answer, Books, Ending, ObjectRef, Outcome, Party, RunOptions, Standing};
use record::JournalRecord;
use recorder::{Asked, Change, Clients, End, Form, Line, ObjectReader, Seen, SentReader};

use crate::kit::{
    cpu::thread_time,
    mix::{self, Call},
    program,
    proxy::memory_kib,
};

/// Lines a second that the recorder has to take.
const TARGET: f64 = 50_000.0;
/// How often all calls are made for a figure, and how many figures there are.
const REPEATS: usize = 60;
const ROUNDS: usize = 9;
const INSTANCES: usize = 100;
/// How far the bytes that a line is counted as may be from those that it takes.
const COUNTED: std::ops::Range<f64> = 0.9..1.25;
const USER_AGENT: &str = "virt-controller/v0.0.0 (linux/amd64) kubernetes/$Format";

/// Prints how many lines a second are taken, with and without a look at bodies, and how much memory a
/// line takes.
pub fn measure() -> bool {
    let calls = mix::calls(INSTANCES);
    let mut ok = memory(&calls);
    for (name, reads) in [("without bodies", false), ("with bodies", true)] {
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| rate(&calls, reads)).collect();
        rates.sort_by(f64::total_cmp);
        let median = rates[ROUNDS / 2];
        let finding = format!(
            "{name}: {median:.0} lines a second of one core ({:.0} to {:.0}), {:.2} us each",
            rates[0],
            rates[ROUNDS - 1],
            1e6 / median
        );
        ok &= program::judge(median >= TARGET, &finding);
    }
    ok
}

/// Whether lines are counted as what they take of memory.
fn memory(calls: &[Call]) -> bool {
    let recording = Recording::start();
    let resident = || memory_kib(std::process::id()) << 10;
    let before = resident();
    recording.take_all(calls, true);
    let resident = (resident() - before) as f64;
    let (_, detail) = recording.books.close_run("alone").unwrap();
    let count = detail.journal.len() as f64;
    let bytes = detail.journal.iter().map(|line| {
        let end = line.end.get().unwrap();
        assert_ne!(end.seen, Seen::Nothing, "all bodies can be read");
        line.bytes() + end.bytes()
    });
    let counted: usize = bytes.sum();
    let records = detail.journal.iter().take(calls.len());
    let json = records.map(|line| {
        serde_json::to_vec(&JournalRecord::from(&**line))
            .unwrap()
            .len()
    });
    let json: usize = json.sum();
    program::judge(
        COUNTED.contains(&(counted as f64 / resident)),
        &format!(
            "a line takes {:.0} bytes of memory, is counted as {:.0}, and has {:.0} as JSON",
            resident / count,
            counted as f64 / count,
            json as f64 / calls.len() as f64
        ),
    )
}

/// Lines a second, of a journal that is open for [`REPEATS`] times all calls.
fn rate(calls: &[Call], reads: bool) -> f64 {
    let recording = Recording::start();
    let before = thread_time();
    recording.take_all(calls, reads);
    let took = thread_time() - before;
    let lines = recording.end();
    assert_eq!(lines, REPEATS * calls.len());
    lines as f64 / took.as_secs_f64()
}

struct Recording {
    books: Arc<Books>,
    party: Arc<Party>,
    clients: Clients,
}

impl Recording {
    fn start() -> Self {
        let books = Arc::new(Books::new());
        let options = RunOptions {
            journal: true,
            ..RunOptions::default()
        };
        books.open_run("alone", options).unwrap();
        Self {
            party: books.party(
                "virt-controller",
                "system:serviceaccount:kubevirt:controller",
            ),
            books,
            clients: Clients::default(),
        }
    }

    /// How many lines were kept.
    fn end(self) -> usize {
        let (_, detail) = self.books.close_run("alone").unwrap();
        let have_ended = detail.journal.iter().all(|line| line.end.get().is_some());
        assert!(have_ended);
        detail.journal.len()
    }

    fn take_all(&self, calls: &[Call], reads: bool) {
        for _ in 0..REPEATS {
            for (number, call) in calls.iter().enumerate() {
                self.take(call, number as u64, reads);
            }
        }
    }

    /// Books a call from its head to its end, as the proxy does.
    fn take(&self, call: &Call, number: u64, reads: bool) {
        let target = Target::parse(call.method.as_str(), call.path.as_bytes()).unwrap();
        let mut entry = {
            let classified = classify(call.method.as_str(), &target);
            let kubevirt = kubevirt_call(call.method.as_str(), &target);
            self.books.open(&CallName::new(&classified, kubevirt), true)
        };
        let form = Form::of(call.content_type.as_bytes(), false);
        let mut sent =
            reads.then(|| SentReader::new(form, Change::of(call.content_type.as_bytes())));
        if let Some(sent) = &mut sent {
            sent.read(&call.sent);
        }
        let line = entry.answer(Answer {
            outcome: Outcome::Code(call.status.as_u16()),
            party: &self.party,
            standing: Standing::Authenticated,
            name: &|_| {},
            elapsed: Duration::from_millis(1),
            object: &|| object(call, &target),
            line: &|row| self.line(row, call, &target, number),
        });
        let mut seen = reads.then(|| ObjectReader::new(Form::Json));
        if let Some(seen) = &mut seen {
            seen.read(&call.answer);
        }
        entry.close(Ending::Complete, Duration::from_millis(2));
        let end = End {
            micros: 2_000,
            request_bytes: call.sent.len() as u64,
            response_bytes: call.answer.len() as u64,
            sent: sent.map(|sent| Box::new(sent.finish())),
            seen: seen.map_or(Seen::Nothing, ObjectReader::finish),
            ..End::default()
        };
        entry.add_line_bytes(end.bytes());
        line.unwrap().end.set(end).unwrap();
    }

    fn line(&self, row: u32, call: &Call, target: &Target<'_>, number: u64) -> Line {
        let ObjectRef { namespace, name } = object(call, target);
        let asked = Asked {
            namespace,
            name,
            connection: 1,
            stream: number,
            client: self.clients.number(USER_AGENT, ""),
            content_type: call.content_type.into(),
            options: request_options(target),
            ..Asked::default()
        };
        Line {
            row,
            at_micros: number.cast_signed(),
            audit_id: "5bb5ca5c-0b23-4b37-9fd1-5b0e8f5c5d0e".into(),
            head_micros: 1_000,
            asked: Some(Box::new(asked)),
            ..Line::default()
        }
    }
}

fn object(call: &Call, target: &Target<'_>) -> ObjectRef {
    let classified = classify(call.method.as_str(), target);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
    ObjectRef {
        namespace: text(classified.namespace),
        name: text(&classified.name),
    }
}
