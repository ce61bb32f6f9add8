use serde::{Deserialize, Serialize};
use subxt::ext::scale_decode::DecodeAsType;
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid, Rao};

use crate::Share;

/// The balance of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Balance {
    /// The free balance, including its frozen part and the existential deposit.
    pub free: Rao,
    /// The balance reserved for deposits.
    pub reserved: Rao,
    /// The part of the free balance that cannot leave the account.
    pub frozen: Rao,
}

/// The stake of a coldkey on a hotkey on a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Stake {
    /// The hotkey that receives the stake.
    pub hotkey: Hotkey,
    /// The coldkey that owns the stake.
    pub coldkey: Coldkey,
    /// The subnet of the stake.
    pub netuid: NetUid,
    /// The amount staked.
    pub stake: Alpha,
    /// The locked part of the stake.
    pub locked: Alpha,
    /// The stake's emission in the last epoch.
    pub emission: Alpha,
    /// The stake's emission in the last epoch on the root network.
    pub tao_emission: Rao,
    /// Whether the hotkey is registered on the subnet.
    pub is_registered: bool,
}

/// A delegate: a hotkey that others stake on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegate {
    /// The delegate's hotkey.
    pub hotkey: Hotkey,
    /// The delegate's coldkey.
    pub owner: Coldkey,
    /// The delegate's share of its nominators' earnings.
    pub take: Share,
    /// The number of nominators.
    pub nominators: usize,
    /// The total stake by subnet.
    pub stake: Vec<(NetUid, Alpha)>,
    /// The subnets where the hotkey is registered.
    pub registrations: Vec<NetUid>,
    /// The subnets where the hotkey has a validator permit.
    pub validator_permits: Vec<NetUid>,
}
