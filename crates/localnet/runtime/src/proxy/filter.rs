//! Call filters of the proxy types.

use frame_support::traits::{GetCallMetadata, InstanceFilter};

use super::ProxyType;
use super::groups::{
    BALANCES, BASKET_TRADES, BURNED_REGISTRATION, CHILD_KEYS, COMMON, CallGroup, HOTKEY_SWAP,
    NEURONS, REGISTRATION, ROOT_CLAIM, ROOT_PARAMETERS, ROOT_REGISTRATION, SET_CODE,
    SMALL_TRANSFERS, SPENDING, STAKE, STAKE_TRANSFERS, SUBNET_DISSOLUTION, SUBNET_IDENTITY,
    SUBNET_MANAGEMENT, SUBNET_START, TRANSFERS,
};
use crate::runtime::RuntimeCall;
use crate::subtensor;
use crate::types::AlphaBalance;

/// Exclusive maximum of the transfers that the proxy type `SmallTransfer` allows, in rao or
/// billionths of alpha.
pub(crate) const SMALL_TRANSFER_LIMIT: u64 = 500_000_000;

impl ProxyType {
    /// Returns the groups of calls that this type allows; `None` if it allows every call.
    fn groups(self) -> Option<&'static [&'static [CallGroup]]> {
        Some(match self {
            Self::Any => return None,
            Self::Owner => &[SUBNET_IDENTITY, SUBNET_MANAGEMENT],
            Self::NonCritical => &[
                COMMON,
                SUBNET_MANAGEMENT,
                ROOT_PARAMETERS,
                TRANSFERS,
                BALANCES,
                STAKE,
                STAKE_TRANSFERS,
                REGISTRATION,
                HOTKEY_SWAP,
                CHILD_KEYS,
                ROOT_CLAIM,
                SUBNET_IDENTITY,
                SUBNET_START,
                SPENDING,
                NEURONS,
            ],
            Self::NonTransfer => &[
                COMMON,
                SUBNET_MANAGEMENT,
                ROOT_PARAMETERS,
                STAKE,
                REGISTRATION,
                BURNED_REGISTRATION,
                ROOT_REGISTRATION,
                HOTKEY_SWAP,
                SUBNET_DISSOLUTION,
                CHILD_KEYS,
                ROOT_CLAIM,
                SUBNET_IDENTITY,
                SUBNET_START,
                SPENDING,
                NEURONS,
            ],
            Self::NonFungible => &[
                COMMON,
                SUBNET_MANAGEMENT,
                ROOT_PARAMETERS,
                REGISTRATION,
                SUBNET_DISSOLUTION,
                CHILD_KEYS,
                ROOT_CLAIM,
                SUBNET_IDENTITY,
                SUBNET_START,
                NEURONS,
            ],
            Self::Staking => &[STAKE],
            Self::Registration => &[REGISTRATION, BURNED_REGISTRATION],
            Self::Transfer => &[TRANSFERS, STAKE_TRANSFERS],
            Self::SmallTransfer => &[SMALL_TRANSFERS],
            Self::ChildKeys => &[CHILD_KEYS],
            Self::SudoUncheckedSetCode => &[SET_CODE],
            Self::SwapHotkey => &[HOTKEY_SWAP],
            Self::SubnetLeaseBeneficiary => &[SUBNET_START, SUBNET_IDENTITY, SUBNET_MANAGEMENT],
            Self::RootClaim => &[ROOT_CLAIM],
            Self::BasketTrading => &[BASKET_TRADES],
            Self::Senate | Self::Triumvirate | Self::Governance | Self::RootWeights => &[],
        })
    }

    /// Whether this type allows calls of this name; their arguments may be limited in addition.
    pub(crate) fn allows_call_name(self, pallet: &str, call: &str) -> bool {
        self.groups().is_none_or(|groups| {
            groups.iter().copied().flatten().any(|group| group.contains(pallet, call))
        })
    }
}

impl InstanceFilter<RuntimeCall> for ProxyType {
    fn filter(&self, call: &RuntimeCall) -> bool {
        let name = call.get_call_metadata();
        self.allows_call_name(name.pallet_name, name.function_name)
            && match self {
                Self::SmallTransfer => is_small_transfer(call),
                Self::SudoUncheckedSetCode => is_set_code(call),
                _ => true,
            }
    }

    fn is_superset(&self, other: &Self) -> bool {
        self.includes(*other)
    }
}

fn is_small_transfer(call: &RuntimeCall) -> bool {
    use pallet_balances::Call as Balances;
    use subtensor::Call as Subtensor;
    match call {
        RuntimeCall::Balances(
            Balances::transfer_keep_alive { value, .. }
            | Balances::transfer_allow_death { value, .. },
        ) => *value < SMALL_TRANSFER_LIMIT,
        RuntimeCall::SubtensorModule(
            Subtensor::transfer_stake { alpha_amount, .. }
            | Subtensor::transfer_stake_and_hotkey { alpha_amount, .. },
        ) => *alpha_amount < AlphaBalance(SMALL_TRANSFER_LIMIT),
        _ => false,
    }
}

fn is_set_code(call: &RuntimeCall) -> bool {
    matches!(call, RuntimeCall::Sudo(pallet_sudo::Call::sudo_unchecked_weight { call, .. })
        if matches!(**call, RuntimeCall::System(frame_system::Call::set_code { .. })))
}
