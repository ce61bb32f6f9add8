//! Fields of the identities that coldkeys and subnets publish.

use crate::context::Context;
use crate::exit::ClassifiedError;
use crate::table::key_values;

/// Lists the fields of a new identity that differ from the published ones, for the confirmation.
/// All arrays have the fields in the same order; the limits are in bytes, and `options` names some
/// options for the hint.
///
/// # Errors
/// A usage error if no field changes, or if a text is too long.
pub fn describe_changes<const N: usize>(
    new_fields: [(&'static str, &str); N],
    published: [(&'static str, &str); N],
    limits: [(&'static str, usize); N],
    options: &str,
) -> anyhow::Result<String> {
    let changed_fields = new_fields.into_iter().zip(published).filter(|(new, old)| new != old);
    let changed_fields: Vec<String> =
        changed_fields.map(|((name, text), _)| format!("{name} {text:?}")).collect();
    if changed_fields.is_empty() {
        let text = format!(
            "the identity would not change\nhint: pass the fields to change, such as {options}"
        );
        return Err(ClassifiedError::usage(text));
    }
    for ((name, text), (_, limit)) in new_fields.into_iter().zip(limits) {
        if text.len() > limit {
            let text =
                format!("{name} of {} bytes is too long (at most {limit} bytes)", text.len());
            return Err(ClassifiedError::usage(text));
        }
    }
    Ok(changed_fields.join(", "))
}

/// Prints the owner of an identity, as a name and a value, and the fields that are not empty.
pub fn print_identity<const N: usize>(
    owner: [&str; 2],
    fields: [(&'static str, &str); N],
    context: &Context,
) -> anyhow::Result<()> {
    let mut rows = key_values();
    rows.add_row(owner);
    for (name, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
        rows.add_row([name, text]);
    }
    context.print(&rows.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: texts of the fields a and b · changes, or the error
    #[test]
    fn changed_fields_are_listed_and_limited() {
        for (a, b, expected) in [
            ("new", "old", Ok("a \"new\"")),
            ("", "new", Ok("a \"\", b \"new\"")),
            (
                "old",
                "old",
                Err("the identity would not change\nhint: pass the fields to change, such as --a"),
            ),
            ("old", "éé", Err("b of 4 bytes is too long (at most 3 bytes)")),
        ] {
            let actual = describe_changes(
                [("a", a), ("b", b)],
                [("a", "old"), ("b", "old")],
                [("a", 3), ("b", 3)],
                "--a",
            );
            let actual = actual.map_err(|error| error.to_string());
            assert_eq!(actual, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
