//! The price list that Kubetoll comes with.

use record::PriceList;

/// Of Kubernetes 1.34 with KubeVirt's definitions, as `kubetoll price` measured it; the list says when
/// and where.
///
/// # Errors
///
/// None: a test reads it.
pub fn standard() -> Result<PriceList, serde_json::Error> {
    serde_json::from_str(include_str!("kubernetes-1.34.json"))
}
