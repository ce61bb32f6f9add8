//! Default values of types other than integers.

use frame_support::traits::Get;
use sp_runtime::{AccountId32, PerU16};
use substrate_fixed::types::{I96F32, U64F64};

use super::types::ConsensusMode;
use crate::types::{MechId, TaoBalance};

/// A constant amount of TAO, in rao.
pub struct ConstTao<const RAO: u64>;
impl<const RAO: u64> Get<TaoBalance> for ConstTao<RAO> {
    fn get() -> TaoBalance {
        TaoBalance(RAO)
    }
}

/// A constant [`PerU16`], in parts of 65 535.
pub struct ConstPerU16<const PARTS: u16>;
impl<const PARTS: u16> Get<PerU16> for ConstPerU16<PARTS> {
    fn get() -> PerU16 {
        PerU16::from_parts(PARTS)
    }
}

/// A constant fixed-point number, in parts of 2⁶⁴.
pub struct ConstU64F64<const BITS: u128>;
impl<const BITS: u128> Get<U64F64> for ConstU64F64<BITS> {
    fn get() -> U64F64 {
        U64F64::from_bits(BITS)
    }
}

/// A constant number of mechanisms.
pub struct ConstMechId<const NUMBER: u8>;
impl<const NUMBER: u8> Get<MechId> for ConstMechId<NUMBER> {
    fn get() -> MechId {
        MechId(NUMBER)
    }
}

/// The zero account, which represents no account.
pub struct DefaultAccount<T>(core::marker::PhantomData<T>);
impl<T> Get<AccountId32> for DefaultAccount<T> {
    fn get() -> AccountId32 {
        AccountId32::new([0; 32])
    }
}

/// Default smoothing factor of the subnets' moving prices: 3 · 10⁻⁶.
pub struct DefaultSubnetMovingAlpha;
impl Get<I96F32> for DefaultSubnetMovingAlpha {
    fn get() -> I96F32 {
        I96F32::from_bits(12_885)
    }
}

/// Default symbol of a subnet's alpha.
pub struct DefaultTokenSymbol;
impl Get<Vec<u8>> for DefaultTokenSymbol {
    fn get() -> Vec<u8> {
        "\u{1d70f}".into()
    }
}

/// Default bounds of liquid alpha: 0.7 and 0.9.
pub struct DefaultAlphaValues;
impl Get<(u16, u16)> for DefaultAlphaValues {
    fn get() -> (u16, u16) {
        (45_875, 58_982)
    }
}

/// Default steepness of liquid alpha's curve: 1 000 hundredths.
pub struct DefaultAlphaSigmoidSteepness;
impl Get<i16> for DefaultAlphaSigmoidSteepness {
    fn get() -> i16 {
        1_000
    }
}

/// Default consensus mode of liquid alpha.
pub struct DefaultLiquidAlphaConsensusMode;
impl Get<ConsensusMode> for DefaultLiquidAlphaConsensusMode {
    fn get() -> ConsensusMode {
        ConsensusMode::Auto
    }
}

/// Default factor by which a registration raises the registration price: 1.26.
pub struct DefaultBurnIncreaseMult;
impl Get<U64F64> for DefaultBurnIncreaseMult {
    fn get() -> U64F64 {
        U64F64::from_bits(23_242_897_532_874_035_200)
    }
}

/// Default minimum claim of root dividends: 500 000 billionths of an alpha.
pub struct DefaultRootClaimableThreshold;
impl Get<I96F32> for DefaultRootClaimableThreshold {
    fn get() -> I96F32 {
        I96F32::from_num(500_000)
    }
}
