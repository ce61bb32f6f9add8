//! Baskets of validators' root earnings. This chain has none: the layouts are here so that clients can read "nothing".

use codec::{Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// What a validator's basket holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketSummary {
    /// The validator.
    pub hotkey: AccountId32,
    /// Its value if sold now.
    pub nav_tao: TaoBalance,
    /// Its value at the pools' prices.
    pub spot_nav_tao: TaoBalance,
    /// How many shares there are.
    pub shares: u64,
    /// TAO ever put in.
    pub deposited_tao: TaoBalance,
    /// TAO ever taken out.
    pub redeemed_tao: TaoBalance,
    /// What it holds.
    pub holdings: Vec<BasketHolding>,
}

/// Alpha of one subnet in a basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketHolding {
    /// The subnet.
    pub netuid: NetUid,
    /// How much alpha.
    pub alpha: AlphaBalance,
    /// Its value at the pool's price.
    pub spot_tao: TaoBalance,
    /// Its value if sold now.
    pub realizable_tao: TaoBalance,
}

/// A share of a basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketPosition {
    /// The validator.
    pub hotkey: AccountId32,
    /// The holder's shares.
    pub beta: u64,
    /// All shares.
    pub beta_total: u64,
    /// The basket's value if sold now.
    pub nav_tao: TaoBalance,
    /// The share's part of it.
    pub value_tao: TaoBalance,
    /// The share's part at the pools' prices.
    pub spot_value_tao: TaoBalance,
}

/// The price of a basket's shares.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPricing {
    /// The validator.
    pub hotkey: AccountId32,
    /// At the pools' prices.
    pub spot_price: U64F64,
    /// As shown to people.
    pub display_price: U64F64,
    /// Of the stake alone.
    pub stake_price: U64F64,
    /// What stakers earn.
    pub staker_yield: U64F64,
    /// The same, time-weighted.
    pub staker_twr: U64F64,
    /// Index of the basket.
    pub bag_index: U64F64,
    /// Index of the stake.
    pub stake_index: U64F64,
    /// Where the record begins.
    pub first_block: u64,
    /// Whether it is too young to say much.
    pub provisional: bool,
    /// The basket's value at the pools' prices.
    pub spot_nav_tao: TaoBalance,
    /// How many shares there are.
    pub shares: u64,
    /// The same as shown to people.
    pub display_shares: U64F64,
}

/// Some of the prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPricingPage {
    /// The prices.
    pub pricing: Vec<BetaPricing>,
    /// Where the next page begins.
    pub next: Option<AccountId32>,
}

/// A share of a basket as shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPosition {
    /// The validator.
    pub hotkey: AccountId32,
    /// The holder's shares.
    pub beta: u64,
    /// The same as shown to people.
    pub display_beta: U64F64,
    /// Price of one.
    pub display_price: U64F64,
    /// Their value if sold now.
    pub value_tao: TaoBalance,
    /// Their value at the pools' prices.
    pub spot_value_tao: TaoBalance,
    /// Whether the price is too young to say much.
    pub provisional: bool,
}

/// Whether a validator may trade its basket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketTradingStatus {
    /// Whether baskets are traded.
    pub enabled: bool,
    /// Whether this one is stopped.
    pub frozen: bool,
    /// Blocks until it may spend all again.
    pub refill_blocks: u64,
    /// TAO that it may spend now.
    pub tao_available: TaoBalance,
    /// TAO that it may ever spend at once.
    pub budget_tao: TaoBalance,
}

impl BasketSummary {
    /// A validator's basket, empty.
    pub const fn empty(hotkey: AccountId32) -> Self {
        Self {
            hotkey,
            nav_tao: TaoBalance::ZERO,
            spot_nav_tao: TaoBalance::ZERO,
            shares: 0,
            deposited_tao: TaoBalance::ZERO,
            redeemed_tao: TaoBalance::ZERO,
            holdings: Vec::new(),
        }
    }
}
