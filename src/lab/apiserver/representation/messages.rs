//! The protobuf messages that can be read: field numbers of the wire format for the small types that kubectl and
//! client-go write of themselves (a deletion's options, events, leases, bindings, reviews, what `kubectl create` makes).

/// How a field is written and what it is in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    /// Left out if empty, as Go's `omitempty` does; so are numbers that are 0.
    Text,
    Number,
    /// A pointer in Go: empty means something, as 0 and false do.
    TextPointer,
    NumberPointer,
    FlagPointer,
    Texts,
    TextMap,
    /// The values become base64.
    BytesMap,
    /// To the second.
    Time,
    /// To the microsecond.
    MicroTime,
    One(Message),
    Many(Message),
}

/// Number, JSON name, type.
pub(crate) type Field = (u64, &'static str, Type);
pub(crate) type Message = &'static [Field];

use Type::{
    BytesMap, FlagPointer, Many, MicroTime, Number, NumberPointer, One, Text, TextMap, TextPointer,
    Texts, Time,
};

const OWNER_REFERENCE: Message = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", FlagPointer),
    (7, "blockOwnerDeletion", FlagPointer),
];

const OBJECT_META: Message = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Number),
    (8, "creationTimestamp", Time),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (13, "ownerReferences", Many(OWNER_REFERENCE)),
    (14, "finalizers", Texts),
];

const METADATA: Field = (1, "metadata", One(OBJECT_META));

const OBJECT_REFERENCE: Message = &[
    (1, "kind", Text),
    (2, "namespace", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "resourceVersion", Text),
    (7, "fieldPath", Text),
];

const EVENT_SOURCE: Message = &[(1, "component", Text), (2, "host", Text)];
const EVENT_SERIES: Message = &[(1, "count", Number), (2, "lastObservedTime", MicroTime)];

const EVENT: Message = &[
    METADATA,
    (2, "involvedObject", One(OBJECT_REFERENCE)),
    (3, "reason", Text),
    (4, "message", Text),
    (5, "source", One(EVENT_SOURCE)),
    (6, "firstTimestamp", Time),
    (7, "lastTimestamp", Time),
    (8, "count", Number),
    (9, "type", Text),
    (10, "eventTime", MicroTime),
    (11, "series", One(EVENT_SERIES)),
    (12, "action", Text),
    (13, "related", One(OBJECT_REFERENCE)),
    (14, "reportingComponent", Text),
    (15, "reportingInstance", Text),
];

const CONFIG_MAP: Message = &[
    METADATA,
    (2, "data", TextMap),
    (3, "binaryData", BytesMap),
    (4, "immutable", FlagPointer),
];

const SECRET: Message = &[
    METADATA,
    (2, "data", BytesMap),
    (3, "type", Text),
    (4, "stringData", TextMap),
    (5, "immutable", FlagPointer),
];

const SERVICE_ACCOUNT: Message = &[
    METADATA,
    (2, "secrets", Many(OBJECT_REFERENCE)),
    (3, "imagePullSecrets", Many(&[(1, "name", Text)])),
    (4, "automountServiceAccountToken", FlagPointer),
];

const NAMESPACE: Message = &[METADATA, (2, "spec", One(&[(1, "finalizers", Texts)]))];
const BINDING: Message = &[METADATA, (2, "target", One(OBJECT_REFERENCE))];

const LEASE_SPEC: Message = &[
    (1, "holderIdentity", TextPointer),
    (2, "leaseDurationSeconds", NumberPointer),
    (3, "acquireTime", MicroTime),
    (4, "renewTime", MicroTime),
    (5, "leaseTransitions", NumberPointer),
    (6, "strategy", TextPointer),
    (7, "preferredHolder", TextPointer),
];
const LEASE: Message = &[METADATA, (2, "spec", One(LEASE_SPEC))];

const PRECONDITIONS: Message = &[(1, "uid", TextPointer), (2, "resourceVersion", TextPointer)];
const DELETE_OPTIONS: Message = &[
    (1, "gracePeriodSeconds", NumberPointer),
    (2, "preconditions", One(PRECONDITIONS)),
    (4, "propagationPolicy", TextPointer),
    (5, "dryRun", Texts),
];
const EVICTION: Message = &[METADATA, (2, "deleteOptions", One(DELETE_OPTIONS))];

const RESOURCE_ATTRIBUTES: Message = &[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
];
const REVIEW_SPEC: Message = &[
    (1, "resourceAttributes", One(RESOURCE_ATTRIBUTES)),
    (
        2,
        "nonResourceAttributes",
        One(&[(1, "path", Text), (2, "verb", Text)]),
    ),
    (3, "user", Text),
    (4, "groups", Texts),
];
const ACCESS_REVIEW: Message = &[METADATA, (2, "spec", One(REVIEW_SPEC))];
const RULES_REVIEW: Message = &[METADATA, (2, "spec", One(&[(1, "namespace", Text)]))];

/// The message of a type; deletion options come under any group.
pub(crate) fn find(api_version: &str, kind: &str) -> Option<Message> {
    Some(match (api_version, kind) {
        (_, "DeleteOptions") => DELETE_OPTIONS,
        ("v1", "Binding") => BINDING,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Event") => EVENT,
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "Secret") => SECRET,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("coordination.k8s.io/v1", "Lease") => LEASE,
        ("policy/v1", "Eviction") => EVICTION,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview" | "SubjectAccessReview") => {
            ACCESS_REVIEW
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => RULES_REVIEW,
        _ => return None,
    })
}
