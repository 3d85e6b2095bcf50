//! What a request's query says besides verb and name: the options of reads and writes. Of selectors
//! only the keys, since their values may be anybody's.

use super::{
    go_url::Target,
    selector::{label_keys, parse_fields},
};

/// Longest text that is kept of an option, in bytes.
const TEXT_MAX: usize = 253;
/// Most keys that are kept of a selector.
const KEYS_MAX: usize = 16;

/// The options of a read or a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// `resourceVersion`.
    pub resource_version: Option<Box<str>>,
    /// `limit`, if it is a number.
    pub limit: Option<u64>,
    /// Whether there is a `continue`.
    pub is_continued: bool,
    /// `timeoutSeconds`, if it is a number.
    pub timeout_seconds: Option<u64>,
    /// `sendInitialEvents`.
    pub initial_events: bool,
    /// The keys of `labelSelector`.
    pub label_keys: Vec<Box<str>>,
    /// The keys of `fieldSelector`.
    pub field_keys: Vec<Box<str>>,
    /// `fieldManager`.
    pub field_manager: Box<str>,
    /// Whether there is a `dryRun`.
    pub dry_run: bool,
}

/// The options of a request for this target. Of a parameter that is there twice the first counts, as
/// in Go.
pub fn request_options(target: &Target<'_>) -> RequestOptions {
    let query = target.query();
    let first = |key: &str| query.first(key.as_bytes()).filter(|text| !text.is_empty());
    let kept = |key: &str| first(key).map(|text| kept(&text));
    let number = |key: &str| kept(key).and_then(|text| text.parse().ok());
    let fields = first("fieldSelector");
    let fields = fields.as_deref().and_then(parse_fields).unwrap_or_default();
    let labels = first("labelSelector");
    let labels = labels.as_deref().map(label_keys).unwrap_or_default();
    RequestOptions {
        resource_version: kept("resourceVersion"),
        limit: number("limit"),
        is_continued: first("continue").is_some(),
        timeout_seconds: number("timeoutSeconds"),
        initial_events: kept("sendInitialEvents").is_some_and(|text| &*text == "true"),
        label_keys: keys(labels.into_iter()),
        field_keys: keys(fields.iter().map(|term| term.field)),
        field_manager: kept("fieldManager").unwrap_or_default(),
        dry_run: first("dryRun").is_some(),
    }
}

fn keys<'k>(keys: impl Iterator<Item = &'k [u8]>) -> Vec<Box<str>> {
    keys.take(KEYS_MAX).map(kept).collect()
}

fn kept(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&text[..text.len().min(TEXT_MAX)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> RequestOptions {
        let target = format!("/api/v1/pods?{query}");
        request_options(&Target::parse("GET", target.as_bytes()).unwrap())
    }

    #[test]
    fn an_informers_options_are_read_without_the_values_of_selectors() {
        let found = options(
            "watch=true&resourceVersion=123&limit=500&continue=abc&timeoutSeconds=541&\
             sendInitialEvents=true&resourceVersion=7&\
             labelSelector=kubevirt.io%2Fcreated-by%3Dsecret%2C%21gone%2Capp+in+%28a%2Cb%29&\
             fieldSelector=spec.nodeName%3Dnode-1%2Cmetadata.name%21%3Dx",
        );
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.into()).collect::<Vec<_>>();
        assert_eq!(
            found,
            RequestOptions {
                resource_version: Some("123".into()),
                limit: Some(500),
                is_continued: true,
                timeout_seconds: Some(541),
                initial_events: true,
                label_keys: texts(&["kubevirt.io/created-by", "gone", "app"]),
                field_keys: texts(&["metadata.name", "spec.nodeName"]),
                ..RequestOptions::default()
            }
        );
    }

    #[test]
    fn a_writes_options_are_read() {
        let found = options("fieldManager=virt-controller&dryRun=All&fieldValidation=Ignore");
        assert_eq!(&*found.field_manager, "virt-controller");
        assert!(found.dry_run);
        assert_eq!(options(""), RequestOptions::default());
        assert_eq!(
            options("limit=x&resourceVersion="),
            RequestOptions::default()
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = (0..100).map(|key| format!("key{key}")).collect::<Vec<_>>();
        let found = options(&format!("labelSelector={}", many.join(",")));
        assert_eq!(found.label_keys.len(), KEYS_MAX);
        let found = options(&format!("fieldManager={}", "x".repeat(1_000)));
        assert_eq!(found.field_manager.len(), TEXT_MAX);
    }
}
