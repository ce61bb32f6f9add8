//! Property: no sequence of calls creates or loses TAO or alpha.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sp_core::H256;
use sp_runtime::{DispatchResult, MultiAddress, PerU16, Percent};

use super::*;
use crate::alpha_assets::{AlphaBurned, TotalAlphaIssuance};
use crate::crowdloan::{self, Contributions, Crowdloans};
use crate::proxy::{self, ProxyType};
use crate::runtime::{RuntimeCall, System};
use crate::subtensor::{
    ColdkeyMinerCollateral, CollateralLockShare, LastEpochBlock, Lock, MinerCollateral, NetworkRateLimit,
    PendingOwnerCut, PendingRootAlphaDivs, PendingServerEmission, PendingValidatorEmission, SubnetAlphaOutEmission,
    SubnetOwner, SubnetProtocolAlpha, SubtokenEnabled, TotalAlphaStaked, TotalHotkeyAlpha, TotalIssuance, TxRateLimit,
};
use crate::testing::{jump_to, run_to, send_as_root, state_root};

/// Netuid of the leased subnet.
const LEASED: NetUid = NetUid(60);

/// Number of kinds of calls.
const KINDS: u8 = 48;
/// Block at which crowdloans end, after all steps.
const END: u32 = 400;
/// Number of blocks with two epochs of the subnets with emission.
const TWO_EPOCHS: u32 = 21;

const NETUIDS: [NetUid; 6] = [NetUid::ROOT, NetUid(18), BABELBIT, NetUid(19), LEASED, NetUid(77)];

/// A call with keys, subnets and amount as indices.
#[derive(Clone, Debug)]
struct Step {
    call: u8,
    who: usize,
    other: usize,
    hotkeys: (u32, u32),
    netuids: (usize, usize),
    amount: u64,
    limit: u64,
    flag: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![
        2 => Just(0_u64),
        2 => Just(1),
        2 => Just(u64::MAX),
        20 => 1_000_000_u64..200_000_000_000,
    ];
    let limit = prop_oneof![Just(0), Just(1), Just(u64::MAX), 50_000_000_u64..2_000_000_000];
    let hotkey = || prop_oneof![4 => 1..5_u32, 1 => 11..15_u32];
    let keys = (0..4_usize, 0..4_usize, (hotkey(), hotkey()), (0..6_usize, 0..6_usize));
    (0..KINDS, keys, amount, limit, any::<bool>()).prop_map(
        |(call, (who, other, hotkeys, netuids), amount, limit, flag)| Step {
            call,
            who,
            other,
            hotkeys,
            netuids,
            amount,
            limit,
            flag,
        },
    )
}

impl Step {
    /// Whether root makes the call.
    fn is_roots(&self) -> bool {
        matches!(self.call, 30 | 31)
    }

    fn call(&self, coldkeys: &[AccountId; 4]) -> RuntimeCall {
        match self.call {
            0..32 => RuntimeCall::SubtensorModule(self.staking_call(coldkeys)),
            32..35 => RuntimeCall::Balances(self.transfer(coldkeys)),
            35..41 => RuntimeCall::Crowdloan(self.crowdloan_call(coldkeys)),
            41..44 => RuntimeCall::Proxy(self.proxy_call(coldkeys)),
            _ => RuntimeCall::SubtensorModule(self.further_call(coldkeys)),
        }
    }

    fn transfer(&self, coldkeys: &[AccountId; 4]) -> pallet_balances::Call<Runtime> {
        let (dest, value) = (MultiAddress::Id(coldkeys[self.other].clone()), self.amount);
        match self.call {
            32 => pallet_balances::Call::transfer_allow_death { dest, value },
            33 => pallet_balances::Call::transfer_keep_alive { dest, value },
            // To an account that may not exist yet.
            _ => {
                let dest = MultiAddress::Id(key(200 + self.hotkeys.0));
                pallet_balances::Call::transfer_keep_alive { dest, value: self.limit }
            }
        }
    }

    /// A call on a crowdloan. Crowdloan 0 is finalized.
    fn crowdloan_call(&self, coldkeys: &[AccountId; 4]) -> crowdloan::Call<Runtime> {
        let (crowdloan_id, amount) = (self.netuids.0 as u32, TaoBalance(self.amount));
        match self.call {
            35 => crowdloan::Call::create {
                deposit: amount,
                min_contribution: TaoBalance(self.limit),
                cap: TaoBalance(self.amount.saturating_mul(2)),
                end: END,
                call: None,
                target_address: Some(coldkeys[self.other].clone()),
            },
            36 => crowdloan::Call::contribute { crowdloan_id, amount },
            37 => crowdloan::Call::withdraw { crowdloan_id },
            38 => crowdloan::Call::finalize { crowdloan_id },
            39 => crowdloan::Call::refund { crowdloan_id },
            _ => crowdloan::Call::dissolve { crowdloan_id },
        }
    }

    fn proxy_call(&self, coldkeys: &[AccountId; 4]) -> proxy::Call<Runtime> {
        let other = MultiAddress::Id(coldkeys[self.other].clone());
        match self.call {
            41 => {
                let proxy_type = if self.flag { ProxyType::Any } else { ProxyType::Transfer };
                proxy::Call::add_proxy { delegate: other, proxy_type, delay: 0 }
            }
            42 => proxy::Call::remove_proxies {},
            _ => {
                // Of the calls on stake and balances, one that the indices determine.
                let inner = Self { call: ((self.netuids.0 * 6 + self.netuids.1) % 35) as u8, ..self.clone() };
                proxy::Call::proxy { real: other, force_proxy_type: None, call: Box::new(inner.call(coldkeys)) }
            }
        }
    }

    /// A registration on root or of a subnet, or a move of stake.
    fn further_call(&self, coldkeys: &[AccountId; 4]) -> Call<Runtime> {
        let (hotkey, destination_hotkey) = (key(self.hotkeys.0), key(self.hotkeys.1));
        let (origin_netuid, destination_netuid) = (NETUIDS[self.netuids.0], NETUIDS[self.netuids.1]);
        let alpha_amount = AlphaBalance(self.amount);
        match self.call {
            44 => Call::root_register { hotkey },
            45 => Call::register_network { hotkey },
            46 => Call::transfer_stake_and_hotkey {
                destination_coldkey: coldkeys[self.other].clone(),
                origin_hotkey: hotkey,
                destination_hotkey,
                origin_netuid,
                destination_netuid,
                alpha_amount,
            },
            _ => Call::move_stake_limit {
                origin_hotkey: hotkey,
                destination_hotkey,
                origin_netuid,
                destination_netuid,
                alpha_amount,
                limit_price: TaoBalance(self.limit),
                allow_partial: self.flag,
            },
        }
    }

    fn staking_call(&self, coldkeys: &[AccountId; 4]) -> Call<Runtime> {
        let (hotkey, destination_hotkey) = (key(self.hotkeys.0), key(self.hotkeys.1));
        let (netuid, destination_netuid) = (NETUIDS[self.netuids.0], NETUIDS[self.netuids.1]);
        let (tao, alpha, limit) = (TaoBalance(self.amount), AlphaBalance(self.amount), TaoBalance(self.limit));
        let (origin_hotkey, origin_netuid, alpha_amount) = (hotkey.clone(), netuid, alpha);
        let (destination_coldkey, limit_price, allow_partial) = (coldkeys[self.other].clone(), limit, self.flag);
        let maybe = self.flag.then_some(limit);
        match self.call {
            0 | 1 => Call::add_stake { hotkey, netuid, amount_staked: tao },
            2 => Call::add_stake_limit { hotkey, netuid, amount_staked: tao, limit_price, allow_partial },
            3 => Call::remove_stake { hotkey, netuid, amount_unstaked: alpha },
            4 => Call::remove_stake_limit { hotkey, netuid, amount_unstaked: alpha, limit_price, allow_partial },
            5 => Call::remove_stake_full_limit { hotkey, netuid, limit_price: maybe },
            6 => Call::unstake_all { hotkey },
            7 => Call::unstake_all_alpha { hotkey },
            8 => {
                Call::move_stake { origin_hotkey, destination_hotkey, origin_netuid, destination_netuid, alpha_amount }
            }
            9 => Call::transfer_stake { destination_coldkey, hotkey, origin_netuid, destination_netuid, alpha_amount },
            10 => Call::swap_stake_limit {
                hotkey,
                origin_netuid,
                destination_netuid,
                alpha_amount,
                limit_price,
                allow_partial,
            },
            11 => Call::recycle_alpha { hotkey, amount: alpha, netuid },
            12 => Call::burn_alpha { hotkey, amount: alpha, netuid },
            13 => Call::add_stake_burn { hotkey, netuid, amount: tao, limit: maybe },
            14 => Call::set_children { hotkey, netuid, children: vec![(self.amount, destination_hotkey)] },
            15 => Call::set_childkey_take { hotkey, netuid, take: PerU16::from_parts(self.limit as u16) },
            16 => Call::swap_hotkey { hotkey, new_hotkey: key(10 + self.hotkeys.1 % 10), netuid: Some(netuid) },
            17 => {
                let netuid = self.flag.then_some(netuid);
                Call::swap_hotkey_v2 {
                    hotkey,
                    new_hotkey: key(10 + self.hotkeys.1 % 10),
                    netuid,
                    keep_stake: limit.0 == 1,
                }
            }
            18 => Call::lock_stake { hotkey, netuid, amount: alpha },
            19 => Call::move_lock { destination_hotkey, netuid },
            20 => Call::set_perpetual_lock { netuid, enabled: self.flag },
            21 => Call::set_reject_locked_alpha { enabled: self.flag },
            22 => Call::register {
                netuid,
                block_number: 0,
                nonce: 0,
                work: Vec::new(),
                hotkey,
                coldkey: destination_coldkey,
            },
            23 => Call::announce_coldkey_swap { new_coldkey_hash: H256::zero() },
            24 => Call::clear_coldkey_swap_announcement {},
            25 => Call::stake_into_basket { hotkey, amount_staked: tao },
            26 => Call::claim_root { subnets: BTreeSet::new() },
            27 => Call::add_collateral { netuid, hotkey, alpha, limit_price },
            28 => Call::set_min_collateral { netuid, hotkey, min_locked: alpha },
            29 => Call::terminate_lease { lease_id: 0, hotkey },
            30 => Call::swap_coldkey {
                old_coldkey: destination_coldkey,
                new_coldkey: key(100 + self.hotkeys.0),
                swap_cost: limit,
            },
            _ => Call::root_dissolve_network { netuid: if netuid == BABELBIT { NetUid(20) } else { netuid } },
        }
    }
}

/// Checks the invariants that hold after every call.
fn check() {
    let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
    assert_eq!(TotalStake::<Runtime>::get().0, pools);
    assert_eq!(TotalIssuance::<Runtime>::get().0, all_tao());
    check_crowdloans();
    for netuid in NETUIDS {
        let staked: u64 =
            TotalHotkeyAlpha::<Runtime>::iter().filter(|(_, of, _)| *of == netuid).map(|(_, _, alpha)| alpha.0).sum();
        let out = SubnetAlphaOut::<Runtime>::get(netuid).0;
        assert!(staked <= out, "{netuid:?}: {staked} staked of {out}");
        assert_eq!(TotalAlphaStaked::<Runtime>::get(netuid).0, staked, "{netuid:?}");
        if netuid != NetUid::ROOT {
            assert_eq!(TotalAlphaIssuance::<Runtime>::get(netuid), Subtensor::alpha_issuance(netuid), "{netuid:?}");
        }
        for (hotkey, coldkey) in MinerCollateral::<Runtime>::iter_key_prefix((netuid,)) {
            let (locked, stake) =
                (Subtensor::collateral_of(netuid, &hotkey, &coldkey), Subtensor::stake_of(&hotkey, &coldkey, netuid));
            // Stakes are rounded down.
            assert!(locked.0 <= stake.0.saturating_add(10), "{netuid:?}: {locked:?} locked of {stake:?}");
        }
        check_collateral_totals(netuid);
        for (coldkey, _, _) in Lock::<Runtime>::iter_keys().filter(|(_, of, _)| *of == netuid) {
            // A lock and collateral may cover the same stake, but each is covered.
            let (locked, stake) = (Subtensor::locked(&coldkey, netuid), Subtensor::total_stake_of(&coldkey, netuid));
            assert!(locked.0 <= stake.0.saturating_add(10), "{netuid:?}: {locked:?} locked of {stake:?}");
        }
        for hotkey in (1..5).chain(11..15).map(key) {
            let holders: u64 = COLDKEYS.iter().map(|name| Subtensor::stake_of(&hotkey, &account(name), netuid).0).sum();
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

/// Returns the issued alpha outside the pool of a subnet that is neither staked, nor pending, nor the protocol's, nor
/// burned, in rao.
fn unaccounted(netuid: NetUid) -> i128 {
    let counted = [
        TotalAlphaStaked::<Runtime>::get(netuid).0,
        pending(netuid),
        SubnetProtocolAlpha::<Runtime>::get(netuid).0,
        AlphaBurned::<Runtime>::get(netuid).0,
    ];
    i128::from(SubnetAlphaOut::<Runtime>::get(netuid).0) - counted.into_iter().map(i128::from).sum::<i128>()
}

/// Makes a call, and checks the invariants that hold after it. No call leaves alpha without an owner.
fn make(step: &Step, coldkeys: &[AccountId; 4]) -> DispatchResult {
    let state = state_root();
    let call = step.call(coldkeys);
    let outcome = if step.is_roots() { send_as_root(call) } else { send(&coldkeys[step.who], call) };
    assert!(outcome.is_ok() || state_root() == state, "{step:?} failed and changed the state");
    check();
    for netuid in NETUIDS {
        assert_eq!(unaccounted(netuid), 0, "{netuid:?} after {step:?}");
    }
    outcome
}

/// Runs two epochs, and checks that only epochs leave alpha without an owner: at most what they distribute, if nobody
/// earns it, and usually what rounding leaves.
fn run_two_epochs() {
    let start = System::block_number();
    for block in start + 1..=start + TWO_EPOCHS {
        let before = NETUIDS.map(|netuid| (unaccounted(netuid), pending(netuid)));
        run_to(block);
        for (netuid, (lost, pending)) in NETUIDS.into_iter().zip(before) {
            let more = unaccounted(netuid) - lost;
            if LastEpochBlock::<Runtime>::get(netuid) == u64::from(block) {
                let most = i128::from(pending) + i128::from(SubnetAlphaOutEmission::<Runtime>::get(netuid).0);
                // Consensus halves the sum of what the blocks emitted, but the halves of each block are rounded: the
                // miners may receive up to a rao a block more than was pending for them.
                let least = -i128::from(TWO_EPOCHS);
                assert!((least..=most).contains(&more), "{netuid:?}: {more} of {most} in block {block}");
            } else {
                assert_eq!(more, 0, "{netuid:?} in block {block}, without an epoch");
            }
        }
    }
    check();
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
    let totals: BTreeMap<AccountId, u64> = totals.map(|(coldkey, locked)| (coldkey, locked.0)).collect();
    assert_eq!(totals, sums, "{netuid:?}");
}

/// Checks that the account of each open crowdloan has the sum of the contributions.
fn check_crowdloans() {
    for (id, crowdloan) in Crowdloans::<Runtime>::iter().filter(|(_, crowdloan)| !crowdloan.finalized) {
        let contributed: u64 = Contributions::<Runtime>::iter_prefix(id).map(|(_, amount)| amount.0).sum();
        assert_eq!((crowdloan.raised.0, balance(&crowdloan.funds_account)), (contributed, contributed), "{id}");
        assert!(crowdloan.raised <= crowdloan.cap, "{id}");
    }
}

const COLDKEYS: [&str; 4] = ["Bob", "Charlie", "Dave", "Eve"];

/// Leases a subnet to the first coldkey, with the TAO of all, and starts it.
fn lease(coldkeys: &[AccountId; 4]) {
    let tao = |number: u64| TaoBalance(number * 1_000_000_000);
    let call: Call<Runtime> =
        Call::register_leased_network { emissions_share: Percent::from_percent(50), end_block: Some(40) };
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
        send(coldkey, crowdloan::Call::<Runtime>::contribute { crowdloan_id: 0, amount: tao(400) }).unwrap();
    }
    send(&coldkeys[0], crowdloan::Call::<Runtime>::finalize { crowdloan_id: 0 }).unwrap();
    let owner = SubnetOwner::<Runtime>::get(LEASED);
    send(&owner, Call::start_call { netuid: LEASED }).unwrap();
}

/// Prepares the chain for the steps: hotkeys, a member of root, collateral, a leased subnet, no rate limits. Returns
/// the coldkeys.
fn set_up() -> [AccountId; 4] {
    let coldkeys = COLDKEYS.map(account);
    for (number, coldkey) in (1..).zip(&coldkeys) {
        Subtensor::own_hotkey(coldkey, &key(number)).unwrap();
    }
    SubtokenEnabled::<Runtime>::insert(NetUid(18), true);
    Subtensor::append_neuron(NetUid::ROOT, &key(1));
    // Registrations lock three quarters of their price.
    CollateralLockShare::<Runtime>::insert(BABELBIT, u16::MAX / 4 * 3);
    lease(&coldkeys);
    TxRateLimit::<Runtime>::put(0);
    NetworkRateLimit::<Runtime>::put(0);
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
        on_crowdloan(38, CHARLIE, 1),
        on_crowdloan(35, CHARLIE, 2),
        on_crowdloan(39, CHARLIE, 2),
        on_crowdloan(40, CHARLIE, 2),
        Step { flag: true, ..step(41, BOB) },
        // The inner call is of kind 5 * 6 + 2.
        Step { other: BOB, netuids: (5, 2), ..step(43, CHARLIE) },
        step(42, BOB),
        // The ends: of the lease, of Eve's coldkey, of subnet 19.
        step(29, BOB),
        eves(24, 4),
        Step { other: EVE, limit: 0, ..eves(30, 4) },
        Step { netuids: (3, 3), ..step(31, BOB) },
    ]
}

#[test]
fn calls_of_every_kind_succeed_and_balance() {
    chain(|| {
        let coldkeys = set_up();
        let (mut succeeded, mut failed) = (BTreeSet::new(), Vec::new());
        for (block, step) in (10..).step_by(5).zip(one_of_each_kind()) {
            jump_to(block);
            match outcome(make(&step, &coldkeys)).as_str() {
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
        chain(|| {
            let coldkeys = set_up();
            for (block, step) in (10..).step_by(7).zip(&steps) {
                jump_to(block);
                // Many of the calls fail.
                let _ = make(step, &coldkeys);
            }
            // With the children that were set.
            run_two_epochs();
        });
    }
}
