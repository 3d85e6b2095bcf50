//! Numbers for people, by what they are shown for.

/// Where differences are looked for, in comparisons and budgets: whole numbers as they are, others
/// with one decimal from 100 on, two from 1 on, and up to four below.
pub(crate) fn detailed(value: f64) -> String {
    match value.abs() {
        size if size == size.trunc() => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}").trim_end_matches('0').to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let numbers = [0.0, 201.0, 1.005, 111.111, 0.01234];
        assert_eq!(
            numbers.map(detailed),
            ["0", "201", "1.00", "111.1", "0.0123"]
        );
        assert_eq!(numbers.map(rounded), ["0", "201", "1.00", "111", "0.012"]);
    }
}
