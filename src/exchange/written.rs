//! What an export gives: files by their paths, or why there are none.

use std::collections::BTreeMap;

use record::number_of;

/// What an export came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Files by their path below the folder of the export.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What was left out, for people.
    pub left_out: Vec<String>,
    /// How many runs are in no file.
    pub runs_left_out: usize,
}

/// Why runs can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A form that can't tell origins apart would mix them.
    #[error(
        "job {job:?}, scenario {scenario:?} has runs of several origins ({}): the form can't tell \
         them apart, so choose one with --origin",
        origins.join(", ")
    )]
    Mixed {
        /// The series' job, empty if its runs have none.
        job: String,
        /// The series' scenario.
        scenario: String,
        /// Names of the origins.
        origins: Vec<&'static str>,
    },
    /// Two would be in one file.
    #[error("two runs or series would both be {0}: choose with --job or --scenario")]
    Twice(String),
    /// A table can't be written.
    #[error("cannot write a table: {0}")]
    Csv(#[from] csv::Error),
    /// A document can't be written.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A configuration can't be written.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
}

impl Written {
    pub(super) fn add(&mut self, path: String, text: Vec<u8>) -> Result<(), ExportError> {
        match self.files.insert(path.clone(), text) {
            None => Ok(()),
            Some(_) => Err(ExportError::Twice(path)),
        }
    }

    /// Tells of whole runs that are in no file.
    pub(super) fn leave_out(&mut self, count: usize, why: &str) {
        if count > 0 {
            let runs = number_of(count as u64, "run");
            self.left_out.push(format!("{runs} {why}"));
            self.runs_left_out += count;
        }
    }
}

/// A name that can be a folder: what else it has than letters, digits and `-_.+` becomes `_`.
pub(super) fn folder(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.+".contains(letter);
    let name: String = name
        .chars()
        .map(|letter| if plain(letter) { letter } else { '_' })
        .collect();
    if name.chars().all(|letter| letter == '.') {
        return format!("_{name}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        for (name, expected) in [
            (
                "periodic-kubevirt-e2e-k8s-1.31",
                "periodic-kubevirt-e2e-k8s-1.31",
            ),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..", "_.."),
            ("", "_"),
            ("/a\\b c\0ü", "_a_b_c__"),
        ] {
            assert_eq!(folder(name), expected);
        }
    }
}
