//! Refusal of calls that replace the native code or write to storage directly, including nested calls.

use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction};

use crate::runtime::{Runtime, RuntimeCall, RuntimeOrigin};

/// Extension that refuses calls that replace the native code or write to storage directly. A call filter does not
/// suffice, because the sudo key bypasses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SudoTransactionExtension;

validating_extension!(SudoTransactionExtension);

impl SudoTransactionExtension {
    fn check(_: &RuntimeOrigin, call: &RuntimeCall) -> Result<ValidTransaction, TransactionValidityError> {
        if rewrites_the_chain(call) {
            return Err(InvalidTransaction::Call.into());
        }
        Ok(ValidTransaction::default())
    }
}

/// Whether a call, or a call nested in it, replaces the code or writes to storage directly.
fn rewrites_the_chain(call: &RuntimeCall) -> bool {
    use frame_system::Call as System;
    use pallet_multisig::Call as Multisig;
    use pallet_scheduler::Call as Scheduler;
    use pallet_sudo::Call as Sudo;
    use pallet_utility::Call as Utility;

    use crate::crowdloan::Call as Crowdloan;
    use crate::proxy::Call as Proxy;
    match call {
        RuntimeCall::System(
            System::set_code { .. }
            | System::set_code_without_checks { .. }
            | System::authorize_upgrade { .. }
            | System::authorize_upgrade_without_checks { .. }
            | System::apply_authorized_upgrade { .. }
            | System::set_heap_pages { .. }
            | System::set_storage { .. }
            | System::kill_storage { .. }
            | System::kill_prefix { .. },
        ) => true,
        RuntimeCall::Sudo(
            Sudo::<Runtime>::sudo { call } | Sudo::sudo_unchecked_weight { call, .. } | Sudo::sudo_as { call, .. },
        )
        | RuntimeCall::Utility(
            Utility::as_derivative { call, .. }
            | Utility::dispatch_as { call, .. }
            | Utility::dispatch_as_fallible { call, .. }
            | Utility::with_weight { call, .. },
        )
        | RuntimeCall::Multisig(Multisig::as_multi_threshold_1 { call, .. } | Multisig::as_multi { call, .. })
        | RuntimeCall::Scheduler(
            Scheduler::schedule { call, .. }
            | Scheduler::schedule_named { call, .. }
            | Scheduler::schedule_after { call, .. }
            | Scheduler::schedule_named_after { call, .. },
        )
        | RuntimeCall::Proxy(Proxy::proxy { call, .. } | Proxy::proxy_announced { call, .. }) => {
            rewrites_the_chain(call)
        }
        RuntimeCall::Utility(
            Utility::batch { calls } | Utility::batch_all { calls } | Utility::force_batch { calls },
        ) => calls.iter().any(rewrites_the_chain),
        RuntimeCall::Utility(Utility::if_else { main, fallback }) => {
            rewrites_the_chain(main) || rewrites_the_chain(fallback)
        }
        RuntimeCall::Crowdloan(Crowdloan::create { call: Some(call), .. }) => rewrites_the_chain(call),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use sp_runtime::MultiAddress;

    use super::*;
    use crate::testing::key;

    #[test]
    fn no_call_hides_a_call_that_replaces_the_code() {
        let forbidden = || Box::new(RuntimeCall::from(frame_system::Call::set_code { code: vec![1] }));
        let harmless = || Box::new(RuntimeCall::from(frame_system::Call::remark { remark: vec![1] }));
        let wrapped = |call: &dyn Fn() -> Box<RuntimeCall>| -> Vec<RuntimeCall> {
            let real = || MultiAddress::Id(key(1));
            let (maybe_periodic, priority) = (None, 0);
            vec![
                crate::proxy::Call::<Runtime>::proxy { real: real(), force_proxy_type: None, call: call() }.into(),
                crate::proxy::Call::<Runtime>::proxy_announced {
                    delegate: real(),
                    real: real(),
                    force_proxy_type: None,
                    call: call(),
                }
                .into(),
                crate::crowdloan::Call::<Runtime>::create {
                    deposit: 0.into(),
                    min_contribution: 0.into(),
                    cap: 0.into(),
                    end: 0,
                    call: Some(call()),
                    target_address: None,
                }
                .into(),
                pallet_multisig::Call::<Runtime>::as_multi_threshold_1 { other_signatories: vec![], call: call() }
                    .into(),
                pallet_multisig::Call::<Runtime>::as_multi {
                    threshold: 2,
                    other_signatories: vec![],
                    maybe_timepoint: None,
                    call: call(),
                    max_weight: frame_support::weights::Weight::zero(),
                }
                .into(),
                pallet_scheduler::Call::<Runtime>::schedule { when: 9, maybe_periodic, priority, call: call() }.into(),
                pallet_scheduler::Call::<Runtime>::schedule_after { after: 9, maybe_periodic, priority, call: call() }
                    .into(),
                pallet_scheduler::Call::<Runtime>::schedule_named {
                    id: [1; 32],
                    when: 9,
                    maybe_periodic,
                    priority,
                    call: call(),
                }
                .into(),
                pallet_scheduler::Call::<Runtime>::schedule_named_after {
                    id: [1; 32],
                    after: 9,
                    maybe_periodic,
                    priority,
                    call: call(),
                }
                .into(),
            ]
        };
        for call in wrapped(&forbidden) {
            assert!(rewrites_the_chain(&call), "{call:?}");
            let by_root = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call) };
            assert!(rewrites_the_chain(&pallet_utility::Call::<Runtime>::batch { calls: vec![by_root.into()] }.into()));
        }
        for call in wrapped(&harmless) {
            assert!(!rewrites_the_chain(&call), "{call:?}");
        }
    }
}
