//! Forks: genesis states with the recorded state of subnets of another chain.
//!
//! [`items`] reads from a chain's metadata which storage items belong to subnets, neurons, stake
//! and balances. The node records them, and sets those that this runtime has with the same encoding
//! in a genesis state; the functions of this module then restore what the recording cannot contain.
//! The first block has the number of the recorded one, because the state is full of block numbers,
//! which clients subtract from the current one; to them, the chain looks like one whose older
//! blocks were pruned. All functions but those for items must run on the genesis state, with
//! externalities.

use sp_core::crypto::SecretStringError;

use crate::alpha_assets::TotalAlphaIssuance;
use crate::commitments::{CommitmentOf, TimelockedIndex};
use crate::genesis::development_account;
use crate::runtime::{AccountId, Balance, BlockNumber, Runtime, System};
use crate::subtensor::{
    NetworksAdded, OwnedHotkeys, Owner, Pallet, StakingHotkeys, SubnetAlphaOut, SubnetTAO,
    TotalAlphaStaked, TotalHotkeyAlpha, TotalNetworks, TotalStake,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

mod items;

pub use items::{
    Item, Items, KeyLayout, KeyPart, METADATA_VERSION, MetadataError, items, primitive_name,
    runtime_items, share_items,
};

type Subtensor = Pallet<Runtime>;

/// Adds the dormant subnets of a new chain for the netuids that do not exist up to `last`: some
/// clients index lists of subnets by netuid.
///
/// # Errors
/// [`SecretStringError`] if the keys of `//Alice` and `//Alice_hk`, which own these subnets, cannot
/// be derived.
pub fn add_subnets(last: u16) -> Result<(), SecretStringError> {
    let (owner, hotkey) = (development_account("Alice")?, development_account("Alice_hk")?);
    for netuid in (1..=last).map(NetUid).filter(|netuid| !Subtensor::subnet_exists(*netuid)) {
        Subtensor::build_dormant(netuid, &owner, &hotkey);
    }
    Ok(())
}

/// Returns the accounts of the state with their free balances in rao.
pub fn accounts() -> Vec<(AccountId, Balance)> {
    frame_system::Account::<Runtime>::iter()
        .map(|(account, info)| (account, info.data.free))
        .collect()
}

/// Completes the state of a chain that continues after block `block` with the recorded subnets
/// `netuids`: the accounts in `endowed` have at least these free balances, totals match the
/// state, and no list contains a hotkey without an owner in the state.
pub fn complete(block: BlockNumber, netuids: &[u16], endowed: &[(AccountId, Balance)]) {
    System::set_block_number(block);
    for (account, rao) in endowed {
        frame_system::Account::<Runtime>::mutate(account, |info| {
            info.data.free = info.data.free.max(*rao);
            info.providers = info.providers.max(1);
        });
    }
    remove_unowned_hotkeys();
    if !netuids.contains(&NetUid::ROOT.0) {
        recompute_root_totals();
    }
    for netuid in netuids.iter().copied().map(NetUid) {
        if netuid != NetUid::ROOT && !TotalAlphaIssuance::<Runtime>::contains_key(netuid) {
            TotalAlphaIssuance::<Runtime>::insert(netuid, Subtensor::alpha_issuance(netuid));
        }
        Subtensor::wake(netuid);
    }
    recompute_totals();
}

/// Removes hotkeys without an owner in the state from the lists of hotkeys, and neurons without a
/// commitment from the list of timelocked ones.
fn remove_unowned_hotkeys() {
    for (coldkey, mut hotkeys) in OwnedHotkeys::<Runtime>::iter().collect::<Vec<_>>() {
        hotkeys.retain(|hotkey| Owner::<Runtime>::contains_key(hotkey));
        OwnedHotkeys::<Runtime>::insert(coldkey, hotkeys);
    }
    for (coldkey, mut hotkeys) in StakingHotkeys::<Runtime>::iter().collect::<Vec<_>>() {
        hotkeys.retain(|hotkey| Owner::<Runtime>::contains_key(hotkey));
        StakingHotkeys::<Runtime>::insert(coldkey, hotkeys);
    }
    let mut timelocked = TimelockedIndex::<Runtime>::get();
    timelocked.retain(|(netuid, hotkey)| CommitmentOf::<Runtime>::contains_key(netuid, hotkey));
    TimelockedIndex::<Runtime>::put(timelocked);
}

/// Sets the totals of root to the root stake in the state: of the root network, a recording has
/// only the stake on the hotkeys of its subnets.
fn recompute_root_totals() {
    let root_stakes =
        TotalHotkeyAlpha::<Runtime>::iter().filter(|(_, netuid, _)| *netuid == NetUid::ROOT);
    let total = root_stakes.fold(AlphaBalance::ZERO, |sum, (.., stake)| sum.saturating_add(stake));
    SubnetTAO::<Runtime>::insert(NetUid::ROOT, TaoBalance(total.0));
    SubnetAlphaOut::<Runtime>::insert(NetUid::ROOT, total);
    TotalAlphaStaked::<Runtime>::insert(NetUid::ROOT, total);
}

/// Recomputes the totals: the number of subnets, the TAO in their pools and on accounts.
fn recompute_totals() {
    let subnets = NetworksAdded::<Runtime>::iter_values().filter(|added| *added).count();
    TotalNetworks::<Runtime>::put(u16::try_from(subnets).unwrap_or(u16::MAX));
    let pool_tao =
        SubnetTAO::<Runtime>::iter_values().fold(TaoBalance::ZERO, TaoBalance::saturating_add);
    TotalStake::<Runtime>::put(pool_tao);
    let accounts = frame_system::Account::<Runtime>::iter_values();
    let account_tao = accounts.fold(0, |sum: Balance, info| {
        sum.saturating_add(info.data.free).saturating_add(info.data.reserved)
    });
    pallet_balances::TotalIssuance::<Runtime>::put(account_tao);
    Subtensor::recompute_total_issuance();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::genesis;
    use crate::runtime::Balances;
    use crate::subtensor::TotalIssuance;
    use crate::testing::{BABELBIT, account, balance, key};

    fn at_genesis(test: impl FnOnce()) {
        sp_io::TestExternalities::new(genesis(&[]).unwrap()).execute_with(test);
    }

    fn assert_balanced() {
        let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
        assert_eq!(TotalStake::<Runtime>::get().0, pools);
        assert_eq!(TotalIssuance::<Runtime>::get().0, Balances::total_issuance() + pools);
        let accounts: u64 = accounts().iter().map(|(_, free)| free).sum();
        assert_eq!(Balances::total_issuance(), accounts);
    }

    #[test]
    fn completing_an_unchanged_state_changes_nothing() {
        at_genesis(|| {
            let before = (TotalIssuance::<Runtime>::get(), TotalNetworks::<Runtime>::get());
            let endowed = accounts();
            complete(0, &[], &endowed);
            assert_eq!((TotalIssuance::<Runtime>::get(), TotalNetworks::<Runtime>::get()), before);
            assert_balanced();
        });
    }

    #[test]
    fn issuance_and_stake_totals_count_forked_state() {
        at_genesis(|| {
            let endowed = accounts();
            let (rich, poor) = (key(1), account("Alice"));
            for (account, free) in [(&rich, 77_000), (&poor, 1)] {
                frame_system::Account::<Runtime>::mutate(account, |info| info.data.free = free);
            }
            TotalHotkeyAlpha::<Runtime>::insert(key(2), NetUid::ROOT, AlphaBalance(500));
            SubnetTAO::<Runtime>::insert(BABELBIT, TaoBalance(9));
            complete(7, &[BABELBIT.0], &endowed);
            assert_eq!((balance(&rich), balance(&poor)), (77_000, 1_000_000_000_000_000));
            assert_eq!(SubnetTAO::<Runtime>::get(NetUid::ROOT), TaoBalance(500));
            assert_eq!(SubnetAlphaOut::<Runtime>::get(NetUid::ROOT), AlphaBalance(500));
            assert_eq!(System::block_number(), 7);
            assert_balanced();
        });
    }

    #[test]
    fn forked_lists_contain_only_known_hotkeys() {
        at_genesis(|| {
            let (alice, known_hotkey) = (account("Alice"), account("Alice_hk"));
            for hotkeys in [vec![known_hotkey.clone(), key(1)], vec![key(1)]] {
                StakingHotkeys::<Runtime>::insert(&alice, hotkeys.clone());
                OwnedHotkeys::<Runtime>::insert(&alice, hotkeys.clone());
                complete(0, &[], &[]);
                let expected: Vec<_> =
                    hotkeys.into_iter().filter(|hotkey| *hotkey == known_hotkey).collect();
                assert_eq!(StakingHotkeys::<Runtime>::get(&alice), expected);
                assert_eq!(OwnedHotkeys::<Runtime>::get(&alice), expected);
            }
        });
    }

    #[test]
    fn added_subnet_leaves_no_netuid_gaps() {
        at_genesis(|| {
            add_subnets(64).unwrap();
            complete(0, &[64], &[]);
            assert_eq!(Subtensor::all_netuids(), (0..=64).map(NetUid).collect::<Vec<_>>());
            assert_eq!(TotalNetworks::<Runtime>::get(), 65);
            assert!(Subtensor::is_awake(NetUid(64)) && !Subtensor::is_awake(NetUid(63)));
            assert_balanced();
        });
    }
}
