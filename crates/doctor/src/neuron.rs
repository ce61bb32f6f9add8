use taonet_chain::{Chain, ChainError, Detail, Neuron};
use taonet_primitives::{BlockNumber, Hotkey, MechId, NetUid};

use crate::{Check, Finding};

/// Result of a check of the registration.
#[derive(Debug)]
pub struct Registration {
    /// The findings on network, subnet and registration.
    pub findings: Vec<Finding>,
    /// The neuron of the hotkey; `None` if it is not registered.
    pub neuron: Option<Neuron>,
}

/// Checks that the subnet exists on the connected chain, and that the hotkey is registered on it. A
/// neuron without a validator permit is a warning: the chain ignores its weights.
pub async fn registration(
    chain: &dyn Chain,
    netuid: NetUid,
    hotkey: Option<&Hotkey>,
) -> Registration {
    let subject = format!("subnet {netuid}");
    let metagraph = async {
        let head = chain.head().await?;
        chain.metagraph(netuid, MechId(0), Detail::Lite, head.into()).await
    };
    let metagraph = match metagraph.await {
        Ok(metagraph) => metagraph,
        Err(error) => {
            let remedy = "select the right network with BT_NETWORK or BT_CHAIN_ENDPOINT, and the subnet with --netuid";
            let findings = match error {
                ChainError::NoSuchSubnet(_) => {
                    let seen = format!("subnet {netuid} does not exist on the connected chain");
                    vec![Finding::fault(Check::Subnet, subject, seen, remedy)]
                }
                error => vec![
                    Finding::error(Check::Network, &subject, &error, remedy),
                    Finding::skipped(Check::Subnet, &subject, "the subnet is unreadable"),
                ],
            };
            return Registration { findings, neuron: None };
        }
    };
    let block: BlockNumber = metagraph.block.number;
    // What the chain returns for a subnet without a name.
    let name = Some(metagraph.name.as_str())
        .filter(|name| !["", "unknown"].contains(name))
        .unwrap_or("exists, unnamed,");
    let mut findings =
        vec![Finding::ok(Check::Subnet, subject, format!("{name} at block {block}"))];
    let Some(hotkey) = hotkey else {
        findings.push(Finding::skipped(
            Check::Registration,
            "hotkey",
            "the hotkey is unknown: pass it with --hotkey",
        ));
        return Registration { findings, neuron: None };
    };
    let subject = hotkey.to_string();
    let neuron = metagraph.neurons.into_iter().find(|neuron| neuron.hotkey == *hotkey);
    findings.push(match &neuron {
        None => Finding::fault(
            Check::Registration,
            subject,
            format!("not registered on subnet {netuid}"),
            format!("run `tao register --netuid {netuid}`, or select another hotkey with BITTENSOR_WALLET_HOT"),
        ),
        Some(neuron) if neuron.validator_permit => {
            Finding::ok(Check::Registration, subject, format!("uid {}, with validator permit", neuron.uid))
        }
        Some(neuron) => Finding::warning(
            Check::Registration,
            subject,
            format!("uid {}, without validator permit: the chain ignores its weights", neuron.uid),
            format!("miners need no permit; a validator adds stake with `tao stake add --netuid {netuid}`"),
        ),
    });
    Registration { findings, neuron }
}
