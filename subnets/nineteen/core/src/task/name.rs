use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Maximum length of a task's name, in bytes.
const MAX_LENGTH: usize = 64;

/// ID of a task, such as `chat-llama-3-1-8b`: 1 to 64 characters `a`–`z`, `0`–`9`, `-` and `.`,
/// starting with a letter or digit. Clones share the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskName(Arc<str>);

/// The text is not a valid task ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a task name; hint: use 1..=64 lower-case letters, digits, '-' and '.'")]
pub struct TaskNameError(String);

impl TaskName {
    /// Returns the ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskName {
    type Err = TaskNameError;

    fn from_str(text: &str) -> Result<Self, TaskNameError> {
        let is_allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        };
        let is_valid = (1..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(is_allowed)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if is_valid {
            Ok(Self(text.into()))
        } else {
            Err(TaskNameError(text.chars().take(MAX_LENGTH).collect()))
        }
    }
}

impl TryFrom<String> for TaskName {
    type Error = TaskNameError;

    fn try_from(text: String) -> Result<Self, TaskNameError> {
        text.parse()
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for TaskName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_names_are_hyphenated_words() {
        for name in ["avatar", "chat-llama-3-1-8b", "3b", "llama-3.1"] {
            assert_eq!(name.parse::<TaskName>().unwrap().as_str(), name);
        }
        for name in ["", "-a", "A", "a b", "a_b", "a/b", "é", &"a".repeat(65)] {
            assert!(name.parse::<TaskName>().is_err(), "{name}");
        }
    }
}
