use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use taonet_primitives::{BlockHash, BlockNumber, Coldkey, Hotkey, MechId, NetUid, Uid};

use super::accounts::account_key;
use super::explorer::AccountNonce;
use super::subnets::number;
use super::{Client, Inner};
use crate::{At, ChainError, HotkeyState};

const SUBTENSOR: &str = "SubtensorModule";
/// The public key of the development account `//Alice`.
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

impl Client {
    /// Returns whether the chain is a development chain: its sudo key is `//Alice`, whose secret is
    /// public. The type that a node reports (`system_chainType`) and its address do not decide
    /// this.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn is_development(&self) -> Result<bool, ChainError> {
        let read = async { self.inner.is_development(self.inner.hash(At::Head).await?).await };
        self.inner.rpc.with_timeout("sudo key", read).await
    }

    /// Returns the time between two blocks; `None` if a localnet makes blocks on demand, or as fast
    /// as it can. Nodes other than a localnet on this machine make one per block time.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn block_interval(&self) -> Result<Option<Duration>, ChainError> {
        match self.inner.rpc.request("dev_status", json!([])).await {
            Ok(DevStatus { clock: Some(_), block_millis }) => {
                Ok(block_millis.map(Duration::from_millis))
            }
            Ok(DevStatus { clock: None, .. }) | Err(ChainError::Refused { .. }) => {
                Ok(Some(self.inner.rpc.timing.block_time()))
            }
            Err(error) => Err(error),
        }
    }
}

/// The response of `dev_status`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DevStatus {
    /// The kind of a localnet's clock; `None` if the node follows another chain.
    clock: Option<String>,
    /// Time between two blocks, if the clock is `every`.
    block_millis: Option<u64>,
}

impl Inner {
    async fn is_development(&self, block: BlockHash) -> Result<bool, ChainError> {
        match self.read_value::<Coldkey>("Sudo", "Key", &[], block).await {
            Ok(sudo) => Ok(sudo.is_some_and(|sudo| ALICE.parse() == Ok(sudo))),
            Err(ChainError::NotInRuntime { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: &Hotkey,
        block: BlockHash,
    ) -> Result<HotkeyState, ChainError> {
        let (account, commits) =
            ([account_key(*hotkey)], [number(mech.storage_index(netuid)), account_key(*hotkey)]);
        let (account, millis, is_development, commits, uid) = tokio::try_join!(
            self.read_value::<AccountNonce>("System", "Account", &account, block),
            self.read_value::<u64>("Timestamp", "Now", &[], block),
            self.is_development(block),
            self.read_value::<Vec<(BlockHash, u64, u64, u64)>>(
                SUBTENSOR,
                "WeightCommits",
                &commits,
                block
            ),
            self.uid(netuid, hotkey, block),
        )?;
        let last_update = match uid {
            Some(uid) => self.last_update(netuid, mech, uid, block).await?,
            None => None,
        };
        Ok(HotkeyState {
            nonce: account.map(|account| account.nonce).unwrap_or_default(),
            last_update,
            commits: commits.into_iter().flatten().map(|(hash, ..)| *hash.as_bytes()).collect(),
            time: Duration::from_millis(millis.unwrap_or_default()),
            is_development,
        })
    }

    async fn last_update(
        &self,
        netuid: NetUid,
        mech: MechId,
        uid: Uid,
        block: BlockHash,
    ) -> Result<Option<BlockNumber>, ChainError> {
        let (index, keys) =
            ([number(mech.storage_index(netuid))], [number(netuid.0), number(uid.0)]);
        let (updates, registered_at) = tokio::try_join!(
            self.read_value::<Vec<BlockNumber>>(SUBTENSOR, "LastUpdate", &index, block),
            self.read_value::<BlockNumber>(SUBTENSOR, "BlockAtRegistration", &keys, block),
        )?;
        let update = updates.and_then(|updates| updates.get(usize::from(uid.0)).copied());
        // A registration counts as an update, and a replaced neuron's update remains.
        Ok(update.filter(|update| *update > registered_at.unwrap_or_default()))
    }
}
