//! Storage that btcli reads although no chain has it.

use crate::items::{self, Kind};
use crate::vectors;

/// `btcli weights commit` (9.23.2) reads the storage item `get_commit_reveal_weights_enabled` of
/// the pallet SubtensorModule, and so fails on the real chain as on ours. The flag is
/// `CommitRevealWeightsEnabled`.
#[test]
fn storage_item_read_by_btcli_weights_commit_does_not_exist() {
    let Some(theirs) = vectors::real_chain_metadata() else { return };
    for (chain, metadata) in
        [("real chain", theirs), ("development chain", vectors::localnet_metadata())]
    {
        let items = items::from_metadata(metadata);
        let has = |name: &str| {
            items.iter().any(|item| {
                item.kind == Kind::Storage && item.owner == "SubtensorModule" && item.name == name
            })
        };
        assert!(!has("get_commit_reveal_weights_enabled"), "{chain}");
        assert!(has("CommitRevealWeightsEnabled"), "{chain}");
    }
}
