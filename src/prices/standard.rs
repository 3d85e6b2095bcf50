//! The price list that Kubetoll comes with.

use std::sync::LazyLock;

use record::PriceList;

static STANDARD: LazyLock<serde_json::Result<PriceList>> =
    LazyLock::new(|| serde_json::from_str(include_str!("kubernetes-1.34.json")));

/// Of Kubernetes 1.34 with KubeVirt's definitions, as `kubetoll price` measured it; the list says when
/// and where.
///
/// # Errors
///
/// None: a test reads it.
pub fn standard() -> Result<&'static PriceList, &'static serde_json::Error> {
    STANDARD.as_ref()
}
