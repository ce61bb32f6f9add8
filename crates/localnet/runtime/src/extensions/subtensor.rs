//! Refusal of calls that cannot succeed, before they enter a block.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::{AsSystemOriginSigner, Implication, TransactionExtension};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction};

use crate::runtime::{AccountId, Runtime, RuntimeCall, RuntimeOrigin};
use crate::subtensor::{Call, Error, Pallet};

/// Refuses calls of the Subtensor pallet that cannot succeed: clients get the error at once, and free calls take no
/// block space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SubtensorTransactionExtension;

impl TransactionExtension<RuntimeCall> for SubtensorTransactionExtension {
    const IDENTIFIER: &'static str = "SubtensorTransactionExtension";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    impl_tx_ext_default!(RuntimeCall; weight prepare);

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
        if let (Some(who), RuntimeCall::SubtensorModule(call)) = (origin.as_system_origin_signer(), call) {
            check(who, call).map_err(|error| InvalidTransaction::Custom(code(&error)))?;
        }
        Ok((ValidTransaction::default(), (), origin))
    }
}

/// Validates a call without executing it.
fn check(who: &AccountId, call: &Call<Runtime>) -> Result<(), Error<Runtime>> {
    type Subtensor = Pallet<Runtime>;
    match call {
        Call::serve_axon { netuid, ip, port, ip_type, .. } | Call::serve_axon_tls { netuid, ip, port, ip_type, .. } => {
            Subtensor::check_axon(who, *netuid, *ip, *port, *ip_type)
        }
        Call::serve_prometheus { netuid, ip, port, ip_type, .. } => {
            Subtensor::check_prometheus(who, *netuid, *ip, *port, *ip_type)
        }
        Call::register_network { .. } | Call::register_network_with_identity { .. } => {
            frame_support::ensure!(Subtensor::may_create_network(), Error::NetworkTxRateLimitExceeded);
            Ok(())
        }
        Call::decrease_take { hotkey, take } => Subtensor::check_decrease_take(who, hotkey, *take),
        Call::increase_take { hotkey, take } => Subtensor::check_increase_take(who, hotkey, *take),
        call => Subtensor::precheck_weights(who, call),
    }
}

/// Returns the real chain's custom error code for an error.
fn code(error: &Error<Runtime>) -> u8 {
    match error {
        Error::NotEnoughStakeToSetWeights | Error::AmountTooLow => 1,
        Error::NotEnoughBalanceToStake => 2,
        Error::SubnetNotExists => 3,
        Error::HotKeyAccountNotExists => 4,
        Error::NotEnoughStakeToWithdraw => 5,
        Error::SettingWeightsTooFast
        | Error::CommittingWeightsTooFast
        | Error::NetworkTxRateLimitExceeded
        | Error::DelegateTxRateLimitExceeded => 6,
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
        Error::WeightVecNotEqualSize | Error::InputLengthsUnequal => 18,
        Error::HotKeyNotRegisteredInSubNet => 19,
        Error::NonAssociatedColdKey => 25,
        Error::DelegateTakeTooLow => 26,
        Error::DelegateTakeTooHigh => 27,
        _ => 255,
    }
}

#[cfg(test)]
mod tests;
