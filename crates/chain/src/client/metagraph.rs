use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use taonet_primitives::{Alpha, BlockHash, BlockNumber, Coldkey, Hotkey, MechId, NetUid, Rao, Uid};

use super::{Inner, subnets::number};
use crate::runtime::LastKey;
use crate::{Axon, Block, ChainError, Detail, Metagraph, Neuron, WeightRow};

/// Indices of the metagraph fields to request: the fields of [`RawMetagraph`].
const FIELDS: [u16; 27] = [
    1, 2, 5, 6, 8, 12, 13, 14, 31, 32, 52, 53, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67,
    68, 69,
];

/// The runtime API's response, with the requested fields.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct RawMetagraph {
    name: Option<Vec<u8>>,
    symbol: Option<Vec<u8>>,
    owner_hotkey: Option<Hotkey>,
    owner_coldkey: Option<Coldkey>,
    tempo: Option<u16>,
    alpha_in: Option<Alpha>,
    alpha_out: Option<Alpha>,
    tao_in: Option<Rao>,
    max_uids: Option<u16>,
    burn: Option<Rao>,
    hotkeys: Option<Vec<Hotkey>>,
    coldkeys: Option<Vec<Coldkey>>,
    axons: Option<Vec<RawAxon>>,
    active: Option<Vec<bool>>,
    validator_permit: Option<Vec<bool>>,
    pruning_score: Option<Vec<u16>>,
    last_update: Option<Vec<BlockNumber>>,
    emission: Option<Vec<Alpha>>,
    dividends: Option<Vec<u16>>,
    incentives: Option<Vec<u16>>,
    consensus: Option<Vec<u16>>,
    trust: Option<Vec<u16>>,
    rank: Option<Vec<u16>>,
    block_at_registration: Option<Vec<BlockNumber>>,
    alpha_stake: Option<Vec<Alpha>>,
    tao_stake: Option<Vec<Rao>>,
    total_stake: Option<Vec<Rao>>,
}

#[derive(Debug, Clone, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawAxon {
    block: BlockNumber,
    version: u32,
    ip: u128,
    port: u16,
    ip_type: u8,
    protocol: u8,
}

impl RawAxon {
    /// Returns the neuron's axon; `None` if it publishes none.
    fn to_axon(&self) -> Option<Axon> {
        let ip = match self.ip_type {
            4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(self.ip).ok()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.ip)),
            _ => return None,
        };
        let has_address = self.ip != 0 && self.port != 0;
        let address = SocketAddr::new(ip, self.port);
        has_address.then_some(Axon {
            address,
            protocol: self.protocol,
            version: self.version,
            block: self.block,
        })
    }
}

impl Inner {
    pub(super) async fn metagraph(
        &self,
        netuid: NetUid,
        mech: MechId,
        detail: Detail,
        block: Block,
    ) -> Result<Metagraph, ChainError> {
        let fields = Value::unnamed_composite(FIELDS.map(number));
        let args = [number(netuid.0), number(mech.0), fields];
        let raw = self.call_api::<Option<RawMetagraph>>(
            "SubnetInfoRuntimeApi",
            "get_selective_mechagraph",
            &args,
            block.hash,
        );
        let netuid_key = [number(netuid.0)];
        let trust = self.read_value::<Vec<u16>>(
            "SubtensorModule",
            "ValidatorTrust",
            &netuid_key,
            block.hash,
        );
        let (raw, trust) = tokio::try_join!(raw, trust)?;
        let raw = raw.ok_or(ChainError::NoSuchSubnet(netuid))?;
        let mut metagraph = raw.into_metagraph(netuid, mech, block, &trust.unwrap_or_default());
        if detail == Detail::Full {
            let rows = metagraph.neurons.len();
            let weights = self.weight_rows("Weights", netuid, mech, rows, block.hash);
            let bonds = self.weight_rows("Bonds", netuid, mech, rows, block.hash);
            let (weights, bonds) = tokio::try_join!(weights, bonds)?;
            (metagraph.weights, metagraph.bonds) = (Some(weights), Some(bonds));
        }
        Ok(metagraph)
    }

    /// Reads the weight or bond matrix, one row per uid.
    async fn weight_rows(
        &self,
        item: &str,
        netuid: NetUid,
        mech: MechId,
        neurons: usize,
        block: BlockHash,
    ) -> Result<Vec<WeightRow>, ChainError> {
        let key = [number(mech.storage_index(netuid))];
        let entries: Vec<(LastKey<Uid>, WeightRow)> =
            self.read_map("SubtensorModule", item, &key, block).await?;
        let mut rows = vec![WeightRow::new(); neurons];
        for (LastKey(uid), row) in entries {
            if let Some(slot) = rows.get_mut(usize::from(uid.0)) {
                *slot = row;
            }
        }
        Ok(rows)
    }

    pub(super) async fn weights_of(
        &self,
        netuid: NetUid,
        mech: MechId,
        uid: Uid,
        block: BlockHash,
    ) -> Result<WeightRow, ChainError> {
        let keys = [number(mech.storage_index(netuid)), number(uid.0)];
        Ok(self.read_value("SubtensorModule", "Weights", &keys, block).await?.unwrap_or_default())
    }
}

impl RawMetagraph {
    pub(super) fn into_metagraph(
        self,
        netuid: NetUid,
        mech: MechId,
        block: Block,
        trust: &[u16],
    ) -> Metagraph {
        let (hotkeys, coldkeys) =
            (self.hotkeys.unwrap_or_default(), self.coldkeys.unwrap_or_default());
        let neurons = hotkeys.iter().zip(&coldkeys).zip(0_u16..).map(|((hotkey, coldkey), uid)| {
            let index = usize::from(uid);
            Neuron {
                uid: Uid(uid),
                hotkey: *hotkey,
                coldkey: *coldkey,
                active: value_or_default(self.active.as_deref(), index),
                validator_permit: value_or_default(self.validator_permit.as_deref(), index),
                axon: self.axons.as_ref().and_then(|axons| axons.get(index)?.to_axon()),
                total_stake: value_or_default(self.total_stake.as_deref(), index),
                alpha_stake: value_or_default(self.alpha_stake.as_deref(), index),
                tao_stake: value_or_default(self.tao_stake.as_deref(), index),
                rank: value_or_default(self.rank.as_deref(), index),
                trust: value_or_default(self.trust.as_deref(), index),
                consensus: value_or_default(self.consensus.as_deref(), index),
                incentive: value_or_default(self.incentives.as_deref(), index),
                dividends: value_or_default(self.dividends.as_deref(), index),
                validator_trust: trust.get(index).copied().unwrap_or_default(),
                emission: value_or_default(self.emission.as_deref(), index),
                pruning_score: value_or_default(self.pruning_score.as_deref(), index),
                last_update: value_or_default(self.last_update.as_deref(), index),
                registered_at: value_or_default(self.block_at_registration.as_deref(), index),
            }
        });
        Metagraph {
            netuid,
            mech,
            block,
            name: lossy_text(self.name),
            symbol: lossy_text(self.symbol),
            tempo: self.tempo.unwrap_or_default(),
            max_uids: self.max_uids.unwrap_or_default(),
            owner_hotkey: self.owner_hotkey.unwrap_or(Hotkey::from_bytes([0; 32])),
            owner_coldkey: self.owner_coldkey.unwrap_or(Coldkey::from_bytes([0; 32])),
            tao_in: self.tao_in.unwrap_or_default(),
            alpha_in: self.alpha_in.unwrap_or_default(),
            alpha_out: self.alpha_out.unwrap_or_default(),
            burn: self.burn.unwrap_or_default(),
            neurons: neurons.collect(),
            weights: None,
            bonds: None,
        }
    }
}

/// Returns the entry of a column at an index; the default for columns that the chain no longer
/// fills.
fn value_or_default<T: Copy + Default>(column: Option<&[T]>, index: usize) -> T {
    column.and_then(|column| column.get(index)).copied().unwrap_or_default()
}

pub(super) fn lossy_text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
