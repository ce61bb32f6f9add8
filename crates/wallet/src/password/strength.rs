use std::collections::BTreeSet;

/// The minimum number of characters of a new password.
pub const MIN_LENGTH: usize = 6;

/// The minimum strength of a new password, in bits: 2^20 guesses, each of which costs an attacker
/// one core-second and 512 MiB of memory.
///
/// The estimate adds up `log2` of the size of the alphabet (lower case, upper case, digits,
/// everything else) for each character. A character that repeats or continues the previous one
/// (`aaa`, `abc`, `321`) adds only one bit. The total is at most one bit plus five for each
/// different character. The most common passwords have a strength of 0 bits. There is no
/// dictionary: a password of words or names is far weaker than its estimate.
pub const MIN_STRENGTH: u32 = 20;

/// Why a password is too weak for a new keyfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakPassword {
    /// The password has fewer than [`MIN_LENGTH`] characters.
    #[error("password has fewer than {MIN_LENGTH} characters")]
    Short,
    /// The estimated strength is below [`MIN_STRENGTH`] bits.
    #[error(
        "password is too weak (strength {bits} bits, minimum {MIN_STRENGTH} bits); hint: make it longer or less regular"
    )]
    Guessable {
        /// The estimated strength in bits.
        bits: u32,
    },
}

/// Common passwords from published leaks that the rule for repeats and sequences does not catch, in
/// lower case.
const COMMON: [&str; 32] = [
    "password",
    "passw0rd",
    "p@ssw0rd",
    "password1",
    "password123",
    "qwerty",
    "qwerty123",
    "qwertyuiop",
    "1q2w3e4r",
    "1qaz2wsx",
    "zaq12wsx",
    "iloveyou",
    "letmein",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "sunshine",
    "princess",
    "welcome",
    "admin123",
    "master",
    "shadow",
    "superman",
    "trustno1",
    "bitcoin",
    "bittensor",
    "testing",
    "changeme",
    "secret",
    "asdfgh",
    "asdfghjkl",
];

pub(super) fn check(password: &str) -> Result<(), WeakPassword> {
    if password.chars().count() < MIN_LENGTH {
        return Err(WeakPassword::Short);
    }
    match estimate(password) {
        MIN_STRENGTH.. => Ok(()),
        bits => Err(WeakPassword::Guessable { bits }),
    }
}

pub(super) fn estimate(password: &str) -> u32 {
    if COMMON.iter().any(|common| password.eq_ignore_ascii_case(common)) {
        return 0;
    }
    let letter_bits = alphabet(password).log2();
    let mut bits = 0.0;
    let mut previous = None;
    for character in password.chars() {
        let is_sequential =
            previous.is_some_and(|previous| u32::from(character).abs_diff(previous) <= 1);
        bits += if is_sequential { 1.0 } else { letter_bits };
        previous = Some(u32::from(character));
    }
    let distinct_characters = password.chars().collect::<BTreeSet<_>>().len();
    bits.min(1.0 + 5.0 * distinct_characters as f64) as u32
}

/// A kind of characters, and their number.
type CharacterClass = (fn(&char) -> bool, f64);

/// Returns the number of characters in the alphabet that the password uses.
fn alphabet(password: &str) -> f64 {
    let classes: [CharacterClass; 4] = [
        (char::is_ascii_lowercase, 26.0),
        (char::is_ascii_uppercase, 26.0),
        (char::is_ascii_digit, 10.0),
        (|character| !character.is_ascii_alphanumeric(), 33.0),
    ];
    let used_classes =
        classes.iter().filter(|(is, _)| password.chars().any(|character| is(&character)));
    used_classes.map(|(_, size)| size).sum::<f64>().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_policy_is_enforced() {
        for (password, expected) in [
            ("", Err(WeakPassword::Short)),
            ("aB3$x", Err(WeakPassword::Short)),
            ("aaaaaaaaaaaa", Err(WeakPassword::Guessable { bits: 6 })),
            ("123456789", Err(WeakPassword::Guessable { bits: 11 })),
            ("abcabc", Err(WeakPassword::Guessable { bits: 13 })),
            ("121212121212", Err(WeakPassword::Guessable { bits: 11 })),
            ("PassWord", Err(WeakPassword::Guessable { bits: 0 })),
            ("testing-Passw0rd!", Ok(())),
            ("hunter2x", Ok(())),
            ("пароль-τ", Ok(())),
        ] {
            assert_eq!(check(password), expected, "{password}");
        }
    }
}
