//! btwallet's stored passwords: one environment variable per keyfile, whose value is XORed with the
//! variable's name.
//!
//! This is not protection against anyone who can read the environment. It is supported for
//! compatibility.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Password;

/// The stored password is malformed. The message never contains it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} contains no stored password (base64 of the password XORed with the variable's name); hint: unset it, or \
     store the password again"
)]
pub struct StoredPasswordError {
    /// The environment variable.
    pub name: String,
}

/// Returns the name of the environment variable in which btwallet stores the password of the
/// keyfile at `path` (absolute, `~` expanded): `BT_PW_` and the path in upper case, every `/` and
/// `.` replaced by `_`.
pub fn stored_password_name(path: &Path) -> String {
    let path = path.to_string_lossy().to_uppercase().replace(['/', '.'], "_");
    format!("BT_PW_{path}")
}

/// XORs bytes with the repeated name. Applying it twice gives the original bytes.
fn xor_with_name(bytes: &[u8], name: &str) -> Zeroizing<Vec<u8>> {
    let mut xored = Zeroizing::new(Vec::with_capacity(bytes.len()));
    xored.extend(bytes.iter().zip(name.bytes().cycle()).map(|(byte, key)| byte ^ key));
    xored
}

impl Password {
    /// Decodes the value of a variable in btwallet's format; `name` is the variable's name, see
    /// [`stored_password_name`].
    ///
    /// # Errors
    /// [`StoredPasswordError`] when the value is not base64 or does not decode to text.
    pub fn from_stored(name: &str, value: &str) -> Result<Self, StoredPasswordError> {
        let bytes = STANDARD
            .decode(value.trim())
            .ok()
            .map(|xored| xor_with_name(&Zeroizing::new(xored), name));
        let text = bytes.as_deref().and_then(|bytes| str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| StoredPasswordError { name: name.to_owned() })?;
        Ok(Self::new(Zeroizing::new(text.to_owned())))
    }

    /// Encodes the value of the variable `name` in btwallet's format. The value reveals the
    /// password.
    pub fn to_stored(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(xor_with_name(self.as_bytes(), name)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_value_is_not_shown_in_its_error() {
        for value in ["not base64!", "//79"] {
            let error = Password::from_stored("BT_PW_X", value).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(value));
        }
    }

    proptest! {
        #[test]
        fn every_password_round_trips(text in ".{0,40}", path in "/[a-zé./]{0,30}") {
            let name = stored_password_name(Path::new(&path));
            let stored = Password::new(text.clone()).to_stored(&name);
            let password = Password::from_stored(&name, &stored).unwrap();
            prop_assert_eq!(password.as_bytes(), text.as_bytes());
        }
    }
}
