use serde::{Deserialize, Serialize};
use subxt::ext::scale_decode::DecodeAsType;
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid, Rao};

use crate::Share;

/// The funds of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Balance {
    /// What can be spent, but for the existential deposit.
    pub free: Rao,
    /// What is set aside for deposits.
    pub reserved: Rao,
    /// What of the free part cannot leave the account.
    pub frozen: Rao,
}

/// What a coldkey has staked on a hotkey on a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Stake {
    /// On whom.
    pub hotkey: Hotkey,
    /// Whose it is.
    pub coldkey: Coldkey,
    /// On which subnet.
    pub netuid: NetUid,
    /// How much.
    pub stake: Alpha,
    /// How much of it is locked.
    pub locked: Alpha,
    /// What it earned at the last epoch.
    pub emission: Alpha,
    /// What it earned at the last epoch on the root network.
    pub tao_emission: Rao,
    /// Whether the hotkey is registered on the subnet.
    pub is_registered: bool,
}

/// A hotkey that others stake on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegate {
    /// The hotkey.
    pub hotkey: Hotkey,
    /// Its owner.
    pub owner: Coldkey,
    /// What it keeps of its nominators' earnings.
    pub take: Share,
    /// How many stake on it.
    pub nominators: usize,
    /// All that is staked on it, by subnet.
    pub stake: Vec<(NetUid, Alpha)>,
    /// The subnets it is registered on.
    pub registrations: Vec<NetUid>,
    /// The subnets it may validate on.
    pub validator_permits: Vec<NetUid>,
}
