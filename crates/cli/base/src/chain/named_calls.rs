//! Checks of calls that are given by their names and arguments, as in `tao call` and `tao batch`,
//! before they are sent. They are those of the commands for these calls, such as `tao register`.

use serde::de::DeserializeOwned;
use serde_json::Value;
use taonet_chain::{At, Client};
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid, Rao};

use super::registration::Registration;
use super::{ExpectedRefusal, Spending, Withdrawal, chain_error};

/// The result of the checks.
#[derive(Debug, Default)]
pub struct NamedCallChecks {
    /// TAO that the calls take; `None` if they take none.
    pub spending: Option<Spending>,
    /// Why the chain would refuse the calls.
    pub expected_refusal: Option<ExpectedRefusal>,
}

/// Effect of a call, as far as it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Takes TAO. The account may have to stay open.
    Spend { amount: Rao, keeps_account: bool },
    /// Registers a hotkey, for the price or for proof of work.
    Register { registration: Registration, is_paid: bool },
    /// Creates a subnet, for the price.
    CreateSubnet,
    /// Replaces a hotkey, for a price.
    SwapHotkey { is_on_one_subnet: bool },
    /// Takes stake: at least one unit if there is no amount.
    Withdraw { hotkey: Hotkey, netuid: NetUid, amount: Option<Alpha> },
}

impl NamedCallChecks {
    /// Checks calls, given by their names and arguments, that `coldkey` makes one after the other.
    /// Checks those up to the first one that may provide TAO or change the stake, since the chain
    /// is read before the first one.
    pub async fn run<'a>(
        chain: &Client,
        coldkey: Coldkey,
        calls: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> anyhow::Result<Self> {
        let (mut total, mut keeps_account, mut expected_refusal) = (Rao::ZERO, false, None);
        for (index, (name, arguments)) in calls.into_iter().enumerate() {
            let Some(effect) = Effect::from_call(name, arguments) else { break };
            if let Effect::Withdraw { hotkey, netuid, amount } = effect {
                if index == 0 {
                    expected_refusal = Withdrawal::read(chain, (hotkey, coldkey, netuid), amount)
                        .await?
                        .expected_refusal;
                }
                break;
            }
            let price = effect.price(chain).await?;
            total = Rao::new(total.get().saturating_add(price.get()));
            // An earlier call leaves at least as much as the last one.
            keeps_account = matches!(effect, Effect::Spend { keeps_account: true, .. });
            if let Effect::Register { registration, .. } = effect {
                expected_refusal = registration.expected_refusal(chain, price).await?;
            }
            if expected_refusal.is_some() || matches!(effect, Effect::SwapHotkey { .. }) {
                break;
            }
        }
        if total == Rao::ZERO {
            return Ok(Self { spending: None, expected_refusal });
        }
        let spending = Spending::read(chain, coldkey, total).await?;
        let spending =
            if keeps_account { spending.keeping_account(chain).await? } else { spending };
        Ok(Self { spending: Some(spending), expected_refusal })
    }
}

impl Effect {
    /// Returns the effect of a call; `None` if it is not checked.
    fn from_call(name: &str, arguments: &Value) -> Option<Self> {
        let (pallet, name) = name.split_once('.')?;
        match (pallet, name) {
            ("Balances", "transfer_allow_death") => Self::spend(arguments, "value", false),
            ("Balances", "transfer_keep_alive") => Self::spend(arguments, "value", true),
            ("Balances", "burn") => {
                Self::spend(arguments, "value", argument(arguments, "keep_alive")?)
            }
            ("SubtensorModule", "add_stake" | "add_stake_limit") => {
                Self::spend(arguments, "amount_staked", false)
            }
            ("SubtensorModule", "burned_register") => {
                Self::register(arguments, argument(arguments, "netuid")?, None, true)
            }
            ("SubtensorModule", "register_limit") => Self::register(
                arguments,
                argument(arguments, "netuid")?,
                Some(argument(arguments, "limit_price")?),
                true,
            ),
            ("SubtensorModule", "pow_register" | "register") => {
                Self::register(arguments, argument(arguments, "netuid")?, None, false)
            }
            ("SubtensorModule", "root_register") => {
                Self::register(arguments, NetUid(0), None, true)
            }
            ("SubtensorModule", "register_network" | "register_network_with_identity") => {
                Some(Self::CreateSubnet)
            }
            ("SubtensorModule", "swap_hotkey" | "swap_hotkey_v2") => {
                Some(Self::SwapHotkey { is_on_one_subnet: !arguments.get("netuid")?.is_null() })
            }
            // The chain sells the whole stake if the amount is greater.
            ("SubtensorModule", "remove_stake" | "remove_stake_full_limit") => {
                Self::withdraw(arguments, "hotkey", "netuid", None)
            }
            ("SubtensorModule", "remove_stake_limit") => Self::withdraw(
                arguments,
                "hotkey",
                "netuid",
                Some(argument(arguments, "amount_unstaked")?),
            ),
            ("SubtensorModule", "move_stake" | "move_stake_limit") => Self::withdraw(
                arguments,
                "origin_hotkey",
                "origin_netuid",
                Some(argument(arguments, "alpha_amount")?),
            ),
            ("SubtensorModule", "swap_stake" | "swap_stake_limit" | "transfer_stake") => {
                Self::withdraw(
                    arguments,
                    "hotkey",
                    "origin_netuid",
                    Some(argument(arguments, "alpha_amount")?),
                )
            }
            _ => None,
        }
    }

    fn spend(arguments: &Value, name: &str, keeps_account: bool) -> Option<Self> {
        Some(Self::Spend { amount: argument(arguments, name)?, keeps_account })
    }

    fn register(
        arguments: &Value,
        netuid: NetUid,
        limit: Option<Rao>,
        is_paid: bool,
    ) -> Option<Self> {
        let registration = Registration { netuid, hotkey: argument(arguments, "hotkey")?, limit };
        Some(Self::Register { registration, is_paid })
    }

    fn withdraw(
        arguments: &Value,
        hotkey: &str,
        netuid: &str,
        amount: Option<Alpha>,
    ) -> Option<Self> {
        Some(Self::Withdraw {
            hotkey: argument(arguments, hotkey)?,
            netuid: argument(arguments, netuid)?,
            amount,
        })
    }

    /// Returns the TAO that the call takes, besides its fee.
    async fn price(self, chain: &Client) -> anyhow::Result<Rao> {
        match self {
            Self::Spend { amount, .. } => Ok(amount),
            Self::Register { registration, is_paid: true } => {
                chain.registration_cost(registration.netuid, At::Head).await.map_err(chain_error)
            }
            Self::CreateSubnet => chain.subnet_cost(At::Head).await.map_err(chain_error),
            Self::SwapHotkey { is_on_one_subnet } => {
                chain.key_swap_cost(is_on_one_subnet).await.map_err(chain_error)
            }
            Self::Register { is_paid: false, .. } | Self::Withdraw { .. } => Ok(Rao::ZERO),
        }
    }
}

/// Returns an argument; `None` if the call has none of this name and type.
fn argument<T: DeserializeOwned>(arguments: &Value, name: &str) -> Option<T> {
    serde_json::from_value(arguments.get(name)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn named_call_has_the_effect_of_its_command() {
        let hotkey = Hotkey::from_bytes([1; 32]);
        let (netuid, root) = (NetUid(7), NetUid(0));
        let spend =
            |amount, keeps_account| Some(Effect::Spend { amount: Rao::new(amount), keeps_account });
        let register = |netuid, limit: Option<u64>, is_paid| {
            let registration = Registration { netuid, hotkey, limit: limit.map(Rao::new) };
            Some(Effect::Register { registration, is_paid })
        };
        let withdraw = |amount: Option<u64>| {
            Some(Effect::Withdraw { hotkey, netuid, amount: amount.map(Alpha::new) })
        };
        let swap = |is_on_one_subnet| Some(Effect::SwapHotkey { is_on_one_subnet });
        for (name, arguments, expected) in [
            ("Balances.transfer_keep_alive", json!({ "dest": "5F", "value": 3 }), spend(3, true)),
            (
                "Balances.transfer_allow_death",
                json!({ "dest": "5F", "value": u64::MAX }),
                spend(u64::MAX, false),
            ),
            ("Balances.burn", json!({ "value": 3, "keep_alive": false }), spend(3, false)),
            (
                "SubtensorModule.add_stake",
                json!({ "netuid": 1, "amount_staked": 4 }),
                spend(4, false),
            ),
            (
                "SubtensorModule.burned_register",
                json!({ "netuid": 7, "hotkey": hotkey }),
                register(netuid, None, true),
            ),
            (
                "SubtensorModule.register_limit",
                json!({ "netuid": 7, "hotkey": hotkey, "limit_price": 9 }),
                register(netuid, Some(9), true),
            ),
            (
                "SubtensorModule.pow_register",
                json!({ "netuid": 7, "hotkey": hotkey }),
                register(netuid, None, false),
            ),
            (
                "SubtensorModule.root_register",
                json!({ "hotkey": hotkey }),
                register(root, None, true),
            ),
            (
                "SubtensorModule.register_network",
                json!({ "hotkey": hotkey }),
                Some(Effect::CreateSubnet),
            ),
            ("SubtensorModule.swap_hotkey", json!({ "netuid": null }), swap(false)),
            ("SubtensorModule.swap_hotkey_v2", json!({ "netuid": 7 }), swap(true)),
            (
                "SubtensorModule.remove_stake",
                json!({ "hotkey": hotkey, "netuid": 7, "amount_unstaked": 9 }),
                withdraw(None),
            ),
            (
                "SubtensorModule.remove_stake_limit",
                json!({ "hotkey": hotkey, "netuid": 7, "amount_unstaked": 9 }),
                withdraw(Some(9)),
            ),
            (
                "SubtensorModule.move_stake",
                json!({ "origin_hotkey": hotkey, "origin_netuid": 7, "alpha_amount": 9 }),
                withdraw(Some(9)),
            ),
            (
                "SubtensorModule.transfer_stake",
                json!({ "hotkey": hotkey, "origin_netuid": 7, "alpha_amount": 9 }),
                withdraw(Some(9)),
            ),
            ("Balances.transfer_all", json!({ "dest": "5F", "keep_alive": false }), None),
            ("System.remark", json!({ "remark": "0x" }), None),
            ("SubtensorModule.burned_register", json!({ "netuid": 7 }), None),
        ] {
            assert_eq!(Effect::from_call(name, &arguments), expected, "{name} {arguments}");
        }
    }
}
