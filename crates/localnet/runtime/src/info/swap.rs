//! Prices of alpha, and what a trade would give.

use codec::{Decode, Encode};
use scale_info::TypeInfo;

use crate::subtensor::{Config, Pallet};
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
    /// TAO lost to the trade's own effect on the price.
    pub tao_slippage: TaoBalance,
    /// Alpha lost to it.
    pub alpha_slippage: AlphaBalance,
}

/// Rao for a whole alpha of a subnet.
pub fn price<T: Config>(netuid: NetUid) -> u64 {
    Pallet::<T>::alpha_price(netuid).saturating_mul(RAO_PER_TAO).saturating_to_num()
}
