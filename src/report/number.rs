//! Numbers for people, by what they are shown for.

pub(crate) use record::grouped;

/// Where differences are looked for, in comparisons and budgets: whole numbers as they are, others
/// with one decimal from 100 on, two from 1 on, and up to four below.
pub(crate) fn detailed(value: f64) -> String {
    match value.abs() {
        size if size == size.trunc() => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// The same of a difference, with its sign.
pub(crate) fn signed(value: f64) -> String {
    let size = detailed(value.abs());
    let sign = if value < 0.0 && size != "0" { "-" } else { "+" };
    format!("{sign}{size}")
}

/// Where sizes are read, in graphs and reports: three significant digits, or all digits before the
/// point.
pub(crate) fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        value if value.fract() == 0.0 || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Seconds of CPU: `3.40 s`, `12.3 ms`.
pub(crate) fn cpu(us: f64) -> String {
    if us.abs() >= 1e6 {
        format!("{:.2} s", us / 1e6)
    } else {
        format!("{:.1} ms", us / 1e3)
    }
}

/// `3,270`, `32.7`: what many calls cost, and what one does.
pub(crate) fn tolls(tolls: f64) -> String {
    if tolls >= 1e3 {
        grouped(tolls.round() as u64)
    } else {
        rounded(tolls)
    }
}

/// `12.3 %` of a whole; nothing of none.
pub(crate) fn share(part: f64, whole: f64) -> String {
    if whole > 0.0 {
        format!("{:.1} %", 1e2 * part / whole)
    } else {
        String::new()
    }
}

/// `12.3 kB`.
pub(crate) fn bytes(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{:.1} GB", count / 1e9),
        count if count >= 1e6 => format!("{:.1} MB", count / 1e6),
        count if count >= 1e3 => format!("{:.1} kB", count / 1e3),
        count => format!("{count:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        assert_eq!([0.5, 0.000_01, 0.999_99].map(detailed), ["0.5", "0", "1"]);
        assert_eq!(signed(-0.000_01), "+0");
        let numbers = [0.0, 201.0, 1.005, 111.111, 0.01234];
        assert_eq!(
            numbers.map(detailed),
            ["0", "201", "1.00", "111.1", "0.0123"]
        );
        assert_eq!(numbers.map(rounded), ["0", "201", "1.00", "111", "0.012"]);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [12.0, 12_345.0, 1_000_000.0].map(bytes),
            ["12 B", "12.3 kB", "1.0 MB"]
        );
        assert_eq!(
            [640.0, 12_345.0, 3_404_000.0].map(cpu),
            ["0.6 ms", "12.3 ms", "3.40 s"]
        );
        assert_eq!(
            [0.4321, 32.71, 3_270.4].map(tolls),
            ["0.432", "32.7", "3,270"]
        );
        assert_eq!((&*share(1.0, 8.0), &*share(0.0, 0.0)), ("12.5 %", ""));
    }
}
