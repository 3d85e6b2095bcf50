//! The formats that leave the process. docs/FORMATS.md describes each field.
//!
//! Invariant: no other room defines a format; the rooms that hold the values derive no
//! serialization of their own.

mod api_server;
mod audit;
mod budget;
mod change;
mod comparison;
mod crosscheck;
mod drawn;
mod exchange;
mod failure;
mod finding;
mod history;
mod installation;
mod journal;
mod markers;
mod outcome;
mod pages;
mod prices;
mod printable;
mod result;
mod run;
mod snapshot;
mod watch_events;
mod words;

pub use api_server::{ApiServerUsage, EventsSent, RequestsServed, WebhookCalls};
pub use audit::{AuditBill, AuditCount, AuditLog, AuditReport, Difference, Value, Verification};
pub use budget::{
    BUDGET_SCHEMA, BudgetFile, BudgetReport, BudgetRow, ComponentBudget, ScenarioBudget,
};
pub use change::{Change, ChangeKind, RunValue};
pub use comparison::{
    Comparison, GroupInfo, Learned, LimitVerdict, MetricComparison, ScenarioComparison, Side,
    Verdict,
};
pub use crosscheck::{CROSSCHECK_SCHEMA, ComponentCheck, Crosscheck, CrosscheckRow, Finding};
pub use drawn::{Drawn, DrawnGraph};
pub use exchange::{
    BurnerDocument, BurnerJob, HistoryLine, KubevirtCiRun, KubevirtGraph, KubevirtGraphs,
    KubevirtPoint, KubevirtTrace, KubevirtWeek, KubevirtWeekData, OtavaConfig, OtavaCsv,
    OtavaMetric, OtavaTest, SchemaName,
};
pub use failure::{
    BooksKept, Cause, CauseSource, FailureReason, NotRunning, NotRunningGroup, RunFailure,
};
pub use finding::{
    CallExample, CallFinding, CallFindingKind, FindingChange, FindingChangeKind, ObjectCalls,
    PerObject,
};
pub use history::{
    Acknowledgement, Checked, FINDING_METRICS, HISTORY_SCHEMA, HistoryRun, ImportReport, Origin,
    RunCost, Tally, call_name, component_metric, label,
};
pub use installation::{ComponentInstallation, INSTALLATION_SCHEMA, Installation, PodInstallation};
pub use journal::{
    CauseSeen, ClientRecord, JournalLine, JournalRecord, ObjectSeen, OwnerSeen, QueryRecord,
    SentRecord, StatusRecord, WatchRecord,
};
pub use markers::{MarkerFile, MarkerLabel, MarkerLine, MarkerStyle};
pub use outcome::{Kept, Outcome};
pub use pages::{
    JournalPage, JournalPosition, KnownBooks, SPOOL_SCHEMA, SpoolEntry, SpoolHead, SpoolPage,
};
pub use prices::{
    Bill, BillParts, Estimate, Machine, PRICES_SCHEMA, Price, PriceList, PricedCall, PricedOutcome,
    PricesUsed, WatchEventPrice, WebhookKind, WebhookPrice,
};
pub use printable::{printable, printable_line};
pub use result::{
    BudgetVerdict, Latency, OtherCount, PerfAuditResults, PerfAuditThreshold, PerfAuditValue,
    ProxyTook, Quantiles, ResultRow, RunResult, Share, ThresholdExpectation, ThresholdFile,
    ThresholdVerdict, Took, Total, Window,
};
pub use run::{
    AUDIT_CHECK, AUDIT_COUNT_CHECK, Check, ClusterRecord, CommandRecord, Deletion, DiscoveryRecord,
    DriverCall, ENDED_CHECK, ObjectTimes, PodRecord, ProxyRun, RUN_SCHEMA, RunRecord,
};
pub use snapshot::{
    ADMIN_TOKEN_HEADER, CallRecord, Durations, InFlight, NotComparable, ObjectRecord, OpenRun,
    ProxyInfo, RecentRequests, RowRecord, RunDetailRecord, RunProgress, Snapshot, UNAUTHENTICATED,
    UNPROVEN, kept_audit_id,
};
pub use watch_events::WatchEvents;
pub use words::{grouped, number_of};

/// Whether a value is not worth a field.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
