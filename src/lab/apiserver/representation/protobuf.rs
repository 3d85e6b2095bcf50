//! Reads Kubernetes's protobuf bodies into JSON. client-go's typed clients prefer protobuf to write native types, and
//! do not fall back; answers may be JSON, which they accept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::messages::{self, Field, Message, Type};

pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What a body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// The envelope: the type of the object and its bytes.
const TYPE_META: u64 = 1;
const RAW: u64 = 2;

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Malformed,
    /// A type without a table in [`messages`].
    UnknownType,
}

#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The object in a body, with `apiVersion` and `kind`.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Unreadable> {
    let envelope = body.strip_prefix(MAGIC).ok_or(Unreadable::Malformed)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(envelope)? {
        match field {
            (TYPE_META, Wire::Bytes(bytes)) => {
                let meta = message(
                    bytes,
                    &[(1, "apiVersion", Type::Text), (2, "kind", Type::Text)],
                )?;
                let text = |name: &str| {
                    meta.get(name)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                (api_version, kind) = (text("apiVersion"), text("kind"));
            }
            (RAW, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let layout = messages::find(&api_version, &kind).ok_or(Unreadable::UnknownType)?;
    let mut object = message(raw, layout)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn message(bytes: &[u8], layout: Message) -> Result<Map<String, Value>, Unreadable> {
    let mut map = Map::new();
    for (number, wire) in fields(bytes)? {
        if let Some(field) = layout.iter().find(|field| field.0 == number) {
            read(&mut map, field, wire)?;
        }
    }
    Ok(map)
}

fn read(
    map: &mut Map<String, Value>,
    (_, name, kind): &Field,
    wire: Wire<'_>,
) -> Result<(), Unreadable> {
    let value = match (kind, wire) {
        (Type::Text, Wire::Bytes(bytes)) => Some(text(bytes)?)
            .filter(|text| !text.is_empty())
            .map(Value::from),
        (Type::Number, Wire::Number(number)) => Some(signed(number))
            .filter(|number| *number != 0)
            .map(Value::from),
        (Type::TextPointer, Wire::Bytes(bytes)) => Some(text(bytes)?.into()),
        (Type::NumberPointer, Wire::Number(number)) => Some(signed(number).into()),
        (Type::FlagPointer, Wire::Number(number)) => Some((number != 0).into()),
        (Type::Time, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%SZ")?,
        (Type::MicroTime, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
        (Type::One(layout), Wire::Bytes(bytes)) => Some(message(bytes, layout)?.into()),
        (Type::Many(layout), Wire::Bytes(bytes)) => {
            return push(map, name, message(bytes, layout)?.into());
        }
        (Type::Texts, Wire::Bytes(bytes)) => return push(map, name, text(bytes)?.into()),
        (Type::TextMap | Type::BytesMap, Wire::Bytes(bytes)) => {
            return entry(map, name, *kind, bytes);
        }
        _ => return Err(Unreadable::Malformed),
    };
    if let Some(value) = value {
        map.insert((*name).to_owned(), value);
    }
    Ok(())
}

fn push(map: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), Unreadable> {
    let list = map
        .entry(name)
        .or_insert_with(|| json!([]))
        .as_array_mut()
        .ok_or(Unreadable::Malformed)?;
    list.push(value);
    Ok(())
}

/// An entry of a map: key 1, value 2.
fn entry(
    map: &mut Map<String, Value>,
    name: &str,
    kind: Type,
    bytes: &[u8],
) -> Result<(), Unreadable> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in fields(bytes)? {
        match field {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    let value = match kind {
        Type::BytesMap => STANDARD.encode(value),
        _ => text(value)?,
    };
    let entries = map
        .entry(name)
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .ok_or(Unreadable::Malformed)?;
    entries.insert(text(key)?, value.into());
    Ok(())
}

/// Seconds 1, nanoseconds 2; nothing at all is no time.
fn time(bytes: &[u8], format: &str) -> Result<Option<Value>, Unreadable> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in fields(bytes)? {
        match field {
            (1, Wire::Number(number)) => seconds = signed(number),
            (2, Wire::Number(number)) => {
                nanos = i32::try_from(signed(number)).map_err(|_| Unreadable::Malformed)?
            }
            _ => {}
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Unreadable::Malformed)?;
    Ok(Some(time.strftime(format).to_string().into()))
}

fn text(bytes: &[u8]) -> Result<String, Unreadable> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Unreadable::Malformed)
}

fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// The fields of a message in their order; those of fixed width, which no table has, are left out.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, Unreadable> {
    let mut fields = vec![];
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => fields.push((key >> 3, Wire::Number(varint(&mut bytes)?))),
            1 => drop(take(&mut bytes, 8)?),
            2 => {
                let length =
                    usize::try_from(varint(&mut bytes)?).map_err(|_| Unreadable::Malformed)?;
                fields.push((key >> 3, Wire::Bytes(take(&mut bytes, length)?)));
            }
            5 => drop(take(&mut bytes, 4)?),
            _ => return Err(Unreadable::Malformed),
        }
    }
    Ok(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or(Unreadable::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(Unreadable::Malformed)?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Unreadable::Malformed)
}
