//! The classifier against recorded answers of the real one, and against its own promises.

use proptest::prelude::*;

use super::{kubevirt::kubevirt_call, *};

const VECTORS: &str = include_str!("../../tests/vectors/requestinfo.tsv");

/// One row of the vectors by column name.
struct Vector<'v> {
    columns: &'v [&'v str],
    cells: Vec<&'v str>,
}

impl Vector<'_> {
    fn cell(&self, column: &str) -> &str {
        let at = self
            .columns
            .iter()
            .position(|name| *name == column)
            .unwrap();
        self.cells[at]
    }

    fn bytes(&self, column: &str) -> Vec<u8> {
        unescape(self.cell(column))
    }
}

fn unescape(cell: &str) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = cell.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (decoded, length) = match after {
            [b'0', ..] if byte == b'\\' => (0, 1),
            [b'r', ..] if byte == b'\\' => (b'\r', 1),
            [b'n', ..] if byte == b'\\' => (b'\n', 1),
            [b't', ..] if byte == b'\\' => (b'\t', 1),
            [b'\\', ..] if byte == b'\\' => (b'\\', 1),
            [b'x', hex @ ..] if byte == b'\\' => {
                let hex = std::str::from_utf8(&hex[..2]).unwrap();
                (u8::from_str_radix(hex, 16).unwrap(), 3)
            }
            _ => (byte, 0),
        };
        plain.push(decoded);
        rest = &after[length..];
    }
    plain
}

fn check(vector: &Vector<'_>) {
    let id = vector.cell("id");
    let method = vector.cell("method");
    let raw = vector.bytes("url");
    let parsed = Target::parse(method, &raw);
    if vector.cell("http_result") == "400" {
        assert!(parsed.is_err(), "{id}: {parsed:?}");
        return;
    }
    let target = parsed.unwrap_or_else(|error| panic!("{id}: {error}"));
    let call = classify(method, &target);
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let expected = |column: &str| vector.bytes(column).escape_ascii().to_string();
    let found = [
        ("is_resource", call.is_resource_request.to_string()),
        ("verb", call.verb.to_string()),
        ("api_prefix", call.api_prefix.to_owned()),
        ("api_group", text(call.api_group)),
        ("api_version", text(call.api_version)),
        ("namespace", text(call.namespace)),
        ("resource", text(call.resource)),
        ("subresource", text(call.subresource)),
        ("name", text(&call.name)),
        ("path_decoded", text(call.path)),
        ("long_running", call.is_long_running().to_string()),
        ("metric_scope", call.scope().as_str().to_owned()),
    ];
    for (column, value) in found {
        assert_eq!(
            value,
            expected(column),
            "{id} {method} {} {column}",
            text(&raw)
        );
    }
    assert_eq!(
        call.is_undetermined,
        vector.cell("http_result") == "500",
        "{id}"
    );
    let kubevirt = kubevirt_call(method, &target);
    assert_eq!(kubevirt.resource, vector.cell("kubevirt_resource"), "{id}");
    assert_eq!(kubevirt.verb, vector.cell("kubevirt_verb"), "{id}");
}

#[test]
fn agrees_with_every_vector() {
    let mut lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut count = 0;
    for line in lines {
        check(&Vector {
            columns: &columns,
            cells: line.split('\t').collect(),
        });
        count += 1;
    }
    assert_eq!(count, 188);
}

#[test]
fn known_resources_are_sorted_by_group() {
    assert!(is_known_resource("", "pods"));
    assert!(is_known_resource("kubevirt.io", "virtualmachines"));
    assert!(is_known_resource(
        "subresources.kubevirt.io",
        "virtualmachines"
    ));
    assert!(!is_known_resource("", "virtualmachines"));
    assert!(!is_known_resource("example.com", "pods"));
}

#[test]
fn ten_thousand_parameters_are_read_and_one_more_drops_all() {
    let verb_after = |fillers: usize| {
        let raw = format!("/api/v1/pods?watch=true{}", "&a=b".repeat(fillers));
        let target = Target::parse("GET", raw.as_bytes()).unwrap();
        classify("GET", &target).verb.into_owned()
    };
    assert_eq!(verb_after(9_999), "watch");
    assert_eq!(verb_after(10_000), "list");
}

#[test]
fn label_selectors_that_do_not_parse_lose_the_name() {
    let name_with = |selector: &str| {
        let raw = format!("/api/v1/pods?fieldSelector=metadata.name=p1&labelSelector={selector}");
        let target = Target::parse("GET", raw.as_bytes()).unwrap();
        classify("GET", &target).name.into_owned()
    };
    for good in [
        "",
        "a",
        "!a",
        "a=b",
        "a==",
        "a+in+(b,c)",
        "a+notin+(,b)",
        "x.io/a!=b",
        "a>1",
        "in=in",
    ] {
        assert_eq!(name_with(good), b"p1", "{good}");
    }
    for bad in [
        "a,", ",", "a=b=c", "a+in+()", "a+in+b", "-a", "a>b", "/a", "a+b", "!a=b", "(", "A_/x",
    ] {
        assert_eq!(name_with(bad), b"", "{bad}");
    }
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(method in "[A-Za-z]{0,8}", raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(target) = Target::parse(&method, &raw) {
            classify(&method, &target);
            kubevirt_call(&method, &target);
        }
    }

    #[test]
    fn an_unescaped_path_is_not_copied(path in "/[a-z/]{0,60}") {
        let target = Target::parse("GET", path.as_bytes()).unwrap();
        prop_assert_eq!(target.path().as_ptr(), path.as_ptr());
    }

    /// Near the grammar, where the branches are.
    #[test]
    fn what_is_named_is_a_part_of_the_target(
        method in "(GET|HEAD|POST|PUT|PATCH|DELETE|get|X)",
        raw in "(/|%2F|//)?(api|apis|%61pi)?/(v1|apps|apps/v1)?(/(watch|proxy|namespaces|pods|\\.|%00|%e9|a;b|x){1,2}){0,5}/?(\\?(watch|limit|fieldSelector|labelSelector)=(1|0|x|metadata.name%3Dy|a%20in%20\\(b\\)|%zz|&|;){0,3}){0,2}",
    ) {
        if let Ok(target) = Target::parse(&method, raw.as_bytes()) {
            let call = classify(&method, &target);
            let path = String::from_utf8_lossy(target.path()).into_owned();
            for part in [call.resource, call.subresource, call.namespace] {
                prop_assert!(path.contains(&*String::from_utf8_lossy(part)), "{:?}", part);
            }
            // The same target is the same call.
            let again = Target::parse(&method, raw.as_bytes()).unwrap();
            prop_assert_eq!(format!("{call:?}"), format!("{:?}", classify(&method, &again)));
        }
    }
}
