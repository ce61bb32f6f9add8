//! Fees in alpha: the sender of a call that spends stake on one hotkey and subnet pays with that
//! stake if it lacks TAO.
//!
//! As on the real chain (its published source, spec version 425), the alpha is sold before the call
//! for the block's author, without a trading fee, and the fee is not reduced after the call.

#[cfg(test)]
mod tests;

use frame_support::dispatch::DispatchInfo;
use frame_support::traits::fungible::Credit;
use frame_support::traits::{Get, NoDrop};
use pallet_transaction_payment::{FungibleAdapter, OnChargeTransaction, TxCreditHold};
use sp_runtime::DispatchError;
use sp_runtime::traits::PostDispatchInfoOf;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};

use super::{AuthorAccount, ToAuthor};
use crate::runtime::{AccountId, Balances, Runtime, RuntimeCall, SubtensorModule};
use crate::subtensor::{self, Call, Fee, SubtokenEnabled};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

type TaoFeeAdapter = FungibleAdapter<Balances, ToAuthor>;

/// Charges the fees of signed extrinsics in TAO, or in alpha if the sender lacks TAO, and pays them
/// to the block's author.
pub struct ChargeInTaoOrAlpha;

/// The fee that was withdrawn before a call.
pub enum WithdrawnFee {
    /// TAO.
    Tao(<TaoFeeAdapter as OnChargeTransaction<Runtime>>::LiquidityInfo),
    /// Stake that was sold.
    Alpha {
        /// Subnet of the stake.
        netuid: NetUid,
        /// Alpha that was sold.
        alpha_fee: AlphaBalance,
        /// TAO that the block's author received.
        tao_amount: TaoBalance,
    },
}

impl Default for WithdrawnFee {
    fn default() -> Self {
        Self::Tao(None)
    }
}

impl TxCreditHold<Runtime> for ChargeInTaoOrAlpha {
    type Credit = NoDrop<Credit<AccountId, Balances>>;
}

impl OnChargeTransaction<Runtime> for ChargeInTaoOrAlpha {
    type Balance = u64;
    type LiquidityInfo = WithdrawnFee;

    fn withdraw_fee(
        who: &AccountId,
        call: &RuntimeCall,
        info: &DispatchInfo,
        fee: u64,
        tip: u64,
    ) -> Result<WithdrawnFee, TransactionValidityError> {
        match <TaoFeeAdapter as OnChargeTransaction<Runtime>>::withdraw_fee(
            who, call, info, fee, tip,
        ) {
            Ok(credit) => Ok(WithdrawnFee::Tao(credit)),
            Err(error) => {
                let stake = spent_stake(who, call).ok_or(error)?;
                stake.sell(TaoBalance(fee)).map_err(|_| InvalidTransaction::Payment.into())
            }
        }
    }

    fn can_withdraw_fee(
        who: &AccountId,
        call: &RuntimeCall,
        info: &DispatchInfo,
        fee: u64,
        tip: u64,
    ) -> Result<(), TransactionValidityError> {
        let tao_result = <TaoFeeAdapter as OnChargeTransaction<Runtime>>::can_withdraw_fee(
            who, call, info, fee, tip,
        );
        tao_result.or_else(|error| {
            let stake = spent_stake(who, call).filter(|stake| {
                stake.amount() >= SubtensorModule::alpha_for_tao(stake.netuid, TaoBalance(fee))
            });
            stake.map(drop).ok_or(error)
        })
    }

    fn correct_and_deposit_fee(
        who: &AccountId,
        info: &DispatchInfo,
        post_info: &PostDispatchInfoOf<RuntimeCall>,
        fee: u64,
        tip: u64,
        withdrawn: WithdrawnFee,
    ) -> Result<(), TransactionValidityError> {
        match withdrawn {
            WithdrawnFee::Tao(credit) => {
                <TaoFeeAdapter as OnChargeTransaction<Runtime>>::correct_and_deposit_fee(
                    who, info, post_info, fee, tip, credit,
                )
            }
            WithdrawnFee::Alpha { netuid, alpha_fee, tao_amount } => {
                let who = who.clone();
                let event = subtensor::Event::TransactionFeePaidWithAlpha {
                    who,
                    netuid,
                    alpha_fee,
                    tao_amount,
                };
                SubtensorModule::deposit_event(event);
                Ok(())
            }
        }
    }
}

/// The stake of a coldkey on a hotkey and subnet.
#[derive(Clone, Copy)]
struct Stake<'a> {
    coldkey: &'a AccountId,
    hotkey: &'a AccountId,
    netuid: NetUid,
}

impl Stake<'_> {
    fn amount(self) -> AlphaBalance {
        SubtensorModule::stake_of(self.hotkey, self.coldkey, self.netuid)
    }

    /// Sells alpha for a fee, at most the complete stake. Without an author of the block, nothing
    /// is sold.
    ///
    /// # Errors
    /// The errors of [`subtensor::Pallet::quote_sell`], before any change of the state.
    fn sell(self, fee: TaoBalance) -> Result<WithdrawnFee, DispatchError> {
        let Some(author) = AuthorAccount::get() else { return Ok(WithdrawnFee::default()) };
        let (stake, needed_alpha) =
            (self.amount(), SubtensorModule::alpha_for_tao(self.netuid, fee));
        let alpha_fee =
            if needed_alpha == AlphaBalance::ZERO { stake } else { needed_alpha.min(stake) };
        let tao_amount = SubtensorModule::sell_for(
            &author,
            self.hotkey,
            self.coldkey,
            self.netuid,
            alpha_fee,
            Fee::Waived,
        )?;
        Ok(WithdrawnFee::Alpha { netuid: self.netuid, alpha_fee, tao_amount })
    }
}

/// Returns the stake with which a call can pay its fee: the one that it spends, if that is on a
/// single subnet.
fn spent_stake<'a>(coldkey: &'a AccountId, call: &'a RuntimeCall) -> Option<Stake<'a>> {
    let RuntimeCall::SubtensorModule(call) = call else { return None };
    let (hotkey, netuid) = match call {
        Call::remove_stake { hotkey, netuid, .. }
        | Call::remove_stake_limit { hotkey, netuid, .. }
        | Call::remove_stake_full_limit { hotkey, netuid, .. }
        | Call::recycle_alpha { hotkey, netuid, .. }
        | Call::burn_alpha { hotkey, netuid, .. }
        | Call::move_stake { origin_hotkey: hotkey, origin_netuid: netuid, .. }
        | Call::transfer_stake { hotkey, origin_netuid: netuid, .. }
        | Call::swap_stake { hotkey, origin_netuid: netuid, .. }
        | Call::swap_stake_limit { hotkey, origin_netuid: netuid, .. } => (hotkey, *netuid),
        Call::unstake_all { hotkey } | Call::unstake_all_alpha { hotkey } => {
            let netuids = SubtensorModule::all_netuids().into_iter().filter(|netuid| {
                SubtokenEnabled::<Runtime>::get(netuid)
                    && SubtensorModule::stake_of(hotkey, coldkey, *netuid) != AlphaBalance::ZERO
            });
            let netuids: Vec<_> = netuids.take(2).collect();
            let [netuid] = netuids[..] else { return None };
            (hotkey, netuid)
        }
        _ => return None,
    };
    Some(Stake { coldkey, hotkey, netuid })
}
