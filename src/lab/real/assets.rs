//! Where etcd, kube-apiserver and kubectl come from.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::RealError;

/// The programs that a lab needs.
const NEEDED: [&str; 2] = ["etcd", "kube-apiserver"];
/// The script of the source tree that builds them from Go modules.
const BUILD_SCRIPT: &str = "tests/real/build";

/// A folder with etcd and kube-apiserver.
#[derive(Debug, Clone)]
pub struct Assets {
    dir: PathBuf,
}

impl Assets {
    /// `KUBEBUILDER_ASSETS`, as envtest has it; otherwise what the source tree that this process
    /// was started in builds, which takes some minutes the first time. Says on stderr what it
    /// builds.
    pub fn find() -> Result<Self, RealError> {
        if let Some(dir) = env::var_os("KUBEBUILDER_ASSETS") {
            // The programs run in a folder of their own, where a relative path leads nowhere.
            let dir = std::path::absolute(&dir).unwrap_or_else(|_| dir.into());
            let assets = Self { dir };
            return match assets.missing() {
                None => Ok(assets),
                Some(program) => Err(RealError::NoAssets(format!(
                    "KUBEBUILDER_ASSETS has no {program}"
                ))),
            };
        }
        let here = env::current_dir().unwrap_or_default();
        let script = here
            .ancestors()
            .map(|folder| folder.join(BUILD_SCRIPT))
            .find(|script| script.is_file());
        match script {
            Some(script) => Self::build(&script),
            None => Err(RealError::NoAssets(format!(
                "set KUBEBUILDER_ASSETS to a folder that has them, or start this in Kubetoll's \
                 source tree, whose {BUILD_SCRIPT} builds them"
            ))),
        }
    }

    fn build(script: &Path) -> Result<Self, RealError> {
        let dir = script.with_file_name("bin");
        let status = Command::new(script)
            .arg(&dir)
            .args(NEEDED)
            .arg("kubectl")
            .status()
            .map_err(|error| RealError::NoAssets(error.to_string()))?;
        if status.success() {
            Ok(Self { dir })
        } else {
            Err(RealError::NoAssets(format!("{} failed", script.display())))
        }
    }

    fn missing(&self) -> Option<&'static str> {
        NEEDED
            .into_iter()
            .find(|program| !self.dir.join(program).is_file())
    }

    /// The etcd binary.
    pub fn etcd(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    /// The kube-apiserver binary.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.dir.join("kube-apiserver")
    }

    /// The kubectl binary, which may be missing.
    pub fn kubectl(&self) -> PathBuf {
        self.dir.join("kubectl")
    }
}
