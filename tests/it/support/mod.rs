//! What the tests share.

pub mod accounting;
pub mod browser;
pub mod caller;
pub mod component;
pub mod fronts;
pub mod history;
pub mod http2;
pub mod image;
pub mod in_folder;
pub mod kubevirt;
pub mod lines;
pub mod podserver;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod real;
pub mod recorder;
pub mod relay;
pub mod skip;
pub mod traced;
pub mod tunnels;
pub mod two_ways;
pub mod wait;
pub mod wire;
pub mod witness;
