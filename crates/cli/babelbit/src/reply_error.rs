//! Errors of replies, for display. Results have the texts of the reference system, which begin with
//! the names of its exceptions.

use std::borrow::Cow;

use taonet_primitives::page_text;

/// Texts of the reference system for replies that cannot be scored, each with its meaning.
const MEANINGS: [(&str, &str); 4] = [
    ("ValueError:WAV payload had no frames", "the reply has no audio"),
    (
        "RuntimeError:empty transcript from STT for short audio output",
        "the recogniser found no words in the reply",
    ),
    (
        "RuntimeError:empty transcript from STT for non-trivial audio output",
        "the recogniser found no words in the reply",
    ),
    ("invalid_payload_type", "the response is not a JSON object"),
];
/// Beginnings of texts, each with its replacement.
const PREFIXES: [(&str, &str); 2] = [
    ("parse:", "malformed response: "),
    ("validator_identity_error:", "cannot sign the request: "),
];

/// Returns the error of a reply as a text for display, without the name of an exception.
pub(crate) fn readable_error(text: &str) -> Cow<'_, str> {
    if let Some(&(_, meaning)) = MEANINGS.iter().find(|(start, _)| text.starts_with(start)) {
        return Cow::Borrowed(meaning);
    }
    for (prefix, replacement) in PREFIXES {
        if let Some(message) = text.strip_prefix(prefix) {
            return Cow::Owned(format!("{replacement}{message}"));
        }
    }
    match text.split_once(':') {
        Some((name, message)) if is_exception(name) && !message.trim().is_empty() => {
            Cow::Borrowed(message.trim_start())
        }
        Some((status, body)) if is_status(status) => {
            let body = page_text(body).map_or(Cow::Borrowed(body), Cow::Owned);
            Cow::Owned(format!("status {status}: {body}").trim_end_matches([':', ' ']).to_owned())
        }
        _ => Cow::Borrowed(text),
    }
}

/// Whether the error of a reply is a web page, as proxies and web servers send it.
pub(crate) fn is_page(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(status, body)| is_status(status) && page_text(body).is_some())
}

/// Whether a word is the name of an exception of Python, such as `ValueError`.
fn is_exception(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && (name.ends_with("Error") || name.ends_with("Exception"))
        && name.chars().all(|letter| letter.is_ascii_alphanumeric())
}

/// Whether a word is a status of HTTP.
fn is_status(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exception_names_are_removed() {
        for (text, expected) in [
            ("ConnectionError:cannot connect to 127.0.0.1:1", "cannot connect to 127.0.0.1:1"),
            ("ValueError:WAV payload had no frames", "the reply has no audio"),
            (
                "RuntimeError:empty transcript from STT for short audio output (0.2000s)",
                "the recogniser found no words in the reply",
            ),
            ("RuntimeError: boom", "boom"),
            ("EOFError:", "EOFError:"),
            ("parse:expected value", "malformed response: expected value"),
            ("invalid_payload_type", "the response is not a JSON object"),
            ("503:no room", "status 503: no room"),
            ("503:", "status 503"),
            (
                "501:<!DOCTYPE HTML>\n<html><title>Error</title>\n<h1>Error</h1><p>No POST</p></htm",
                "status 501: Error No POST",
            ),
            ("timeout after 3.0s", "timeout after 3.0s"),
            ("Error in line: 3", "Error in line: 3"),
            ("session_id is \"a:b\"", "session_id is \"a:b\""),
            ("", ""),
        ] {
            assert_eq!(readable_error(text), expected, "{text}");
        }
    }
}
