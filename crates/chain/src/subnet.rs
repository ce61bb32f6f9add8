use serde::{Deserialize, Serialize};
use taonet_primitives::{Alpha, BlockNumber, Coldkey, Hotkey, NetUid, Rao};

/// A summary of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet's netuid.
    pub netuid: NetUid,
    /// The subnet's name.
    pub name: String,
    /// The symbol of the subnet's alpha.
    pub symbol: String,
    /// The hotkey of the subnet's owner.
    pub owner_hotkey: Hotkey,
    /// The coldkey of the subnet's owner.
    pub owner_coldkey: Coldkey,
    /// The number of blocks between two epochs; 0 if the subnet has no epochs.
    pub tempo: u16,
    /// The block of the last epoch.
    pub last_step: BlockNumber,
    /// The TAO in the subnet's pool.
    pub tao_in: Rao,
    /// The alpha in the subnet's pool.
    pub alpha_in: Alpha,
    /// The alpha outside the subnet's pool.
    pub alpha_out: Alpha,
    /// The TAO added to the pool in each block.
    pub tao_in_emission: Rao,
    /// The alpha added to the pool in each block.
    pub alpha_in_emission: Alpha,
    /// The alpha emitted to neurons and owner in each block.
    pub alpha_out_emission: Alpha,
    /// The block of the subnet's creation.
    pub registered_at: BlockNumber,
    /// The moving average of the alpha price in TAO, as decimal text.
    pub moving_price: String,
    /// The subnet identity published by the owner; `None` if there is none.
    pub identity: Option<SubnetIdentity>,
}

/// The identity of a subnet, as its owner published it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubnetIdentity {
    /// The subnet's name.
    pub subnet_name: String,
    /// The address of the source repository.
    pub github_repo: String,
    /// The owner's contact address.
    pub subnet_contact: String,
    /// The subnet's website.
    pub subnet_url: String,
    /// The subnet's Discord contact.
    pub discord: String,
    /// A description of the subnet.
    pub description: String,
    /// The address of the logo.
    pub logo_url: String,
    /// Additional text from the owner.
    pub additional: String,
}

impl SubnetIdentity {
    /// Returns the fields with their names, in the chain's order.
    pub fn fields(&self) -> [(&'static str, &str); 8] {
        [
            ("subnet_name", &self.subnet_name),
            ("github_repo", &self.github_repo),
            ("subnet_contact", &self.subnet_contact),
            ("subnet_url", &self.subnet_url),
            ("discord", &self.discord),
            ("description", &self.description),
            ("logo_url", &self.logo_url),
            ("additional", &self.additional),
        ]
    }
}

/// The price of a subnet's alpha.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    subxt::ext::scale_decode::DecodeAsType,
)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Price {
    /// The subnet's netuid.
    pub netuid: NetUid,
    /// The price of one alpha, in TAO.
    pub price: Rao,
}

/// The simulated result of buying or selling alpha.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    subxt::ext::scale_decode::DecodeAsType,
)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct SimulatedSwap {
    /// The TAO paid or received.
    pub tao_amount: Rao,
    /// The alpha paid or received.
    pub alpha_amount: Alpha,
    /// The fee in TAO.
    pub tao_fee: Rao,
    /// The fee in alpha.
    pub alpha_fee: Alpha,
    /// The slippage in TAO, relative to the current price.
    pub tao_slippage: Rao,
    /// The slippage in alpha, relative to the current price.
    pub alpha_slippage: Alpha,
}
