//! Random calls of many pallets, none of which may create or lose TAO or alpha.

use codec::Encode;
use frame_support::weights::Weight;
use proptest::prelude::*;
use sp_io::hashing::blake2_256;
use sp_runtime::traits::{BlakeTwo256, Hash};
use sp_runtime::{MultiAddress, PerU16};

use super::*;
use crate::admin_utils;
use crate::commitments::{self, CommitmentInfo, Data};
use crate::proxy::{self, ProxyType};
use crate::runtime::Multisig;

/// Number of kinds of calls.
pub(super) const KINDS: u8 = 56;
/// Block at which new crowdloans end; all steps run in earlier blocks.
const END: u32 = 600;

/// A call with keys, subnets and amount as indices.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) call: u8,
    pub(super) who: usize,
    pub(super) other: usize,
    pub(super) hotkeys: (u32, u32),
    pub(super) netuids: (usize, usize),
    pub(super) amount: u64,
    pub(super) limit: u64,
    pub(super) flag: bool,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
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
    /// Returns who makes the call; `None` is root.
    pub(super) fn signer(&self, coldkeys: &[AccountId; 4]) -> Option<AccountId> {
        match self.call {
            30 | 31 | 53 | 54 => None,
            52 => Some(key(self.hotkeys.0)),
            _ => Some(coldkeys[self.who].clone()),
        }
    }

    pub(super) fn call(&self, coldkeys: &[AccountId; 4]) -> RuntimeCall {
        match self.call {
            0..32 => RuntimeCall::SubtensorModule(self.staking_call(coldkeys)),
            32..35 => RuntimeCall::Balances(self.transfer(coldkeys)),
            35..41 => RuntimeCall::Crowdloan(self.crowdloan_call(coldkeys)),
            41..44 => RuntimeCall::Proxy(self.proxy_call(coldkeys)),
            44..48 | 55 => RuntimeCall::SubtensorModule(self.other_call(coldkeys)),
            48 | 49 => RuntimeCall::Multisig(self.multisig_call(coldkeys)),
            50 => RuntimeCall::Preimage(pallet_preimage::Call::note_preimage {
                bytes: self.preimage(),
            }),
            51 => RuntimeCall::Preimage(pallet_preimage::Call::unnote_preimage {
                hash: BlakeTwo256::hash(&self.preimage()),
            }),
            52 => {
                let fields =
                    vec![Data::Raw(self.preimage().try_into().unwrap())].try_into().unwrap();
                let info = Box::new(CommitmentInfo { fields });
                RuntimeCall::Commitments(commitments::Call::set_commitment {
                    netuid: NETUIDS[self.netuids.0],
                    info,
                })
            }
            // Rarely, since safe mode refuses most calls until it ends.
            53 if self.flag && self.limit == 0 => {
                RuntimeCall::SafeMode(pallet_safe_mode::Call::force_enter {})
            }
            53 => RuntimeCall::SafeMode(pallet_safe_mode::Call::force_exit {}),
            _ => RuntimeCall::AdminUtils(admin_utils::Call::sudo_set_subnet_owner_cut {
                subnet_owner_cut: self.limit as u16,
            }),
        }
    }

    /// Approves a transfer from the account of two coldkeys, or cancels it.
    fn multisig_call(&self, coldkeys: &[AccountId; 4]) -> pallet_multisig::Call<Runtime> {
        let (who, other) = (&coldkeys[self.who], coldkeys[self.other].clone());
        let account = shared_account(who, &other);
        let dest = MultiAddress::Id(key(200 + self.hotkeys.0));
        let call: Box<RuntimeCall> = Box::new(
            pallet_balances::Call::transfer_allow_death { dest, value: self.limit }.into(),
        );
        let call_hash = call.using_encoded(blake2_256);
        let maybe_timepoint = pallet_multisig::Multisigs::<Runtime>::get(account, call_hash)
            .map(|approved| approved.when);
        let other_signatories = vec![other];
        match self.call {
            48 => pallet_multisig::Call::as_multi {
                threshold: 2,
                other_signatories,
                maybe_timepoint,
                call,
                max_weight: Weight::MAX,
            },
            _ => pallet_multisig::Call::cancel_as_multi {
                threshold: 2,
                other_signatories,
                timepoint: maybe_timepoint.unwrap_or_default(),
                call_hash,
            },
        }
    }

    /// Returns the content of a preimage or of a commitment.
    fn preimage(&self) -> Vec<u8> {
        vec![0; self.netuids.1]
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
                // One of the calls on stake and balances, chosen by the indices.
                let inner = Self {
                    call: ((self.netuids.0 * 6 + self.netuids.1) % 35) as u8,
                    ..self.clone()
                };
                proxy::Call::proxy {
                    real: other,
                    force_proxy_type: None,
                    call: Box::new(inner.call(coldkeys)),
                }
            }
        }
    }

    /// A registration on root or of a subnet, a move of stake, or the end of a swap of coldkeys.
    fn other_call(&self, coldkeys: &[AccountId; 4]) -> Call<Runtime> {
        let (hotkey, destination_hotkey) = (key(self.hotkeys.0), key(self.hotkeys.1));
        let (origin_netuid, destination_netuid) =
            (NETUIDS[self.netuids.0], NETUIDS[self.netuids.1]);
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
            47 => Call::move_stake_limit {
                origin_hotkey: hotkey,
                destination_hotkey,
                origin_netuid,
                destination_netuid,
                alpha_amount,
                limit_price: TaoBalance(self.limit),
                allow_partial: self.flag,
            },
            _ => Call::swap_coldkey_announced { new_coldkey: self.new_coldkey() },
        }
    }

    /// Returns the new coldkey of a coldkey swap.
    fn new_coldkey(&self) -> AccountId {
        key(100 + self.hotkeys.0)
    }

    fn staking_call(&self, coldkeys: &[AccountId; 4]) -> Call<Runtime> {
        let (hotkey, destination_hotkey) = (key(self.hotkeys.0), key(self.hotkeys.1));
        let (netuid, destination_netuid) = (NETUIDS[self.netuids.0], NETUIDS[self.netuids.1]);
        let (tao, alpha, limit) =
            (TaoBalance(self.amount), AlphaBalance(self.amount), TaoBalance(self.limit));
        let (origin_hotkey, origin_netuid, alpha_amount) = (hotkey.clone(), netuid, alpha);
        let (destination_coldkey, limit_price, allow_partial) =
            (coldkeys[self.other].clone(), limit, self.flag);
        let optional_limit = self.flag.then_some(limit);
        match self.call {
            0 | 1 => Call::add_stake { hotkey, netuid, amount_staked: tao },
            2 => Call::add_stake_limit {
                hotkey,
                netuid,
                amount_staked: tao,
                limit_price,
                allow_partial,
            },
            3 => Call::remove_stake { hotkey, netuid, amount_unstaked: alpha },
            4 => Call::remove_stake_limit {
                hotkey,
                netuid,
                amount_unstaked: alpha,
                limit_price,
                allow_partial,
            },
            5 => Call::remove_stake_full_limit { hotkey, netuid, limit_price: optional_limit },
            6 => Call::unstake_all { hotkey },
            7 => Call::unstake_all_alpha { hotkey },
            8 => Call::move_stake {
                origin_hotkey,
                destination_hotkey,
                origin_netuid,
                destination_netuid,
                alpha_amount,
            },
            9 => Call::transfer_stake {
                destination_coldkey,
                hotkey,
                origin_netuid,
                destination_netuid,
                alpha_amount,
            },
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
            13 => Call::add_stake_burn { hotkey, netuid, amount: tao, limit: optional_limit },
            14 => Call::set_children {
                hotkey,
                netuid,
                children: vec![(self.amount, destination_hotkey)],
            },
            15 => Call::set_childkey_take {
                hotkey,
                netuid,
                take: PerU16::from_parts(self.limit as u16),
            },
            16 => Call::swap_hotkey {
                hotkey,
                new_hotkey: key(10 + self.hotkeys.1 % 10),
                netuid: Some(netuid),
            },
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
            23 => Call::announce_coldkey_swap {
                new_coldkey_hash: BlakeTwo256::hash_of(&self.new_coldkey()),
            },
            24 => Call::clear_coldkey_swap_announcement {},
            25 => Call::stake_into_basket { hotkey, amount_staked: tao },
            26 => Call::claim_root { subnets: BTreeSet::new() },
            27 => Call::add_collateral { netuid, hotkey, alpha, limit_price },
            28 => Call::set_min_collateral { netuid, hotkey, min_locked: alpha },
            29 => Call::terminate_lease { lease_id: 0, hotkey },
            30 => Call::swap_coldkey {
                old_coldkey: destination_coldkey,
                new_coldkey: self.new_coldkey(),
                swap_cost: limit,
            },
            _ => Call::root_dissolve_network {
                netuid: if netuid == BABELBIT { NetUid(20) } else { netuid },
            },
        }
    }
}

/// Returns the account of two signatories.
pub(super) fn shared_account(one: &AccountId, other: &AccountId) -> AccountId {
    let mut signatories = [one.clone(), other.clone()];
    signatories.sort();
    Multisig::multi_account_id(&signatories, 2)
}
