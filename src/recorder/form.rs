//! What form a body is in.

/// The form of a body, as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON; of a watch, one document after the other.
    Json,
    /// Kubernetes' protobuf.
    Protobuf,
    /// One that is not read.
    Unread(Unread),
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is compressed.
    Compressed,
    /// It is CBOR.
    Cbor,
    /// Its form is none that is known here, or it doesn't say which it is.
    UnknownForm,
    /// Bodies were not to be read.
    Never,
    /// It is not what its headers say.
    Malformed,
    /// It comes in messages of a WebSocket.
    WebSocket,
}

impl Unread {
    /// All reasons, in the order of their definition.
    pub const ALL: [Self; 6] = [
        Self::Compressed,
        Self::Cbor,
        Self::UnknownForm,
        Self::Never,
        Self::Malformed,
        Self::WebSocket,
    ];

    /// As the journal says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compressed => "compressed",
            Self::Cbor => "cbor",
            Self::UnknownForm => "unknown_form",
            Self::Never => "never",
            Self::Malformed => "malformed",
            Self::WebSocket => "websocket",
        }
    }
}

/// Media types and their forms. Clients send JSON in the patch that is YAML by its name, of which
/// JSON is a part; anything else in it is found to be malformed.
const FORMS: &[(&str, Form)] = &[
    ("application/json", Form::Json),
    ("application/json-patch+json", Form::Json),
    ("application/merge-patch+json", Form::Json),
    ("application/strategic-merge-patch+json", Form::Json),
    ("application/apply-patch+yaml", Form::Json),
    ("application/vnd.kubernetes.protobuf", Form::Protobuf),
    ("application/cbor", Form::Unread(Unread::Cbor)),
    ("application/cbor-seq", Form::Unread(Unread::Cbor)),
    ("application/apply-patch+cbor", Form::Unread(Unread::Cbor)),
];

impl Form {
    /// The form of a body with this `Content-Type`, empty if there is none, and with or without a
    /// `Content-Encoding`.
    pub fn of(content_type: &[u8], is_encoded: bool) -> Self {
        if is_encoded {
            return Self::Unread(Unread::Compressed);
        }
        let media_type = media_type(content_type);
        FORMS
            .iter()
            .find(|(name, _)| media_type.eq_ignore_ascii_case(name.as_bytes()))
            .map_or(Self::Unread(Unread::UnknownForm), |(_, form)| *form)
    }
}

/// A `Content-Type` without its parameters.
pub(crate) fn media_type(content_type: &[u8]) -> &[u8] {
    let end = content_type.iter().position(|byte| *byte == b';');
    content_type[..end.unwrap_or(content_type.len())].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_that_of_the_media_type_whatever_its_parameters() {
        for (content_type, form) in [
            ("application/json", Form::Json),
            ("application/json;stream=watch", Form::Json),
            (
                "Application/JSON; charset=utf-8; as=Table;g=meta.k8s.io",
                Form::Json,
            ),
            ("application/json-patch+json", Form::Json),
            ("application/merge-patch+json", Form::Json),
            ("application/strategic-merge-patch+json", Form::Json),
            ("application/apply-patch+yaml", Form::Json),
            ("application/vnd.kubernetes.protobuf", Form::Protobuf),
            (
                "application/vnd.kubernetes.protobuf;stream=watch",
                Form::Protobuf,
            ),
            ("application/cbor", Form::Unread(Unread::Cbor)),
            ("application/cbor-seq", Form::Unread(Unread::Cbor)),
            ("application/apply-patch+cbor", Form::Unread(Unread::Cbor)),
            ("application/yaml", Form::Unread(Unread::UnknownForm)),
            ("application/jsonp", Form::Unread(Unread::UnknownForm)),
            ("text/plain", Form::Unread(Unread::UnknownForm)),
            ("", Form::Unread(Unread::UnknownForm)),
        ] {
            assert_eq!(
                Form::of(content_type.as_bytes(), false),
                form,
                "{content_type}"
            );
        }
    }

    #[test]
    fn what_is_compressed_is_not_read_whatever_it_is() {
        for content_type in ["application/json", "application/cbor", ""] {
            let form = Form::of(content_type.as_bytes(), true);
            assert_eq!(form, Form::Unread(Unread::Compressed));
        }
    }

    #[test]
    fn reasons_are_those_of_the_journal() {
        let reasons = [
            Unread::Compressed,
            Unread::Cbor,
            Unread::UnknownForm,
            Unread::Never,
            Unread::Malformed,
        ];
        assert_eq!(
            reasons.map(Unread::as_str),
            ["compressed", "cbor", "unknown_form", "never", "malformed"]
        );
    }
}
