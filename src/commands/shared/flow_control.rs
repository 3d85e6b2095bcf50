//! Names of the flow schemas that throttled requests, after a measurement.

use cluster::{access::Access, client::Manner};
use driver::client::counted;
use record::RunRecord;
use terminal::tell;

use super::cluster::client_of;

/// Enters them, if there are any, by calls that are in the record as the driver's own. Says why names
/// are missing.
pub(crate) async fn name_flow_schemas(record: &mut RunRecord, access: &Access) {
    if !driver::was_throttled(record) {
        return;
    }
    let client = match client_of(access, Manner::default()).await {
        Ok(client) => client,
        Err(error) => {
            tell!("kubetoll: flow schemas that answered 429 have no name: {error:#}");
            return;
        }
    };
    let (client, tally) = counted(client, "default");
    if let Some(unnamed) = driver::name_flow_schemas(record, &client).await {
        tell!("kubetoll: {unnamed}");
    }
    record.driver.extend(tally.calls());
}
