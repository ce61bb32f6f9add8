//! Refusal of calls that cannot succeed, before they enter a block.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use frame_support::weights::Weight;
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::{AsSystemOriginSigner, Implication, TransactionExtension};
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionValidityError, ValidTransaction,
};

use crate::call_weights::guards;
use crate::mev_shield;
use crate::runtime::{AccountId, Runtime, RuntimeCall, RuntimeOrigin};
use crate::subtensor::{Call, Error, Pallet};

/// Extension that refuses calls of the Subtensor pallet that cannot succeed, and the calls of
/// coldkeys whose swap is announced: clients get the error immediately, and free calls take no
/// block space. It checks what the real chain checks (`pallets/subtensor/src/guards` of
/// opentensor/subtensor at 14bc6f9f), and no more: clients expect all other errors from a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SubtensorTransactionExtension;

impl TransactionExtension<RuntimeCall> for SubtensorTransactionExtension {
    const IDENTIFIER: &'static str = "SubtensorTransactionExtension";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    impl_tx_ext_default!(RuntimeCall; prepare);

    fn weight(&self, call: &RuntimeCall) -> Weight {
        guards::weight_of_call(call)
    }

    fn validate(
        &self,
        origin: RuntimeOrigin,
        call: &RuntimeCall,
        _: &DispatchInfo,
        _: usize,
        (): (),
        _: &impl Implication,
        _: TransactionSource,
    ) -> Result<(ValidTransaction, (), RuntimeOrigin), TransactionValidityError> {
        if let Some(who) = origin.as_system_origin_signer() {
            check_coldkey_swap(who, call)
                .map_err(|error| InvalidTransaction::Custom(error_code(&error)))?;
            if let RuntimeCall::SubtensorModule(call) = call {
                check_call(who, call)
                    .map_err(|error| InvalidTransaction::Custom(error_code(&error)))?;
            }
        }
        Ok((ValidTransaction::default(), (), origin))
    }
}

/// Refuses the calls of a coldkey whose swap is announced, except those that concern the swap, and
/// shielded extrinsics, which are validated again once decrypted.
fn check_coldkey_swap(who: &AccountId, call: &RuntimeCall) -> Result<(), Error<Runtime>> {
    let swap_call = match call {
        RuntimeCall::SubtensorModule(call) => Some(call),
        _ => None,
    };
    match Pallet::<Runtime>::check_coldkey_swap(who, swap_call) {
        Err(Error::ColdkeySwapAnnounced)
            if matches!(
                call,
                RuntimeCall::MevShield(mev_shield::Call::submit_encrypted { .. })
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Validates a call without executing it.
fn check_call(who: &AccountId, call: &Call<Runtime>) -> Result<(), Error<Runtime>> {
    type Subtensor = Pallet<Runtime>;
    match call {
        Call::serve_axon { netuid, ip, port, ip_type, .. }
        | Call::serve_axon_tls { netuid, ip, port, ip_type, .. } => {
            Subtensor::check_axon(who, *netuid, *ip, *port, *ip_type)
        }
        Call::serve_prometheus { netuid, ip, port, ip_type, .. } => {
            Subtensor::check_prometheus(who, *netuid, *ip, *port, *ip_type)
        }
        // The real chain leaves `register_network_with_identity` to the block.
        Call::register_network { .. } => {
            frame_support::ensure!(
                Subtensor::may_create_network(),
                Error::NetworkTxRateLimitExceeded
            );
            Ok(())
        }
        Call::pow_register { netuid, work_block, nonce, work, hotkey } => {
            Subtensor::check_pow_registration(who, *netuid, *work_block, *nonce, work, hotkey)
        }
        Call::associate_evm_key { netuid, .. } => {
            Subtensor::check_evm_association(who, *netuid).map(|_| ())
        }
        Call::decrease_take { hotkey, take } | Call::increase_take { hotkey, take } => {
            Subtensor::precheck_take(who, hotkey, *take)
        }
        call => Subtensor::precheck_weights(who, call),
    }
}

/// Returns the real chain's custom error code for an error.
fn error_code(error: &Error<Runtime>) -> u8 {
    match error {
        Error::ColdkeySwapAnnounced => 0,
        Error::NotEnoughStakeToSetWeights | Error::AmountTooLow => 1,
        Error::NotEnoughBalanceToStake => 2,
        Error::SubnetNotExists => 3,
        Error::HotKeyAccountNotExists => 4,
        Error::NotEnoughStakeToWithdraw => 5,
        Error::SettingWeightsTooFast
        | Error::CommittingWeightsTooFast
        | Error::NetworkTxRateLimitExceeded => 6,
        Error::InsufficientLiquidity => 7,
        Error::SlippageTooHigh => 8,
        Error::TransferDisallowed => 9,
        Error::HotKeyNotRegisteredInNetwork => 10,
        Error::InvalidIpAddress => 11,
        Error::ServingRateLimitExceeded => 12,
        Error::InvalidPort => 13,
        Error::InvalidRevealRound => 15,
        Error::NoWeightsCommitFound | Error::InvalidRevealCommitHashNotMatch => 16,
        Error::RevealTooEarly | Error::ExpiredWeightCommit => 17,
        Error::InputLengthsUnequal => 18,
        Error::HotKeyNotRegisteredInSubNet => 19,
        Error::EvmKeyAssociateRateLimitExceeded => 20,
        Error::ColdkeySwapDisputed => 21,
        Error::NonAssociatedColdKey => 25,
        Error::DelegateTakeTooLow => 26,
        Error::DelegateTakeTooHigh => 27,
        _ => 255,
    }
}

#[cfg(test)]
mod tests;
