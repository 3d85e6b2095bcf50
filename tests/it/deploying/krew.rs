//! `kubectl kubetoll`: its manifest by Krew's own validator, and an installation by Krew.

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Command};

use super::output;
use crate::support::{image, lines::assert_line, real};

#[test]
fn krew_installs_the_plugin_and_kubectl_runs_it() {
    let (Some(kubectl), Some(krew)) = (real::program("kubectl"), real::program("krew")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/krew/package");
    let mut package = Command::new(script);
    package.arg("--binaries").arg(image::static_binaries());
    output(package.arg("--out").arg(dir.path()));
    let manifest = dir.path().join("kubetoll.yaml");
    let mut validator = Command::new(real::program("validate-krew-manifest").unwrap());
    let manifest_flag = format!("-manifest={}", manifest.display());
    output(validator.arg("-skip-install").arg(manifest_flag));

    let (programs, root) = (dir.path().join("programs"), dir.path().join("krew"));
    fs::create_dir(&programs).unwrap();
    symlink(kubectl, programs.join("kubectl")).unwrap();
    symlink(krew, programs.join("kubectl-krew")).unwrap();
    let path = format!(
        "{}:{}:{}",
        programs.display(),
        root.join("bin").display(),
        env::var("PATH").unwrap()
    );
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(programs.join("kubectl"));
        command.args(arguments).env("PATH", &path);
        command.env("KREW_ROOT", &root).env("HOME", dir.path());
        // It would ask its project's site for a newer Krew.
        command.env("KREW_NO_UPGRADE_CHECK", "1");
        output(&mut command)
    };
    let archives = fs::read_dir(dir.path()).unwrap();
    let archives = archives.map(|file| file.unwrap().path());
    let archive = archives
        .filter_map(|path| path.to_str().map(str::to_owned))
        .find(|path| path.ends_with(".tar.gz"))
        .unwrap();
    kubectl(&[
        "krew",
        "install",
        &format!("--manifest={}", manifest.display()),
        &format!("--archive={archive}"),
    ]);
    let version = kubectl(&["kubetoll", "--version"]);
    assert_eq!(
        version,
        concat!("kubetoll ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_line(
        &kubectl(&["kubetoll", "attach", "--help"]),
        "Usage: kubectl kubetoll attach [OPTIONS]",
    );
    assert!(kubectl(&["kubetoll", "completions", "bash"]).contains("attach"));
}
