//! Python's text forms of JSON values, which the dendrite protocol hashes and Babelbit's scoring
//! API signs.

mod sorted;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sha3::{Digest, Sha3_256};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::CompactError;
use crate::compact::string_length;

pub use sorted::sorted_json;

/// Returns the body hash of a synapse: SHA3-256 over the hex digests of the SHA3-256 of each
/// field's [`python_text`], in the order of `fields` (the class's `required_hash_fields`); in
/// lower-case hex. `None` when a field is absent: the sender hashed its class's default, which the
/// body does not contain.
///
/// # Errors
/// [`CompactError::NotJson`] when `fields` is not empty and the body is not a JSON object.
pub fn synapse_hash<F: AsRef<str>>(
    fields: &[F],
    body: &[u8],
) -> Result<Option<String>, CompactError> {
    let mut hasher = Sha3_256::new();
    if !fields.is_empty() {
        let values: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body)?;
        for field in fields {
            let Some(value) = values.get(field.as_ref()) else { return Ok(None) };
            hasher.update(hex::encode(Sha3_256::digest(python_text(value.get())?)));
        }
    }
    Ok(Some(hex::encode(hasher.finalize())))
}

/// Formats a JSON value like Python's `str()`: a string unchanged, anything else in the form of
/// `repr`.
///
/// The text of a number decides its type: `1` is an integer of any length, `1.0` a float. Duplicate
/// keys of an object are all written; Python would keep only the last.
///
/// # Errors
/// [`CompactError::NotJson`]; `NaN`, `Infinity` and lone surrogates, which Python can write, are
/// not JSON.
pub fn python_text(json: &str) -> Result<String, CompactError> {
    // From here on the text is known to be JSON, so the scan below need not parse its structure.
    serde_json::from_str::<IgnoredAny>(json)?;
    let mut remaining = json.trim_ascii();
    if remaining.starts_with('"') {
        return Ok(serde_json::from_str(remaining)?);
    }
    let mut out = String::with_capacity(remaining.len());
    while let Some((token, after)) = remaining
        .split_at_checked(token_length(remaining.as_bytes()))
        .filter(|(t, _)| !t.is_empty())
    {
        match token {
            "true" => out.push_str("True"),
            "false" => out.push_str("False"),
            "null" => out.push_str("None"),
            ":" => out.push_str(": "),
            "," => out.push_str(", "),
            " " | "\t" | "\r" | "\n" => {}
            "{" | "}" | "[" | "]" => out.push_str(token),
            string if string.starts_with('"') => {
                write_repr(&mut out, &serde_json::from_str::<String>(string)?);
            }
            number => write_number(&mut out, number),
        }
        remaining = after;
    }
    Ok(out)
}

/// Returns the length in bytes of the token at the start of valid JSON.
fn token_length(json: &[u8]) -> usize {
    match json.first() {
        None => 0,
        Some(b'"') => string_length(json),
        Some(b'a'..=b'z') => json.iter().take_while(|byte| byte.is_ascii_lowercase()).count(),
        Some(b'-' | b'0'..=b'9') => json
            .iter()
            .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            .count(),
        Some(_) => 1,
    }
}

fn write_number(out: &mut String, number: &str) {
    match number.parse::<f64>() {
        Ok(float) if number.contains(['.', 'e', 'E']) => write_float(out, float),
        _ => out.push_str(if number == "-0" { "0" } else { number }),
    }
}

/// Writes the shortest digits that parse to the same float; uses an exponent of at least two digits
/// below 1e-4 and from 1e16 on.
fn write_float(out: &mut String, float: f64) {
    let scientific = format!("{float:e}");
    let split = scientific
        .split_once('e')
        .and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    let _ = match split {
        Some((digits, exponent)) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        // `inf` and `-inf` have the same text in both languages.
        None => write!(out, "{float}"),
        Some(_) => write!(out, "{float:?}"),
    };
}

/// Writes a string in single quotes, or in double quotes if it contains single but no double
/// quotes; escapes unprintable characters.
fn write_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        let _ = match character {
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            character if character == quote => write!(out, "\\{quote}"),
            character if is_printable(character) => out.write_char(character),
            character => match u32::from(character) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                code @ 0..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            },
        };
    }
    out.push(quote);
}

/// Whether Python's `str.isprintable` accepts a character. Which characters are assigned depends on
/// each side's Unicode version.
fn is_printable(character: char) -> bool {
    use GeneralCategory as Category;
    character.is_ascii_graphic()
        || character == ' '
        || !matches!(
            character.general_category(),
            Category::Control
                | Category::Format
                | Category::Surrogate
                | Category::PrivateUse
                | Category::Unassigned
                | Category::LineSeparator
                | Category::ParagraphSeparator
                | Category::SpaceSeparator
        )
}

#[cfg(test)]
mod tests;
