use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use taonet_neuron::{AddressError, AddressPolicy, MinerEntry};
use taonet_primitives::{Hotkey, Uid, bytes_without_bom};

/// Why a list of miners is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MinersError {
    /// The file is unreadable.
    #[error("cannot read the miners file {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is not a JSON list.
    #[error("the miners file is not a JSON list of miners: {0}")]
    NotAList(serde_json::Error),
    /// An entry has a missing or invalid field.
    #[error("miner {position} of the miners file: {source}")]
    Entry {
        /// Position in the list, from 1.
        position: usize,
        /// The deserialisation error.
        source: serde_json::Error,
    },
    /// An entry's address is not allowed.
    #[error("miner {position} of the miners file (uid {uid}): {source}{}", address_hint(source))]
    Address {
        /// Position in the list, from 1.
        position: usize,
        /// The entry's uid.
        uid: Uid,
        /// Why the address is not allowed.
        source: AddressError,
    },
    /// Two entries have the same uid or hotkey.
    #[error("miner {position} of the miners file: duplicate {field} {value}")]
    Duplicate {
        /// Position of the second entry, from 1.
        position: usize,
        /// Name of the duplicate field: `uid` or `hotkey`.
        field: &'static str,
        /// The duplicate value.
        value: String,
    },
}

/// Returns the hint for a forbidden address.
const fn address_hint(error: &AddressError) -> &'static str {
    if error.is_forbidden() { "; hint: development mode, BB_DEV_MODE=1, allows it" } else { "" }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    uid: Uid,
    hotkey: Hotkey,
    address: String,
    #[serde(default)]
    name: Option<String>,
}

/// Reads a list of miners: `[{"uid": 1, "hotkey": "5…", "address": "ip:port" or URL, "name":
/// optional}, …]`.
///
/// Returns at most the first `max_miners` entries; logs a warning if the file has more.
///
/// # Errors
/// [`MinersError`] when the file is unreadable or an entry is invalid.
pub fn read_miners(
    path: &Path,
    policy: &AddressPolicy,
    max_miners: usize,
) -> Result<Vec<MinerEntry>, MinersError> {
    let text = std::fs::read(path)
        .map_err(|source| MinersError::Read { path: path.to_owned(), source })?;
    parse_miners(&text, policy, max_miners)
}

/// Parses a list of miners in the format of [`read_miners`].
///
/// # Errors
/// [`MinersError`] when the text is not a list or an entry is invalid.
fn parse_miners(
    json: &[u8],
    policy: &AddressPolicy,
    max_miners: usize,
) -> Result<Vec<MinerEntry>, MinersError> {
    let entries: Vec<Value> =
        serde_json::from_slice(bytes_without_bom(json)).map_err(MinersError::NotAList)?;
    let mut uids = HashSet::new();
    let mut hotkeys = HashSet::new();
    let mut miners = Vec::new();
    for (position, entry) in (1..).zip(entries) {
        let RawEntry { uid, hotkey, address, name } = serde_json::from_value(entry)
            .map_err(|source| MinersError::Entry { position, source })?;
        if !uids.insert(uid) {
            return Err(MinersError::Duplicate { position, field: "uid", value: uid.to_string() });
        }
        if !hotkeys.insert(hotkey) {
            return Err(MinersError::Duplicate {
                position,
                field: "hotkey",
                value: hotkey.to_string(),
            });
        }
        let address = policy.resolve(&address).map_err(|source| MinersError::Address {
            position,
            uid,
            source,
        })?;
        miners.push(MinerEntry { uid, hotkey, address, name });
    }
    if miners.len() > max_miners {
        tracing::warn!(
            miners = miners.len(),
            max_miners,
            "too many miners for one run, skipping the last ones"
        );
        miners.truncate(max_miners);
    }
    Ok(miners)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

    fn parse(list: &Value) -> Result<Vec<MinerEntry>, MinersError> {
        parse_miners(list.to_string().as_bytes(), &AddressPolicy::private(), 256)
    }

    #[test]
    fn miner_list_is_parsed() {
        let miners = parse(&json!([
            {"uid": 1, "hotkey": ALICE, "address": "127.0.0.1:8101", "name": "interpreter"},
            {"uid": 2, "hotkey": BOB, "address": "http://127.0.0.1:8102/base/"},
        ]))
        .unwrap();
        assert_eq!(miners[0].address.url().as_str(), "http://127.0.0.1:8101/");
        assert_eq!(miners[0].name.as_deref(), Some("interpreter"));
        assert_eq!(miners[1].address.url().as_str(), "http://127.0.0.1:8102/base/");
        assert_eq!(miners[1].uid, Uid(2));
    }

    #[test]
    fn byte_order_mark_is_ignored() {
        let list = json!([{"uid": 1, "hotkey": ALICE, "address": "127.0.0.1:8101"}]).to_string();
        let policy = AddressPolicy::private();
        let miners = parse_miners(format!("\u{feff}{list}").as_bytes(), &policy, 10).unwrap();
        assert_eq!(miners[0].uid, Uid(1));
    }

    #[test]
    fn invalid_entry_of_miners_file_is_reported() {
        let valid_entry = json!({"uid": 1, "hotkey": ALICE, "address": "127.0.0.1:1"});
        for (entry, message) in [
            (
                json!({"uid": 2, "hotkey": BOB}),
                "miner 2 of the miners file: missing field `address`",
            ),
            (
                json!({"uid": 70_000, "hotkey": BOB, "address": "127.0.0.1:1"}),
                "miner 2 of the miners file: invalid",
            ),
            (
                json!({"uid": 2, "hotkey": "5x", "address": "127.0.0.1:1"}),
                "miner 2 of the miners file: address has 2 bytes, expected 35 (36 with a two-byte prefix)",
            ),
            (
                json!({"uid": 2, "hotkey": BOB, "address": "127.0.0.1:1", "url": ""}),
                "miner 2 of the miners file: unknown field `url`, expected one of `uid`, `hotkey`, `address`, `name`",
            ),
            (
                json!({"uid": 2, "hotkey": BOB, "address": "127.0.0.1:0"}),
                "miner 2 of the miners file (uid 2): `127.0.0.1:0` has port 0; hint: use a port from 1 to 65535",
            ),
            (
                json!({"uid": 1, "hotkey": BOB, "address": "127.0.0.1:1"}),
                "miner 2 of the miners file: duplicate uid 1",
            ),
            (
                json!({"uid": 2, "hotkey": ALICE, "address": "127.0.0.1:1"}),
                "miner 2 of the miners file: duplicate hotkey 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
            ),
            (json!(7), "miner 2 of the miners file: invalid type"),
        ] {
            let error = parse(&json!([valid_entry, entry])).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(matches!(parse(&json!({})), Err(MinersError::NotAList(_))));
        let missing =
            read_miners(Path::new("/no/such/file"), &AddressPolicy::default(), 1).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read the miners file /no/such/file");
    }

    #[test]
    fn miner_list_is_truncated_at_the_limit() {
        let list = json!([
            {"uid": 1, "hotkey": ALICE, "address": "127.0.0.1:1"},
            {"uid": 2, "hotkey": BOB, "address": "127.0.0.1:2"},
        ]);
        let policy = AddressPolicy::private();
        let miners = parse_miners(list.to_string().as_bytes(), &policy, 1).unwrap();
        assert_eq!(miners.iter().map(|miner| miner.uid).collect::<Vec<_>>(), [Uid(1)]);
    }
}
