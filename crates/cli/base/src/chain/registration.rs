//! Registrations, compared with the chain before a call is sent: the chain includes a call that
//! fails, for its fee.

use taonet_chain::{At, Chain as _, ChainError, Client};
use taonet_primitives::{Hotkey, NetUid, Rao};

use super::{ExpectedRefusal, chain_error};

/// A registration of a hotkey on a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// Hotkey to register.
    pub hotkey: Hotkey,
    /// Maximum price.
    pub limit: Option<Rao>,
}

impl Registration {
    /// Returns why the chain would refuse the registration at this price; `None` if no
    /// reason is known.
    pub async fn expected_refusal(
        self,
        chain: &Client,
        price: Rao,
    ) -> anyhow::Result<Option<ExpectedRefusal>> {
        let Self { netuid, hotkey, limit } = self;
        // The chain returns a price and no uids even for subnets that do not exist.
        let subnet = chain.subnet(netuid, At::Head).await;
        if matches!(subnet, Err(ChainError::NoSuchSubnet(_))) {
            return Ok(Some(no_subnet(netuid)));
        }
        subnet.map_err(chain_error)?;
        if let Some(uid) = chain.uid(netuid, &hotkey, At::Head).await.map_err(chain_error)? {
            let text = format!(
                "{hotkey} is already registered on subnet {netuid}, with uid {uid}\nhint: see `tao metagraph {netuid}`"
            );
            return Ok(Some(ExpectedRefusal {
                name: "SubtensorModule.HotKeyAlreadyRegisteredInSubNet",
                text,
            }));
        }
        Ok(limit.filter(|limit| *limit < price).map(|limit| too_expensive(netuid, price, limit)))
    }
}

fn no_subnet(netuid: NetUid) -> ExpectedRefusal {
    let text =
        format!("subnet {netuid} does not exist\nhint: list the subnets with `tao subnets list`");
    ExpectedRefusal { name: "SubtensorModule.SubnetNotExists", text }
}

fn too_expensive(netuid: NetUid, price: Rao, limit: Rao) -> ExpectedRefusal {
    let text = format!(
        "a registration on subnet {netuid} costs {price} TAO, more than the limit of {limit} TAO\nhint: raise the limit, \
         or wait: the price falls from block to block"
    );
    ExpectedRefusal { name: "SubtensorModule.RegistrationPriceLimitExceeded", text }
}
