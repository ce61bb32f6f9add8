use taonet_primitives::{Hotkey, Uid};

/// Identifies a miner of a round by uid and hotkey, since a uid may pass to another hotkey, and a
/// hotkey to another uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinerKey {
    /// The miner's uid.
    pub uid: Uid,
    /// The miner's hotkey.
    pub hotkey: Hotkey,
}

impl MinerKey {
    /// Returns the name of the miner's directory.
    pub fn directory(&self) -> String {
        format!("miner_{}__hk_{}", self.uid, self.hotkey)
    }
}

/// Whether an untrusted name is safe as a path component.
pub fn is_safe_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_file_names_are_safe() {
        for name in ["challenge-1781174402-d4bb9c06", "a", "a.b_c"] {
            assert!(is_safe_name(name), "{name}");
        }
        for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0", "é", " ", &"a".repeat(129)] {
            assert!(!is_safe_name(name), "{name}");
        }
    }
}
