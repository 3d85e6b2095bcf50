//! `/readyz`: whether new clients may come, and with `?verbose` also how the API server was last
//! reached.
//!
//! The API server has no say in the status. Its own webhooks and aggregated APIs run in pods that
//! have this proxy beside them: were all of those taken out of their Services while it restarts, it
//! could call none of them once it is back. And the probe at the start of a sidecar asks here too:
//! a pod that never gets past it restarts.

use http::StatusCode;

use super::reply::{Reply, text};
use crate::{Dialer, LastDial, Proxy};

/// The answer to a probe.
pub(super) fn answer(proxy: &Proxy, query: Option<&str>) -> Reply {
    let is_ready = proxy.is_ready();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match (is_verbose(query), is_ready) {
        (true, _) => text(status, &verbose(proxy, is_ready)),
        (false, true) => text(status, "ok\n"),
        (false, false) => text(status, "draining\n"),
    }
}

/// As kube-apiserver reads it.
fn is_verbose(query: Option<&str>) -> bool {
    let pieces = query.into_iter().flat_map(|query| query.split('&'));
    pieces
        .filter_map(|piece| piece.split('=').next())
        .any(|name| name == "verbose")
}

/// In the form of kube-apiserver's own.
fn verbose(proxy: &Proxy, is_ready: bool) -> String {
    let (sign, outcome, end) = if is_ready {
        ('+', "ok", "passed")
    } else {
        ('-', "failed: draining", "failed")
    };
    let mut page = format!("[{sign}]accepting {outcome}\n");
    add_dials(&mut page, "upstream", &proxy.dialer);
    if let Some(front_proxy) = &proxy.front_proxy {
        add_dials(&mut page, "upstream as front proxy", front_proxy);
    }
    page.push_str(&format!("readyz check {end}\n"));
    page
}

fn add_dials(page: &mut String, what: &str, dialer: &Dialer) {
    for (address, last) in dialer.last_dials() {
        page.push_str(&match last {
            LastDial::None => format!("[ ]{what} {address} not dialled yet\n"),
            LastDial::Reached => format!("[+]{what} {address} ok\n"),
            LastDial::Failed { why, at, .. } => {
                let seconds = at.elapsed().as_secs();
                format!("[-]{what} {address} failed {seconds} s ago, status not affected: {why}\n")
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::is_verbose;

    #[test]
    fn verbose_is_asked_for_as_with_kube_apiserver() {
        for query in ["verbose", "verbose=", "verbose=false", "x=1&verbose"] {
            assert!(is_verbose(Some(query)), "{query}");
        }
        for query in [None, Some(""), Some("x=verbose"), Some("verbosely")] {
            assert!(!is_verbose(query), "{query:?}");
        }
    }
}
