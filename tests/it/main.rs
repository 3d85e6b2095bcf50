//! The one integration binary.
//!
//! - `additivity`: a mix of calls costs the sum of their prices
//! - `acting`: where a command acts and as whom, under `exec` and through `kubeconfig`
//! - `around`: what `exec` does around its command
//! - `attack`: what an attacker sends, and what comes of it
//! - `certificates`: clients that come with a certificate
//! - `cli`: what needs no cluster: bad input, logs, names
//! - `commands`: `exec`, `measure`, `certs`, `kubeconfig` and `kubetoll-proxy` as a user has them
//! - `comparison`: `compare`, `changes` and `budget` as a user has them
//! - `controllers`: why Kubernetes' own controllers make their calls
//! - `crosscheck`: a component's own counter beside the wire
//! - `deploying`: the chart, the kustomizations and the plugin of kubectl
//! - `differential`: the same request directly and through the proxy, byte for byte
//! - `exchange`: importing what others published, and exporting
//! - `fleet`: `run` and `measure` with the proxies that are attached to a KubeVirt
//! - `failing`: runs that fail, as a user has them
//! - `faults`: runs while something goes wrong
//! - `goaway`: large bodies on an API server that closes connections at random
//! - `history`: keeping runs as a user does
//! - `http1_upstream`: clients of HTTP/2 in front of an API server that has only HTTP/1.1
//! - `image`: the image of static binaries, and what runs in it
//! - `installing`: `attach`, `status` and `detach` on a KubeVirt whose operator is played
//! - `kubeconfigs`: what a kubeconfig means to kubectl, directly and under `exec`
//! - `metrics`: what Prometheus reads from a proxy, with a real one
//! - `on_terminal`: what a run looks like on a terminal
//! - `not_valid`: runs that are not valid, in the history and in what is made of it
//! - `oracle`: the classifier against the real `RequestInfoFactory`
//! - `pages`: `kubetoll graph`, `docs` and `report`, and their pages in a browser
//! - `prices`: what calls cost a real API server, and a run's bill
//! - `refusals`: runs on a cluster that cannot succeed
//! - `restarts`: the API server or the proxy goes away and comes back, files change
//! - `runs`: `kubetoll run` as a user starts it
//! - `seldom`: what clients and servers do now and then
//! - `sizes`: runs of several sizes, which have no average
//! - `soak`: a mixed load through restarts of the upstream
//! - `spool`: lines that leave a proxy while a run is open
//! - `store`: the history, in SQLite and in a real PostgreSQL
//! - `starting`: how `kubetoll-proxy` starts, and what a restart means for who measures
//! - `storm`: the books against a real audit log, request by request
//! - `throttled`: by which flow schema a real kube-apiserver answers 429
//! - `tidy`: the rules of the repository itself
//! - `transparency`: kubectl and informers directly and through the proxy
//! - `upgrades`: exec, attach, port-forward and consoles, with client-go
//! - `watches`: watches beyond the streams of a connection, cancelled, and read slowly
//! - `way_upstream`: what the program says of the way to the API server
//! - `wire`: the proxy byte by byte
//! - `support`: what the tests share, `kit`: what loads are made of

#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![allow(unreachable_pub, reason = "helpers are public for all tests")]

mod acting;
mod additivity;
mod around;
mod attack;
mod certificates;
mod cli;
mod commands;
mod comparison;
mod controllers;
mod costs;
mod crosscheck;
mod deploying;
mod differential;
mod exchange;
mod failing;
mod faults;
mod fleet;
mod goaway;
mod headings;
mod history;
mod http1_upstream;
mod image;
mod installing;
#[path = "../bench/kit/mod.rs"]
mod kit;
mod kubeconfigs;
mod metrics;
mod not_valid;
mod on_terminal;
mod oracle;
mod pages;
mod prices;
mod refusals;
mod restarts;
mod runs;
mod seldom;
mod sizes;
mod soak;
mod spool;
mod starting;
mod store;
mod storm;
mod support;
mod throttled;
mod tidy;
mod transparency;
mod upgrades;
mod watch_events;
mod watches;
mod way_upstream;
mod why;
mod wire;
