//! Checks before a call of a signed extrinsic: the real chain adds their weight to that of the
//! call, and to that of each call within it.

use super::{Weight, weight};
use crate::runtime::{Runtime, RuntimeCall};
use crate::{crowdloan, proxy, subtensor};

// Execution time in picoseconds, proof size in bytes, reads, writes.
weights! {
    coldkey_swap: 10_000_000, 4_198, 2, 0;
    weight_setting: 30_000_000, 7_671, 11, 0;
    rate_limits: 20_000_000, 4_484, 7, 0;
    delegate_take: 9_000_000, 4_186, 3, 0;
    endpoints: 11_000_000, 4_112, 3, 0;
    evm_key: 9_000_000, 4_117, 2, 0;
}

/// Returns the weight of the checks before a call, and before the calls within it whose weights it
/// includes.
pub(crate) fn weight_of_call(call: &RuntimeCall) -> Weight {
    let call_weight = match call {
        RuntimeCall::SubtensorModule(call) => {
            coldkey_swap().saturating_add(weight_of_subtensor_call(call))
        }
        _ => coldkey_swap(),
    };
    inner_calls(call)
        .into_iter()
        .fold(call_weight, |sum, inner| sum.saturating_add(weight_of_call(inner)))
}

fn weight_of_subtensor_call(call: &subtensor::Call<Runtime>) -> Weight {
    use subtensor::Call;
    match call {
        Call::set_weights { .. }
        | Call::set_mechanism_weights { .. }
        | Call::commit_weights { .. }
        | Call::commit_mechanism_weights { .. } => weight_setting().saturating_add(rate_limits()),
        Call::batch_set_weights { .. }
        | Call::batch_commit_weights { .. }
        | Call::batch_reveal_weights { .. }
        | Call::reveal_weights { .. }
        | Call::reveal_mechanism_weights { .. }
        | Call::commit_timelocked_weights { .. }
        | Call::commit_timelocked_mechanism_weights { .. }
        | Call::commit_crv3_mechanism_weights { .. } => weight_setting(),
        Call::register_network { .. } => rate_limits(),
        Call::increase_take { .. } | Call::decrease_take { .. } => delegate_take(),
        Call::serve_axon { .. } | Call::serve_axon_tls { .. } | Call::serve_prometheus { .. } => {
            endpoints()
        }
        Call::associate_evm_key { .. } => evm_key(),
        _ => Weight::zero(),
    }
}

/// Returns the calls whose weights the weight of this call includes.
fn inner_calls(call: &RuntimeCall) -> Vec<&RuntimeCall> {
    use pallet_multisig::Call as Multisig;
    use pallet_sudo::Call as Sudo;
    use pallet_utility::Call as Utility;
    match call {
        RuntimeCall::Utility(
            Utility::batch { calls }
            | Utility::batch_all { calls }
            | Utility::force_batch { calls },
        ) => calls.iter().collect(),
        RuntimeCall::Utility(Utility::if_else { main, fallback }) => vec![&**main, &**fallback],
        RuntimeCall::Utility(
            Utility::as_derivative { call, .. }
            | Utility::dispatch_as { call, .. }
            | Utility::dispatch_as_fallible { call, .. },
        )
        | RuntimeCall::Sudo(Sudo::<Runtime>::sudo { call } | Sudo::sudo_as { call, .. })
        | RuntimeCall::Multisig(Multisig::as_multi_threshold_1 { call, .. })
        | RuntimeCall::Proxy(
            proxy::Call::proxy { call, .. } | proxy::Call::proxy_announced { call, .. },
        )
        | RuntimeCall::Crowdloan(crowdloan::Call::create { call: Some(call), .. }) => vec![&**call],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use frame_support::dispatch::GetDispatchInfo;

    use super::*;
    use crate::subtensor::Call;
    use crate::types::NetUid;

    fn serve() -> RuntimeCall {
        let (netuid, version, ip, port, ip_type) = (NetUid(1), 1, 1, 1, 4);
        Call::<Runtime>::serve_prometheus { netuid, version, ip, port, ip_type }.into()
    }

    #[test]
    fn nested_calls_are_weighed() {
        let remark: RuntimeCall =
            frame_system::Call::<Runtime>::remark { remark: Vec::new() }.into();
        assert_eq!(weight_of_call(&remark), Weight::from_parts(60_000_000, 4_198));
        let served = Weight::from_parts(60_000_000 + 86_000_000, 4_198 + 4_112);
        assert_eq!(weight_of_call(&serve()), served);
        let batch: RuntimeCall =
            pallet_utility::Call::<Runtime>::batch { calls: vec![remark.clone(), serve()] }.into();
        let in_batch = weight_of_call(&remark).saturating_mul(2).saturating_add(served);
        assert_eq!(weight_of_call(&batch), in_batch);
        let sudo: RuntimeCall = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(batch) }.into();
        assert_eq!(weight_of_call(&sudo), in_batch.saturating_add(coldkey_swap()));
    }

    #[test]
    fn declared_weight_replaces_weight_of_nested_call() {
        let call = Box::new(serve());
        let weight = Weight::from_parts(5, 6);
        for declared in [
            RuntimeCall::from(pallet_utility::Call::<Runtime>::with_weight {
                call: call.clone(),
                weight,
            }),
            pallet_sudo::Call::<Runtime>::sudo_unchecked_weight { call, weight }.into(),
        ] {
            assert_eq!(declared.get_dispatch_info().call_weight, weight);
            assert_eq!(weight_of_call(&declared), coldkey_swap());
        }
    }
}
