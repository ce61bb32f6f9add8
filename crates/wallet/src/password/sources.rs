use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use taonet_primitives::bytes_without_bom;
use zeroize::Zeroizing;

use super::Password;
use super::stored::{StoredPasswordError, stored_password_name};
use crate::open::warn_if_exposed;

/// The maximum size of a password file, in bytes.
const MAX_BYTES: usize = 4096;
const TOO_MANY_BYTES: usize = MAX_BYTES + 1;

/// The environment variable that contains the password itself.
const PASSWORD_VARIABLE: &str = "BT_WALLET_PASSWORD";

/// Why no password could be read from a file, a descriptor or the environment. Messages never
/// contain the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The file or descriptor cannot be read.
    #[error("cannot read the password from {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is empty, has several lines, is too long or is not UTF-8.
    #[error("{0} contains no password, expected one line of at most 4096 bytes")]
    Content(PathBuf),
    /// The variable's value is not UTF-8.
    #[error("the environment variable {0} is not UTF-8; hint: set it again, or unset it")]
    NotText(String),
    /// A stored password is malformed.
    #[error(transparent)]
    Stored(#[from] StoredPasswordError),
}

impl Password {
    /// Reads a file that contains only the password; a byte order mark and a trailing line break
    /// are ignored. Logs a warning if other users can access the file.
    ///
    /// # Errors
    /// [`PasswordError`]: unreadable, or not one line of text.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PasswordError> {
        let path = path.as_ref();
        // One byte above the limit detects files that are too long; a buffer of full capacity never
        // grows, which would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(TOO_MANY_BYTES));
        let file =
            File::open(path).map_err(|source| PasswordError::Read { path: path.into(), source })?;
        warn_if_exposed(&file, path);
        file.take(TOO_MANY_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(|source| PasswordError::Read { path: path.into(), source })?;
        one_line(bytes_without_bom(&bytes))
            .map(Self::new)
            .ok_or_else(|| PasswordError::Content(path.into()))
    }

    /// Reads the password from an open file descriptor of this process, e.g. 3 after
    /// `3<password.txt` in a shell.
    ///
    /// The system may reopen the file for this: the process must still have permission, and the
    /// file is read from its start. A pipe is read from its current position.
    ///
    /// # Errors
    /// The errors of [`Self::from_file`].
    pub fn from_descriptor(descriptor: u32) -> Result<Self, PasswordError> {
        Self::from_file(format!("/dev/fd/{descriptor}"))
    }

    /// Looks up the password of `keyfile` (absolute, `~` expanded) in the environment, in this
    /// order: btwallet's stored password for this file ([`stored_password_name`]),
    /// `BT_WALLET_PASSWORD`, the file named by `BT_WALLET_PASSWORD_FILE`. An empty variable counts
    /// as unset.
    ///
    /// `lookup` returns the value of a variable: programs pass their environment, tests a table.
    ///
    /// # Errors
    /// [`PasswordError`] when a variable is set but its password cannot be read.
    pub fn from_lookup(
        keyfile: &Path,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, PasswordError> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let name = stored_password_name(keyfile);
        if let Some(value) = lookup(&name) {
            return Ok(Some(Self::from_stored(&name, &text(&name, value)?)?));
        }
        if let Some(value) = lookup(PASSWORD_VARIABLE) {
            return text(PASSWORD_VARIABLE, value).map(Self::new).map(Some);
        }
        lookup("BT_WALLET_PASSWORD_FILE").map(Self::from_file).transpose()
    }
}

/// Converts a variable's value to text. The value is wiped even if it is not UTF-8.
fn text(name: &str, value: OsString) -> Result<Zeroizing<String>, PasswordError> {
    let bytes = Zeroizing::new(value.into_encoded_bytes());
    let text = str::from_utf8(&bytes).map_err(|_| PasswordError::NotText(name.to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn one_line(bytes: &[u8]) -> Option<Zeroizing<String>> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let text = str::from_utf8(bytes).ok()?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    (!line.is_empty() && !line.contains(['\n', '\r'])).then(|| Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use super::*;

    #[test]
    fn password_file_has_exactly_one_line() {
        for (content, expected) in [
            ("secret", Some("secret")),
            (" secret \n", Some(" secret ")),
            ("secret\r\n", Some("secret")),
            ("", None),
            ("\n", None),
            ("two\nlines", None),
            ("secret\n\n", None),
        ] {
            assert_eq!(
                one_line(content.as_bytes()).as_deref().map(String::as_str),
                expected,
                "{content:?}"
            );
        }
        assert_eq!(one_line(&[0xff]), None);
        assert_eq!(one_line(&[b'a'; MAX_BYTES + 1]), None);
    }

    #[test]
    fn most_specific_password_variable_wins() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "from file\n").unwrap();
        let keyfile = Path::new("/w/alice/coldkey");
        let name = "BT_PW__W_ALICE_COLDKEY";
        let mut variables = HashMap::from([
            (name.to_owned(), Password::new("stored".to_owned()).to_stored(name).to_string()),
            ("BT_WALLET_PASSWORD".to_owned(), "direct".to_owned()),
            ("BT_WALLET_PASSWORD_FILE".to_owned(), file.display().to_string()),
        ]);
        for (emptied, expected) in
            [("none", "stored"), (name, "direct"), ("BT_WALLET_PASSWORD", "from file")]
        {
            variables.insert(emptied.to_owned(), String::new());
            let lookup = |name: &str| variables.get(name).map(OsString::from);
            let password = Password::from_lookup(keyfile, lookup).unwrap().unwrap();
            assert_eq!(password.as_bytes(), expected.as_bytes());
        }
        assert!(Password::from_lookup(keyfile, |_| None).unwrap().is_none());
        assert!(Password::from_lookup(keyfile, |_| Some(OsString::new())).unwrap().is_none());
        let missing = |name: &str| (name == "BT_WALLET_PASSWORD_FILE").then(|| "/none".into());
        assert!(matches!(Password::from_lookup(keyfile, missing), Err(PasswordError::Read { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn non_utf8_value_is_an_error() {
        use std::os::unix::ffi::OsStringExt;

        let keyfile = Path::new("/w/alice/coldkey");
        for variable in ["BT_PW__W_ALICE_COLDKEY", PASSWORD_VARIABLE] {
            let lookup =
                |name: &str| (name == variable).then(|| OsString::from_vec(vec![b'x', 0xff]));
            let password = Password::from_lookup(keyfile, lookup);
            assert!(matches!(password, Err(PasswordError::NotText(name)) if name == variable));
        }
    }

    #[cfg(unix)]
    #[test]
    fn password_is_read_from_descriptor() {
        use std::os::fd::AsRawFd;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "by descriptor").unwrap();
        let file = File::open(&path).unwrap();
        let password = Password::from_descriptor(file.as_raw_fd() as u32).unwrap();
        assert_eq!(password.as_bytes(), b"by descriptor");
        assert!(Password::from_descriptor(999_999).is_err());
    }
}
