use semver::Version;
use serde::Deserialize;

/// Length of a SHA-256 digest in bytes.
const DIGEST_LEN: usize = 32;

/// This program's platform, as in release file names; `None` if there are no releases for the
/// platform.
pub const TARGET: Option<&str> =
    if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) {
        Some("x86_64-unknown-linux-gnu")
    } else if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "aarch64")) {
        Some("aarch64-unknown-linux-gnu")
    } else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        Some("aarch64-apple-darwin")
    } else {
        None
    };

/// A release whose list of digests has a valid signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub(crate) version: Version,
    /// Path of the program relative to the server's base.
    pub(crate) path: String,
    pub(crate) digest: [u8; DIGEST_LEN],
}

impl Release {
    /// Returns the version of the release.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Returns the SHA-256 of the program, in hexadecimal digits.
    pub fn digest(&self) -> String {
        hex::encode(self.digest)
    }
}

/// Content of `latest.json`. Unknown fields are ignored.
#[derive(Deserialize)]
struct LatestRelease {
    version: String,
}

/// Parses `latest.json`.
pub(crate) fn latest_version(text: &[u8]) -> Result<Version, String> {
    let latest: LatestRelease = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Version::parse(&latest.version)
        .map_err(|error| format!("version `{}`: {error}", latest.version))
}

/// Returns the file name of a release's program.
pub(crate) fn file_name(version: &Version, target: &str) -> String {
    format!("tao-{version}-{target}")
}

/// Finds the digest of a file in the output format of `sha256sum`; `None` if it is not listed.
pub(crate) fn listed_digest(
    checksums: &str,
    name: &str,
) -> Result<Option<[u8; DIGEST_LEN]>, String> {
    let entries = checksums.lines().filter_map(|line| line.split_once([' ', '\t']));
    let mut named = entries.filter(|(_, file)| file.trim_start_matches([' ', '*']) == name);
    let Some((digest, _)) = named.next() else { return Ok(None) };
    if named.next().is_some() {
        return Err(format!("{name} is listed twice"));
    }
    let mut bytes = [0; DIGEST_LEN];
    hex::decode_to_slice(digest, &mut bytes)
        .map_err(|error| format!("digest of {name}: {error}"))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn latest_version_must_be_semantic() {
        let version = |text: &str| latest_version(text.as_bytes());
        assert_eq!(
            version(r#"{"version": "1.2.3-rc.1", "notes": "…"}"#),
            Ok(Version::parse("1.2.3-rc.1").unwrap())
        );
        for malformed in [
            "",
            "{}",
            "[]",
            r#"{"version": 1}"#,
            r#"{"version": "1.2"}"#,
            r#"{"version": "../1.2.3"}"#,
        ] {
            assert!(version(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn digest_is_found_by_exact_file_name() {
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        let checksums = format!("{one}  tao-1.0.0-x.sig\n{two} *tao-1.0.0-x\nnonsense\n\n");
        assert_eq!(listed_digest(&checksums, "tao-1.0.0-x"), Ok(Some([0x22; 32])));
        assert_eq!(listed_digest(&checksums, "tao-1.0.0-x.sig"), Ok(Some([0x11; 32])));
        assert_eq!(listed_digest(&checksums, "tao-1.0.0"), Ok(None));
        assert_eq!(listed_digest("", "tao-1.0.0"), Ok(None));
        listed_digest(&format!("{checksums}{checksums}"), "tao-1.0.0-x").unwrap_err();
        for malformed in ["", "22", &"zz".repeat(32), &"22".repeat(33)] {
            listed_digest(&format!("{malformed}  tao"), "tao").unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn random_checksum_lists_never_panic(text in ".{0,200}", name in "[a-z0-9.-]{1,20}", digest in any::<[u8; 32]>()) {
            let _ = listed_digest(&text, &name);
            let _ = latest_version(text.as_bytes());
            let checksums = format!("{}  {name}\n", hex::encode(digest));
            prop_assert_eq!(listed_digest(&checksums, &name), Ok(Some(digest)));
        }
    }
}
