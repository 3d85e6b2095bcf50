//! What may differ through the proxy, as docs/SECURITY.md lists it: anything else is a fault.

use std::collections::{BTreeMap, BTreeSet};

use super::{End, Exchange, Line, Message, http1::value};

/// Headers of one hop, besides those that `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "http2-settings",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What the exchange through the proxy has to be, if it was `direct` without one.
pub(super) fn expected(mut direct: Exchange, http2: bool) -> Exchange {
    let wants_trailers = value(&direct.arrived.lines, "te") == Some("trailers");
    take_off_request(&mut direct.arrived);
    take_off_hop_by_hop(&mut direct.answered.lines);
    if !http2 && !wants_trailers {
        // Who doesn't ask for trailers gets none: RFC 9110, 6.5.1.
        direct.answered.trailers.clear();
    }
    direct
}

fn take_off_request(request: &mut Message) {
    let lines = &mut request.lines;
    let asks_trailers = lines
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("te") && value == b"trailers");
    take_off_hop_by_hop(lines);
    if asks_trailers {
        lines.push(("te".to_owned(), b"trailers".to_vec()));
    }
    lines.retain(|(name, _)| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        name != "expect" && !name.starts_with("x-remote-")
    });
    let is_forwarded = |(name, _): &Line| name.eq_ignore_ascii_case("x-forwarded-for");
    let (mut forwarded, others): (Vec<_>, Vec<_>) = lines.drain(..).partition(is_forwarded);
    *lines = others;
    forwarded.push((String::new(), b"127.0.0.1".to_vec()));
    let addresses: Vec<_> = forwarded.into_iter().map(|(_, value)| value).collect();
    lines.push(("x-forwarded-for".to_owned(), addresses.join(&b", "[..])));
}

fn take_off_hop_by_hop(lines: &mut Vec<Line>) {
    let named = lines
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let named: Vec<String> = named
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value)
                .to_lowercase()
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    lines.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        !HOP_BY_HOP.contains(&name.as_str()) && !named.contains(&name)
    });
}

/// Where two exchanges differ; nothing if they don't. Lines of one name keep their order; the order
/// of different names, and the spelling of names that a proxy adds, mean nothing.
pub(super) fn differences(expected: &Exchange, found: &Exchange) -> Vec<String> {
    let mut all = message("request", &expected.arrived, &found.arrived);
    all.extend(message("answer", &expected.answered, &found.answered));
    all
}

fn message(what: &str, expected: &Message, found: &Message) -> Vec<String> {
    let mut all = Vec::new();
    let mut note = |part: &str, expected: String, found: String| {
        if expected != found {
            all.push(format!("{what} {part}: expected {expected}, found {found}"));
        }
    };
    note("start", expected.start.clone(), found.start.clone());
    note(
        "end",
        format!("{:?}", expected.end),
        format!("{:?}", found.end),
    );
    let (one, other) = (by_name(&expected.lines), by_name(&found.lines));
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for name in names {
        note(
            name,
            format!("{:?}", one.get(name)),
            format!("{:?}", other.get(name)),
        );
    }
    let trailers = |message: &Message| format!("{:?}", by_name(&lowered(&message.trailers)));
    note("trailers", trailers(expected), trailers(found));
    if expected.body != found.body {
        note(
            "body",
            format!("{} bytes", expected.body.len()),
            format!("{} bytes, others", found.body.len()),
        );
    }
    all
}

/// The names of trailers lose their spelling.
fn lowered(lines: &[Line]) -> Vec<Line> {
    let lines = lines.iter().cloned();
    lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

fn by_name(lines: &[Line]) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in lines {
        let value = value.escape_ascii().to_string();
        let value = if value.len() > 100 {
            format!("{} bytes", value.len())
        } else {
            value
        };
        map.entry(name.to_ascii_lowercase())
            .or_default()
            .push(format!("{}: {value}", spelled(name)));
    }
    // `End` says how a message is framed.
    for name in ["x-case", "transfer-encoding"] {
        map.remove(name);
    }
    map
}

/// Names that the proxy writes itself are spelled as it likes.
fn spelled(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let own = ["te", "x-forwarded-for", "content-length", "host"].contains(&lower.as_str());
    if own { lower } else { name.to_owned() }
}

#[test]
fn the_comparison_finds_what_differs() {
    let line = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut direct = Exchange {
        arrived: Message {
            start: "GET / HTTP/1.1".to_owned(),
            lines: vec![
                line("A", "1"),
                line("a", "2"),
                line("Connection", "b"),
                line("B", "x"),
            ],
            ..Message::default()
        },
        answered: Message {
            start: "200".to_owned(),
            end: End::Length,
            body: b"x".to_vec(),
            ..Message::default()
        },
    };
    let through = expected(direct.clone(), false);
    assert_eq!(differences(&through, &through), Vec::<String>::new());
    assert_eq!(through.arrived.lines.len(), 3, "{through:?}");
    direct.arrived.lines.swap(0, 1);
    direct.answered.body.clear();
    let differ = differences(&through, &expected(direct, false));
    assert_eq!(differ.len(), 2, "{differ:?}");
}
