//! The image, as deploy/image/build makes it of static binaries.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

use crate::kit::built::cargo_build;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with static `kubetoll-proxy` and `kubetoll`.
///
/// Only they are compiled and linked for it, against the libraries that this test binary has too:
/// a build of everything with the flag would take minutes. That a program is static is decided
/// where it is linked, so these are what `cargo rustc --bin NAME -- -C target-feature=+crt-static`
/// makes, which would put them where other tests look for the ordinary ones.
pub fn static_binaries() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
        fs::create_dir_all(&directory).unwrap();
        let libraries = Libraries::find();
        libraries.link("src/main.rs", &directory.join("kubetoll"));
        libraries.link("src/proxy/main.rs", &directory.join("kubetoll-proxy"));
        directory
    })
}

/// Makes the image; gives its archive.
pub fn archive() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubetoll.tar");
        let status = Command::new(Path::new(ROOT).join("deploy/image/build"))
            .arg("--binaries")
            .arg(static_binaries())
            .arg("--out")
            .arg(&archive)
            .status();
        assert!(status.unwrap().success());
        archive
    })
}

/// What the programs are linked with.
struct Libraries {
    externs: Vec<String>,
    paths: Vec<String>,
}

impl Libraries {
    /// As cargo has built them for this test binary.
    fn find() -> Self {
        let mut found = Self {
            externs: Vec::new(),
            paths: Vec::new(),
        };
        for message in cargo_build(&[]) {
            found.add(&message);
        }
        found
    }

    fn add(&mut self, message: &Value) {
        let texts = |list: &Value| -> Vec<String> {
            let texts = list.as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        self.paths.extend(texts(&message["linked_paths"]));
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let is_library = message["target"]["kind"][0] == "lib";
        if is_library && ["kubetoll", "proxy", "clap"].contains(&name) {
            let files = texts(&message["filenames"]);
            let library = files.into_iter().find(|file| file.ends_with(".rlib"));
            let library = library.unwrap();
            let folder = Path::new(&library).parent().unwrap().display();
            self.paths.push(format!("dependency={folder}"));
            self.externs.push(format!("{name}={library}"));
        }
    }

    fn link(&self, main: &str, program: &Path) {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "--crate-type=bin", "-Cstrip=symbols"]);
        rustc.args(["-Ctarget-feature=+crt-static", "-o"]);
        rustc.arg(program).arg(main);
        for external in &self.externs {
            rustc.args(["--extern", external]);
        }
        for path in &self.paths {
            rustc.args(["-L", path]);
        }
        let status = rustc.current_dir(ROOT).status().unwrap();
        assert!(status.success(), "{main} can't be linked");
    }
}
