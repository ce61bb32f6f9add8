use std::fmt;
use std::fs::DirEntry;
use std::str::FromStr;

/// The maximum length of a name in bytes. It leaves room for suffixes: `pub.txt`, backup numbers,
/// drafts.
const MAX_BYTES: usize = 200;

/// The text is not a valid name of a wallet or hotkey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid wallet or hotkey name {0:?}; hint: use 1 to 200 bytes, no slash, backslash or control character, \
     no leading dot and no trailing pub.txt"
)]
pub struct NameError(
    /// The rejected text.
    pub String,
);

/// The name of a wallet or hotkey: a single path component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_valid = !text.is_empty()
            && text.len() <= MAX_BYTES
            && !text.starts_with('.')
            && !text.contains(|character: char| character == '/' || character == '\\' || character.is_control())
            // Bittensor's tools and ours reserve these names for files other than keys.
            && !text.ends_with("pub.txt");
        if is_valid { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Returns the name of a directory entry, if it is valid.
pub(super) fn from_entry(entry: &DirEntry) -> Option<Name> {
    entry.file_name().to_str()?.parse().ok()
}
