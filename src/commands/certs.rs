//! `kubetoll certs`: a CA and a serving certificate for a proxy.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use cluster::kubeconfig::write_private;
use identity::mint::Authority;
use terminal::{exit::Exit, print_line, tell};

/// What clients of a sidecar, or of a stand-in for the API server, dial.
const NAMES: [&str; 6] = [
    "127.0.0.1",
    "::1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
];

/// Make a CA and a serving certificate for a proxy.
///
/// Writes ca.crt, ca.key, tls.crt and tls.key. The certificate is for what clients dial: always
/// the loopback addresses and the API server's own names; add the proxy's Service, its IP address,
/// or whatever else a client is told with --name. Both last ten years, since components never
/// read their CA file again.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: kubetoll certs --out tls --name kubetoll-proxy.kubevirt.svc --name 10.96.0.50"
)]
pub(super) struct CertsArgs {
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// One more DNS name or IP address; repeatable.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &CertsArgs) -> Result<Exit> {
    let authority = Authority::new("kubetoll-proxy-ca")?;
    let names: Vec<String> = NAMES
        .iter()
        .map(|name| (*name).to_owned())
        .chain(args.name.iter().cloned())
        .collect();
    let leaf = authority.serving("kubetoll-proxy", &names)?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let files = [
        ("ca.crt", authority.certificate_pem()),
        ("ca.key", authority.key_pem()),
        ("tls.crt", leaf.certificate_pem),
        ("tls.key", leaf.key_pem),
    ];
    if !args.force {
        for (name, _) in &files {
            let path = args.out.join(name);
            if path.exists() {
                bail!("{} is there already: --force replaces it", path.display());
            }
        }
    }
    for (name, content) in files {
        let path = args.out.join(name);
        write_private(&path, content.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        print_line!("{}", path.display());
    }
    tell!("keep ca.key apart: whoever has it can pose as the API server to the components");
    Ok(Exit::Ok)
}
