//! The rows and findings of books, with what they cost.

use findings::Request;
use prices::{charge, charge_findings};
use record::{CallFinding, PriceList, ResultRow, RunRecord};

/// What was counted in books, and what was found in their journal, if they had one.
pub(super) struct Charged {
    pub(super) rows: Vec<ResultRow>,
    pub(super) findings: Option<Vec<CallFinding>>,
}

impl Charged {
    /// With what it cost by the list, if there is one.
    pub(super) fn new(
        record: &RunRecord,
        mut rows: Vec<ResultRow>,
        requests: Option<&[Request<'_>]>,
        prices: Option<&PriceList>,
    ) -> Self {
        let objects = record.object_count();
        let Some(list) = prices else {
            let findings = requests.map(|requests| findings::findings(requests, objects));
            return Self { rows, findings };
        };
        let found = requests.map(|requests| findings::savings(requests, objects));
        let findings = found.map(|found| charge_findings(found, list));
        charge(&mut rows, findings.as_deref().unwrap_or_default(), list);
        Self { rows, findings }
    }
}
