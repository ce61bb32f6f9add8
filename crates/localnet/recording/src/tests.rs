use std::convert::Infallible;
use std::path::Path;

use codec::Encode;
use proptest::prelude::*;
use sp_core::U256;
use sp_core::crypto::AccountId32;
use sp_core::storage::Storage;
use sp_state_machine::BasicExternalities;
use taonet_localnet_runtime::fork::{runtime_items, share_items};
use taonet_localnet_runtime::genesis::{block_number, development_account, genesis};
use taonet_localnet_runtime::runtime::{Balances, Runtime, RuntimeOrigin};
use taonet_localnet_runtime::subtensor::types::SafeFloat;
use taonet_localnet_runtime::subtensor::{
    AlphaV2, Owner, Pallet, StakingHotkeys, SubnetTAO, Tempo, TotalHotkeyAlpha,
    TotalHotkeySharesV2, TotalIssuance, TotalNetworks, TotalStake,
};
use taonet_localnet_runtime::types::{AlphaBalance, NetUid, TaoBalance};

use super::shares::from_fixed_point;
use super::*;

const BABELBIT: u16 = 59;

/// A state in memory.
struct MemorySource(Storage);

impl Source for MemorySource {
    type Error = Infallible;

    async fn keys(&self, _: &str, prefixes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Infallible> {
        let keys_with_prefix = |prefix: &Vec<u8>| {
            self.0.top.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
        };
        Ok(prefixes.iter().map(keys_with_prefix).collect::<Vec<Vec<_>>>().concat())
    }

    async fn values(
        &self,
        _: &str,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Infallible> {
        let value = |key: Vec<u8>| self.0.top.get(&key).map(|value| (key.clone(), value.clone()));
        Ok(keys.into_iter().filter_map(value).collect())
    }
}

fn metadata() -> Vec<u8> {
    Runtime::metadata_at_version(14).unwrap().to_vec()
}

fn origin(block: u32) -> Origin {
    Origin {
        chain: "Recorded".to_owned(),
        genesis: H256::repeat_byte(1),
        block,
        block_hash: H256::repeat_byte(2),
        spec_version: 461,
    }
}

/// The genesis state after changes.
fn genesis_with(change: impl FnOnce()) -> MemorySource {
    let mut state = genesis(&[]).unwrap();
    BasicExternalities::execute_with_storage(&mut state, change);
    MemorySource(state)
}

async fn record_subnets(state: &MemorySource, netuids: &[u16]) -> Recording {
    record(state, origin(1_000), &metadata(), netuids).await.unwrap()
}

/// Sets a storage entry of [`share_items`], which only the main network has.
fn set_share_item(state: &mut MemorySource, item: &str, key: &[&[u8]], value: impl Encode) {
    let items = share_items(&runtime_items().unwrap());
    let item = &items[&format!("SubtensorModule.{item}")];
    state.0.top.insert(item.key(key.iter().copied()), value.encode());
}

/// A number of shares as a floating-point number.
fn shares(number: u64) -> SafeFloat {
    SafeFloat { mantissa: u128::from(number) * 10_u128.pow(18), exponent: -18 }
}

fn encode(recording: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    recording.write(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Recording, RecordingError> {
    Recording::read_from(bytes, Path::new("recording.jsonl"))
}

/// Runs code on a fork of a recording.
fn run_in_fork<T>(recording: &Recording, code: impl FnOnce() -> T) -> T {
    let mut state = genesis(&[]).unwrap();
    recording.fork(&mut state).unwrap();
    BasicExternalities::execute_with_storage(&mut state, code)
}

fn recordings() -> impl Strategy<Value = Recording> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..8);
    let entries = prop::collection::btree_map(bytes(), bytes(), 0..6);
    let item = (".{0,12}", bytes(), entries).prop_map(|(encoding, prefix, entries)| RecordedItem {
        encoding,
        prefix,
        entries,
    });
    let omitted_items = prop::collection::vec((".{0,8}", ".{0,8}"), 0..3);
    let parts = (
        prop::collection::btree_map(".{0,12}", item, 0..4),
        omitted_items,
        any::<Vec<u16>>(),
        any::<u32>(),
    );
    parts.prop_map(|(items, omitted_items, netuids, block)| Recording {
        origin: origin(block),
        netuids,
        omitted_items: omitted_items
            .iter()
            .map(|(item, reason)| OmittedItem::new(item, reason))
            .collect(),
        items,
    })
}

proptest! {
    #[test]
    fn written_recording_round_trips(recording in recordings()) {
        prop_assert_eq!(read(&encode(&recording)).unwrap(), recording);
    }

    #[test]
    fn truncated_or_corrupt_file_is_refused(
        recording in recordings(), at in any::<prop::sample::Index>(), change in 1_u8..,
    ) {
        let bytes = encode(&recording);
        let at = at.index(bytes.len());
        prop_assert!(read(&bytes[..at]).is_err(), "cut after {} bytes", at);
        let mut corrupt = bytes.clone();
        corrupt[at] ^= change;
        prop_assert!(read(&corrupt).is_err(), "byte {} changed", at);
        prop_assert!(read(&[&bytes[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn fixed_point_share_keeps_21_digits(bits: u128, zeros in 0..128_u32) {
        let bits = (bits >> zeros).max(1);
        let share = from_fixed_point(bits);
        prop_assert!((10_u128.pow(20) + 1..=10_u128.pow(21)).contains(&share.mantissa));
        let exact = U256::from(bits) * U256::from(10).pow(share.exponent.unsigned_abs().into());
        let (rounded, unit) = (U256::from(share.mantissa) << 64, U256::one() << 64);
        prop_assert!(rounded <= exact && exact - rounded < unit, "{:?}", share);
    }
}

#[test]
fn file_that_is_not_a_recording_is_refused_with_a_hint() {
    let complete = String::from_utf8(encode(&Recording {
        origin: origin(7),
        netuids: vec![59],
        omitted_items: Vec::new(),
        items: BTreeMap::new(),
    }));
    let complete = complete.unwrap();
    for (text, error) in [
        ("", "is not a recording; hint: create one with tao localnet record"),
        ("TAOCHAIN\u{1}", "is not a recording"),
        ("{\"format\": \"other\", \"version\": 1}\n", "is not a recording"),
        (
            &complete.replace("\"version\":1", "\"version\":2"),
            "format version 2, expected 1; hint: record the state again",
        ),
        (
            &complete.replace("\"netuids\"", "\"subnets\""),
            "corrupt: line 1: unknown field `subnets`",
        ),
        (
            &complete[..complete.len() - 1],
            "corrupt: line 2: it is incomplete; hint: get another copy",
        ),
        (complete.lines().next().unwrap(), "corrupt: line 2: it is incomplete"),
        (&complete.replace("[59]", "[58]"), "the hash of the lines before is wrong"),
    ] {
        let message = read(text.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(error), "{message}");
    }
    let message = Recording::read(Path::new("/nowhere/recording.jsonl")).unwrap_err().to_string();
    assert!(
        message.contains("cannot read the recording /nowhere/recording.jsonl: No such file"),
        "{message}"
    );
}

#[tokio::test]
async fn fork_has_recorded_subnets() {
    let alice = development_account("Alice").unwrap();
    let source = genesis_with(|| {
        Tempo::<Runtime>::insert(NetUid(BABELBIT), 77);
        Tempo::<Runtime>::insert(NetUid(18), 78);
        SubnetTAO::<Runtime>::insert(NetUid(BABELBIT), TaoBalance(5_000_000_000));
    });
    let recording = record_subnets(&source, &[BABELBIT, BABELBIT]).await;
    assert_eq!(recording.netuids(), [BABELBIT]);
    let mut state = genesis(&[]).unwrap();
    let fork = recording.fork(&mut state).unwrap();
    assert_eq!((fork.entries, fork.omitted_items.len()), (recording.len(), 0));
    assert_eq!(block_number(&state), 1_000);
    BasicExternalities::execute_with_storage(&mut state, || {
        assert_eq!(Tempo::<Runtime>::get(NetUid(BABELBIT)), 77);
        assert_eq!(Tempo::<Runtime>::get(NetUid(18)), 360);
        assert_eq!(SubnetTAO::<Runtime>::get(NetUid(BABELBIT)), TaoBalance(5_000_000_000));
        let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
        assert_eq!(TotalStake::<Runtime>::get().0, pools);
        assert_eq!(TotalIssuance::<Runtime>::get().0, Balances::total_issuance() + pools);
        assert_eq!(Balances::free_balance(&alice), 1_000_000_000_000_000);
        assert_eq!(TotalNetworks::<Runtime>::get(), 60);
    });
}

#[tokio::test]
async fn unrecorded_items_have_defaults() {
    let babelbit = NetUid(BABELBIT);
    let source = genesis_with(|| Tempo::<Runtime>::remove(babelbit));
    let recording = record_subnets(&source, &[BABELBIT]).await;
    assert!(!run_in_fork(&recording, || Tempo::<Runtime>::contains_key(babelbit)));
}

#[test]
fn fixed_point_shares_are_converted_as_on_the_main_network() {
    for (bits, mantissa, exponent) in [
        (0, 0, 0),
        (1, 542_101_086_242_752_217_003, -40),
        (1 << 63, 500_000_000_000_000_000_000, -21),
        (1 << 64, 1_000_000_000_000_000_000_000, -21),
        (u128::MAX, 184_467_440_737_095_516_159, -1),
    ] {
        assert_eq!(from_fixed_point(bits), SafeFloat { mantissa, exponent }, "{bits}");
    }
}

#[tokio::test]
async fn stake_shares_have_the_values_of_the_main_network() {
    let account = |number| AccountId32::new([number; 32]);
    let (hotkey, reopened) = (account(8), account(9));
    let [older, newer, both, void] = [1, 2, 3, 4].map(account);
    let [root, subnet] = [0, BABELBIT].map(NetUid);
    let mut source = genesis_with(|| {
        for (hotkey, netuid, alpha) in
            [(&hotkey, subnet, 1_000), (&hotkey, root, 70), (&reopened, subnet, 900)]
        {
            Owner::<Runtime>::insert(hotkey, account(7));
            TotalHotkeyAlpha::<Runtime>::insert(hotkey, netuid, AlphaBalance(alpha));
        }
        TotalHotkeySharesV2::<Runtime>::insert(&hotkey, subnet, shares(600));
        TotalHotkeySharesV2::<Runtime>::insert(&reopened, subnet, shares(300));
        AlphaV2::<Runtime>::insert((&hotkey, &newer, subnet), shares(150));
        AlphaV2::<Runtime>::insert((&hotkey, &both, subnet), shares(7));
        AlphaV2::<Runtime>::insert((&reopened, &newer, subnet), shares(100));
        AlphaV2::<Runtime>::insert((&reopened, &void, subnet), shares(77));
        Balances::force_set_balance(RuntimeOrigin::root(), older.clone().into(), 5_000).unwrap();
    });
    let key = |hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid| {
        [hotkey.encode(), coldkey.encode(), netuid.0.encode()]
    };
    for (hotkey, coldkey, netuid, half_shares) in [
        (&hotkey, &older, subnet, 201_u128),
        (&hotkey, &both, subnet, 499),
        (&hotkey, &older, root, 20),
        (&reopened, &older, subnet, 400),
        (&reopened, &both, subnet, 55),
    ] {
        let key = key(hotkey, coldkey, netuid);
        set_share_item(&mut source, "Alpha", &key.each_ref().map(Vec::as_slice), half_shares << 63);
    }
    for (netuid, total) in [(subnet, 500_u128), (root, 10)] {
        set_share_item(
            &mut source,
            "TotalHotkeyShares",
            &[hotkey.as_ref(), &netuid.0.encode()],
            total << 64,
        );
    }
    // The second pool was closed and opened again.
    set_share_item(
        &mut source,
        "AlphaSharePoolEpoch",
        &[reopened.as_ref(), &subnet.0.encode()],
        2_u64,
    );
    for (coldkey, epoch) in [(&newer, 2_u64), (&older, 2), (&both, 1)] {
        let key = key(&reopened, coldkey, subnet);
        set_share_item(&mut source, "AlphaShareEpoch", &key.each_ref().map(Vec::as_slice), epoch);
    }

    let recording = record_subnets(&source, &[BABELBIT]).await;
    assert!(
        share_items(&runtime_items().unwrap())
            .keys()
            .all(|item| !recording.items.contains_key(item))
    );
    run_in_fork(&recording, || {
        let stakes = |hotkey, netuid| {
            [&older, &newer, &both, &void]
                .map(|coldkey| Pallet::<Runtime>::stake_of(hotkey, coldkey, netuid).0)
        };
        assert_eq!(stakes(&hotkey, subnet), [201, 300, 499, 0]);
        assert_eq!(stakes(&hotkey, root), [70, 0, 0, 0]);
        assert_eq!(stakes(&reopened, subnet), [600, 300, 0, 0]);
        assert!(!AlphaV2::<Runtime>::contains_key((&reopened, &void, subnet)));
        assert_eq!(Balances::free_balance(&older), 5_000);
        // Shares with the digits of both chains are compatible.
        Pallet::<Runtime>::decrease_stake(&hotkey, &older, subnet, AlphaBalance(101));
        Pallet::<Runtime>::decrease_stake(&hotkey, &newer, subnet, AlphaBalance(300));
        assert_eq!(stakes(&hotkey, subnet), [100, 0, 499, 0]);
    });
}

#[tokio::test]
async fn undecodable_shares_are_refused() {
    let mut source = genesis_with(|| {
        TotalHotkeyAlpha::<Runtime>::insert(
            AccountId32::new([8; 32]),
            NetUid(BABELBIT),
            AlphaBalance(1),
        );
    });
    let mut other_metadata = metadata();
    let kappa = "Kappa".encode();
    let position = other_metadata.windows(kappa.len()).rposition(|bytes| bytes == kappa).unwrap();
    other_metadata[position..position + kappa.len()].copy_from_slice(&"Alpha".encode());
    let error =
        record(&source, origin(7), &other_metadata, &[BABELBIT]).await.unwrap_err().to_string();
    assert!(
        error.contains("SubtensorModule.Alpha: the localnet encodes it differently; hint: record"),
        "{error}"
    );
    set_share_item(&mut source, "AlphaSharePoolEpoch", &[&[8; 32], &BABELBIT.to_le_bytes()], 2_u32);
    let error = record(&source, origin(7), &metadata(), &[BABELBIT]).await.unwrap_err().to_string();
    assert!(
        error.contains("a malformed value of SubtensorModule.AlphaSharePoolEpoch; hint:"),
        "{error}"
    );
}

#[tokio::test]
async fn netuid_beyond_the_localnet_range_is_imported() {
    let alice = development_account("Alice").unwrap();
    let source = genesis_with(|| {
        taonet_localnet_runtime::fork::add_subnets(61).unwrap();
    });
    let recording = record_subnets(&source, &[61]).await;
    run_in_fork(&recording, || {
        assert_eq!(TotalNetworks::<Runtime>::get(), 62);
        assert_eq!(Owner::<Runtime>::get(development_account("Alice_hk").unwrap()), alice);
        assert!(StakingHotkeys::<Runtime>::get(&alice).is_empty());
    });
}

#[tokio::test]
async fn unknown_subnets_and_other_runtimes_are_refused() {
    let source = genesis_with(|| ());
    let error = record(&source, origin(7), &metadata(), &[60]).await.unwrap_err().to_string();
    assert!(error.contains("netuid 60: there is no such subnet in block 7"), "{error}");
    let error = record(&source, origin(7), b"meta", &[59]).await.unwrap_err().to_string();
    assert!(error.contains("the node's runtime cannot be recorded: malformed metadata"), "{error}");
    // A runtime with another name of a required item.
    let name = "AlphaV2".encode();
    let mut other_metadata = metadata();
    let position = other_metadata.windows(name.len()).rposition(|bytes| bytes == name).unwrap();
    other_metadata[position + 1] = b'B';
    let error = record(&source, origin(7), &other_metadata, &[59]).await.unwrap_err().to_string();
    let expected = "(spec version 461) cannot be recorded: SubtensorModule.AlphaV2: the runtime has no such item; hint:";
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn incompatible_item_is_omitted() {
    let source = genesis_with(|| ());
    let mut other_metadata = metadata();
    let name = "Kappa".encode();
    let position = other_metadata.windows(name.len()).rposition(|bytes| bytes == name).unwrap();
    other_metadata[position + 1] = b'k';
    let recording = record(&source, origin(7), &other_metadata, &[59]).await.unwrap();
    assert_eq!(
        recording.omitted_items().iter().find(|omitted| omitted.item.ends_with("appa")),
        Some(&OmittedItem::new("SubtensorModule.kappa", "the localnet has no such item"))
    );
    // A recording of another version of this program.
    let mut recording = record_subnets(&source, &[59]).await;
    recording.items.get_mut("SubtensorModule.Kappa").unwrap().encoding =
        "Identity(u16) -> u32".to_owned();
    let unknown = recording.items["SubtensorModule.Kappa"].clone();
    recording.items.insert("SubtensorModule.Unknown".to_owned(), unknown);
    let fork = recording.fork(&mut genesis(&[]).unwrap()).unwrap();
    let expected = [
        OmittedItem::new("SubtensorModule.Kappa", "the localnet encodes it differently"),
        OmittedItem::new("SubtensorModule.Unknown", "the localnet has no such item"),
    ];
    assert_eq!(fork.omitted_items, expected);
}

#[tokio::test]
async fn inconsistent_recording_leaves_state_unchanged() {
    type Change = fn(&mut Recording);
    let source = genesis_with(|| ());
    let recording = record_subnets(&source, &[59]).await;
    let fork_error = |change: fn(&mut Recording)| {
        let mut recording = recording.clone();
        change(&mut recording);
        let mut state = genesis(&[]).unwrap();
        let before = state.top.clone();
        let error = recording.fork(&mut state).unwrap_err().to_string();
        assert_eq!(state.top, before, "{error}");
        error
    };
    let cases: [(Change, &str); 5] = [
        (|recording| recording.netuids.push(60), "has no subnet 60, but names it"),
        (
            |recording| {
                let item = recording.items.get_mut("SubtensorModule.Tempo").unwrap();
                item.entries.insert(vec![18, 0], vec![1, 0]);
            },
            "a key of SubtensorModule.Tempo that it cannot have",
        ),
        (
            |recording| {
                let item = recording.items.get_mut("SubtensorModule.Owner").unwrap();
                item.entries.insert(vec![7; 48], vec![7; 32]);
            },
            "a key of SubtensorModule.Owner that it cannot have",
        ),
        (
            |recording| drop(recording.items.remove("SubtensorModule.Uids")),
            "SubtensorModule.Uids cannot be used: it was not recorded; hint: record the state again",
        ),
        (
            |recording| recording.items.get_mut("System.Account").unwrap().encoding.push('?'),
            "System.Account cannot be used: the localnet encodes it differently",
        ),
    ];
    for (change, expected) in cases {
        let message = fork_error(change);
        assert!(message.contains(expected), "{message}");
    }
}
