//! Refusal of calls that replace the native code, including nested calls.

use std::sync::LazyLock;

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::storage::storage_prefix;
use scale_info::TypeInfo;
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionValidityError, ValidTransaction,
};

use crate::runtime::{Runtime, RuntimeCall, RuntimeOrigin};

/// Extension that refuses calls that replace the native code, or set storage without which no block
/// can be built. A call filter does not suffice, because the sudo key bypasses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SudoTransactionExtension;

validating_extension!(SudoTransactionExtension);

impl SudoTransactionExtension {
    fn check(
        _: &RuntimeOrigin,
        call: &RuntimeCall,
    ) -> Result<ValidTransaction, TransactionValidityError> {
        if changes_critical_storage(call) {
            return Err(InvalidTransaction::Call.into());
        }
        Ok(ValidTransaction::default())
    }
}

/// Storage keys of the header of the block that is being built.
static HEADER_KEYS: LazyLock<[[u8; 32]; 3]> = LazyLock::new(|| {
    [b"Number".as_slice(), b"ParentHash", b"Digest"].map(|item| storage_prefix(b"System", item))
});

/// Whether a storage key is that of the code, of another item outside of the pallets, or of the
/// block's header.
fn is_critical_key(key: &[u8]) -> bool {
    key.is_empty()
        || key.starts_with(b":")
        || HEADER_KEYS.iter().any(|header_key| header_key == key)
}

/// Whether a prefix of storage keys includes critical ones.
fn is_critical_prefix(prefix: &[u8]) -> bool {
    is_critical_key(prefix) || HEADER_KEYS.iter().any(|header_key| header_key.starts_with(prefix))
}

/// Whether a call, or a call nested in it, replaces the code, or sets storage without which no
/// block can be built.
fn changes_critical_storage(call: &RuntimeCall) -> bool {
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
            | System::set_heap_pages { .. },
        ) => true,
        RuntimeCall::System(System::set_storage { items }) => {
            items.iter().any(|(key, _)| is_critical_key(key))
        }
        RuntimeCall::System(System::kill_storage { keys }) => {
            keys.iter().any(|key| is_critical_key(key))
        }
        RuntimeCall::System(System::kill_prefix { prefix, .. }) => is_critical_prefix(prefix),
        RuntimeCall::Sudo(
            Sudo::<Runtime>::sudo { call }
            | Sudo::sudo_unchecked_weight { call, .. }
            | Sudo::sudo_as { call, .. },
        )
        | RuntimeCall::Utility(
            Utility::as_derivative { call, .. }
            | Utility::dispatch_as { call, .. }
            | Utility::dispatch_as_fallible { call, .. }
            | Utility::with_weight { call, .. },
        )
        | RuntimeCall::Multisig(
            Multisig::as_multi_threshold_1 { call, .. } | Multisig::as_multi { call, .. },
        )
        | RuntimeCall::Scheduler(
            Scheduler::schedule { call, .. }
            | Scheduler::schedule_named { call, .. }
            | Scheduler::schedule_after { call, .. }
            | Scheduler::schedule_named_after { call, .. },
        )
        | RuntimeCall::Proxy(Proxy::proxy { call, .. } | Proxy::proxy_announced { call, .. })
        | RuntimeCall::Crowdloan(Crowdloan::create { call: Some(call), .. }) => {
            changes_critical_storage(call)
        }
        RuntimeCall::Utility(
            Utility::batch { calls }
            | Utility::batch_all { calls }
            | Utility::force_batch { calls },
        ) => calls.iter().any(changes_critical_storage),
        RuntimeCall::Utility(Utility::if_else { main, fallback }) => {
            changes_critical_storage(main) || changes_critical_storage(fallback)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use sp_runtime::MultiAddress;

    use super::*;
    use crate::testing::key;

    #[test]
    fn only_changes_of_vital_storage_are_refused() {
        use frame_system::Call as System;

        let number = storage_prefix(b"System", b"Number");
        let tempo = crate::subtensor::Tempo::<Runtime>::hashed_key_for(crate::types::NetUid(1));
        let set =
            |key: &[u8]| System::<Runtime>::set_storage { items: vec![(key.to_vec(), vec![1])] };
        let kill = |key: &[u8]| System::<Runtime>::kill_storage { keys: vec![key.to_vec()] };
        let prefix =
            |key: &[u8]| System::<Runtime>::kill_prefix { prefix: key.to_vec(), subkeys: 9 };
        let is_refused = |call: System<Runtime>| {
            let by_root = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call.into()) };
            changes_critical_storage(&by_root.into())
        };
        for key in [&b""[..], b":code", b":slot_duration", &number] {
            assert!(
                is_refused(set(key)) && is_refused(kill(key)) && is_refused(prefix(key)),
                "{key:?}"
            );
        }
        assert!(is_refused(prefix(&number[..16])) && !is_refused(set(&number[..16])));
        for key in
            [&tempo[..], &frame_system::Account::<Runtime>::hashed_key_for(key(1)), b"unknown"]
        {
            assert!(
                !is_refused(set(key)) && !is_refused(kill(key)) && !is_refused(prefix(key)),
                "{key:?}"
            );
        }
    }

    #[test]
    fn nested_call_that_replaces_the_code_is_refused() {
        let forbidden =
            || Box::new(RuntimeCall::from(frame_system::Call::set_code { code: vec![1] }));
        let harmless =
            || Box::new(RuntimeCall::from(frame_system::Call::remark { remark: vec![1] }));
        let wrapped = |call: &dyn Fn() -> Box<RuntimeCall>| -> Vec<RuntimeCall> {
            let real = || MultiAddress::Id(key(1));
            let (maybe_periodic, priority) = (None, 0);
            vec![
                crate::proxy::Call::<Runtime>::proxy {
                    real: real(),
                    force_proxy_type: None,
                    call: call(),
                }
                .into(),
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
                pallet_multisig::Call::<Runtime>::as_multi_threshold_1 {
                    other_signatories: vec![],
                    call: call(),
                }
                .into(),
                pallet_multisig::Call::<Runtime>::as_multi {
                    threshold: 2,
                    other_signatories: vec![],
                    maybe_timepoint: None,
                    call: call(),
                    max_weight: frame_support::weights::Weight::zero(),
                }
                .into(),
                pallet_scheduler::Call::<Runtime>::schedule {
                    when: 9,
                    maybe_periodic,
                    priority,
                    call: call(),
                }
                .into(),
                pallet_scheduler::Call::<Runtime>::schedule_after {
                    after: 9,
                    maybe_periodic,
                    priority,
                    call: call(),
                }
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
            assert!(changes_critical_storage(&call), "{call:?}");
            let by_root = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call) };
            assert!(changes_critical_storage(
                &pallet_utility::Call::<Runtime>::batch { calls: vec![by_root.into()] }.into()
            ));
        }
        for call in wrapped(&harmless) {
            assert!(!changes_critical_storage(&call), "{call:?}");
        }
    }
}
