//! How fast an API server is at the moment: gets of one Lease, whose price is the unit of all lists.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::time::sleep;

use super::{caller::Call, error::PricingError, meter::Meter};
use stats::{mean_interval, without_outliers};

/// Gets of one batch: together they take some hundred milliseconds.
const GETS: usize = 100;
/// Batches, of which those that are far from the others are left out.
const TIMES: usize = 5;
/// Any Lease that is there: each API server has one of its own.
const ANY_LEASE: &str = "/apis/coordination.k8s.io/v1/leases?limit=1";

/// Microseconds of the API server's CPU that a get of a Lease takes among other such gets, without what
/// collects garbage, and without what goes on when nobody gets it.
pub(super) async fn toll_us(client: &Client, meter: &dyn Meter) -> Result<f64, PricingError> {
    let path = any_lease(client).await?;
    let mut tolls = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let began = Instant::now();
        let gets = async {
            for _ in 0..GETS {
                Call::get(path.clone()).send(client).await?;
            }
            Ok(())
        };
        let with = used_by(meter, gets).await?;
        let length = began.elapsed();
        let without = used_by(meter, idle(length)).await?;
        tolls.push((with - without) / GETS as f64);
    }
    let mean = mean_interval(&without_outliers(&tolls));
    mean.map(|(mean, _)| mean)
        .ok_or_else(|| PricingError::Call("no get of a Lease was measured".to_owned()))
}

async fn idle(length: Duration) -> Result<(), PricingError> {
    sleep(length).await;
    Ok(())
}

/// Microseconds of CPU that do not collect garbage.
async fn used_by(
    meter: &dyn Meter,
    work: impl Future<Output = Result<(), PricingError>>,
) -> Result<f64, PricingError> {
    let before = meter.used().await?;
    work.await?;
    let after = meter.used().await?;
    let collecting = after.collecting_us.zip(before.collecting_us);
    let collecting = collecting.map_or(0.0, |(after, before)| after - before);
    Ok(after.cpu_us - before.cpu_us - collecting)
}

async fn any_lease(client: &Client) -> Result<String, PricingError> {
    let answer = Call::get(ANY_LEASE.to_owned()).send(client).await?;
    if answer.code != 200 {
        return Err(PricingError::Refused {
            what: "a list of leases".to_owned(),
            code: answer.code,
        });
    }
    let leases = answer.object()?;
    let metadata = &leases["items"][0]["metadata"];
    let field = |name: &str| metadata[name].as_str().map(str::to_owned);
    let place = field("namespace").zip(field("name"));
    let (namespace, name) =
        place.ok_or_else(|| PricingError::Call("the cluster has no Lease".to_owned()))?;
    Ok(format!(
        "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
    ))
}
