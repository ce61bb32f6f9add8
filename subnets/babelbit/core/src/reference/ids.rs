//! Equivalence of utterance IDs: bare (`7`), padded (`007`) or prefixed with the challenge's name
//! (`challenge-x:007`).

/// Whether two IDs denote the same utterance: they have at least one form in common.
///
/// The forms of an ID are its trimmed text, the part after the last colon, and each of these with
/// its integer normalised: `challenge-x:007` has the forms `challenge-x:007`, `007` and `7`.
pub fn same_utterance(left: &str, right: &str) -> bool {
    let right = forms(right);
    forms(left).iter().any(|form| right.contains(form))
}

fn forms(id: &str) -> Vec<String> {
    let full_id = id.trim();
    let last_part = full_id.rsplit(':').next().unwrap_or(full_id).trim();
    let mut forms = Vec::with_capacity(4);
    for form in [full_id, last_part] {
        forms.push(form.to_owned());
        forms.extend(plain_integer(form));
    }
    forms.retain(|form| !form.is_empty());
    forms
}

/// Normalises an integer: removes a plus sign, leading zeros and digit separators; `None` if the
/// text is not an integer.
fn plain_integer(text: &str) -> Option<String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let digits = digits.replace('_', "");
    let plain = digits.trim_start_matches('0');
    Some(match (plain, negative) {
        ("", _) => "0".to_owned(),
        (plain, false) => plain.to_owned(),
        (plain, true) => format!("-{plain}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_forms_cover_suffix_and_number() {
        let sorted_forms = |id| {
            let mut forms = forms(id);
            forms.sort();
            forms.dedup();
            forms
        };
        assert_eq!(sorted_forms(" challenge-x:007 "), ["007", "7", "challenge-x:007"]);
        assert_eq!(sorted_forms("0"), ["0"]);
        assert_eq!(sorted_forms("u:+1_0"), ["+1_0", "10", "u:+1_0"]);
        assert_eq!(sorted_forms("u:-03"), ["-03", "-3", "u:-03"]);
        assert_eq!(sorted_forms("intro"), ["intro"]);
        assert_eq!(sorted_forms("a:"), ["a:"]);
        assert_eq!(sorted_forms("  "), Vec::<String>::new());
    }

    #[test]
    fn utterance_ids_match_without_prefixes_and_leading_zeros() {
        for (left, right, same) in [
            ("challenge-x:007", "7", true),
            ("challenge-x:0", "0", true),
            ("a:7", "b:7", true),
            ("intro", "u:intro", true),
            ("7", "8", false),
            ("", "", false),
            ("a:", ":", false),
        ] {
            assert_eq!(same_utterance(left, right), same, "{left} {right}");
        }
    }
}
