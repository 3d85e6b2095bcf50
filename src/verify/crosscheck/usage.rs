//! CPU, memory and work queues of components, under the names of KubeVirt's report.

use std::collections::BTreeMap;

use super::reading::{Call, Queue, Reading};

/// What MB is here; KubeVirt's names have it.
const MB: f64 = 1024.0 * 1024.0;
/// The quantile of the waiting times.
const P99: f64 = 0.99;

/// One endpoint of a component over a window.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// Name of the component, such as `virt-api`.
    pub(super) component: String,
    /// URL of its metrics, without query.
    pub(super) url: String,
    first: (f64, Reading),
    last: (f64, Reading),
    memory: Spread,
    depth: Spread,
    restarted: bool,
}

/// Values of samples.
#[derive(Debug, Clone, Copy)]
struct Spread {
    least: f64,
    most: f64,
    sum: f64,
    count: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            sum: 0.0,
            count: 0.0,
        }
    }
}

impl Spread {
    fn see(&mut self, value: f64) {
        self.add(Self {
            least: value,
            most: value,
            sum: value,
            count: 1.0,
        });
    }

    fn add(&mut self, other: Self) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.sum += other.sum;
        self.count += other.count;
    }

    fn of(values: &[f64]) -> Self {
        let mut spread = Self::default();
        values.iter().for_each(|value| spread.see(*value));
        spread
    }

    fn mean(self) -> f64 {
        self.sum / self.count
    }
}

impl Watched {
    /// An endpoint of which the first reading was taken at `at`, in seconds of any clock.
    pub(super) fn new(component: &str, url: &str, at: f64, first: Reading) -> Self {
        let mut this = Self {
            component: component.to_owned(),
            url: url.to_owned(),
            first: (at, first.clone()),
            last: (at, first),
            memory: Spread::default(),
            depth: Spread::default(),
            restarted: false,
        };
        this.sample();
        this
    }

    /// Takes a later reading.
    pub(super) fn see(&mut self, at: f64, reading: Reading) {
        self.restarted |= reading.restarted_since(&self.last.1);
        self.last = (at, reading);
        self.sample();
    }

    fn sample(&mut self) {
        let (_, reading) = &self.last;
        if let Some(memory) = reading.memory {
            self.memory.see(memory / MB);
        }
        if let Some(queue) = &reading.queue {
            self.depth.see(queue.depth);
        }
    }

    /// Whether the process was started anew in the window, or its counters were.
    pub(super) fn restarted(&self) -> bool {
        self.restarted
    }

    /// The name of its counter, if it has one.
    pub(super) fn counter(&self) -> Option<&'static str> {
        self.last.1.counter.or(self.first.1.counter)
    }

    /// By how much its counters grew; by what it is without a restart, and else by nothing.
    pub(super) fn calls(&self) -> BTreeMap<Call, u64> {
        if self.restarted {
            return BTreeMap::new();
        }
        let before = &self.first.1.calls;
        let grown = self.last.1.calls.iter().map(|(call, now)| {
            let then = before.get(call).copied().unwrap_or_default();
            (call.clone(), now.saturating_sub(then))
        });
        grown.collect()
    }

    fn seconds(&self) -> f64 {
        self.last.0 - self.first.0
    }

    /// Cores used, by the difference of the process's own clock.
    fn cores(&self) -> Option<f64> {
        let used = self.last.1.cpu? - self.first.1.cpu?;
        (self.seconds() > 0.0).then(|| used / self.seconds())
    }

    fn queues(&self) -> Option<(&Queue, &Queue)> {
        Some((self.first.1.queue.as_ref()?, self.last.1.queue.as_ref()?))
    }
}

/// The figures of each component over its endpoints; those that were restarted are left out.
pub(super) fn values(watched: &[Watched]) -> BTreeMap<String, f64> {
    let mut components: BTreeMap<&str, Vec<&Watched>> = BTreeMap::new();
    for one in watched.iter().filter(|one| !one.restarted) {
        components.entry(&one.component).or_default().push(one);
    }
    let mut values = BTreeMap::new();
    for (component, endpoints) in components {
        let name = in_names(component);
        add_cpu(&mut values, &name, &endpoints);
        add_memory(&mut values, &name, &endpoints);
        add_queues(&mut values, &name, &endpoints);
    }
    values
}

/// KubeVirt gives the least and the most CPU of virt-handler only.
fn add_cpu(values: &mut BTreeMap<String, f64>, name: &str, endpoints: &[&Watched]) {
    let cores: Vec<f64> = endpoints.iter().filter_map(|one| one.cores()).collect();
    if cores.is_empty() {
        return;
    }
    let spread = Spread::of(&cores);
    values.insert(format!("avg{name}CPUUsage"), spread.mean());
    if name == "VirtHandler" {
        values.insert(format!("min{name}CPUUsage"), spread.least);
        values.insert(format!("max{name}CPUUsage"), spread.most);
    }
}

fn add_memory(values: &mut BTreeMap<String, f64>, name: &str, endpoints: &[&Watched]) {
    let mut spread = Spread::default();
    endpoints.iter().for_each(|one| spread.add(one.memory));
    if spread.count > 0.0 {
        values.insert(format!("avg{name}MemoryUsageInMB"), spread.mean());
        values.insert(format!("min{name}MemoryUsageInMB"), spread.least);
        values.insert(format!("max{name}MemoryUsageInMB"), spread.most);
    }
}

/// KubeVirt gives them of virt-controller only, and its names begin with a small letter.
fn add_queues(values: &mut BTreeMap<String, f64>, name: &str, endpoints: &[&Watched]) {
    let queues: Vec<_> = endpoints.iter().filter_map(|one| one.queues()).collect();
    let seconds = endpoints
        .iter()
        .map(|one| one.seconds())
        .fold(0.0, f64::max);
    if name != "VirtController" || queues.is_empty() || seconds <= 0.0 {
        return;
    }
    let adds: f64 = queues.iter().map(|(then, now)| now.adds - then.adds).sum();
    let depth: f64 = endpoints
        .iter()
        .filter(|one| one.depth.count > 0.0)
        .map(|one| one.depth.mean())
        .sum();
    values.insert("virtControllerWorkqueueAddRate".to_owned(), adds / seconds);
    values.insert("virtControllerWorkqueueDepth".to_owned(), depth);
    if let Some(seconds) = quantile(P99, &waits(&queues)) {
        values.insert("virtControllerWorkqueueP99Latency".to_owned(), seconds);
    }
}

/// How many waited at most so many seconds, in the window.
fn waits(queues: &[(&Queue, &Queue)]) -> Vec<(f64, f64)> {
    let mut waits: Vec<(f64, f64)> = Vec::new();
    for (then, now) in queues {
        for (bound, count) in &now.waited {
            let before = then.waited.iter().find(|(known, _)| known == bound);
            let count = count - before.map_or(0.0, |(_, count)| *count);
            match waits.iter_mut().find(|(known, _)| known == bound) {
                Some((_, sum)) => *sum += count,
                None => waits.push((*bound, count)),
            }
        }
    }
    waits.sort_by(|one, other| one.0.total_cmp(&other.0));
    waits
}

/// A quantile of cumulated buckets, evenly spread within its bucket as in Prometheus's
/// `histogram_quantile`; the highest bound where it lies beyond that.
fn quantile(share: f64, cumulated: &[(f64, f64)]) -> Option<f64> {
    let (_, total) = cumulated.last().filter(|(_, total)| *total > 0.0)?;
    let rank = share * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in cumulated {
        if bound.is_infinite() {
            return Some(lower);
        }
        if *count >= rank {
            let inside = count - below;
            return Some(lower + (bound - lower) * (rank - below) / inside);
        }
        (lower, below) = (*bound, *count);
    }
    None
}

/// `virt-api` is `VirtAPI` in KubeVirt's names.
fn in_names(component: &str) -> String {
    let word = |word: &str| {
        if word == "api" {
            return "API".to_owned();
        }
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    };
    component.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(started: u64, calls: u64, cpu: f64, mib: f64, adds: u64, waited: [u64; 3]) -> Reading {
        let [short, long, all] = waited;
        let page = format!(
            "kubevirt_rest_client_requests_total{{code=\"200\",method=\"GET\",host=\"a\",resource=\"pods\",verb=\"GET\"}} {calls}\n\
             process_start_time_seconds {started}\nprocess_cpu_seconds_total {cpu}\n\
             process_resident_memory_bytes {}\n\
             kubevirt_workqueue_adds_total{{name=\"vmi\"}} {adds}\n\
             kubevirt_workqueue_depth{{name=\"vmi\"}} 2\n\
             kubevirt_workqueue_queue_duration_seconds_bucket{{name=\"vmi\",le=\"0.1\"}} {short}\n\
             kubevirt_workqueue_queue_duration_seconds_bucket{{name=\"vmi\",le=\"1\"}} {long}\n\
             kubevirt_workqueue_queue_duration_seconds_bucket{{name=\"vmi\",le=\"+Inf\"}} {all}\n",
            mib * MB
        );
        Reading::parse(page.as_bytes()).unwrap()
    }

    #[test]
    fn figures_are_differences_over_the_window_under_kubevirts_names() {
        let mut one = Watched::new(
            "virt-controller",
            "a",
            10.0,
            page(1, 5, 1.0, 100.0, 10, [1, 1, 1]),
        );
        one.see(15.0, page(1, 6, 2.0, 300.0, 10, [1, 1, 1]));
        one.see(20.0, page(1, 9, 6.0, 110.0, 30, [51, 101, 101]));
        let other = |component: &str| {
            let mut other = Watched::new(component, "b", 10.0, page(1, 0, 0.0, 50.0, 0, [0; 3]));
            other.see(20.0, page(1, 0, 1.0, 50.0, 0, [0; 3]));
            other
        };
        let found = values(&[one.clone(), other("virt-controller"), other("virt-api")]);
        let expected = [
            ("avgVirtAPICPUUsage", 0.1),
            ("avgVirtAPIMemoryUsageInMB", 50.0),
            ("avgVirtControllerCPUUsage", 0.3),
            (
                "avgVirtControllerMemoryUsageInMB",
                (100.0 + 300.0 + 110.0 + 50.0 + 50.0) / 5.0,
            ),
            ("maxVirtAPIMemoryUsageInMB", 50.0),
            ("maxVirtControllerMemoryUsageInMB", 300.0),
            ("minVirtAPIMemoryUsageInMB", 50.0),
            ("minVirtControllerMemoryUsageInMB", 50.0),
            ("virtControllerWorkqueueAddRate", 2.0),
            ("virtControllerWorkqueueDepth", 4.0),
            // 99 of 100 waits: 49 of the 50 that took more than 0.1 s.
            ("virtControllerWorkqueueP99Latency", 0.1 + 0.9 * 49.0 / 50.0),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (name, value) in expected {
            assert!(
                (found[name] - value).abs() < 1e-9,
                "{name}: {}",
                found[name]
            );
        }
        let grown = one.calls();
        assert_eq!(grown.values().sum::<u64>(), 4);
    }

    #[test]
    fn a_restart_is_seen_even_when_counters_have_caught_up() {
        let restarted = |later: [Reading; 2]| {
            let mut one = Watched::new("virt-api", "a", 0.0, page(1, 5, 1.0, 1.0, 0, [0; 3]));
            later.into_iter().for_each(|reading| one.see(1.0, reading));
            (one.restarted(), one.calls().len(), values(&[one]).len())
        };
        let later = |started, calls| page(started, calls, 1.0, 1.0, 0, [0; 3]);
        assert!(!restarted([later(1, 5), later(1, 9)]).0);
        assert_eq!(restarted([later(2, 9), later(2, 9)]), (true, 0, 0));
        assert_eq!(restarted([later(1, 2), later(1, 9)]), (true, 0, 0));
        assert_eq!(restarted([Reading::default(), later(1, 9)]), (true, 0, 0));
    }

    #[test]
    fn a_component_without_the_counter_is_told_from_one_that_made_no_calls() {
        let counter = |page: &str| Reading::parse(page.as_bytes()).unwrap().counter;
        assert_eq!(counter("process_cpu_seconds_total 1\n"), None);
        // client-go's own, without resource and verb.
        assert_eq!(
            counter("rest_client_requests_total{code=\"200\",host=\"a\",method=\"GET\"} 1\n"),
            None
        );
        let older = "rest_client_requests_total{code=\"200\",resource=\"pods\",verb=\"GET\"} 1\n";
        assert_eq!(counter(older), Some("rest_client_requests_total"));
    }
}
