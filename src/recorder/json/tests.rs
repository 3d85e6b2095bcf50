//! The tokenizer against serde_json, and in pieces.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Enters what a pseudorandom choice says, and writes down all that it is told.
#[derive(Default)]
struct Log {
    choice: u64,
    lines: Vec<String>,
}

impl Visitor for Log {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        let key = key.map(String::from_utf8_lossy);
        self.lines.push(format!("{key:?} {shape:?}"));
        self.choice = self.choice.wrapping_mul(6_364_136_223_846_793_005) + 1;
        match self.choice >> 61 {
            0 => Want::Skip,
            1 => Want::Keep(3),
            _ if matches!(shape, Shape::Object | Shape::List) => Want::Enter,
            _ => Want::Keep(100),
        }
    }

    fn kept(&mut self, value: &Kept) {
        self.lines
            .push(format!("{} {}", value.text(), value.is_cut()));
    }

    fn left(&mut self) {
        self.lines.push("left".to_owned());
    }
}

/// What a visitor is told of a document in pieces, how it ended, and where.
fn told(data: &[u8], pieces: &[usize], choice: u64) -> (Vec<String>, bool, bool, usize) {
    let mut log = Log {
        choice,
        lines: Vec::new(),
    };
    let mut tokenizer = Tokenizer::default();
    let mut at = 0_usize;
    for piece in pieces.iter().chain([&usize::MAX]) {
        let end = data.len().min(at.saturating_add(*piece));
        let read = tokenizer.read(&data[at..end], &mut log);
        at += read;
        if at < end {
            break;
        }
    }
    let ends = (tokenizer.is_ended(), tokenizer.is_malformed());
    (log.lines, ends.0, ends.1, at)
}

/// Builds the value again from what it is told.
#[derive(Default)]
struct Builder {
    /// What is open, each with the key that comes next in it.
    open: Vec<(Value, String)>,
    key: String,
    shape: Option<Shape>,
    done: Option<Value>,
}

impl Builder {
    fn add(&mut self, value: Value, key: String) {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some((Value::Array(list), _)) => list.push(value),
            Some((Value::Object(object), _)) => {
                object.insert(key, value);
            }
            Some(_) => unreachable!(),
        }
    }
}

impl Visitor for Builder {
    fn value(&mut self, key: Option<&[u8]>, shape: Shape) -> Want {
        let key = key.map_or(String::new(), |key| {
            String::from_utf8(key.to_vec()).unwrap()
        });
        match shape {
            Shape::Object => self.open.push((Value::Object(Default::default()), key)),
            Shape::List => self.open.push((Value::Array(Vec::new()), key)),
            _ => {
                (self.key, self.shape) = (key, Some(shape));
                return Want::Keep(1_000);
            }
        }
        Want::Enter
    }

    fn kept(&mut self, kept: &Kept) {
        let text = kept.whole().unwrap();
        let value = match self.shape {
            Some(Shape::String) => Value::String(text.into_owned()),
            _ => serde_json::from_str(&text).unwrap(),
        };
        let key = std::mem::take(&mut self.key);
        self.add(value, key);
    }

    fn left(&mut self) {
        let (value, key) = self.open.pop().unwrap();
        self.add(value, key);
    }
}

fn built(data: &[u8]) -> Option<Value> {
    let mut builder = Builder::default();
    let mut tokenizer = Tokenizer::default();
    tokenizer.read(data, &mut builder);
    // A number ends with what follows it.
    tokenizer.read(b" ", &mut builder);
    if tokenizer.is_ended() {
        builder.done
    } else {
        None
    }
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        any::<String>().prop_map(Value::String),
        "[\"\\\\/{}\\[\\]\u{8}\n\t~\u{1f600}äa]{0,90}".prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z\"\\\\/~ä\u{1f600}]{0,9}", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A document with every character that is not plain ASCII escaped, surrogates and all.
fn all_escaped(value: &Value) -> String {
    let text = value.to_string();
    let mut escaped = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04X}"));
        }
    }
    escaped
}

/// Bytes that are likely to mean something in JSON.
pub(crate) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        8 => proptest::sample::select(&b"{}[]\",:\\u0d8tfn-1. \n"[..]),
        1 => any::<u8>(),
    ];
    proptest::collection::vec(byte, 0..200)
}

pub(crate) fn any_pieces() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![3 => 1_usize..9, 1 => 1_usize..400], 0..60)
}

proptest! {
    #[test]
    fn a_document_is_what_serde_json_wrote(value in any_json()) {
        let texts = [
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
            all_escaped(&value),
        ];
        for text in texts {
            let built = built(text.as_bytes());
            prop_assert_eq!(built.as_ref(), Some(&value), "{}", text);
        }
    }

    #[test]
    fn pieces_say_what_the_whole_says(
        value in any_json(),
        pieces in any_pieces(),
        choice in any::<u64>(),
        damaged in proptest::option::of((any::<usize>(), any::<u8>())),
    ) {
        let mut data = all_escaped(&value).into_bytes();
        if let Some((at, byte)) = damaged {
            let at = at % data.len();
            data[at] = byte;
        }
        prop_assert_eq!(told(&data, &pieces, choice), told(&data, &[], choice));
    }

    #[test]
    fn random_bytes_are_read_quietly(data in any_bytes(), pieces in any_pieces(), choice in any::<u64>()) {
        prop_assert_eq!(told(&data, &pieces, choice), told(&data, &[], choice));
    }

    #[test]
    fn what_all_of_is_entered_is_json_exactly_where_serde_json_says_so(data in any_bytes()) {
        let known = serde_json::from_slice::<Value>(&data);
        // Half of a surrogate pair is taken, as Go does, and so is a number of any size, of which
        // only the beginning is looked at.
        let is_ours = |error: &serde_json::Error| {
            let error = error.to_string();
            error.contains("surrogate") || error.contains("hex escape") || error.contains("range")
        };
        let mut builder = Counter::default();
        let mut tokenizer = Tokenizer::default();
        let at = tokenizer.read(&data, &mut builder);
        tokenizer.read(b" ", &mut builder);
        let rest = &data[at..];
        let is_json = tokenizer.is_ended() && rest.iter().all(|byte| b" \t\r\n".contains(byte));
        match known {
            Ok(_) => prop_assert!(is_json),
            Err(error) if is_ours(&error) => {}
            Err(_) if std::str::from_utf8(&data).is_err() => {}
            Err(_) => prop_assert!(!is_json),
        }
    }
}

/// Enters all.
#[derive(Default)]
struct Counter(usize);

impl Visitor for Counter {
    fn value(&mut self, _: Option<&[u8]>, shape: Shape) -> Want {
        self.0 += 1;
        match shape {
            Shape::Object | Shape::List => Want::Enter,
            _ => Want::Keep(9),
        }
    }

    fn kept(&mut self, _: &Kept) {}
}

#[test]
fn half_of_a_surrogate_pair_is_replaced() {
    for (json, text) in [
        (r#""a\ud83d\ude00""#, "a\u{1f600}"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\ud83d\n""#, "\u{fffd}\n"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
    ] {
        assert_eq!(built(json.as_bytes()), Some(text.into()), "{json}");
    }
}

#[test]
fn what_is_no_json_is_malformed() {
    for json in [
        "a: 1",
        "# YAML",
        "{a: 1}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[1 2]",
        "[1}",
        "{\"a\":1]",
        "tru ",
        "nul,",
        "01 ",
        "- ",
        "1. ",
        "1e ",
        "+1",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "]",
        "}",
        "\u{feff}{}",
    ] {
        let mut tokenizer = Tokenizer::default();
        tokenizer.read(json.as_bytes(), &mut Counter::default());
        assert!(tokenizer.is_malformed(), "{json}");
    }
}

#[test]
fn a_document_is_as_deep_as_in_go_at_most_entered_or_not() {
    struct Enter(usize);
    impl Visitor for Enter {
        fn value(&mut self, _: Option<&[u8]>, _: Shape) -> Want {
            if self.0 == 0 {
                return Want::Skip;
            }
            self.0 -= 1;
            Want::Enter
        }
        fn kept(&mut self, _: &Kept) {}
    }
    for entered in [0, 1, 77, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1] {
        for (depth, is_too_deep) in [(DEPTH_MAX, false), (DEPTH_MAX + 1, true)] {
            let json = "[".repeat(depth) + &"]".repeat(depth);
            let mut tokenizer = Tokenizer::default();
            tokenizer.read(json.as_bytes(), &mut Enter(entered));
            assert_eq!(tokenizer.is_malformed(), is_too_deep, "{entered} {depth}");
            assert_eq!(tokenizer.is_ended(), !is_too_deep, "{entered} {depth}");
        }
    }
}

#[test]
fn a_key_is_kept_up_to_its_limit_only() {
    let json = format!("{{\"{}", "k".repeat(100_000));
    let mut tokenizer = Tokenizer::default();
    tokenizer.read(json.as_bytes(), &mut Counter::default());
    assert_eq!(tokenizer.text.bytes().len(), KEY_MAX);
}
