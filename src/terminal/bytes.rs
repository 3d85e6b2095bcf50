//! Numbers of bytes as people write them.

/// `64Mi`, `512Ki`, `1Gi` as Kubernetes writes quantities, or plain bytes.
pub fn parse(text: &str) -> Result<usize, String> {
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1_usize << 30)];
    let unit = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| digits.parse::<usize>().ok()).flatten();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "write it like 64Mi, 512Ki or 1Gi".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_kubernetes_writes() {
        assert_eq!(parse("64Mi"), Ok(64 << 20));
        assert_eq!(parse("512Ki"), Ok(512 << 10));
        assert_eq!(parse("1Gi"), Ok(1 << 30));
        assert_eq!(parse("0"), Ok(0));
        for wrong in [
            "",
            "Mi",
            "64M",
            "-1",
            "+1Mi",
            "1.5Mi",
            "64 Mi",
            "99999999999Gi",
        ] {
            let error = "write it like 64Mi, 512Ki or 1Gi".to_owned();
            assert_eq!(parse(wrong), Err(error), "{wrong}");
        }
    }
}
