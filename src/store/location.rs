//! Where a history is.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

/// Where a history is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database by its URL, which may hold a password.
    Postgres(String),
}

impl FromStr for Location {
    type Err = Infallible;

    /// `postgres://…` or `postgresql://…`; everything else is a path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        Ok(if is_url {
            Self::Postgres(text.to_owned())
        } else {
            Self::Sqlite(text.into())
        })
    }
}

impl fmt::Display for Location {
    /// Without user, password and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// A URL's scheme, host, port and database.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
    let rest = rest.split('?').next().unwrap_or_default();
    // A password may hold an `@` that should have been escaped: the last one ends it.
    let place = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_never_shows_a_password() {
        for (given, shown) in [
            (
                "postgres://db.example:5432/runs",
                "postgres://db.example:5432/runs",
            ),
            ("postgresql://u:geheim@db/runs", "postgresql://db/runs"),
            (
                "postgres://u:ge@heim@db/runs?password=geheim",
                "postgres://db/runs",
            ),
            (
                "postgres:///runs?host=/run/db&password=geheim",
                "postgres:///runs",
            ),
            ("runs/history.db", "runs/history.db"),
        ] {
            let location: Location = given.parse().unwrap_or_else(|never| match never {});
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?}").contains("heim"), "{location:?}");
        }
    }
}
