use std::fmt;

/// Formats a count with its noun in the singular or plural: `1 mismatch`, `2 mismatches`, `0
/// replies`.
///
/// The noun is given in the singular and must have a regular plural.
///
/// ```
/// assert_eq!(taonet_primitives::counted(1, "score"), "1 score");
/// assert_eq!(taonet_primitives::counted(3, "empty reply"), "3 empty replies");
/// ```
pub fn counted(count: impl fmt::Display, noun: &str) -> String {
    let count = count.to_string();
    if count == "1" { format!("{count} {noun}") } else { format!("{count} {}", plural(noun)) }
}

fn plural(noun: &str) -> String {
    // The "ch" of epoch is pronounced as k.
    if !noun.ends_with("epoch") && ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end)) {
        return format!("{noun}es");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_of_one_is_singular_and_others_plural() {
        for (count, noun, text) in [
            (0, "byte", "0 bytes"),
            (1, "byte", "1 byte"),
            (2, "byte", "2 bytes"),
            (11, "mismatch", "11 mismatches"),
            (3, "epoch", "3 epochs"),
            (1, "reply", "1 reply"),
            (2, "reply", "2 replies"),
            (2, "day", "2 days"),
            (2, "key", "2 keys"),
            (2, "index", "2 indexes"),
            (2, "sentence vector", "2 sentence vectors"),
        ] {
            assert_eq!(counted(count, noun), text);
        }
    }
}
