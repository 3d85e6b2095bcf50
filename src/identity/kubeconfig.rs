//! What a proxy needs of a kubeconfig: where the API server is, and who signed its certificate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::IdentityError;

/// A kubeconfig without its users.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: Option<String>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize)]
struct Context {
    cluster: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

/// A cluster; no field of text is empty.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Cluster {
    pub(super) server: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: Option<bool>,
    pub(super) certificate_authority: Option<PathBuf>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) proxy_url: Option<String>,
}

/// An error about the kubeconfig at `path`.
pub(super) fn wrong(path: &Path, message: impl Into<String>) -> IdentityError {
    IdentityError::Kubeconfig {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// The cluster of the current context, with the paths in it as seen from the file's own folder.
pub(super) fn current_cluster(path: &Path) -> Result<Cluster, IdentityError> {
    let text = fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
    let documents: Vec<Kubeconfig> =
        serde_saphyr::from_multiple(&text).map_err(|error| wrong(path, error.to_string()))?;
    // Of several documents clients read the first one.
    let first = documents.into_iter().next();
    let config = first.ok_or_else(|| wrong(path, "it is empty"))?;
    let current = config.current_context.as_deref();
    let context = config
        .contexts
        .into_iter()
        .find(|context| Some(context.name.as_str()) == current)
        .and_then(|context| context.context)
        .ok_or_else(|| wrong(path, "no current context"))?;
    let mut cluster = config
        .clusters
        .into_iter()
        .find(|cluster| Some(&cluster.name) == context.cluster.as_ref())
        .and_then(|cluster| cluster.cluster)
        .ok_or_else(|| wrong(path, "the current context names no cluster"))?;
    for text in [
        &mut cluster.server,
        &mut cluster.tls_server_name,
        &mut cluster.certificate_authority_data,
        &mut cluster.proxy_url,
    ] {
        text.take_if(|text| text.is_empty());
    }
    let file = cluster.certificate_authority.take();
    let file = file.filter(|file| !file.as_os_str().is_empty());
    cluster.certificate_authority = file.map(|file| match path.parent() {
        Some(folder) => folder.join(file),
        None => file,
    });
    Ok(cluster)
}
