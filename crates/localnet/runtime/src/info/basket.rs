//! Baskets of validators' root earnings. A basket of this chain holds TAO on root only. Prices of
//! shares over time are not stored: the layouts of their reports exist so that clients can decode
//! empty results.

use codec::{Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use crate::subtensor::{
    BasketDepositedTao, BasketRedeemedTao, BasketShares, Config, Pallet, StakingHotkeys,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Summary of a validator's basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketSummary {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// The basket's value if sold now (net asset value), in rao.
    pub nav_tao: TaoBalance,
    /// The basket's value at the pools' prices, in rao.
    pub spot_nav_tao: TaoBalance,
    /// Total number of shares.
    pub shares: u64,
    /// Total TAO deposited, in rao.
    pub deposited_tao: TaoBalance,
    /// Total TAO redeemed, in rao.
    pub redeemed_tao: TaoBalance,
    /// Holdings of the basket.
    pub holdings: Vec<BasketHolding>,
}

/// Alpha of one subnet in a basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketHolding {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// Amount of alpha in the basket.
    pub alpha: AlphaBalance,
    /// Value of the alpha at the pool's price, in rao.
    pub spot_tao: TaoBalance,
    /// Value of the alpha if sold now, in rao.
    pub realizable_tao: TaoBalance,
}

/// A holder's shares in a validator's basket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketPosition {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// Number of the holder's shares.
    pub beta: u64,
    /// Total number of shares.
    pub beta_total: u64,
    /// The basket's value if sold now (net asset value), in rao.
    pub nav_tao: TaoBalance,
    /// Value of the holder's shares if sold now, in rao.
    pub value_tao: TaoBalance,
    /// Value of the holder's shares at the pools' prices, in rao.
    pub spot_value_tao: TaoBalance,
}

/// The price of a basket's shares.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPricing {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// Price of a share at the pools' spot prices.
    pub spot_price: U64F64,
    /// Price of a share in display units.
    pub display_price: U64F64,
    /// Index of the total return of the basket's stakers.
    pub stake_price: U64F64,
    /// Yield of the basket's stakers, valued at current prices.
    pub staker_yield: U64F64,
    /// Time-weighted return of the basket's stakers.
    pub staker_twr: U64F64,
    /// Performance index of all baskets.
    pub bag_index: U64F64,
    /// Total-return index of the stakers of all baskets.
    pub stake_index: U64F64,
    /// First block of the price record.
    pub first_block: u64,
    /// Whether the price record is too short to be meaningful.
    pub provisional: bool,
    /// The basket's value at the pools' prices, in rao.
    pub spot_nav_tao: TaoBalance,
    /// Total number of shares.
    pub shares: u64,
    /// Total number of shares in display units.
    pub display_shares: U64F64,
}

/// A page of basket share prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPricingPage {
    /// Prices on this page.
    pub pricing: Vec<BetaPricing>,
    /// Value of `start_after` for the next page; `None` on the last page.
    pub next: Option<AccountId32>,
}

/// A position in a basket, in display units.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BetaPosition {
    /// Hotkey of the validator.
    pub hotkey: AccountId32,
    /// Number of the holder's shares.
    pub beta: u64,
    /// Number of the holder's shares in display units.
    pub display_beta: U64F64,
    /// Price of one share in display units.
    pub display_price: U64F64,
    /// Value of the holder's shares if sold now, in rao.
    pub value_tao: TaoBalance,
    /// Value of the holder's shares at the pools' prices, in rao.
    pub spot_value_tao: TaoBalance,
    /// Whether the price record is too short to be meaningful.
    pub provisional: bool,
}

/// Trading status of a validator's basket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BasketTradingStatus {
    /// Whether trading of baskets is enabled on the chain.
    pub enabled: bool,
    /// Whether trading of this basket is frozen.
    pub frozen: bool,
    /// Number of blocks until the trading budget is full again.
    pub refill_blocks: u64,
    /// Available part of the trading budget, in rao.
    pub tao_available: TaoBalance,
    /// Full trading budget, in rao.
    pub budget_tao: TaoBalance,
}

impl BasketSummary {
    /// Returns the summary of a validator's basket, which is empty if the validator has none.
    pub fn new<T: Config>(hotkey: AccountId32) -> Self {
        let value = Pallet::<T>::basket_value(&hotkey);
        let holding = BasketHolding {
            netuid: NetUid::ROOT,
            alpha: AlphaBalance(value.0),
            spot_tao: value,
            realizable_tao: value,
        };
        Self {
            nav_tao: value,
            spot_nav_tao: value,
            shares: BasketShares::<T>::get(&hotkey),
            deposited_tao: BasketDepositedTao::<T>::get(&hotkey),
            redeemed_tao: BasketRedeemedTao::<T>::get(&hotkey),
            holdings: if value == TaoBalance::ZERO { Vec::new() } else { vec![holding] },
            hotkey,
        }
    }

    /// Returns the summaries of all baskets that have shares.
    pub fn all<T: Config>() -> Vec<Self> {
        BasketShares::<T>::iter_keys().map(Self::new::<T>).collect()
    }
}

impl BasketPosition {
    /// Returns the shares of a coldkey in a validator's basket; `None` if it has none.
    pub fn of<T: Config>(hotkey: AccountId32, coldkey: &AccountId32) -> Option<Self> {
        let beta = Pallet::<T>::shares_of(&hotkey, coldkey);
        let value = Pallet::<T>::value_of_shares(&hotkey, beta);
        (beta > 0).then(|| Self {
            beta,
            beta_total: BasketShares::<T>::get(&hotkey),
            nav_tao: Pallet::<T>::basket_value(&hotkey),
            value_tao: value,
            spot_value_tao: value,
            hotkey,
        })
    }

    /// Returns the shares of a coldkey in all baskets.
    pub fn all<T: Config>(coldkey: &AccountId32) -> Vec<Self> {
        let hotkeys = StakingHotkeys::<T>::get(coldkey).into_iter();
        hotkeys.filter_map(|hotkey| Self::of::<T>(hotkey, coldkey)).collect()
    }
}

/// Returns the value of a coldkey's shares in a validator's basket.
pub fn payout<T: Config>(hotkey: &AccountId32, coldkey: &AccountId32) -> TaoBalance {
    Pallet::<T>::value_of_shares(hotkey, Pallet::<T>::shares_of(hotkey, coldkey))
}

/// Returns the value of a coldkey's shares in all baskets.
pub fn owed<T: Config>(coldkey: &AccountId32) -> TaoBalance {
    let positions = BasketPosition::all::<T>(coldkey).into_iter();
    positions.map(|position| position.value_tao).fold(TaoBalance::ZERO, TaoBalance::saturating_add)
}
