//! Tiers of calls: tier 1 has the calls that an operation of a client submits, tier 2 all others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use frame_metadata::v15::RuntimeMetadataV15;
use serde_json::Value as Json;

use crate::items::{self, Item, Kind};
use crate::vectors;

/// Table of the calls of tier 1.
const TABLE: &str = include_str!("tiers.txt");

/// Names of the clients in the table.
const CLIENTS: [&str; 4] = ["sdk10", "sdk11", "btcli", "taonet"];

/// Calls of tier 1 that the localnet does not have: it has no EVM, and baskets hold TAO on root
/// only.
const UNSUPPORTED: [&str; 4] = [
    "AdminUtils.sudo_set_evm_chain_id",
    "EVM.disable_whitelist",
    "EVM.withdraw",
    "SubtensorModule.swap_basket",
];

/// Clients of the recording client_traces.json, each with its name in the table. subxt, the only
/// other one, is a library: its users choose the calls.
const TRACED: [(&str, &str); 4] = [
    ("bittensor 10.5.0 SDK", "sdk10"),
    ("bittensor 11.3.0 SDK", "sdk11"),
    ("btcli of bittensor 11.3.0", "sdk11"),
    ("btcli 9.23.2 (bittensor-cli)", "btcli"),
];

/// Calls of tier 1, each with its clients.
static TIER_1: LazyLock<BTreeMap<&str, BTreeSet<&str>>> = LazyLock::new(table);

/// Returns the rows of the table.
fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut table = BTreeMap::new();
    for row in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (call, clients) = row.split_once(' ').unwrap_or_else(|| panic!("{row} has no clients"));
        let clients: BTreeSet<&str> = clients.split(' ').collect();
        let unknown: Vec<_> = clients.iter().filter(|client| !CLIENTS.contains(client)).collect();
        assert!(unknown.is_empty(), "{call}: unknown clients {unknown:?}");
        assert!(table.insert(call, clients).is_none(), "{call} has two rows");
    }
    table
}

/// Returns whether an item is a call of tier 1.
pub(crate) fn is_tier_1(item: &Item) -> bool {
    item.kind == Kind::Call && TIER_1.contains_key(full_name(item).as_str())
}

/// Returns the name of a call with its pallet, such as `SubtensorModule.serve_axon`.
fn full_name(call: &Item) -> String {
    format!("{}.{}", call.owner, call.name)
}

/// Returns the names of a runtime's calls.
fn calls(metadata: &RuntimeMetadataV15) -> BTreeSet<String> {
    items::from_metadata(metadata)
        .iter()
        .filter(|item| item.kind == Kind::Call)
        .map(full_name)
        .collect()
}

#[test]
fn tier_1_calls_are_supported() {
    let Some(theirs) = vectors::real_chain_metadata() else { return };
    let (ours, theirs) = (calls(vectors::localnet_metadata()), calls(theirs));
    let unsupported: Vec<&str> =
        TIER_1.keys().copied().filter(|call| !ours.contains(*call)).collect();
    let unknown: Vec<_> = unsupported.iter().filter(|call| !theirs.contains(**call)).collect();
    assert!(unknown.is_empty(), "neither chain has {unknown:?}");
    assert_eq!(unsupported, UNSUPPORTED);
}

/// Returns the calls that recorded requests submit.
fn submitted(requests: &Json) -> impl Iterator<Item = &str> {
    let requests = requests.as_array().unwrap().iter().map(|request| request.as_str().unwrap());
    requests.filter_map(|request| {
        let call = request.strip_prefix("author_submitAndWatchExtrinsic ");
        call.or_else(|| request.strip_prefix("(unshielded inner) "))?.split(' ').next()
    })
}

#[test]
fn calls_in_recorded_traces_are_tier_1() {
    let Some(traces) = vectors::json("client_traces.json") else { return };
    let operations = |client: &str| traces["clients"][client].as_object().unwrap();
    let mut traced: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (recorded, client) in TRACED {
        for requests in operations(recorded).values() {
            traced.extend(submitted(requests).map(|call| (call, client)));
        }
    }
    // Operations of several clients, such as `btcli9.subnets_register(unregistered)`.
    for (operation, requests) in operations("extra") {
        let client = operation.split('.').next().unwrap();
        let client = if client == "btcli9" { "btcli" } else { client };
        traced.extend(submitted(requests).map(|call| (call, client)));
    }
    assert!(traced.len() >= 30, "{} calls", traced.len());
    for (call, client) in traced {
        let is_listed = TIER_1.get(call).is_some_and(|clients| clients.contains(client));
        assert!(is_listed, "tiers.txt does not list {client} for {call}");
    }
}

#[test]
fn calls_listed_for_taonet_match_the_chain_client() {
    let mut words = BTreeSet::new();
    for entry in
        std::fs::read_dir(Path::new(vectors::REPOSITORY).join("crates/chain/src/calls")).unwrap()
    {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        words.extend(code.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned));
    }
    let ours = calls(vectors::localnet_metadata());
    let is_built = |call: &&str| call.split_once('.').is_some_and(|(_, name)| words.contains(name));
    let submitted_calls: BTreeSet<&str> =
        ours.iter().map(String::as_str).filter(is_built).collect();
    let listed = TIER_1.iter().filter(|(_, clients)| clients.contains("taonet"));
    assert_eq!(submitted_calls, listed.map(|(call, _)| *call).collect());
}
