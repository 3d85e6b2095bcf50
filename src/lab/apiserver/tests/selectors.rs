//! Label and field selectors, by table.

use std::collections::BTreeMap;

use crate::apiserver::requests::selector::{FieldSelector, LabelSelector};

#[test]
fn label_selectors() {
    let labels: BTreeMap<String, String> = [
        ("app", "web"),
        ("tier", ""),
        ("n", "5"),
        ("kubevirt.io/vm", "x"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let table = [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        ("app=db", false),
        ("app!=db", true),
        ("app!=web", false),
        ("gone!=x", true),
        ("app in (db, web)", true),
        ("app in (db)", false),
        ("app notin (db)", true),
        ("gone notin (db)", true),
        ("app", true),
        ("gone", false),
        ("!gone", true),
        ("!app", false),
        ("tier=", true),
        ("n>4", true),
        ("n<5", false),
        ("kubevirt.io/vm=x,app in (web),!gone", true),
        ("kubevirt.io/vm=x,app in (db),!gone", false),
    ];
    for (text, expected) in table {
        assert_eq!(
            LabelSelector::parse(text).unwrap().matches(&labels),
            expected,
            "{text}"
        );
    }
    for text in [
        "a b",
        "=x",
        "a in b",
        "a in (b",
        "a=b c",
        "a=-",
        "x/=y",
        "a>b",
        "a near (b)",
    ] {
        assert!(LabelSelector::parse(text).is_err(), "{text}");
    }
}

#[test]
fn field_selectors() {
    let read = |field: &str| match field {
        "metadata.name" => "a",
        "spec.nodeName" => "",
        "x" => "1,2=3",
        _ => "other",
    };
    let table = [
        ("", true),
        ("metadata.name=a", true),
        ("metadata.name==a", true),
        ("metadata.name!=a", false),
        ("spec.nodeName=", true),
        ("spec.nodeName!=", false),
        ("metadata.name=a,spec.nodeName=b", false),
        ("x=1\\,2\\=3", true),
    ];
    for (text, expected) in table {
        assert_eq!(
            FieldSelector::parse(text).unwrap().matches(read),
            expected,
            "{text}"
        );
    }
    for text in ["a", "a=b=c", "a=\\x", "a=\\"] {
        assert!(FieldSelector::parse(text).is_err(), "{text}");
    }
    assert_eq!(
        FieldSelector::parse("b=1,a=2").unwrap().exact("a"),
        Some("2")
    );
}
