//! What calls cost, for a command that prints a result.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::inputs::read;
use record::{PRICES_SCHEMA, PriceList};

/// In place of a file: the list that Kubetoll comes with.
const DEFAULT: &str = "default";

/// A price list.
#[derive(Debug, Args)]
pub(crate) struct PricesArgs {
    /// JSON file of `kubetoll price`, or default for the list of Kubernetes 1.34 that Kubetoll comes
    /// with: the result says what the calls cost the API server.
    #[arg(help_heading = "Result", long, value_name = "FILE|default")]
    prices: Option<PathBuf>,
}

impl PricesArgs {
    /// The list, if one was named.
    pub(crate) fn read(&self) -> Result<Option<PriceList>> {
        match self.prices.as_deref() {
            None => Ok(None),
            Some(path) if path == Path::new(DEFAULT) => {
                let list = prices::standard();
                Ok(Some(list.context("the list that Kubetoll comes with")?))
            }
            Some(path) => read_list(path).map(Some),
        }
    }
}

fn read_list(path: &Path) -> Result<PriceList> {
    let name = path.display();
    let list: PriceList = serde_json::from_slice(&read(path)?)
        .with_context(|| format!("{name} is no price list of kubetoll price"))?;
    if list.schema != PRICES_SCHEMA {
        bail!(
            "{name} has schema {}, and this Kubetoll knows {PRICES_SCHEMA}",
            list.schema
        );
    }
    Ok(list)
}
