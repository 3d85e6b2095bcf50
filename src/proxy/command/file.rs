//! The proxy's options in a file, by the names of the flags.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

use super::{args::ProxyArgs, errors::Errors};

/// What a file says, as far as it was not taken yet.
struct ProxyFile(BTreeMap<String, Value>);

impl ProxyFile {
    fn take(&mut self, name: &str, errors: &mut Errors) -> Option<String> {
        match self.0.remove(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => {
                errors.add(format!("--config: {name} must be one value"));
                None
            }
        }
    }

    /// One value, or a list of them.
    fn take_list(&mut self, name: &str, errors: &mut Errors) -> Vec<String> {
        let Some(Value::Array(values)) = self.0.get(name) else {
            return self.take(name, errors).into_iter().collect();
        };
        let texts: Option<Vec<String>> = values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect();
        self.0.remove(name);
        texts.unwrap_or_else(|| {
            errors.add(format!("--config: {name} must be a list of names"));
            Vec::new()
        })
    }
}

impl ProxyArgs {
    /// Fills what was not given from the file of `--config`.
    pub(super) fn or_from_file(self, errors: &mut Errors) -> Self {
        let Some(path) = &self.config else {
            return self;
        };
        let read = fs::read_to_string(path).map_err(|error| error.to_string());
        let parsed =
            read.and_then(|text| serde_saphyr::from_str(&text).map_err(|error| error.to_string()));
        match errors.take(&format!("--config {}", path.display()), parsed) {
            Some(values) => self.or(ProxyFile(values), errors),
            None => self,
        }
    }

    fn or(self, mut file: ProxyFile, errors: &mut Errors) -> Self {
        let mut or_list = |given: Vec<String>, name: &str| {
            let filed = file.take_list(name, errors);
            if given.is_empty() { filed } else { given }
        };
        let sni_passthrough = or_list(self.sni_passthrough, "sni-passthrough");
        let journal_never = or_list(self.journal_never, "journal-never");
        let mut or = |given: Option<String>, name: &str| {
            let filed = file.take(name, errors);
            given.or(filed)
        };
        let mut path = |given: Option<PathBuf>, name: &str| {
            let filed = or(None, name).map(PathBuf::from);
            given.or(filed)
        };
        let merged = Self {
            upstream_ca: path(self.upstream_ca, "upstream-ca"),
            tls_cert: path(self.tls_cert, "tls-cert"),
            tls_key: path(self.tls_key, "tls-key"),
            front_proxy_cert: path(self.front_proxy_cert, "front-proxy-cert"),
            front_proxy_key: path(self.front_proxy_key, "front-proxy-key"),
            client_ca: path(self.client_ca, "client-ca"),
            admin_token_file: path(self.admin_token_file, "admin-token-file"),
            listen: or(self.listen, "listen"),
            admin: or(self.admin, "admin"),
            upstream: or(self.upstream, "upstream"),
            upstream_server_name: or(self.upstream_server_name, "upstream-server-name"),
            sni_passthrough,
            journal_never,
            component: or(self.component, "component"),
            threads: or(self.threads, "threads"),
            compat_metrics: or(self.compat_metrics, "compat-metrics"),
            connections_max: or(self.connections_max, "connections-max"),
            recorder: or(self.recorder, "recorder"),
            resend_memory: or(self.resend_memory, "resend-memory"),
            drain: or(self.drain, "drain"),
            watch_drain: or(self.watch_drain, "watch-drain"),
            shutdown_delay: or(self.shutdown_delay, "shutdown-delay"),
            log_format: or(self.log_format, "log-format"),
            config: self.config,
        };
        for name in file.0.keys() {
            errors.add(format!("--config: there is no option {name:?}"));
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<String, Value>, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_that_unpacks_to_gigabytes_is_refused() {
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (one, next) in ('a'..='y').zip('b'..='z') {
            let references = vec![format!("*{one}"); 9].join(", ");
            bomb.push_str(&format!("{next}: &{next} [{references}]\n"));
        }
        assert!(parse(&bomb).is_err());
        assert!(parse(&format!("listen: {}", "[".repeat(100_000))).is_err());
    }

    proptest! {
        #[test]
        fn no_configuration_panics(
            text in "((listen|admin|upstream|tls-cert|drain|threads|log-format|[a-z]{1,5}): ?(127.0.0.1:1|[0-9]{1,20}|-1|10s|json|[\\[{&*!|>'\"%]|\\PC{0,8})\n|\\PC{0,12}\n){0,6}",
        ) {
            let _ = parse(&text);
        }
    }
}
