//! What the proxies of attached pods have counted.

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{marks::ADMIN_PORT_NAME, site::Site, template::sidecar};

/// Pods that are read at the same time.
const AT_ONCE: usize = 16;
/// The counters whose sum is every call.
const FAMILIES: [&str; 2] = [
    "kubetoll_requests_total{",
    "kubetoll_nonresource_requests_total{",
];

/// One pod's proxy.
pub(super) struct PodBooks {
    pub(super) pod: String,
    /// Calls since the proxy began, or why that is not known.
    pub(super) calls: Result<u64, String>,
}

/// Reads the proxies of these pods.
pub(super) async fn read(site: &Site, pods: &[Value]) -> Vec<PodBooks> {
    let read_one = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let (name, port) = (name.to_owned(), admin_port(pod));
        async move {
            let calls = match port {
                Some(port) => site.metrics(&name, port).await.map(|text| calls(&text)),
                None => Err("it has no proxy".to_owned()),
            };
            PodBooks { pod: name, calls }
        }
    };
    // Futures made first: a closure in the stream would have to hold for any lifetime.
    let reads: Vec<_> = pods.iter().map(read_one).collect();
    let mut books: Vec<PodBooks> = stream::iter(reads)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    books.sort_by(|one, other| one.pod.cmp(&other.pod));
    books
}

pub(super) fn admin_port(pod: &Value) -> Option<u16> {
    let ports = sidecar(pod)?["ports"].as_array()?;
    let admin = ports.iter().find(|port| port["name"] == ADMIN_PORT_NAME)?;
    u16::try_from(admin["containerPort"].as_u64()?).ok()
}

/// The sum of all counted calls in a proxy's metrics.
fn calls(metrics: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| FAMILIES.iter().any(|family| line.starts_with(family)));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::calls;

    #[test]
    fn calls_are_the_sum_of_both_families() {
        let metrics = "# TYPE kubetoll_requests_total counter\n\
             kubetoll_requests_total{verb=\"get\",resource=\"a b\"} 3\n\
             kubetoll_requests_total{verb=\"list\"} 4\n\
             kubetoll_nonresource_requests_total{path=\"/version\"} 5\n\
             kubetoll_requests_in_flight{kind=\"all\"} 100\n";
        assert_eq!(calls(metrics), 12);
        assert_eq!(calls(""), 0);
    }
}
