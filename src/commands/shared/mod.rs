//! What several commands need. No command takes anything out of another one.

pub(super) mod attached;
pub(super) mod audit_logs;
pub(super) mod child;
pub(super) mod cluster;
pub(super) mod exits;
pub(super) mod failed;
pub(super) mod flow_control;
pub(super) mod history;
pub(super) mod imported;
pub(super) mod inner_proxy;
pub(super) mod inputs;
pub(super) mod limits;
pub(super) mod meters;
pub(super) mod metrics_args;
pub(super) mod output;
pub(super) mod priced;
pub(super) mod prices;
pub(super) mod progress;
pub(super) mod proxies;
pub(super) mod results;
pub(super) mod settle;
pub(super) mod sizes;
pub(super) mod spool;
