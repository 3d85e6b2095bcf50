//! Errors in words with their causes, which libraries keep to themselves.

use std::error::Error;

use kube::core::Status;

/// An error and its causes, from the outermost in, joined by `: `. A cause whose words are the end
/// of what is there already is left out. The words are as others wrote them: escape them before
/// they are shown.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// What the API server says, with its code, where it refused something; otherwise as
/// [`with_causes`].
pub fn of_api_server(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let Status { message, code, .. } = &**status;
        return format!("{message} ({code})");
    }
    with_causes(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl std::fmt::Display for Layer {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    #[test]
    fn every_cause_is_said_once() {
        let refused = Layer("connection refused", None);
        let connect = Layer("tcp: connection refused", Some(Box::new(refused)));
        let request = Layer("cannot send", Some(Box::new(connect)));
        let words = "cannot send: tcp: connection refused";
        assert_eq!(with_causes(&request), words);
    }
}
