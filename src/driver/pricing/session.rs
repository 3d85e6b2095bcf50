//! Batches of calls, each with what the API server took for it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kube::Client;
use tokio::time::sleep;

use super::{
    caller::{Answer, Call},
    error::PricingError,
    meter::{Meter, Used, memory},
};
use prices::{Measured, Memory, Size, Usage, What};

/// How long the API server and etcd may still work on what is answered.
const AFTER: Duration = Duration::from_millis(30);

/// What is measured, and what of it is known already.
pub(super) struct Session<'s> {
    pub(super) client: &'s Client,
    pub(super) meter: &'s dyn Meter,
    pub(super) round: usize,
    pub(super) measured: Vec<Measured>,
    /// Kinds that can't be measured, and why.
    pub(super) left_out: BTreeMap<What, String>,
    /// The API server's memory after the last batch.
    memory: Memory,
    /// What reading its memory takes of it.
    reading_allocates: f64,
}

/// A batch that is to be measured.
pub(super) struct Batch {
    pub(super) what: What,
    pub(super) size: Size,
    pub(super) calls: Vec<Call>,
    /// The HTTP status that each call must get.
    pub(super) code: u16,
    /// Bytes of an object as JSON.
    pub(super) object_bytes: f64,
}

impl<'s> Session<'s> {
    pub(super) async fn new(
        client: &'s Client,
        meter: &'s dyn Meter,
    ) -> Result<Self, PricingError> {
        let mut session = Self {
            client,
            meter,
            round: 0,
            measured: Vec::new(),
            left_out: BTreeMap::new(),
            memory: Memory::default(),
            reading_allocates: 0.0,
        };
        session.learn_reading().await?;
        Ok(session)
    }

    /// Reading takes memory itself, which is no call's.
    async fn learn_reading(&mut self) -> Result<(), PricingError> {
        const TIMES: u32 = 5;
        let first = self.read_memory().await?;
        let mut last = first;
        for _ in 0..TIMES {
            last = self.read_memory().await?;
        }
        self.reading_allocates = (last.allocated_bytes - first.allocated_bytes) / f64::from(TIMES);
        self.memory = last;
        Ok(())
    }

    async fn read_memory(&self) -> Result<Memory, PricingError> {
        let answer = Call::get("/metrics".to_owned()).send(self.client).await?;
        Ok(memory(&answer.body)?)
    }

    /// Makes the calls one after another, and keeps what they took if all ended as they must. Gives
    /// the bodies of the answers.
    pub(super) async fn batch(&mut self, batch: Batch) -> Result<Vec<Bytes>, PricingError> {
        let Batch { what, code, .. } = &batch;
        let (what, code) = (what.clone(), *code);
        if batch.calls.is_empty() {
            return Ok(Vec::new());
        }
        let count = batch.calls.len() as u64;
        let (began, before) = (Instant::now(), self.meter.used().await?);
        let mut answers = Vec::with_capacity(batch.calls.len());
        for call in batch.calls {
            answers.push(call.send(self.client).await?);
        }
        let usage = self.usage(began, before).await?;
        if let Some(odd) = answers.iter().find(|answer| answer.code != code) {
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
    pub(super) async fn idle(&mut self, length: Duration) -> Result<(), PricingError> {
        let (began, before) = (Instant::now(), self.meter.used().await?);
        sleep(length).await;
        let usage = self.usage(began, before).await?;
        self.measured.push(Measured {
            round: self.round,
            what: What::Idle,
            size: Size::Small,
            calls: 1,
            bytes: 0.0,
            object_bytes: 0.0,
            usage,
        });
        Ok(())
    }

    /// Calls that prepare something, and are not measured.
    pub(super) async fn prepare(&mut self, calls: Vec<Call>) -> Result<Vec<Answer>, PricingError> {
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(call.send(self.client).await?);
        }
        self.memory = self.read_memory().await?;
        Ok(answers)
    }

    async fn usage(&mut self, began: Instant, before: Used) -> Result<Usage, PricingError> {
        sleep(AFTER).await;
        let after = self.meter.used().await?;
        let seconds = began.elapsed().as_secs_f64();
        let memory = self.read_memory().await?;
        let then = std::mem::replace(&mut self.memory, memory);
        let less = |after: Option<f64>, before: Option<f64>| Some(after? - before?);
        let allocated = memory.allocated_bytes - then.allocated_bytes - self.reading_allocates;
        Ok(Usage {
            seconds,
            cpu_us: after.cpu_us - before.cpu_us,
            etcd_cpu_us: less(after.etcd_cpu_us, before.etcd_cpu_us),
            written_bytes: less(after.written_bytes, before.written_bytes),
            memory: Some(Memory {
                allocated_bytes: allocated.max(0.0),
                collections: memory.collections - then.collections,
            }),
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
