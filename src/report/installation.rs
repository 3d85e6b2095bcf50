//! How an installation is, for people.

use jiff::{SignedDuration, Timestamp};

use record::{ComponentInstallation, Installation};

/// How long before their end certificates are warned of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One line a component, and what is not as it should be below.
pub fn text(installation: &Installation, now: Timestamp) -> String {
    let mut text = String::new();
    let Installation {
        namespace,
        kubevirt,
        ..
    } = installation;
    put_line!(text, "KubeVirt {namespace}/{kubevirt}");
    match installation.certificates_until {
        Some(until) => {
            let warning = if until.duration_since(now) < SOON {
                "! within 30 days: detach and attach again make new ones"
            } else {
                ""
            };
            let line = format!("certificates end {} {warning}", until.strftime("%Y-%m-%d"));
            put_line!(text, "{}", line.trim_end());
        }
        None => text += "no certificates\n",
    }
    for component in &installation.components {
        put_line!(text, "  {:16} {}", component.component, line(component));
        for drift in &component.drift {
            put_line!(text, "  {:16} ! {drift}", "");
        }
    }
    text
}

fn line(component: &ComponentInstallation) -> String {
    if !component.attached {
        return "not attached".to_owned();
    }
    let since = component
        .since
        .map(|since| format!(" since {}", since.strftime("%Y-%m-%dT%H:%M:%SZ")))
        .unwrap_or_default();
    let calls = component.calls.map_or_else(
        || "calls unknown".to_owned(),
        |calls| format!("{calls} calls"),
    );
    let rate = component
        .calls_per_second
        .map(|rate| format!(", {rate:.1}/s"))
        .unwrap_or_default();
    format!(
        "attached{since}, {} of {} pods ready, {calls}{rate}, {} {}",
        component.ready, component.wanted, component.mode, component.image
    )
}

#[cfg(test)]
mod tests {
    use super::{Installation, text};
    use record::ComponentInstallation;

    #[test]
    fn a_line_says_what_is_known_and_no_more() {
        let attached = ComponentInstallation {
            component: "virt-api".to_owned(),
            attached: true,
            mode: "sidecar".to_owned(),
            image: "proxy:1".to_owned(),
            since: "2026-11-24T05:09:19Z".parse().ok(),
            ready: 1,
            wanted: 2,
            calls: Some(7),
            calls_per_second: Some(0.55),
            drift: vec!["pods with another image of the proxy: 1".to_owned()],
            ..ComponentInstallation::default()
        };
        let bare = ComponentInstallation {
            component: "virt-operator".to_owned(),
            ..ComponentInstallation::default()
        };
        let installation = Installation {
            schema: String::new(),
            namespace: "kubevirt".to_owned(),
            kubevirt: "kv".to_owned(),
            certificates_until: "2036-11-01T00:00:00Z".parse().ok(),
            components: vec![attached, bare],
        };
        let expected = "KubeVirt kubevirt/kv\n\
            certificates end 2036-11-01\n  \
            virt-api         attached since 2026-11-24T05:09:19Z, 1 of 2 pods ready, 7 calls, 0.6/s, sidecar proxy:1\n                   \
            ! pods with another image of the proxy: 1\n  \
            virt-operator    not attached\n";
        let at = |now: &str| text(&installation, now.parse().unwrap());
        assert_eq!(at("2036-10-01T00:00:00Z"), expected);
        let soon = at("2036-10-03T00:00:00Z");
        assert!(soon.contains("end 2036-11-01 ! within 30 days"), "{soon}");
    }
}
