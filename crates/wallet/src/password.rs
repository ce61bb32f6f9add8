use std::fmt;

use zeroize::Zeroizing;

mod sources;
mod stored;
mod strength;

pub use sources::PasswordError;
pub use stored::{StoredPasswordError, stored_password_name};
pub use strength::{MIN_LENGTH, MIN_STRENGTH, WeakPassword};

/// The password of a keyfile. Wiped from memory when dropped and never shown by `Debug`.
///
/// Programs may prompt for a password, or read it with [`Password::from_file`],
/// [`Password::from_descriptor`] or [`Password::from_lookup`].
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Creates a password from a text. The text is moved, not copied, and wiped on drop.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// Returns the password's UTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Checks whether the password may protect a new keyfile: at least [`MIN_LENGTH`] characters
    /// and an estimated strength of at least [`MIN_STRENGTH`] bits. Existing keyfiles open with any
    /// password.
    ///
    /// # Errors
    /// [`WeakPassword`] names the requirement that is not met.
    pub fn check_new(&self) -> Result<(), WeakPassword> {
        strength::check(&self.0)
    }

    /// Whether two passwords are equal, such as a new password and its repetition.
    pub fn matches(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
