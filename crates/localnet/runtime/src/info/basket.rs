//! Baskets of validators' root earnings. This chain has none: the layouts exist so that clients can decode empty
//! results.

use codec::{Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Summary of a validator's basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketSummary {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// Value if sold now (net asset value), in rao.
    pub nav_tao: TaoBalance,
    /// Value at the pools' prices, in rao.
    pub spot_nav_tao: TaoBalance,
    /// Total number of shares.
    pub shares: u64,
    /// Total TAO deposited.
    pub deposited_tao: TaoBalance,
    /// Total TAO redeemed.
    pub redeemed_tao: TaoBalance,
    /// Holdings of the basket.
    pub holdings: Vec<BasketHolding>,
}

/// Alpha of one subnet in a basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketHolding {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// Amount of alpha.
    pub alpha: AlphaBalance,
    /// Value at the pool's price, in rao.
    pub spot_tao: TaoBalance,
    /// Value if sold now, in rao.
    pub realizable_tao: TaoBalance,
}

/// A holder's shares in a validator's basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketPosition {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// The holder's shares.
    pub beta: u64,
    /// Total number of shares.
    pub beta_total: u64,
    /// The basket's value if sold now.
    pub nav_tao: TaoBalance,
    /// Value of the holder's shares if sold now.
    pub value_tao: TaoBalance,
    /// Value of the holder's shares at the pools' prices.
    pub spot_value_tao: TaoBalance,
}

/// The price of a basket's shares.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPricing {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// Price of a share at the pools' spot prices.
    pub spot_price: U64F64,
    /// Price in display units.
    pub display_price: U64F64,
    /// Price of the stake without the basket.
    pub stake_price: U64F64,
    /// Yield of stakers.
    pub staker_yield: U64F64,
    /// Time-weighted return of stakers.
    pub staker_twr: U64F64,
    /// Index of the basket.
    pub bag_index: U64F64,
    /// Index of the stake.
    pub stake_index: U64F64,
    /// First block of the price record.
    pub first_block: u64,
    /// Whether the price record is too short to be meaningful.
    pub provisional: bool,
    /// The basket's value at the pools' prices.
    pub spot_nav_tao: TaoBalance,
    /// Total number of shares.
    pub shares: u64,
    /// Total number of shares in display units.
    pub display_shares: U64F64,
}

/// One page of prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPricingPage {
    /// Prices on this page.
    pub pricing: Vec<BetaPricing>,
    /// First hotkey of the next page.
    pub next: Option<AccountId32>,
}

/// A position in a basket, in display units.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPosition {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// The holder's shares.
    pub beta: u64,
    /// The holder's shares in display units.
    pub display_beta: U64F64,
    /// Price of one share in display units.
    pub display_price: U64F64,
    /// Value if sold now, in rao.
    pub value_tao: TaoBalance,
    /// Value at the pools' prices, in rao.
    pub spot_value_tao: TaoBalance,
    /// Whether the record of the price is too short to be meaningful.
    pub provisional: bool,
}

/// Trading status of a validator's basket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketTradingStatus {
    /// Whether trading of baskets is enabled.
    pub enabled: bool,
    /// Whether trading of this basket is frozen.
    pub frozen: bool,
    /// Blocks until the budget is full again.
    pub refill_blocks: u64,
    /// Available part of the budget, in rao.
    pub tao_available: TaoBalance,
    /// Full budget, in rao.
    pub budget_tao: TaoBalance,
}

impl BasketSummary {
    /// Creates the summary of an empty basket.
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
