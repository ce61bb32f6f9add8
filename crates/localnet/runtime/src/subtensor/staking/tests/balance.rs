//! Property: no sequence of calls creates or loses TAO or alpha.

use proptest::prelude::*;

use super::*;
use crate::subtensor::{SubtokenEnabled, TotalHotkeyAlpha, TotalIssuance};

const NETUIDS: [NetUid; 5] = [NetUid::ROOT, NetUid(18), BABELBIT, NetUid(19), NetUid(77)];

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
    let keys = (0..4_usize, 0..4_usize, (1..5_u32, 1..5_u32), (0..5_usize, 0..5_usize));
    (0..14_u8, keys, amount, limit, any::<bool>()).prop_map(
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
    fn call(&self, coldkeys: &[AccountId; 4]) -> Call<Runtime> {
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
            _ => Call::add_stake_burn { hotkey, netuid, amount: tao, limit: maybe },
        }
    }
}

/// Checks the invariants that hold after every call.
fn check() {
    let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
    assert_eq!(TotalStake::<Runtime>::get().0, pools);
    assert_eq!(TotalIssuance::<Runtime>::get().0, all_tao());
    for netuid in NETUIDS {
        let staked: u64 =
            TotalHotkeyAlpha::<Runtime>::iter().filter(|(_, of, _)| *of == netuid).map(|(_, _, alpha)| alpha.0).sum();
        let out = SubnetAlphaOut::<Runtime>::get(netuid).0;
        assert!(staked <= out, "{netuid:?}: {staked} staked of {out}");
        for hotkey in (1..5).map(key) {
            let holders: u64 = COLDKEYS.iter().map(|name| Subtensor::stake_of(&hotkey, &account(name), netuid).0).sum();
            assert!(holders <= Subtensor::total_alpha(&hotkey, netuid).0);
        }
    }
}

/// Returns the storage root, which is a hash of all keys and values.
fn root() -> Vec<u8> {
    sp_io::storage::root(sp_core::storage::StateVersion::V1)
}

const COLDKEYS: [&str; 4] = ["Bob", "Charlie", "Dave", "Eve"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn issuance_stakes_and_pools_balance(steps in prop::collection::vec(step(), 1..32)) {
        chain(|| {
            let coldkeys = COLDKEYS.map(account);
            for (number, coldkey) in (1..).zip(&coldkeys) {
                Subtensor::own_hotkey(coldkey, &key(number)).unwrap();
            }
            SubtokenEnabled::<Runtime>::insert(NetUid(18), true);
            let mut state = root();
            for step in &steps {
                let outcome = send(&coldkeys[step.who], step.call(&coldkeys));
                let after = root();
                assert!(outcome.is_ok() || after == state, "{step:?} failed and changed the state");
                state = after;
                check();
            }
        });
    }
}
