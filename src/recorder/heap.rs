//! How much memory a line takes, so that what keeps lines can have a limit of bytes.
//!
//! What a line is made of is taken apart without `..`: a field that is added is counted, or nothing
//! compiles.

use super::{
    line::{Asked, End, Line},
    object::{Cause, Object, Owner, Seen, Status},
    sent::Sent,
};
use classify::RequestOptions;

/// What an allocator adds to a piece of memory, and rounds it up by.
const PIECE: usize = 16;
/// The line's place in the list of those that keep it, and its two counts of references.
const PLACE: usize = 3 * size_of::<usize>();

impl Line {
    /// Bytes of memory that it takes as long as it has not ended.
    pub fn bytes(&self) -> usize {
        let Self {
            row: _,
            at_micros: _,
            audit_id,
            head_micros: _,
            asked,
            end: _,
        } = self;
        let asked = asked.as_deref().map_or(0, asked_for);
        PLACE + PIECE + size_of::<Self>() + boxes([audit_id]) + asked
    }
}

impl End {
    /// Bytes of memory that a line takes more once it has ended so.
    pub fn bytes(&self) -> usize {
        let Self {
            micros: _,
            cut_short: _,
            request_bytes: _,
            response_bytes: _,
            sent,
            seen,
            watch,
            unread: _,
        } = self;
        let sent = sent.as_deref().map_or(0, of_sent);
        let watch = watch
            .as_deref()
            .map_or(0, |watch| piece(size_of_val(watch)));
        sent + watch + of_seen(seen)
    }
}

/// Of a piece of memory, if there is any.
fn piece(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + PIECE }
}

fn asked_for(asked: &Asked) -> usize {
    let Asked {
        namespace,
        name,
        connection: _,
        stream: _,
        client: _,
        repeats: _,
        content_type,
        as_kind,
        options,
        warned: _,
        throttled_by,
    } = asked;
    let throttled_by = throttled_by.as_deref();
    let throttled_by = throttled_by.map_or(0, |uids| piece(size_of_val(uids)) + boxes(uids));
    let own = piece(size_of_val(asked)) + boxes([namespace, name, content_type, as_kind]);
    own + throttled_by + of_options(options)
}

fn of_options(options: &RequestOptions) -> usize {
    let RequestOptions {
        resource_version,
        limit: _,
        is_continued: _,
        timeout_seconds: _,
        initial_events: _,
        label_keys,
        field_keys,
        field_manager,
        dry_run: _,
    } = options;
    let keys = [label_keys, field_keys];
    let keys = keys.map(|keys| piece(keys.capacity() * size_of::<Box<str>>()) + boxes(keys));
    boxes(resource_version) + boxes([field_manager]) + keys.iter().sum::<usize>()
}

fn of_sent(sent: &Sent) -> usize {
    let Sent {
        resource_version,
        paths,
        tests,
        more: _,
        dry_run: _,
    } = sent;
    let lists = [paths, tests];
    let lists = lists.map(|list| piece(list.capacity() * size_of::<String>()) + strings(list));
    piece(size_of_val(sent)) + strings([resource_version]) + lists.iter().sum::<usize>()
}

fn of_seen(seen: &Seen) -> usize {
    match seen {
        Seen::Nothing => 0,
        Seen::Object(object) => of_object(object),
        Seen::Status(status) => of_status(status),
    }
}

fn of_object(object: &Object) -> usize {
    let Object {
        name,
        uid,
        resource_version,
        generation: _,
        controller,
        is_removed: _,
    } = object;
    let controller = controller
        .as_ref()
        .map_or(0, |Owner { kind, name, uid }| strings([kind, name, uid]));
    strings([name, uid, resource_version]) + controller
}

fn of_status(Status { reason, causes }: &Status) -> usize {
    let list = piece(causes.capacity() * size_of::<Cause>());
    let texts = causes.iter();
    let texts = texts.map(|Cause { reason, field }| strings([reason, field]));
    strings([reason]) + list + texts.sum::<usize>()
}

fn boxes<'t>(texts: impl IntoIterator<Item = &'t Box<str>>) -> usize {
    texts.into_iter().map(|text| piece(text.len())).sum()
}

fn strings<'t>(texts: impl IntoIterator<Item = &'t String>) -> usize {
    texts.into_iter().map(|text| piece(text.capacity())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_holds_is_counted() {
        let empty = Line::default().bytes();
        assert!(empty >= size_of::<Line>());
        let name = "x".repeat(200);
        let asked = Asked {
            name: name.as_str().into(),
            ..Asked::default()
        };
        let line = Line {
            asked: Some(Box::new(asked)),
            ..Line::default()
        };
        let more = line.bytes() - empty;
        let least = 200 + size_of::<Asked>();
        assert!((least..least + 100).contains(&more), "{more}");
    }

    #[test]
    fn what_bodies_said_is_counted() {
        assert_eq!(End::default().bytes(), 0);
        let path = "/metadata/labels".to_owned();
        let sent = Sent {
            paths: vec![path.clone(); 64],
            ..Sent::default()
        };
        let object = Object {
            name: "x".repeat(200),
            ..Object::default()
        };
        let end = End {
            sent: Some(Box::new(sent)),
            seen: Seen::Object(object),
            ..End::default()
        };
        let least = 64 * (path.len() + size_of::<String>()) + 200;
        assert!((least..least * 2).contains(&end.bytes()), "{}", end.bytes());
    }
}
