//! The proxy's own port: plain HTTP, apart from the data port, which reserves no path.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while it accepts requests, 503 while it drains; with `?verbose` also how the API server was last reached |
//! | `GET /metrics` | Prometheus's text format |
//! | `GET /snapshot` | one instant of the books |
//! | `PUT /runs/ID` | opens a run (`record::OpenRun`), gives the snapshot of that instant |
//! | `GET /runs/ID?namespace=N` | a snapshot and the run's requests for that namespace; the run's lease starts anew |
//! | `GET /runs/ID/journal?lines=N&ends=N&clients=N` | lines of the run's journal from there on; the lease starts anew |
//! | `DELETE /runs/ID` | closes the run: snapshot and detail |
//!
//! All but `/livez`, `/readyz` and `/metrics` need the bearer token where there is one; where there is
//! none, nobody gets lines of a run that is open. A port on a loopback address serves requests only whose `Host` is `localhost` or a loopback address.

mod access;
mod certificates;
mod compat;
mod family;
mod lease;
mod metrics;
mod naming;
mod page;
mod pieces;
mod readiness;
mod rendering;
mod reply;
mod routes;
mod runs;
mod server;
mod slots;
mod state;
mod watches;
mod write_timeout;

pub use certificates::Certificate;
pub use server::serve;
pub use state::{Admin, Options};
