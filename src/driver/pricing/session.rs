//! Batches of calls, each with what the API server took for it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kube::Client;
use tokio::time::sleep;

use super::{
    allocations::{Allocations, Step},
    caller::{Answer, Call, metrics_page},
    error::PricingError,
    meter::{Meter, Used, allocated_bytes},
};
use prices::{Measured, Measurements, Size, Usage, What};

/// What is measured, and what of it is known already.
pub(super) struct Session<'s> {
    pub(super) client: &'s Client,
    pub(super) meter: &'s dyn Meter,
    pub(super) round: usize,
    pub(super) measured: Vec<Measured>,
    /// Which calls the mix of each round had.
    pub(super) mixes: BTreeMap<usize, BTreeMap<What, u64>>,
    /// Kinds that can't be measured, and why.
    pub(super) left_out: BTreeMap<What, String>,
    /// What calls allocate.
    allocations: Allocations,
    /// Whether that is found out, in place of what calls take of the CPU: reading it costs more than
    /// most batches do.
    is_reading_memory: bool,
    /// Whether nothing was called since it was read.
    is_read: bool,
    /// What was allocated and used when all began.
    began: Heap,
    /// What was used up to now, if nothing was called since it was read.
    used: Option<Used>,
    /// Path of the Lease of which a get is a toll.
    pub(super) lease: String,
    /// How many gets of it come before each batch, and say how fast the machine is then.
    tolls: usize,
}

/// What an API server's memory has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Heap {
    allocated_bytes: f64,
    collecting_us: f64,
}

/// A batch that is to be measured.
pub(super) struct Batch {
    pub(super) what: What,
    pub(super) size: Size,
    pub(super) calls: Vec<Call>,
    /// The HTTP status that each of them must get.
    pub(super) codes: Vec<u16>,
    /// Bytes of an object as JSON.
    pub(super) object_bytes: f64,
}

impl<'s> Session<'s> {
    pub(super) async fn new(
        client: &'s Client,
        meter: &'s dyn Meter,
        tolls: usize,
    ) -> Result<Self, PricingError> {
        let mut session = Self {
            client,
            meter,
            round: 0,
            measured: Vec::new(),
            mixes: BTreeMap::new(),
            left_out: BTreeMap::new(),
            allocations: Allocations::default(),
            is_reading_memory: true,
            is_read: false,
            began: Heap::default(),
            used: None,
            lease: String::new(),
            tolls,
        };
        session.began = session.heap().await?;
        Ok(session)
    }

    async fn allocated_bytes(&mut self) -> Result<f64, PricingError> {
        self.used = None;
        Ok(allocated_bytes(&metrics_page(self.client).await?)?)
    }

    /// What went by since the last reading.
    async fn step(&mut self) -> Result<Step, PricingError> {
        let bytes = self.allocated_bytes().await?;
        self.is_read = true;
        Ok(self.allocations.read(bytes))
    }

    /// What is allocated when nobody calls, at the beginning of a round that finds out what calls
    /// allocate.
    pub(super) async fn learn(&mut self) -> Result<(), PricingError> {
        const TIMES: usize = 5;
        const LONG: Duration = Duration::from_millis(500);
        self.step().await?;
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for (steps, pause) in [(&mut short, Duration::ZERO), (&mut long, LONG)] {
            for _ in 0..TIMES {
                let window = self.open().await?;
                sleep(pause).await;
                self.close(window).await?;
                steps.push(self.step().await?);
            }
        }
        self.allocations.learn(&short, &long);
        Ok(())
    }

    async fn heap(&mut self) -> Result<Heap, PricingError> {
        Ok(Heap {
            allocated_bytes: self.allocated_bytes().await?,
            collecting_us: self.meter.used().await?.collecting_us.unwrap_or_default(),
        })
    }

    /// From now on the CPU is measured.
    pub(super) fn warmed_up(&mut self) {
        self.is_reading_memory = false;
        self.measured.clear();
    }

    /// All that is known.
    pub(super) async fn measurements(&mut self) -> Result<Measurements, PricingError> {
        let heap = self.heap().await?;
        let us = heap.collecting_us - self.began.collecting_us;
        let bytes = heap.allocated_bytes - self.began.allocated_bytes;
        Ok(Measurements {
            batches: self.measured.clone(),
            mixes: self.mixes.clone(),
            allocated: self.allocations.per_call(),
            collecting_us_per_byte: if bytes > 0.0 { us / bytes } else { 0.0 },
        })
    }

    /// Gets of the Lease: all is compared with those that were made next to it.
    async fn tolls(&mut self) -> Result<(), PricingError> {
        let tolls = Batch {
            what: What::Toll,
            size: Size::Small,
            codes: vec![200; self.tolls],
            calls: std::iter::repeat_with(|| Call::get(self.lease.clone()))
                .take(self.tolls)
                .collect(),
            object_bytes: 0.0,
        };
        self.measure(tolls).await?;
        Ok(())
    }

    /// Makes the calls one after another, and keeps what they took if all ended as they must. Gives
    /// the bodies of the answers.
    pub(super) async fn batch(&mut self, batch: Batch) -> Result<Vec<Bytes>, PricingError> {
        if batch.calls.is_empty() {
            return Ok(Vec::new());
        }
        self.tolls().await?;
        self.measure(batch).await
    }

    async fn measure(&mut self, batch: Batch) -> Result<Vec<Bytes>, PricingError> {
        let (what, codes) = (batch.what, batch.codes);
        let count = batch.calls.len() as u64;
        if self.is_reading_memory && !self.is_read {
            self.step().await?;
        }
        let window = self.open().await?;
        let answers = self.prepare(batch.calls).await?;
        let usage = self.close(window).await?;
        if self.is_reading_memory {
            let step = self.step().await?;
            self.allocations
                .add((what.clone(), batch.size), step, count);
        }
        let mut pairs = answers.iter().zip(codes);
        if let Some((odd, code)) = pairs.find(|(answer, code)| answer.code != *code) {
            let reason = format!("answered {} in place of {code}", odd.code);
            self.left_out.insert(what, reason);
            return Ok(Vec::new());
        }
        let bytes: u64 = answers.iter().map(|answer| answer.bytes).sum();
        self.measured.push(Measured {
            round: self.round,
            what,
            size: batch.size,
            calls: count,
            bytes: bytes as f64 / count as f64,
            object_bytes: batch.object_bytes,
            usage,
        });
        Ok(answers.into_iter().map(|answer| answer.body).collect())
    }

    /// Nobody calls for that long.
    pub(super) async fn idle(&mut self, what: What, length: Duration) -> Result<(), PricingError> {
        let window = self.open().await?;
        sleep(length).await;
        let usage = self.close(window).await?;
        self.measured.push(Measured {
            round: self.round,
            what,
            size: Size::Small,
            calls: 1,
            bytes: 0.0,
            object_bytes: 0.0,
            usage,
        });
        Ok(())
    }

    /// Makes calls, and measures nothing.
    pub(super) async fn prepare(&mut self, calls: Vec<Call>) -> Result<Vec<Answer>, PricingError> {
        (self.used, self.is_read) = (None, false);
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(call.send(self.client).await?);
        }
        Ok(answers)
    }

    async fn open(&mut self) -> Result<(Used, Instant), PricingError> {
        let used = match self.used.take() {
            Some(used) => used,
            None => self.meter.used().await?,
        };
        Ok((used, Instant::now()))
    }

    async fn close(&mut self, (before, began): (Used, Instant)) -> Result<Usage, PricingError> {
        let after = self.meter.used().await?;
        self.used = Some(after);
        let less = |after: Option<f64>, before: Option<f64>| Some(after? - before?);
        Ok(Usage {
            seconds: began.elapsed().as_secs_f64(),
            cpu_us: after.cpu_us - before.cpu_us,
            collecting_us: less(after.collecting_us, before.collecting_us),
            etcd_cpu_us: less(after.etcd_cpu_us, before.etcd_cpu_us),
            written_bytes: less(after.written_bytes, before.written_bytes),
        })
    }
}

impl Session<'_> {
    /// What was not what it was to be, in any round.
    pub(super) fn forget(&mut self, what: &What, reason: &str) {
        self.measured.retain(|one| one.what != *what);
        self.left_out.insert(what.clone(), reason.to_owned());
    }

    /// The same of the last batch only.
    pub(super) fn forget_last(&mut self, what: &What, reason: &str) {
        let round = self.round;
        self.measured
            .retain(|one| one.what != *what || one.round != round);
        self.left_out.insert(what.clone(), reason.to_owned());
    }
}
