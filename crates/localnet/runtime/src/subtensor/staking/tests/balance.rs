//! Property: no sequence of calls creates or loses TAO or alpha.

mod steps;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sp_runtime::{DispatchResult, MultiAddress, Percent};

use steps::{KINDS, Step, shared_account, step};

use super::*;
use crate::alpha_assets::{AlphaBurned, TotalAlphaIssuance};
use crate::crowdloan::{self, Contributions, Crowdloans};
use crate::runtime::{RuntimeCall, System};
use crate::subtensor::{
    ColdkeyMinerCollateral, CollateralLockShare, LastEpochBlock, Lock, MinerCollateral,
    NetworkRateLimit, PendingOwnerCut, PendingRootAlphaDivs, PendingServerEmission,
    PendingValidatorEmission, SubnetAlphaOutEmission, SubnetOwner, SubnetProtocolAlpha,
    SubtokenEnabled, TotalAlphaStaked, TotalHotkeyAlpha, TotalIssuance, TxRateLimit,
};
use crate::testing::{jump_to, run_to, send_as_root, state_root};

/// Netuid of the leased subnet.
const LEASED: NetUid = NetUid(60);

/// Number of blocks with two epochs of the subnets with emission.
const TWO_EPOCHS: u32 = 21;

const NETUIDS: [NetUid; 6] = [NetUid::ROOT, NetUid(18), BABELBIT, NetUid(19), LEASED, NetUid(77)];

/// Checks the invariants that hold after every call.
fn check_balances() {
    let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
    assert_eq!(TotalStake::<Runtime>::get().0, pools);
    assert_eq!(TotalIssuance::<Runtime>::get().0, total_tao());
    assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get() + pools, total_tao());
    check_crowdloans();
    for netuid in NETUIDS {
        let staked: u64 = TotalHotkeyAlpha::<Runtime>::iter()
            .filter(|(_, key_netuid, _)| *key_netuid == netuid)
            .map(|(_, _, alpha)| alpha.0)
            .sum();
        let out = SubnetAlphaOut::<Runtime>::get(netuid).0;
        assert!(staked <= out, "{netuid:?}: {staked} staked of {out}");
        assert_eq!(TotalAlphaStaked::<Runtime>::get(netuid).0, staked, "{netuid:?}");
        if netuid != NetUid::ROOT {
            assert_eq!(
                TotalAlphaIssuance::<Runtime>::get(netuid),
                Subtensor::alpha_issuance(netuid),
                "{netuid:?}"
            );
        }
        for (hotkey, coldkey) in MinerCollateral::<Runtime>::iter_key_prefix((netuid,)) {
            let (locked, stake) = (
                Subtensor::collateral_of(netuid, &hotkey, &coldkey),
                Subtensor::stake_of(&hotkey, &coldkey, netuid),
            );
            // Stakes are rounded down.
            assert!(
                locked.0 <= stake.0.saturating_add(10),
                "{netuid:?}: {locked:?} locked of {stake:?}"
            );
        }
        check_collateral_totals(netuid);
        for (coldkey, _, _) in
            Lock::<Runtime>::iter_keys().filter(|(_, key_netuid, _)| *key_netuid == netuid)
        {
            // A lock and collateral may cover the same stake, but each is covered.
            let (locked, stake) = (
                Subtensor::locked_alpha(&coldkey, netuid),
                Subtensor::total_stake_of(&coldkey, netuid),
            );
            assert!(
                locked.0 <= stake.0.saturating_add(10),
                "{netuid:?}: {locked:?} locked of {stake:?}"
            );
        }
        for hotkey in (1..5).chain(11..15).map(key) {
            let holders: u64 = COLDKEYS
                .iter()
                .map(|name| Subtensor::stake_of(&hotkey, &account(name), netuid).0)
                .sum();
            assert!(holders <= Subtensor::total_alpha(&hotkey, netuid).0);
        }
    }
}

/// Returns the alpha that the next epoch of a subnet distributes, in rao.
fn pending(netuid: NetUid) -> u64 {
    let amounts = [
        PendingServerEmission::<Runtime>::get(netuid),
        PendingValidatorEmission::<Runtime>::get(netuid),
        PendingRootAlphaDivs::<Runtime>::get(netuid),
        PendingOwnerCut::<Runtime>::get(netuid),
    ];
    amounts.iter().map(|alpha| alpha.0).sum()
}

/// Returns the issued alpha outside the pool of a subnet that is neither staked, nor pending, nor
/// the protocol's, nor burned, in rao.
fn unaccounted_alpha(netuid: NetUid) -> i128 {
    let accounted = [
        TotalAlphaStaked::<Runtime>::get(netuid).0,
        pending(netuid),
        SubnetProtocolAlpha::<Runtime>::get(netuid).0,
        AlphaBurned::<Runtime>::get(netuid).0,
    ];
    i128::from(SubnetAlphaOut::<Runtime>::get(netuid).0)
        - accounted.into_iter().map(i128::from).sum::<i128>()
}

/// Makes a call, and checks the invariants that hold after it. No call leaves alpha without an
/// owner.
fn execute_step(step: &Step, coldkeys: &[AccountId; 4]) -> DispatchResult {
    let state = state_root();
    let call = step.call(coldkeys);
    let outcome = match step.signer(coldkeys) {
        Some(signer) => send(&signer, call),
        None => send_as_root(call),
    };
    assert!(outcome.is_ok() || state_root() == state, "{step:?} failed and changed the state");
    check_balances();
    for netuid in NETUIDS {
        assert_eq!(unaccounted_alpha(netuid), 0, "{netuid:?} after {step:?}");
    }
    outcome
}

/// Runs two epochs, and checks that alpha without an owner remains only after an epoch: usually the
/// remainders of rounding, and at most the pending rewards, which nobody may have earned.
fn run_two_epochs() {
    let start = System::block_number();
    for block in start + 1..=start + TWO_EPOCHS {
        let before = NETUIDS.map(|netuid| (unaccounted_alpha(netuid), pending(netuid)));
        run_to(block);
        for (netuid, (unaccounted, pending)) in NETUIDS.into_iter().zip(before) {
            let new_unaccounted = unaccounted_alpha(netuid) - unaccounted;
            if LastEpochBlock::<Runtime>::get(netuid) == u64::from(block) {
                let maximum = i128::from(pending)
                    + i128::from(SubnetAlphaOutEmission::<Runtime>::get(netuid).0);
                // Consensus halves the sum of what the blocks emitted, but the halves of each block
                // are rounded: the miners may receive up to a rao a block more than was pending for
                // them.
                let minimum = -i128::from(TWO_EPOCHS);
                assert!(
                    (minimum..=maximum).contains(&new_unaccounted),
                    "{netuid:?}: {new_unaccounted} of {maximum} in block {block}"
                );
            } else {
                assert_eq!(new_unaccounted, 0, "{netuid:?} in block {block}, without an epoch");
            }
        }
    }
    check_balances();
}

/// Checks that the collateral of each coldkey is the sum of that on its hotkeys.
fn check_collateral_totals(netuid: NetUid) {
    let mut sums: BTreeMap<AccountId, u64> = BTreeMap::new();
    for (hotkey, coldkey) in MinerCollateral::<Runtime>::iter_key_prefix((netuid,)) {
        let locked = Subtensor::collateral_of(netuid, &hotkey, &coldkey).0;
        *sums.entry(coldkey).or_default() += locked;
    }
    sums.retain(|_, locked| *locked > 0);
    let totals = ColdkeyMinerCollateral::<Runtime>::iter_prefix(netuid);
    let totals: BTreeMap<AccountId, u64> =
        totals.map(|(coldkey, locked)| (coldkey, locked.0)).collect();
    assert_eq!(totals, sums, "{netuid:?}");
}

/// Checks that the account of each open crowdloan has the sum of the contributions.
fn check_crowdloans() {
    for (id, crowdloan) in
        Crowdloans::<Runtime>::iter().filter(|(_, crowdloan)| !crowdloan.finalized)
    {
        let contributed: u64 =
            Contributions::<Runtime>::iter_prefix(id).map(|(_, amount)| amount.0).sum();
        assert_eq!(
            (crowdloan.raised.0, balance(&crowdloan.funds_account)),
            (contributed, contributed),
            "{id}"
        );
        assert!(crowdloan.raised <= crowdloan.cap, "{id}");
    }
}

const COLDKEYS: [&str; 4] = ["Bob", "Charlie", "Dave", "Eve"];

/// Leases a subnet to the first coldkey, with the TAO of all, and starts it.
fn create_lease(coldkeys: &[AccountId; 4]) {
    let tao = |number: u64| TaoBalance(number * 1_000_000_000);
    let call: Call<Runtime> = Call::register_leased_network {
        emissions_share: Percent::from_percent(50),
        end_block: Some(40),
    };
    let create = crowdloan::Call::<Runtime>::create {
        deposit: tao(400),
        min_contribution: tao(1),
        cap: tao(1_600),
        end: 100,
        call: Some(Box::new(call.into())),
        target_address: None,
    };
    send(&coldkeys[0], create).unwrap();
    for coldkey in &coldkeys[1..] {
        send(coldkey, crowdloan::Call::<Runtime>::contribute { crowdloan_id: 0, amount: tao(400) })
            .unwrap();
    }
    send(&coldkeys[0], crowdloan::Call::<Runtime>::finalize { crowdloan_id: 0 }).unwrap();
    let owner = SubnetOwner::<Runtime>::get(LEASED);
    send(&owner, Call::start_call { netuid: LEASED }).unwrap();
}

/// Prepares the chain for the steps: hotkeys, a member of root, collateral, a leased subnet, no
/// rate limits. Returns the coldkeys.
fn set_up() -> [AccountId; 4] {
    let coldkeys = COLDKEYS.map(account);
    for (number, coldkey) in (1..).zip(&coldkeys) {
        Subtensor::own_hotkey(coldkey, &key(number)).unwrap();
    }
    SubtokenEnabled::<Runtime>::insert(NetUid(18), true);
    Subtensor::append_neuron(NetUid::ROOT, &key(1));
    // Registrations lock three quarters of their price.
    CollateralLockShare::<Runtime>::insert(BABELBIT, u16::MAX / 4 * 3);
    create_lease(&coldkeys);
    TxRateLimit::<Runtime>::put(0);
    NetworkRateLimit::<Runtime>::put(0);
    let dest = MultiAddress::Id(shared_account(&coldkeys[0], &coldkeys[1]));
    send(&coldkeys[3], pallet_balances::Call::transfer_keep_alive { dest, value: 100 * TAO })
        .unwrap();
    coldkeys
}

/// Returns steps that succeed in this order, with calls of every kind.
fn one_of_each_kind() -> Vec<Step> {
    const BOB: usize = 0;
    const CHARLIE: usize = 1;
    const DAVE: usize = 2;
    const EVE: usize = 3;
    // On the subnet with emission, with hotkeys of Bob and Charlie, for 10 TAO or alpha.
    let step = |call, who| Step {
        call,
        who,
        other: CHARLIE,
        hotkeys: (1, 2),
        netuids: (2, 2),
        amount: 10 * TAO,
        limit: TAO / 2,
        flag: false,
    };
    let daves = |call| Step { hotkeys: (3, 3), netuids: (1, 1), ..step(call, DAVE) };
    let eves = |call, new| Step { hotkeys: (4, new), ..step(call, EVE) };
    let on_crowdloan = |call, who, id| Step { netuids: (id, 2), ..step(call, who) };
    vec![
        // Stake of Bob on the subnet, on root and on subnet 18.
        Step { amount: 100 * TAO, ..step(0, BOB) },
        Step { netuids: (0, 2), ..step(1, BOB) },
        step(2, BOB),
        Step { netuids: (1, 2), ..step(0, BOB) },
        // Swaps of Eve's hotkey, and of her coldkey, which takes time.
        eves(16, 11),
        Step { netuids: (1, 2), limit: 1, flag: true, ..eves(17, 12) },
        Step { flag: true, ..eves(21, 4) },
        eves(23, 4),
        // Sales, moves and destruction.
        step(3, BOB),
        Step { limit: TAO / 20, flag: true, ..step(4, BOB) },
        Step { netuids: (1, 2), ..step(5, BOB) },
        step(8, BOB),
        step(9, BOB),
        Step { netuids: (2, 4), flag: true, ..step(10, BOB) },
        Step { amount: TAO, ..step(11, BOB) },
        Step { amount: TAO, ..step(12, BOB) },
        Step { amount: TAO, ..step(13, BOB) },
        step(46, BOB),
        Step { netuids: (2, 4), flag: true, ..step(47, BOB) },
        daves(0),
        daves(6),
        daves(0),
        daves(7),
        // Child hotkeys, locks and collateral.
        step(14, BOB),
        Step { limit: 1_000, ..step(15, BOB) },
        Step { amount: TAO, ..step(18, BOB) },
        Step { flag: true, ..step(20, BOB) },
        step(19, BOB),
        Step { amount: TAO, ..step(27, BOB) },
        Step { amount: TAO, ..step(28, BOB) },
        // Registrations, and baskets.
        daves(22),
        step(25, BOB),
        step(26, BOB),
        Step { hotkeys: (2, 2), ..step(44, CHARLIE) },
        Step { hotkeys: (13, 2), ..step(45, CHARLIE) },
        // Transfers, crowdloans and proxies.
        step(32, BOB),
        step(33, BOB),
        step(34, BOB),
        on_crowdloan(35, CHARLIE, 1),
        Step { amount: 2 * TAO, ..on_crowdloan(36, DAVE, 1) },
        on_crowdloan(37, DAVE, 1),
        on_crowdloan(36, DAVE, 1),
        daves(23),
        on_crowdloan(38, CHARLIE, 1),
        on_crowdloan(35, CHARLIE, 2),
        on_crowdloan(39, CHARLIE, 2),
        on_crowdloan(40, CHARLIE, 2),
        Step { flag: true, ..step(41, BOB) },
        // The inner call is of kind 5 * 6 + 2.
        Step { other: BOB, netuids: (5, 2), ..step(43, CHARLIE) },
        step(42, BOB),
        // Calls of several signers, preimages, commitments, safe mode and settings.
        step(48, BOB),
        step(49, BOB),
        step(48, BOB),
        Step { other: BOB, ..step(48, CHARLIE) },
        step(50, BOB),
        step(51, BOB),
        Step { netuids: (0, 2), ..step(52, BOB) },
        Step { flag: true, limit: 0, ..step(53, BOB) },
        step(53, BOB),
        Step { limit: 1_000, ..step(54, BOB) },
        // The ends: of the lease, of the coldkeys of Dave and Eve, of subnet 19.
        daves(55),
        step(29, BOB),
        eves(24, 4),
        Step { other: EVE, limit: 0, ..eves(30, 4) },
        Step { netuids: (3, 3), ..step(31, BOB) },
    ]
}

#[test]
fn every_staking_call_succeeds_and_keeps_accounts_balanced() {
    at_first_block(|| {
        let coldkeys = set_up();
        let (mut succeeded, mut failed) = (BTreeSet::new(), Vec::new());
        for (block, step) in (10..).step_by(5).zip(one_of_each_kind()) {
            jump_to(block);
            match outcome(execute_step(&step, &coldkeys)).as_str() {
                "ok" => {
                    succeeded.insert(step.call);
                }
                error => failed.push(format!("{error}: {step:?}")),
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        assert_eq!(succeeded, (0..KINDS).collect::<BTreeSet<u8>>());
        run_two_epochs();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn issuance_stakes_and_pools_balance(steps in prop::collection::vec(step(), 1..44)) {
        at_first_block(|| {
            let coldkeys = set_up();
            for (block, step) in (10..).step_by(7).zip(&steps) {
                jump_to(block);
                // Many of the calls fail.
                let _ = execute_step(step, &coldkeys);
            }
            // The epochs use the child relations that the steps have set.
            run_two_epochs();
        });
    }
}
