//! The formats that leave the process. docs/FORMATS.md describes each field.
//!
//! Invariant: no other room defines a format; the rooms that hold the values derive no
//! serialization of their own.

mod audit;
mod history;
mod installation;
mod result;
mod run;
mod snapshot;

pub use audit::{AuditCount, AuditReport, Difference, Value, Verification};
pub use history::{HISTORY_SCHEMA, HistoryRun, Origin, label};
pub use installation::{ComponentInstallation, INSTALLATION_SCHEMA, Installation, PodInstallation};
pub use result::{
    BudgetVerdict, Latency, PerfAuditResults, PerfAuditThreshold, PerfAuditValue, ProxyTook,
    Quantiles, ResultRow, RunResult, Share, ThresholdExpectation, ThresholdFile, ThresholdVerdict,
    Window,
};
pub use run::{
    Check, ClusterRecord, Deletion, DriverCall, ObjectTimes, ProxyRun, RUN_SCHEMA, RunRecord,
};
pub use snapshot::{
    CallRecord, Durations, InFlight, JournalRecord, NotComparable, ObjectRecord, OpenRun,
    ProxyInfo, RowRecord, RunDetailRecord, RunProgress, Snapshot,
};
