//! Prices of alpha, and what a trade would give.

use codec::{Decode, Encode};
use scale_info::TypeInfo;
use substrate_fixed::types::U64F64;

use crate::subtensor::{Config, Pallet};
use crate::swap::{self, UNIT};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// The price of a subnet's alpha.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetPrice {
    /// The subnet.
    pub netuid: NetUid,
    /// Rao for a whole alpha.
    pub price: u64,
}

/// What a trade would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SimSwapResult {
    /// TAO that changes hands, the fee not included.
    pub tao_amount: TaoBalance,
    /// Alpha that changes hands, the fee not included.
    pub alpha_amount: AlphaBalance,
    /// The fee for buying.
    pub tao_fee: TaoBalance,
    /// The fee for selling.
    pub alpha_fee: AlphaBalance,
    /// TAO lost to the fee and to the trade's own effect on the price.
    pub tao_slippage: TaoBalance,
    /// Alpha lost to the same.
    pub alpha_slippage: AlphaBalance,
}

impl SimSwapResult {
    /// What buying alpha for `tao` would do; nothing where the pool cannot serve that.
    pub fn buying<T: Config>(netuid: NetUid, tao: TaoBalance) -> Self {
        let Ok(trade) = Pallet::<T>::quote_buy(netuid, tao, crate::subtensor::Fee::Charged) else {
            return Self::default();
        };
        let at_price = U64F64::from_num(tao.0).checked_div(Pallet::<T>::alpha_price(netuid));
        Self {
            tao_amount: TaoBalance(trade.traded()),
            alpha_amount: AlphaBalance(trade.received),
            tao_fee: TaoBalance(trade.fee),
            alpha_slippage: AlphaBalance(lost(at_price, trade.received)),
            ..Self::default()
        }
    }

    /// What selling `alpha` would do; nothing where the pool cannot serve that.
    pub fn selling<T: Config>(netuid: NetUid, alpha: AlphaBalance) -> Self {
        let Ok(trade) = Pallet::<T>::quote_sell(netuid, alpha, crate::subtensor::Fee::Charged) else {
            return Self::default();
        };
        let at_price = U64F64::from_num(alpha.0).checked_mul(Pallet::<T>::alpha_price(netuid));
        Self {
            tao_amount: TaoBalance(trade.received),
            alpha_amount: AlphaBalance(trade.traded()),
            alpha_fee: AlphaBalance(trade.fee),
            tao_slippage: TaoBalance(lost(at_price, trade.received)),
            ..Self::default()
        }
    }
}

/// By how much `received` falls short of the whole amount at the price before the trade.
fn lost(at_price: Option<U64F64>, received: u64) -> u64 {
    at_price.map_or(0, |amount| amount.saturating_to_num::<u64>().saturating_sub(received))
}

/// Rao for a whole alpha of a subnet.
pub fn price<T: Config>(netuid: NetUid) -> u64 {
    Pallet::<T>::alpha_price(netuid).saturating_mul(U64F64::from_num(UNIT)).saturating_to_num()
}

/// The fee of trading `amount`; nothing where alpha is not traded on a pool.
pub fn fee<T: Config>(netuid: NetUid, amount: u64) -> u64 {
    if Pallet::<T>::has_pool(netuid) { swap::Pallet::<T>::fee(netuid, amount) } else { 0 }
}
