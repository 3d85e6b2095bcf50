//! What calls cost, for a command that prints a result.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::inputs::read;
use record::{PRICES_SCHEMA, PriceList};

/// In place of a file: the list that Kubetoll comes with.
const DEFAULT: &str = "default";
/// In place of a file: no list, and so no bill.
const NONE: &str = "none";

/// A price list.
#[derive(Debug, Args)]
pub(crate) struct PricesArgs {
    /// What calls cost the API server: JSON file of `kubetoll price`; default is the list of Kubernetes
    /// 1.34 that Kubetoll comes with; with none the result has no costs [default: default].
    #[arg(help_heading = "Result", long, value_name = "FILE|default|none")]
    prices: Option<PathBuf>,
}

impl PricesArgs {
    /// The list; none if none is wanted.
    pub(crate) fn read(&self) -> Result<Option<PriceList>> {
        match self.named() {
            path if path == Path::new(NONE) => Ok(None),
            path if path == Path::new(DEFAULT) => {
                let list = prices::standard();
                Ok(Some(
                    list.context("the list that Kubetoll comes with")?.clone(),
                ))
            }
            path => read_list(path).map(Some),
        }
    }

    /// Whether a list was asked for. Who did not may lack the rights that a whole bill needs.
    pub(crate) fn is_asked(&self) -> bool {
        self.prices.is_some()
    }

    fn named(&self) -> &Path {
        self.prices.as_deref().unwrap_or(Path::new(DEFAULT))
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
