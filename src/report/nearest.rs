//! Names that were meant, for a name that is not known.

/// How like a name must be to one that was typed to be suggested, of 1.
const LIKE: f64 = 0.8;
/// How many are suggested.
const SUGGESTED_MAX: usize = 3;

/// What may have been meant by `name`, in words: the known names that are nearest, or which there
/// are.
pub fn meant<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = nearest(name, &known);
    if !near.is_empty() {
        return format!("did you mean {}?", near.join(" or "));
    }
    let first: Vec<&str> = known.iter().copied().take(SUGGESTED_MAX).collect();
    match known.len() {
        0 => "there is none".to_owned(),
        all if all > first.len() => {
            format!(
                "there are {} and {} more",
                first.join(", "),
                all - first.len()
            )
        }
        _ => format!("there is only {}", first.join(", ")),
    }
}

/// The known names that are like `name`, the likest first; capitals don't matter.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Vec<&'n str> {
    let name = name.to_lowercase();
    let mut near: Vec<(f64, &str)> = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), *known))
        .filter(|(like, _)| *like >= LIKE)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.dedup_by_key(|(_, name)| *name);
    near.into_iter()
        .take(SUGGESTED_MAX)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_suggested_or_which_there_are() {
        let known = [
            "CREATE-pods",
            "LIST-pods",
            "LIST-nodes",
            "PATCH-pods/status",
        ];
        assert_eq!(
            meant("list-podz", known),
            "did you mean LIST-pods or LIST-nodes?"
        );
        assert_eq!(
            meant("nope", known),
            "there are CREATE-pods, LIST-pods, LIST-nodes and 1 more"
        );
        assert_eq!(meant("nope", ["x"]), "there is only x");
        assert_eq!(meant("nope", []), "there is none");
    }
}
