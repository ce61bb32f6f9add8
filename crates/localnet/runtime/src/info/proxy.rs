//! The calls that each proxy type allows, in the layout of the API.

use codec::{Decode, Encode};
use frame_support::dispatch::Callable;
use frame_support::traits::{GetCallIndex, GetCallName, PalletInfoAccess};
use scale_info::TypeInfo;

use crate::proxy::{ProxyType, SMALL_TRANSFER_LIMIT};
use crate::runtime::{
    AdminUtils, Balances, Commitments, Crowdloan, Drand, MevShield, Multisig, Preimage, Proxy,
    Runtime, SafeMode, Scheduler, SubtensorModule, Sudo, Swap, System, Timestamp, Utility,
};

/// A proxy type.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ProxyTypeInfo {
    /// Name of the type.
    pub name: Vec<u8>,
    /// Index of the type in calls and storage.
    pub index: u8,
    /// Whether the type is obsolete: it allows no call.
    pub deprecated: bool,
}

/// A proxy type with the calls that it allows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ProxyFilterInfo {
    /// Index of the type.
    pub proxy_type: u8,
    /// Name of the type.
    pub name: Vec<u8>,
    /// Whether the type is obsolete.
    pub deprecated: bool,
    /// The allowed calls.
    pub filter_mode: FilterMode,
}

/// The calls that a proxy type allows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum FilterMode {
    /// All calls.
    AllowAll,
    /// These calls.
    Allow(Vec<CallInfo>),
}

/// An allowed call.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct CallInfo {
    /// Name of the pallet.
    pub pallet_name: Vec<u8>,
    /// Index of the pallet.
    pub pallet_index: u8,
    /// Name of the call.
    pub call_name: Vec<u8>,
    /// Index of the call in its pallet.
    pub call_index: u8,
    /// Condition on the arguments.
    pub constraint: Option<CallConstraint>,
}

/// A condition on the arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum CallConstraint {
    /// The argument must be below a limit.
    ParamLessThan {
        /// Name of the argument.
        param_name: Vec<u8>,
        /// The limit.
        limit: u128,
    },
    /// The argument must be this call.
    NestedCallMustBe {
        /// Name of the argument.
        param_name: Vec<u8>,
        /// Pallet of the call.
        pallet_name: Vec<u8>,
        /// Name of the call.
        call_name: Vec<u8>,
    },
}

/// Returns all proxy types.
pub fn types() -> Vec<ProxyTypeInfo> {
    ProxyType::ALL.map(type_info).into()
}

fn type_info(kind: ProxyType) -> ProxyTypeInfo {
    ProxyTypeInfo { name: name(kind), index: kind as u8, deprecated: kind.is_deprecated() }
}

/// Returns the calls that the proxy types with these indices allow, or all types if there are no
/// indices.
pub fn filters(indices: Option<&[u8]>) -> Vec<ProxyFilterInfo> {
    let calls = calls();
    ProxyType::ALL
        .into_iter()
        .filter(|kind| indices.is_none_or(|indices| indices.contains(&(*kind as u8))))
        .map(|kind| ProxyFilterInfo {
            proxy_type: kind as u8,
            name: name(kind),
            deprecated: kind.is_deprecated(),
            filter_mode: filter_mode(kind, &calls),
        })
        .collect()
}

fn name(kind: ProxyType) -> Vec<u8> {
    format!("{kind:?}").into()
}

fn filter_mode(kind: ProxyType, calls: &[NamedCall]) -> FilterMode {
    if kind == ProxyType::Any {
        return FilterMode::AllowAll;
    }
    let allowed = calls.iter().filter(|call| kind.allows_call_name(call.pallet, call.name));
    FilterMode::Allow(
        allowed
            .map(|call| CallInfo {
                pallet_name: call.pallet.into(),
                pallet_index: call.pallet_index,
                call_name: call.name.into(),
                call_index: call.index,
                constraint: constraint(kind, call.pallet),
            })
            .collect(),
    )
}

fn constraint(kind: ProxyType, pallet: &str) -> Option<CallConstraint> {
    match kind {
        ProxyType::SmallTransfer => Some(CallConstraint::ParamLessThan {
            param_name: if pallet == "Balances" { "value" } else { "alpha_amount" }.into(),
            limit: SMALL_TRANSFER_LIMIT.into(),
        }),
        ProxyType::SudoUncheckedSetCode => Some(CallConstraint::NestedCallMustBe {
            param_name: "call".into(),
            pallet_name: "System".into(),
            call_name: "set_code".into(),
        }),
        _ => None,
    }
}

/// A call of this runtime.
#[derive(Clone)]
struct NamedCall {
    pallet: &'static str,
    pallet_index: u8,
    name: &'static str,
    index: u8,
}

/// Returns all calls of this runtime.
fn calls() -> Vec<NamedCall> {
    [
        calls_of::<System>(),
        calls_of::<Timestamp>(),
        calls_of::<Balances>(),
        calls_of::<SubtensorModule>(),
        calls_of::<Utility>(),
        calls_of::<Sudo>(),
        calls_of::<Multisig>(),
        calls_of::<Preimage>(),
        calls_of::<Scheduler>(),
        calls_of::<Proxy>(),
        calls_of::<Commitments>(),
        calls_of::<AdminUtils>(),
        calls_of::<SafeMode>(),
        calls_of::<Drand>(),
        calls_of::<Crowdloan>(),
        calls_of::<Swap>(),
        calls_of::<MevShield>(),
    ]
    .concat()
}

fn calls_of<Pallet>() -> Vec<NamedCall>
where
    Pallet: PalletInfoAccess + Callable<Runtime>,
    Pallet::RuntimeCall: GetCallName + GetCallIndex,
{
    let names =
        Pallet::RuntimeCall::get_call_names().iter().zip(Pallet::RuntimeCall::get_call_indices());
    names
        .map(|(name, index)| NamedCall {
            pallet: Pallet::name(),
            pallet_index: Pallet::index() as u8,
            name,
            index: *index,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use frame_support::traits::GetCallMetadata;

    use super::*;
    use crate::runtime::RuntimeCall;

    #[test]
    fn proxy_info_lists_all_calls() {
        let listed: Vec<_> = calls().into_iter().map(|call| (call.pallet, call.name)).collect();
        let modules = RuntimeCall::get_module_names().iter();
        let expected: Vec<_> = modules
            .flat_map(|pallet| {
                RuntimeCall::get_call_names(pallet).iter().map(move |call| (*pallet, *call))
            })
            .collect();
        assert_eq!(listed, expected);
    }

    #[test]
    fn proxy_types_have_their_indices_and_conditions() {
        let types = types();
        assert!(types.iter().map(|info| usize::from(info.index)).eq(0..19));
        assert_eq!(
            (types[18].name.as_slice(), types[18].deprecated),
            (b"BasketTrading".as_slice(), false)
        );
        let deprecated: Vec<_> =
            types.iter().filter(|info| info.deprecated).map(|info| info.index).collect();
        assert_eq!(deprecated, [4, 6, 7, 12]);

        let one = filters(Some(&[11, 99]));
        assert_eq!(one.len(), 1);
        let FilterMode::Allow(calls) = &one[0].filter_mode else { panic!("{one:?}") };
        let limited = |call: &CallInfo| match &call.constraint {
            Some(CallConstraint::ParamLessThan { param_name, limit: 500_000_000 }) => {
                format!(
                    "{} {}",
                    String::from_utf8_lossy(&call.call_name),
                    String::from_utf8_lossy(param_name)
                )
            }
            other => panic!("{other:?}"),
        };
        let calls: Vec<_> = calls.iter().map(limited).collect();
        let expected = [
            "transfer_allow_death value",
            "transfer_keep_alive value",
            "transfer_stake alpha_amount",
            "transfer_stake_and_hotkey alpha_amount",
        ];
        assert_eq!(calls, expected);

        assert_eq!(filters(None).len(), 19);
        assert_eq!(filters(Some(&[0]))[0].filter_mode, FilterMode::AllowAll);
        for index in deprecated {
            assert_eq!(filters(Some(&[index]))[0].filter_mode, FilterMode::Allow(Vec::new()));
        }
    }
}
