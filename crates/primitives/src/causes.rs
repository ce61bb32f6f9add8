use std::error::Error;
use std::iter::successors;

/// Separator between the message of an error and its hint.
pub const HINT: &str = "\nhint: ";

/// Separator of a hint on the same line, in messages that are also log lines.
pub const INLINE_HINT: &str = "; hint: ";

/// Splits a message at its hint, whose separator is [`HINT`] or [`INLINE_HINT`].
///
/// In a list of messages with inline hints, each hint stays with its message.
///
/// ```
/// let (message, hint) = taonet_primitives::split_hint("disk full; hint: use another disk");
/// assert_eq!((message, hint), ("disk full", Some("use another disk")));
/// ```
pub fn split_hint(text: &str) -> (&str, Option<&str>) {
    if let Some((message, hint)) = text.split_once(HINT) {
        return (message, Some(hint));
    }
    match text.split_once(INLINE_HINT) {
        Some((message, hint))
            if ![message, hint]
                .iter()
                .any(|part| part.contains('\n') || part.contains("hint: ")) =>
        {
            (message, Some(hint))
        }
        _ => (text, None),
    }
}

/// Formats an error with its causes on one line; their hints follow, each on its own line.
/// Omits a cause whose message is part of the text before it.
///
/// ```
/// let error = std::io::Error::other("disk full");
/// assert_eq!(taonet_primitives::with_causes(&error), "disk full");
/// ```
pub fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut hints) = (String::new(), String::new());
    let causes = successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
    for cause_text in std::iter::once(error.to_string()).chain(causes) {
        let (message, hint) = cause_text
            .split_once(HINT)
            .map_or((&*cause_text, None), |(message, hint)| (message, Some(hint)));
        if text.is_empty() {
            message.clone_into(&mut text);
        } else if !text.contains(message) {
            text = format!("{text}: {message}");
        }
        if let Some(hint) = hint {
            hints = format!("{hints}{HINT}{hint}");
        }
    }
    text + &hints
}

/// Returns the message of an error's innermost cause, or of the error itself if it has no cause.
pub fn innermost_cause(error: &dyn Error) -> String {
    successors(error.source(), |cause| (*cause).source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct TestError {
        message: &'static str,
        source: Option<Box<TestError>>,
    }

    /// Builds an error from its message and those of its causes.
    fn error(messages: &[&'static str]) -> TestError {
        let build = |source, message: &&'static str| Some(Box::new(TestError { message, source }));
        *messages.iter().rev().fold(None, build).unwrap()
    }

    /// Columns: messages, from the error to its innermost cause · text
    #[test]
    fn each_cause_is_printed_once_and_hints_come_last() {
        for (messages, text) in [
            (&["cannot write"][..], "cannot write"),
            (&["cannot write", "disk full"], "cannot write: disk full"),
            (&["cannot write: disk full", "disk full"], "cannot write: disk full"),
            (&["a", "b", "c"], "a: b: c"),
            (
                &["cannot write\nhint: use another disk", "disk full"],
                "cannot write: disk full\nhint: use another disk",
            ),
            (&["a\nhint: x", "b\nhint: y"], "a: b\nhint: x\nhint: y"),
        ] {
            assert_eq!(with_causes(&error(messages)), text);
        }
    }

    /// Columns: text · message · hint
    #[test]
    fn hint_after_newline_or_semicolon_is_split_from_message() {
        for (text, message, hint) in [
            ("disk full", "disk full", None),
            ("disk full\nhint: delete a file", "disk full", Some("delete a file")),
            ("disk full; hint: delete a file", "disk full", Some("delete a file")),
            ("a; hint: retry; downloads resume", "a", Some("retry; downloads resume")),
            ("a\nb\nhint: x\nhint: y", "a\nb", Some("x\nhint: y")),
            ("a; b\nhint: x; y", "a; b", Some("x; y")),
            ("a; hint: x\nhint: y", "a; hint: x", Some("y")),
            ("a; hint: x; hint: y", "a; hint: x; hint: y", None),
            ("a:\n  b; hint: x", "a:\n  b; hint: x", None),
            ("a; hint: x\nb; hint: y", "a; hint: x\nb; hint: y", None),
            ("hint: x", "hint: x", None),
            ("", "", None),
        ] {
            assert_eq!(split_hint(text), (message, hint), "{text:?}");
        }
    }

    #[test]
    fn innermost_cause_is_the_last_of_the_chain() {
        assert_eq!(innermost_cause(&error(&["a"])), "a");
        assert_eq!(innermost_cause(&error(&["a", "b", "c"])), "c");
    }
}
