use std::collections::BTreeMap;
use std::fmt;

use taonet_primitives::without_bom;

/// Error for a malformed line in an environment file. It does not contain the line, which may have
/// a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineError {
    /// Number of the line, from 1.
    pub line: usize,
    /// Expected form of the line.
    pub expected: &'static str,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl std::error::Error for LineError {}

/// Parses the variables of a file such as `.env`: lines `NAME=VALUE`, optionally after `export`. If
/// a name occurs several times, the last value counts.
///
/// A value may be in quotes. Between double quotes, `\n`, `\r`, `\t`, `\"`, `\$` and `\\` are
/// replaced. After a value without quotes, `#` starts a comment if white space precedes it. Other
/// variables are not substituted: `${` in a value that is not in single quotes is an error.
///
/// # Errors
/// [`LineError`] for the first malformed line.
pub fn file_variables(text: &str) -> Result<BTreeMap<String, String>, LineError> {
    let mut variables = BTreeMap::new();
    for (line, number) in without_bom(text).lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            assignment(line).map_err(|expected| LineError { line: number, expected })?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// Parses a line; the error is the expected form.
fn assignment(line: &str) -> Result<(&str, String), &'static str> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("NAME=VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("NAME=VALUE with a name of letters, digits and _");
    }
    let (value, remaining) = match value.chars().next() {
        Some('\'') => {
            let (value, remaining) = value
                .get(1..)
                .and_then(|remaining| remaining.split_once('\''))
                .ok_or("a closing quote")?;
            (value.to_owned(), remaining)
        }
        Some('"') => parse_quoted(value.get(1..).unwrap_or_default())?,
        _ => (parse_unquoted(value)?, ""),
    };
    let remaining = remaining.trim();
    if remaining.is_empty() || remaining.starts_with('#') {
        Ok((name, value))
    } else {
        Err("the end of the line after a quote")
    }
}

/// Parses a value without quotes, up to a comment.
fn parse_unquoted(text: &str) -> Result<String, &'static str> {
    let comment = text.match_indices('#').map(|(at, _)| at).find(|at| {
        let before = text.get(..*at);
        before.is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    let value = text.get(..comment.unwrap_or(text.len())).unwrap_or_default().trim_end();
    if value.contains("${") { Err(WITHOUT_SUBSTITUTION) } else { Ok(value.to_owned()) }
}

/// Parses a value after its opening double quote; also returns the rest of the line.
fn parse_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next().ok_or("a closing quote")? {
            '"' => return Ok((value, characters.as_str())),
            '$' if characters.as_str().starts_with('{') => return Err(WITHOUT_SUBSTITUTION),
            '\\' => match characters.next().ok_or("a closing quote")? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '$' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
}

/// Expected form of a value with `${`.
const WITHOUT_SUBSTITUTION: &str = "a value without ${…}, which is not replaced";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_file_lines_are_parsed() {
        let text = "# Keys\r\n\n  BITTENSOR_WALLET_COLD=coldkey\r\nexport A = 1 \nMINER_DEVICE=cpu      # Use 'cpu' or 'cuda'\n\
            KEY=a#b\nEMPTY=\nCOMMENT= # none\nDOLLAR=pa$$word\nQUOTED=\"a # \\\"b\\\" \\n\\d\" # c\nSINGLE='${A} \\n'\nA=2";
        let actual = file_variables(text).unwrap();
        assert_eq!(
            file_variables(&format!("\u{feff}{text}")),
            Ok(actual.clone()),
            "with a byte order mark"
        );
        let expected = [
            ("A", "2"),
            ("BITTENSOR_WALLET_COLD", "coldkey"),
            ("COMMENT", ""),
            ("DOLLAR", "pa$$word"),
            ("EMPTY", ""),
            ("KEY", "a#b"),
            ("MINER_DEVICE", "cpu"),
            ("QUOTED", "a # \"b\" \n\\d"),
            ("SINGLE", "${A} \\n"),
        ];
        let actual: Vec<_> =
            actual.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(actual, expected);
    }

    /// Columns: second line · expected
    #[test]
    fn malformed_lines_are_named_by_their_number_only() {
        for (line, expected) in [
            ("sk-secret", "NAME=VALUE"),
            ("=sk-secret", "NAME=VALUE with a name of letters, digits and _"),
            ("A B=sk-secret", "NAME=VALUE with a name of letters, digits and _"),
            ("A=\"sk-secret", "a closing quote"),
            ("A=\"sk-secret\\", "a closing quote"),
            ("A='", "a closing quote"),
            ("A='sk' secret", "the end of the line after a quote"),
            ("A=${SECRET}", WITHOUT_SUBSTITUTION),
            ("A=\"${SECRET}\"", WITHOUT_SUBSTITUTION),
        ] {
            let error = file_variables(&format!("B=1\n{line}\n")).unwrap_err();
            assert_eq!(error, LineError { line: 2, expected }, "{line}");
            assert_eq!(error.to_string(), format!("line 2: expected {expected}"));
        }
    }
}
