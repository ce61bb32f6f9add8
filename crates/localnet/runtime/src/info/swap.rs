//! Alpha prices and simulated trades.

use codec::{Decode, Encode};
use scale_info::TypeInfo;
use substrate_fixed::types::U64F64;

use crate::subtensor::{Config, Pallet};
use crate::swap::{self, UNIT};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// The price of a subnet's alpha.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetPrice {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// Price of one alpha, in rao.
    pub price: u64,
}

/// Result of a simulated trade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SimSwapResult {
    /// TAO traded, excluding the fee.
    pub tao_amount: TaoBalance,
    /// Alpha traded, excluding the fee.
    pub alpha_amount: AlphaBalance,
    /// Fee of a purchase, in rao.
    pub tao_fee: TaoBalance,
    /// Fee of a sale, in alpha.
    pub alpha_fee: AlphaBalance,
    /// TAO that a sale loses to the fee and to the price impact.
    pub tao_slippage: TaoBalance,
    /// Alpha that a purchase loses to the fee and to the price impact.
    pub alpha_slippage: AlphaBalance,
}

impl SimSwapResult {
    /// Simulates a purchase of alpha for `tao`; all zero if the pool cannot execute it.
    pub fn quote_buy<T: Config>(netuid: NetUid, tao: TaoBalance) -> Self {
        let Ok(trade) = Pallet::<T>::quote_buy(netuid, tao, crate::subtensor::Fee::Charged) else {
            return Self::default();
        };
        let amount_at_price = U64F64::from_num(tao.0).checked_div(Pallet::<T>::alpha_price(netuid));
        Self {
            tao_amount: TaoBalance(trade.traded()),
            alpha_amount: AlphaBalance(trade.received),
            tao_fee: TaoBalance(trade.fee),
            alpha_slippage: AlphaBalance(slippage(amount_at_price, trade.received)),
            ..Self::default()
        }
    }

    /// Simulates a sale of `alpha`; all zero if the pool cannot execute it.
    pub fn quote_sell<T: Config>(netuid: NetUid, alpha: AlphaBalance) -> Self {
        let Ok(trade) = Pallet::<T>::quote_sell(netuid, alpha, crate::subtensor::Fee::Charged)
        else {
            return Self::default();
        };
        let amount_at_price =
            U64F64::from_num(alpha.0).checked_mul(Pallet::<T>::alpha_price(netuid));
        Self {
            tao_amount: TaoBalance(trade.received),
            alpha_amount: AlphaBalance(trade.traded()),
            alpha_fee: AlphaBalance(trade.fee),
            tao_slippage: TaoBalance(slippage(amount_at_price, trade.received)),
            ..Self::default()
        }
    }
}

/// Returns the slippage: the amount at the price before the trade, minus `received`.
fn slippage(amount_at_price: Option<U64F64>, received: u64) -> u64 {
    amount_at_price.map_or(0, |amount| amount.saturating_to_num::<u64>().saturating_sub(received))
}

/// Returns the price of one alpha of a subnet, in rao.
pub fn price<T: Config>(netuid: NetUid) -> u64 {
    Pallet::<T>::alpha_price(netuid).saturating_mul(U64F64::from_num(UNIT)).saturating_to_num()
}

/// Returns the fee for trading `amount`, in units of `amount`; zero for subnets without a pool.
pub fn fee<T: Config>(netuid: NetUid, amount: u64) -> u64 {
    if Pallet::<T>::has_pool(netuid) { swap::Pallet::<T>::fee(netuid, amount) } else { 0 }
}
