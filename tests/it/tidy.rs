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

struct Room {
    may_import: BTreeSet<String>,
    pure: bool,
}

/// The table of docs/ARCHITECTURE.md.
fn rooms() -> BTreeMap<String, Room> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with("| room |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    table
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let may_import = cells[2].split(", ").filter(|room| *room != "-");
            let room = Room {
                may_import: may_import.map(str::to_owned).collect(),
                pure: cells[3] == "yes",
            };
            (cells[1].to_owned(), room)
        })
        .collect()
}

/// The rooms that a file imports: `crate::a` and `use crate::{a::…, b::…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.extend(first_word(&std::mem::take(&mut name))),
                    _ if depth == 0 => name.push(letter),
                    _ => {}
                }
            }
            found.extend(first_word(&name));
        } else {
            found.extend(first_word(rest));
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .trim()
        .chars()
        .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

#[test]
fn rooms_import_only_what_the_architecture_allows() {
    let rooms = rooms();
    let folders: BTreeSet<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "bin")
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, rooms.keys().cloned().collect());
    for (name, room) in &rooms {
        for file in files(&root().join("src").join(name), "rs") {
            let code = fs::read_to_string(&file).unwrap();
            for import in imports(&code) {
                assert!(
                    import == *name || room.may_import.contains(&import),
                    "{} imports {import}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn pure_rooms_touch_nothing_of_the_world() {
    let banned = [
        "tokio",
        "hyper",
        "rustls",
        "clap",
        "std::fs",
        "std::net",
        "std::env",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
    ];
    for (name, _) in rooms().iter().filter(|(_, room)| room.pure) {
        for file in files(&root().join("src").join(name), "rs") {
            let code = fs::read_to_string(&file).unwrap();
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            for word in banned {
                assert!(!code.contains(word), "{} uses {word}", file.display());
            }
        }
    }
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
    let metrics = fs::read_to_string(root().join("src/admin/metrics.rs")).unwrap();
    for name in metrics
        .split('"')
        .filter(|text| text.starts_with("kubetoll_"))
    {
        assert!(formats.contains(name), "{name} is not in docs/FORMATS.md");
    }
    for reason in kubetoll::ledger::Reason::ALL {
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
        let tree = std::process::Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--locked",
                "--edges",
                "normal,build",
                "--invert",
                unwanted,
            ])
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
        assert!(tree.is_empty(), "{unwanted} is in the tree:\n{tree}");
    }
}

#[test]
fn every_dependency_comes_from_the_registry_with_its_hash() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.split("[[package]]").skip(1);
    let foreign: Vec<&str> = packages
        .filter(|package| !package.contains("name = \"kubetoll\""))
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
