//! An embedded Kubernetes API server: in the process, in memory, for density scenarios without a cluster.
//!
//! It speaks what the `kube` crate, client-go and kubectl need, over TLS with HTTP/2 and HTTP/1.1, and where it speaks it
//! means it: resourceVersions come from one counter, conflicts from races only, watches resume from a bounded history,
//! finalizers hold objects back, owners take their dependents with them.
//!
//! What it is not, where it differs from a real one:
//! - Objects are not validated against schemas (names are), and native types get a few defaults only.
//! - Server-side apply is a merge without field ownership; managedFields name the writers, not their fields.
//! - `core/v1` and `events.k8s.io/v1` events are stored apart. Each resource has one version.
//! - The garbage collector and the removal of a namespace's contents run in the process instead of calling the API, so
//!   that the calls of a kube-controller-manager are in no log. There is no scheduler and no kubelet.
//! - Bodies in protobuf are read for small types only (see `representation/messages.rs`). Who writes pods or nodes by a typed client of
//!   client-go, which prefers protobuf, sets its `ContentType` to `application/json`. Answers are always JSON.
//! - A slow watch is dropped when its position has left the history of its resource type, not by a queue of its own.
//!
//! ```no_run
//! # async fn example(listener: tokio::net::TcpListener, tls: std::sync::Arc<rustls::ServerConfig>) {
//! use lab::apiserver::{ApiServer, Options, UserInfo};
//! let stop = tokio_util::sync::CancellationToken::new();
//! let server = ApiServer::new(Options::default());
//! let admin = UserInfo { name: "admin".to_owned(), groups: vec!["system:masters".to_owned()] };
//! server.add_token("a-long-random-token", admin);
//! tokio::spawn(server.clone().serve(listener, tls, stop.clone()));
//! # }
//! ```

mod access;
mod deleting;
mod discovery;
mod fault;
mod log;
mod reading;
mod representation;
mod requests;
mod resources;
mod server;
mod serving;
mod status;
mod storage;
mod writing;

#[cfg(test)]
mod tests;

pub use self::access::admission::{AdmissionHook, AdmissionRequest, AdmissionResponse};
pub use self::access::authorization::DenyHook;
pub use self::fault::Fault;
pub use self::log::LoggedRequest;
pub use self::requests::user::UserInfo;
pub use self::server::{ApiServer, Options};
