//! Timestamps as Kubernetes writes them.

use jiff::Timestamp;

/// `metav1.Time`: whole seconds, which is all that phase transition times have.
pub(crate) fn seconds() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: leases and `events.k8s.io` events.
pub(crate) fn micros() -> String {
    Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string()
}

/// Nanoseconds since 1970 in hexadecimal, the tail of an event's name.
pub(crate) fn event_suffix() -> String {
    format!("{:x}", Timestamp::now().as_nanosecond())
}
