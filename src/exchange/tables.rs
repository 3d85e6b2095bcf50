//! A history as CSV: for spreadsheets and data frames, and for Apache Otava.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    series::{Series, by_metric},
    written::{ExportError, Written, folder},
};
use record::{HistoryRun, OtavaConfig, OtavaCsv, OtavaMetric, OtavaTest, label, printable_line};

/// Labels that have a column of their own.
const LABELS: [&str; 6] = [
    label::JOB,
    label::SCENARIO,
    label::KUBEVIRT,
    label::KUBERNETES,
    label::COMMIT,
    label::MACHINE,
];

/// A name in a cell. A spreadsheet would take some for a formula and run it; an apostrophe before
/// it makes it text.
fn cell(name: &str) -> Cow<'_, str> {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return Cow::Owned(format!("'{}", printable_line(name)));
    }
    printable_line(name)
}

/// One line for each value. `component` is empty for KubeVirt's names, which are over all.
pub(super) fn values(runs: &[HistoryRun]) -> Result<Vec<u8>, ExportError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut head = vec!["id", "time"];
    head.extend(LABELS);
    head.extend(["origin", "valid", "objects", "component", "metric", "value"]);
    table.write_record(head)?;
    for run in runs {
        let (at, objects) = (
            run.at.to_string(),
            run.objects.map(|count| count.to_string()),
        );
        let mut start = vec![cell(&run.id), Cow::Borrowed(at.as_str())];
        start.extend(LABELS.map(|name| cell(run.label(name))));
        let valid = if run.valid { "true" } else { "false" };
        start.extend([
            Cow::Borrowed(run.origin.as_str()),
            Cow::Borrowed(valid),
            Cow::Borrowed(objects.as_deref().unwrap_or_default()),
        ]);
        let components = run
            .components
            .iter()
            .map(|(name, values)| (name.as_str(), values));
        for (component, values) in std::iter::once(("", &run.values)).chain(components) {
            for (metric, value) in values {
                let value = value.to_string();
                let end = [cell(component), cell(metric), Cow::Borrowed(&*value)];
                table.write_record(start.iter().chain(&end).map(|cell| cell.as_bytes()))?;
            }
        }
    }
    finish(table)
}

/// Otava can't read a table with a missing value, so each metric has one of its own, with the runs
/// that have it.
pub(super) fn otava(series: &Series<'_>, written: &mut Written) -> Result<(), ExportError> {
    let mut config = OtavaConfig::default();
    for ((job, scenario), runs) in series {
        for (metric, points) in by_metric(runs) {
            let file = format!(
                "{}/{}/{}.csv",
                folder(job),
                folder(scenario),
                folder(metric)
            );
            written.add(file.clone(), otava_table(&points)?)?;
            let test = otava_test(file, metric);
            let name = format!("{job}.{scenario}.{metric}");
            config.tests.insert(name, test);
        }
    }
    let config =
        serde_saphyr::to_string(&config).map_err(|error| ExportError::Yaml(error.to_string()))?;
    written.add("otava.yaml".to_owned(), config.into_bytes())
}

fn otava_table(points: &[(&HistoryRun, f64)]) -> Result<Vec<u8>, ExportError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["time", "run", label::KUBEVIRT, label::COMMIT, "value"])?;
    for (run, value) in points {
        table.write_record([
            &*run.at.to_string(),
            &*cell(&run.id),
            &*cell(run.label(label::KUBEVIRT)),
            &*cell(run.label(label::COMMIT)),
            &*value.to_string(),
        ])?;
    }
    finish(table)
}

fn otava_test(file: String, metric: &str) -> OtavaTest {
    let attributes = ["run", label::KUBEVIRT, label::COMMIT];
    let column = OtavaMetric {
        column: "value".to_owned(),
        direction: -1,
        scale: 1.0,
    };
    OtavaTest {
        kind: "csv".to_owned(),
        file,
        time_column: "time".to_owned(),
        attributes: attributes.map(str::to_owned).into(),
        metrics: BTreeMap::from([(metric.to_owned(), column)]),
        csv_options: OtavaCsv {
            delimiter: ',',
            quote_char: '"',
        },
    }
}

fn finish(table: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, ExportError> {
    let finished = table.into_inner().map_err(|error| error.into_error());
    Ok(finished.map_err(csv::Error::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let names = ["=HYPERLINK(1)", "+1", "-1", "@a", "\t=1", "a=b", "\u{1b}"];
        let cells = [
            "'=HYPERLINK(1)",
            "'+1",
            "'-1",
            "'@a",
            "'\\u0009=1",
            "a=b",
            "\\u001b",
        ];
        assert_eq!(names.map(cell), cells);
    }
}
