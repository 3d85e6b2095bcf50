//! The order of the data plane's parts, as the crate's docs have it: each uses only what stands
//! below it.

use std::{fs, path::Path};

const PARTS: [&str; 12] = [
    "accept",
    "connection",
    "forward",
    "proxy",
    "upstream",
    "accounting",
    "downstream",
    "drain",
    "counters",
    "eviction",
    "wakes",
    "wire",
];

/// The code of a part: of its file, or of all files in its folder.
fn code_of(part: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = source.join(format!("{part}.rs"));
    if file.is_file() {
        return fs::read_to_string(file).unwrap();
    }
    let files = fs::read_dir(source.join(part)).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

/// What of this crate is used in `code`: the first names behind `use crate::`.
fn used(code: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for statement in code.split("use crate::").skip(1) {
        let statement = statement.split(';').next().unwrap();
        let Some(group) = statement.strip_prefix('{') else {
            used.extend(statement.split("::").next());
            continue;
        };
        let mut depth = 0;
        let top = group.split(|letter| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            depth == 0 && letter == ','
        });
        used.extend(top.filter_map(|one| one.trim().split("::").next()));
    }
    used
}

#[test]
fn each_part_uses_only_what_stands_below_it() {
    let mut count = 0;
    for (at, part) in PARTS.iter().enumerate() {
        let code = code_of(part);
        let used = used(&code);
        count += used.len();
        for above in &PARTS[..at] {
            assert!(!used.contains(above), "{part} uses {above}");
        }
        for known in ["admin", "command"] {
            assert!(!used.contains(&known), "{part} uses {known}");
        }
    }
    assert!(count > 30, "{count}");
}
