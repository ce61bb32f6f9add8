use serde::{Deserialize, Serialize};
use taonet_primitives::{Alpha, BlockNumber, Coldkey, Hotkey, NetUid, Rao};

/// A subnet as the list of all of them has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its number.
    pub netuid: NetUid,
    /// Its name.
    pub name: String,
    /// The symbol of its alpha.
    pub symbol: String,
    /// Whose it is.
    pub owner_hotkey: Hotkey,
    /// Whose it is.
    pub owner_coldkey: Coldkey,
    /// Blocks between two epochs; 0 for none.
    pub tempo: u16,
    /// The block of the last epoch.
    pub last_step: BlockNumber,
    /// The TAO in its pool.
    pub tao_in: Rao,
    /// The alpha in its pool.
    pub alpha_in: Alpha,
    /// The alpha outside its pool.
    pub alpha_out: Alpha,
    /// The TAO that a block adds to its pool.
    pub tao_in_emission: Rao,
    /// The alpha that a block adds to its pool.
    pub alpha_in_emission: Alpha,
    /// The alpha that a block gives to its neurons and owner.
    pub alpha_out_emission: Alpha,
    /// When it was created.
    pub registered_at: BlockNumber,
    /// The smoothed price of its alpha in TAO, as decimal text.
    pub moving_price: String,
    /// What its owner says about it.
    pub identity: Option<SubnetIdentity>,
}

/// What a subnet's owner says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetIdentity {
    /// Its name.
    pub subnet_name: String,
    /// Where its source is.
    pub github_repo: String,
    /// How to reach its owner.
    pub subnet_contact: String,
    /// Its web page.
    pub subnet_url: String,
    /// Its place on Discord.
    pub discord: String,
    /// What it is for.
    pub description: String,
    /// Its picture.
    pub logo_url: String,
    /// Anything else.
    pub additional: String,
}

/// The price of a subnet's alpha.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, subxt::ext::scale_decode::DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Price {
    /// The subnet.
    pub netuid: NetUid,
    /// TAO for one alpha.
    pub price: Rao,
}

/// What a swap of stake would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, subxt::ext::scale_decode::DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct SimulatedSwap {
    /// The TAO given or got.
    pub tao_amount: Rao,
    /// The alpha given or got.
    pub alpha_amount: Alpha,
    /// The fee in TAO.
    pub tao_fee: Rao,
    /// The fee in alpha.
    pub alpha_fee: Alpha,
    /// How much TAO less than at the price of the moment.
    pub tao_slippage: Rao,
    /// How much alpha less than at the price of the moment.
    pub alpha_slippage: Alpha,
}
