//! The repository's own rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Lines of code that a file may have, its comments aside.
const FILE_LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

/// What every crate of the workspace is called, and its manifest.
fn manifests() -> BTreeMap<String, String> {
    let folders = fs::read_dir(root().join("src")).unwrap();
    folders
        .map(|entry| entry.unwrap().path().join("Cargo.toml"))
        .filter(|path| path.is_file())
        .map(|path| {
            let folder = path.parent().unwrap().file_name().unwrap();
            let manifest = fs::read_to_string(&path).unwrap();
            (folder.to_str().unwrap().to_owned(), manifest)
        })
        .collect()
}

/// What a manifest's crate is built with, tests aside.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    rest.lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ']).next())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Crates that get time and bytes as values.
const PURE: [&str; 8] = [
    "classify", "exchange", "findings", "ledger", "prices", "recorder", "stats", "verify",
];
/// All that they are built with. What is of this workspace is pure itself, but for the formats.
const PURE_DEPENDENCIES: [&str; 19] = [
    "classify",
    "csv",
    "dashmap",
    "exchange",
    "findings",
    "jiff",
    "ledger",
    "memchr",
    "rand",
    "rand_chacha",
    "record",
    "recorder",
    "serde",
    "serde-saphyr",
    "serde_json",
    "stats",
    "statrs",
    "thiserror",
    "verify",
];

#[test]
fn pure_crates_touch_nothing_of_the_world() {
    let manifests = manifests();
    let of_all = fs::read_to_string(root().join("clippy.toml")).unwrap();
    let (settings, banned_everywhere) = of_all.split_once("disallowed-methods = [\n").unwrap();
    for name in PURE {
        for dependency in dependencies(&manifests[name]) {
            assert!(
                PURE_DEPENDENCIES.contains(&dependency),
                "{name} is built with {dependency}"
            );
        }
        // Clippy reads the nearest file only.
        let own = root().join("src").join(name).join("clippy.toml");
        let own = fs::read_to_string(own).unwrap();
        let banned = banned_everywhere.trim_end_matches("]\n");
        assert!(own.contains(settings) && own.contains(banned), "{name}");
        for banned in ["Instant::now", "fs::File", "net::TcpStream", "env::var"] {
            assert!(own.contains(banned), "{name} may use {banned}");
        }
    }
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for (name, manifest) in manifests() {
        assert!(manifest.contains("\n[lints]\nworkspace = true\n"), "{name}");
    }
}

#[test]
fn whoever_logs_is_known_to_the_filter() {
    let logs = |(name, manifest): (String, String)| {
        let does = dependencies(&manifest).contains("tracing");
        does.then_some(name)
    };
    let mut found: Vec<String> = manifests().into_iter().filter_map(logs).collect();
    found.push("kubetoll".to_owned());
    found.sort();
    assert_eq!(found, terminal::log::OURS);
}

/// Packages that the proxy is built with, on this platform.
const PROXY_PACKAGES_MAX: usize = 200;

#[test]
fn the_proxy_is_small() {
    let packages = tree(&["--package", "proxy", "--prefix", "none"]);
    let packages: BTreeSet<&str> = packages
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .collect();
    assert!(packages.len() > 50, "{packages:?}");
    assert!(packages.len() <= PROXY_PACKAGES_MAX, "{}", packages.len());
    for unwanted in [
        "kube", "rusqlite", "postgres", "plotly", "plotters", "resvg",
    ] {
        let is_it = |package: &&str| package.split(' ').next() == Some(unwanted);
        assert!(!packages.iter().any(is_it), "{unwanted}");
    }
}

/// What `cargo tree` prints of what is built for use.
fn tree(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_file_says_what_it_is_and_can_be_held_in_ones_head() {
    for dir in ["src", "tests/it", "tests/bench"] {
        for file in files(&root().join(dir), "rs") {
            let code = fs::read_to_string(&file).unwrap();
            assert!(code.starts_with("//!"), "{} has no doc", file.display());
            let lines = code.lines().filter(|line| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with("//")
            });
            let lines = lines.count();
            assert!(lines <= FILE_LINES_MAX, "{}: {lines} lines", file.display());
        }
    }
}

#[test]
fn formats_are_documented() {
    let formats = fs::read_to_string(root().join("docs/FORMATS.md")).unwrap();
    let metrics = fs::read_to_string(root().join("src/proxy/admin/metrics.rs")).unwrap();
    for name in metrics
        .split('"')
        .filter(|text| text.starts_with("kubetoll_"))
    {
        assert!(formats.contains(name), "{name} is not in docs/FORMATS.md");
    }
    for reason in ledger::Reason::ALL {
        assert!(
            formats.contains(reason.as_str()),
            "{reason:?} is not in docs/FORMATS.md"
        );
    }
}

#[test]
fn no_private_key_and_no_second_tls_provider() {
    let marker = ["PRIVATE", "KEY-----"].join(" ");
    for extension in ["rs", "md", "yaml", "pem", "key", "go", "tsv"] {
        for dir in [
            "src",
            "tests/it",
            "tests/bench",
            "tests/vectors",
            "tests/real/cmd",
            "docs",
            "certs",
            "deploy",
        ] {
            for file in files(&root().join(dir), extension) {
                let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
                assert!(!text.contains(&marker), "{} holds a key", file.display());
            }
        }
    }
    for unwanted in ["ring", "openssl-sys", "native-tls", "serde_yaml"] {
        let tree = tree(&["--workspace", "--invert", unwanted]);
        assert!(tree.is_empty(), "{unwanted} is in the tree:\n{tree}");
    }
}

#[test]
fn every_dependency_comes_from_the_registry_with_its_hash() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.split("[[package]]").skip(1);
    let ours = manifests().into_keys().chain(["kubetoll".to_owned()]);
    let ours: Vec<String> = ours.map(|name| format!("name = \"{name}\"\n")).collect();
    let foreign: Vec<&str> = packages
        .filter(|package| !ours.iter().any(|name| package.contains(name)))
        .filter(|package| {
            let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
            !package.contains(registry) || !package.contains("checksum = ")
        })
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn each_test_that_the_security_document_names_exists() {
    let text = fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let tests: String = files(&root().join("tests/it"), "rs")
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let named = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"));
    let mut count = 0;
    for (module, test) in named {
        assert!(tests.contains(&format!("fn {test}(")), "{module}::{test}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}
