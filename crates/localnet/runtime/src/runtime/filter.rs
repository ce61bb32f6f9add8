//! Filters of calls for signed origins. Root origins bypass them.

use frame_support::parameter_types;
use frame_support::traits::Contains;
use frame_system::{EnsureRoot, EnsureRootWithSuccess};
use pallet_utility::Call as Utility;

use super::{
    AccountId, Balance, Balances, BlockNumber, Runtime, RuntimeCall, RuntimeEvent,
    RuntimeHoldReason,
};
use crate::{commitments, subtensor};

/// Call filter that refuses nested batches, as on the real chain.
#[derive(Debug)]
pub struct CallFilter;

impl Contains<RuntimeCall> for CallFilter {
    fn contains(call: &RuntimeCall) -> bool {
        batched_calls(call)
            .is_none_or(|calls| calls.iter().all(|call| batched_calls(call).is_none()))
    }
}

/// Returns the calls of a batch; `None` for any other call.
fn batched_calls(call: &RuntimeCall) -> Option<&[RuntimeCall]> {
    match call {
        RuntimeCall::Utility(
            Utility::batch { calls }
            | Utility::batch_all { calls }
            | Utility::force_batch { calls },
        ) => Some(calls),
        _ => None,
    }
}

/// Call filter of safe mode: the calls that remain allowed.
#[derive(Debug)]
pub struct SafeModeCalls;

impl Contains<RuntimeCall> for SafeModeCalls {
    fn contains(call: &RuntimeCall) -> bool {
        use commitments::Call as Commitments;
        use subtensor::Call as Subtensor;
        matches!(
            call,
            RuntimeCall::Sudo(_)
                | RuntimeCall::Multisig(_)
                | RuntimeCall::System(_)
                | RuntimeCall::SafeMode(_)
                | RuntimeCall::Timestamp(_)
                | RuntimeCall::SubtensorModule(
                    Subtensor::set_weights { .. } | Subtensor::serve_axon { .. }
                )
                | RuntimeCall::Commitments(Commitments::set_commitment { .. })
        )
    }
}

parameter_types! {
    /// Duration for which users may enter or extend safe mode: 0, so they cannot.
    pub const NoDuration: BlockNumber = 0;
    /// Deposit for entering safe mode as a user: `None`, which disables it.
    pub const NoDeposit: Option<Balance> = None;
    /// Number of blocks after which such deposits are returned: `None`, which means never.
    pub const NoRelease: Option<BlockNumber> = None;
    /// Duration of safe mode entered by root, in blocks: 24 hours on the real chain.
    pub const EnterDuration: BlockNumber = 7_200;
    /// Duration by which root extends safe mode, in blocks: 12 hours on the real chain.
    pub const ExtendDuration: BlockNumber = 3_600;
}

impl pallet_safe_mode::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type WhitelistedCalls = SafeModeCalls;
    type EnterDuration = NoDuration;
    type ExtendDuration = NoDuration;
    type EnterDepositAmount = NoDeposit;
    type ExtendDepositAmount = NoDeposit;
    type ForceEnterOrigin = EnsureRootWithSuccess<AccountId, EnterDuration>;
    type ForceExtendOrigin = EnsureRootWithSuccess<AccountId, ExtendDuration>;
    type ForceExitOrigin = EnsureRoot<AccountId>;
    type ForceDepositOrigin = EnsureRoot<AccountId>;
    type Notify = ();
    type ReleaseDelay = NoRelease;
    type WeightInfo = ();
}

#[cfg(test)]
mod tests;
