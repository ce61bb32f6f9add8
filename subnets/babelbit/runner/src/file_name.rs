use sha2::{Digest as _, Sha256};
use taonet_babelbit_core::records::is_safe_name;

/// Maximum length of a part in bytes. The longest file name, that of a text miner's log, has two
/// parts and 101 further bytes. While a file is written, its name has 9 more; file systems allow 255.
const MAX_BYTES: usize = 72;
/// Number of characters of a name, and of hex digits of its hash, in a shortened part.
const PREFIX_LENGTH: usize = MAX_BYTES - 1 - HASH_DIGITS;
const HASH_DIGITS: usize = 8;

/// Converts a name from the engine, such as the uid of a dialogue, to a safe part of a file name. A
/// name with characters other than letters, digits, `-`, `_` and `.` has `_` in their place. A long
/// name is shortened, and ends with a part of its hash.
pub fn file_name_part(name: &str) -> String {
    let replace_unsafe =
        |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let text: String = if is_safe_name(name) {
        name.to_owned()
    } else {
        name.chars().map(replace_unsafe).collect()
    };
    if text.is_empty() {
        return "unknown".to_owned();
    }
    if text.len() <= MAX_BYTES {
        return text;
    }
    let hash = hex::encode(Sha256::digest(name));
    format!("{text:.PREFIX_LENGTH$}-{hash:.HASH_DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_from_engine_stay_in_their_directory() {
        for (name, expected) in [
            ("d-1.x", "d-1.x"),
            ("", "unknown"),
            ("../../etc", "______etc"),
            (".", "_"),
            ("ü b", "__b"),
        ] {
            assert_eq!(file_name_part(name), expected);
        }
    }

    #[test]
    fn long_names_are_shortened_and_stay_different() {
        let longest_name = "d".repeat(MAX_BYTES);
        assert_eq!(file_name_part(&longest_name), longest_name);
        assert_eq!(
            file_name_part(&format!("{longest_name}d")),
            format!("{}-3a33d564", "d".repeat(63))
        );
        assert_eq!(file_name_part(&"/".repeat(500)), format!("{}-6a32c943", "_".repeat(63)));
    }
}
