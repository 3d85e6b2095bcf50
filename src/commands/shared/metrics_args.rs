//! Where the components' own metrics are read.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;

use driver::{
    ComponentWatch, component_metrics::ComponentMetrics, proxies::ProxyClient, scrape::Scraper,
};
use identity::endpoint::Trust;
use terminal::{duration, exit::Misuse};

/// Where the components' own metrics are.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// A component by its name in the books, and its metrics endpoint; repeatable, also for
    /// several pods of one component. Without a path it is /metrics.
    #[arg(long, value_name = "COMPONENT=URL")]
    component_metrics: Vec<String>,
    /// PEM file of the CA that signed the endpoints' certificates.
    #[arg(long, value_name = "FILE", requires = "component_metrics")]
    component_metrics_ca: Option<PathBuf>,
    /// Name that the endpoints' certificates must have, if it isn't the URL's host.
    #[arg(long, value_name = "NAME", requires = "component_metrics_ca")]
    component_metrics_server_name: Option<String>,
    /// File with a bearer token for the endpoints.
    #[arg(long, value_name = "FILE", requires = "component_metrics")]
    component_metrics_token_file: Option<PathBuf>,
    /// Take any certificate of the endpoints: whoever is in between can change what is read. Never
    /// with a token.
    #[arg(long, requires = "component_metrics", conflicts_with_all = ["component_metrics_ca", "component_metrics_token_file"])]
    component_metrics_insecure: bool,
    /// How often memory and the depth of work queues are read in between.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub(crate) sample: Duration,
}

impl MetricsArgs {
    /// Whether any endpoint was named.
    pub(crate) fn is_given(&self) -> bool {
        !self.component_metrics.is_empty()
    }

    /// What is read of these endpoints and `proxies`.
    pub(crate) fn metrics(&self, proxies: Vec<ProxyClient>) -> Result<ComponentMetrics> {
        Ok(ComponentMetrics::new(proxies, self.endpoints()?))
    }

    /// The endpoints as a run reads them, if any was named: each must answer now.
    pub(crate) async fn watch(&self, proxies: &[ProxyClient]) -> Result<Option<ComponentWatch>> {
        if !self.is_given() {
            return Ok(None);
        }
        let metrics = self.metrics(proxies.to_vec())?;
        Ok(Some(ComponentWatch::new(metrics, self.sample).await?))
    }

    fn endpoints(&self) -> Result<Vec<(String, Scraper)>> {
        let token = self.component_metrics_token_file.as_deref();
        let token = token.map(identity::read_token).transpose()?;
        let trust = match &self.component_metrics_ca {
            Some(ca) => Trust::Ca(ca.clone()),
            None if self.component_metrics_insecure => Trust::Anybody,
            None => Trust::Nobody,
        };
        let tls = trust.client_config()?;
        let endpoints = self.component_metrics.iter().map(|given| {
            let (component, url) = given
                .split_once('=')
                .filter(|(component, _)| !component.is_empty())
                .ok_or_else(|| Misuse("--component-metrics takes COMPONENT=URL".to_owned()))?;
            let about = |what: &dyn std::fmt::Display| {
                Misuse(format!("--component-metrics {component}=…: {what}"))
            };
            if url.starts_with("https:") && trust == Trust::Nobody {
                let advice = "give --component-metrics-ca, or --component-metrics-insecure";
                return Err(about(&advice).into());
            }
            let name = self.component_metrics_server_name.as_deref();
            let scraper = Scraper::new(url, token.as_deref(), tls.clone(), name);
            Ok((
                component.to_owned(),
                scraper.map_err(|error| about(&error))?,
            ))
        });
        endpoints.collect()
    }
}
