//! What a command knows of the API server's resources when it begins. kubectl and Helm keep it in a
//! cache by the server's address, which is another one for each `exec`.

use std::{
    env,
    fs::{self, File, FileTimes},
    io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use record::{DiscoveryRecord, RunRecord};

/// Which cache a command begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Discovery {
    /// An empty one.
    #[default]
    Cold,
    /// What the user's own holds for the cluster.
    Warm,
}

impl Discovery {
    /// Fills the cache in `folder` for the proxy at `through`.
    pub(super) fn fill(self, folder: &Path, server: &str, through: &str) -> io::Result<()> {
        let own = match (self, own_cache()) {
            (Self::Warm, Some(own)) => own.join("discovery").join(folder_name(server)),
            _ => return Ok(()),
        };
        if own.is_dir() {
            copy(&own, &folder.join("discovery").join(folder_name(through)))?;
        }
        Ok(())
    }

    /// What a record says of it.
    pub(super) fn record(self, record: &RunRecord) -> DiscoveryRecord {
        let is_discovery = |path: &str| matches!(path, "/api" | "/api/*" | "/apis" | "/apis/*");
        let rows = record.rows().filter(|row| is_discovery(&row.call.path));
        DiscoveryRecord {
            warm: self == Self::Warm,
            calls: rows.map(|row| row.answered).sum(),
        }
    }
}

/// Where kubectl has its cache.
fn own_cache() -> Option<PathBuf> {
    let named = env::var_os("KUBECACHEDIR").filter(|folder| !folder.is_empty());
    let usual = || env::home_dir().map(|home| home.join(".kube/cache"));
    named.map(PathBuf::from).or_else(usual)
}

/// The folder that client-go has for a server: its address, in which all but letters, digits, `_`,
/// `.`, `/` and parentheses is `_`.
fn folder_name(server: &str) -> String {
    let address = server.replacen("https://", "", 1);
    let is_kept = |one: char| one.is_ascii_alphanumeric() || "_./()".contains(one);
    let kept = address
        .chars()
        .map(|one| if is_kept(one) { one } else { '_' });
    kept.collect()
}

/// Copies a folder with the times of its files, by which a client knows how old they are.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            let times = FileTimes::new().set_modified(entry.metadata()?.modified()?);
            File::options()
                .write(true)
                .open(&target)?
                .set_times(times)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_folder_is_named_as_client_go_does() {
        assert_eq!(folder_name("https://127.0.0.1:6443"), "127.0.0.1_6443");
        assert_eq!(
            folder_name("https://r.example/k8s/clusters/c-1"),
            "r.example/k8s/clusters/c_1"
        );
    }
}
