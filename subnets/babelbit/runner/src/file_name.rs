use sha2::{Digest as _, Sha256};
use taonet_babelbit_core::records::is_safe_name;

/// Maximum length of a part in bytes. The longest file name, that of a text miner's log, consists
/// of two parts and 101 other bytes, and the temporary file of an atomic write adds 9: the total of
/// 254 stays within the 255 bytes that file systems allow.
const MAX_PART_BYTES: usize = 72;
/// Number of characters of the name in a shortened part: the rest is a hyphen and the hash.
const NAME_CHARS: usize = MAX_PART_BYTES - 1 - HASH_DIGITS;
/// Number of hex digits of the name's hash in a shortened part.
const HASH_DIGITS: usize = 8;

/// Converts a name from the engine, such as the uid of a dialogue, to a safe part of a file name:
/// replaces characters other than ASCII letters, digits, `-`, `_` and `.` with `_`, and shortens a
/// long name to a prefix followed by the first digits of its hash.
pub fn file_name_part(name: &str) -> String {
    let replace_if_unsafe =
        |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let safe_name: String = if is_safe_name(name) {
        name.to_owned()
    } else {
        name.chars().map(replace_if_unsafe).collect()
    };
    if safe_name.is_empty() {
        return "unknown".to_owned();
    }
    if safe_name.len() <= MAX_PART_BYTES {
        return safe_name;
    }
    let hash = hex::encode(Sha256::digest(name));
    format!("{safe_name:.NAME_CHARS$}-{hash:.HASH_DIGITS$}")
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
        let longest_name = "d".repeat(MAX_PART_BYTES);
        assert_eq!(file_name_part(&longest_name), longest_name);
        assert_eq!(
            file_name_part(&format!("{longest_name}d")),
            format!("{}-3a33d564", "d".repeat(63))
        );
        assert_eq!(file_name_part(&"/".repeat(500)), format!("{}-6a32c943", "_".repeat(63)));
    }
}
