//! Which names may become labels: those that Kubernetes or KubeVirt has, and those that an API
//! server has confirmed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use classify::is_known_resource;
use ledger::{Outcome, RowCount, Snapshot};

/// Requests that were exported without their resource's name, by row. They stay so when the name is
/// confirmed later: Prometheus takes a counter that decreases for a restart.
#[derive(Default)]
pub(super) struct Naming {
    unnamed: Mutex<BTreeMap<u32, u64>>,
}

/// A row as it is exported: requests with their resource's name, and requests without.
pub(super) struct Named<'a> {
    pub(super) row: &'a RowCount,
    pub(super) named: u64,
    pub(super) unnamed: u64,
}

impl Naming {
    /// All rows of the books, in their order.
    pub(super) fn of<'a>(&self, books: &'a Snapshot) -> Vec<Named<'a>> {
        let proven = proven_resources(books);
        let mut unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = books.rows.iter().map(|row| {
            let name = row.name();
            let exists = name.resource.is_empty()
                || is_known_resource(name.group, name.resource)
                || proven.contains(&(name.group, name.resource));
            if !exists {
                unnamed.insert(row.id, row.answered);
            }
            // Of two who ask at once, one can have the newer books.
            let hidden = unnamed
                .get(&row.id)
                .map_or(0, |count| *count.min(&row.answered));
            Named {
                row,
                named: row.answered - hidden,
                unnamed: hidden,
            }
        });
        rows.collect()
    }
}

/// Resources that an API server has shown to exist: by any answer but a refusal.
fn proven_resources(books: &Snapshot) -> BTreeSet<(&str, &str)> {
    let rows = books.rows.iter().filter(|row| match row.outcome {
        Outcome::Code(code) => !matches!(code, 400 | 401 | 403 | 404 | 405),
        Outcome::NoAnswer(_) => false,
    });
    rows.map(|row| (row.name().group, row.name().resource))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, resource: &str, code: u16, answered: u64) -> RowCount {
        let call = ["get", "", "v1", resource, "", "", "GET", resource];
        RowCount {
            id,
            component: String::new(),
            user: String::new(),
            call: call.map(str::to_owned),
            outcome: Outcome::Code(code),
            answered,
            closed: 0,
            cut_short: 0,
            request_bytes: 0,
            response_bytes: 0,
            to_head: Default::default(),
            to_end: Default::default(),
        }
    }

    #[test]
    fn what_was_given_out_without_a_name_stays_there_when_the_name_is_confirmed() {
        let naming = Naming::default();
        let counts = |rows: Vec<RowCount>| -> Vec<(u64, u64)> {
            let books = Snapshot {
                rows,
                ..Snapshot::default()
            };
            let named = naming.of(&books);
            named.iter().map(|one| (one.named, one.unnamed)).collect()
        };
        assert_eq!(
            counts(vec![row(1, "widgets", 404, 3), row(2, "pods", 404, 2)]),
            [(0, 3), (2, 0)]
        );
        let confirmed = vec![
            row(1, "widgets", 404, 5),
            row(2, "pods", 404, 2),
            row(3, "widgets", 201, 1),
        ];
        assert_eq!(counts(confirmed), [(2, 3), (2, 0), (1, 0)]);
        assert_eq!(counts(vec![row(1, "widgets", 404, 2)]), [(0, 2)]);
    }
}
