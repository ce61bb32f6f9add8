use std::collections::BTreeMap;

use serde_json::Value as Json;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use taonet_primitives::{AccountId, Alpha, Coldkey, Hotkey, NetUid};

use super::Client;
use super::subnets::number;
use crate::{At, Balance, ChainError, Delegate, Share, Stake};

const STAKE: &str = "StakeInfoRuntimeApi";

/// Queries of accounts, stake and commitments.
impl Client {
    /// The balance of an account; zero for an unknown account.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn balance(&self, account: AccountId, at: At) -> Result<Balance, ChainError> {
        self.inner
            .rpc
            .in_time("balance", async {
                let block = self.inner.hash(at).await?;
                let found: Option<AccountInfo> = self.inner.value("System", "Account", &[key(account)], block).await?;
                Ok(found.map(|found| found.data).unwrap_or_default())
            })
            .await
    }

    /// All stakes of a coldkey.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn stakes(&self, coldkey: Coldkey, at: At) -> Result<Vec<Stake>, ChainError> {
        self.inner
            .rpc
            .in_time("stakes", async {
                let block = self.inner.hash(at).await?;
                self.inner.api(STAKE, "get_stake_info_for_coldkey", &[key(coldkey)], block).await
            })
            .await
    }

    /// The stake of a coldkey on a hotkey on one subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn stake(
        &self,
        hotkey: Hotkey,
        coldkey: Coldkey,
        netuid: NetUid,
        at: At,
    ) -> Result<Option<Stake>, ChainError> {
        self.inner
            .rpc
            .in_time("stake", async {
                let block = self.inner.hash(at).await?;
                let args = [key(hotkey), key(coldkey), number(netuid.0)];
                self.inner.api(STAKE, "get_stake_info_for_hotkey_coldkey_netuid", &args, block).await
            })
            .await
    }

    /// All delegates: hotkeys that others stake on.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn delegates(&self, at: At) -> Result<Vec<Delegate>, ChainError> {
        self.inner
            .rpc
            .in_time("delegates", async {
                let block = self.inner.hash(at).await?;
                let answers: Vec<Answer> =
                    self.inner.api("DelegateInfoRuntimeApi", "get_delegates", &[], block).await?;
                Ok(answers.into_iter().map(Delegate::from).collect())
            })
            .await
    }

    /// The take of a delegate: its share of its nominators' earnings.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn take(&self, hotkey: Hotkey, at: At) -> Result<Share, ChainError> {
        self.inner
            .rpc
            .in_time("take", async {
                let block = self.inner.hash(at).await?;
                let parts: Option<u16> =
                    self.inner.value("SubtensorModule", "Delegates", &[key(hotkey)], block).await?;
                Ok(parts.map_or(Share::MAX_TAKE, Share::new))
            })
            .await
    }

    /// The commitment text of a neuron on a subnet; `None` if it has published none.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn commitment(&self, netuid: NetUid, hotkey: Hotkey, at: At) -> Result<Option<String>, ChainError> {
        let keys = [netuid.0.into(), hotkey.to_string().into()];
        Ok(commitment_text(&self.storage("Commitments", "CommitmentOf", &keys, at).await?))
    }

    /// The commitment texts of all neurons on a subnet. The read timeout applies per page; see [`Client::storage_map`].
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn commitments(&self, netuid: NetUid, at: At) -> Result<Vec<(Hotkey, String)>, ChainError> {
        let entries = self.storage_map("Commitments", "CommitmentOf", &[netuid.0.into()], at).await?;
        let read = |(keys, value): (Vec<Json>, Json)| {
            let hotkey = keys.last()?.as_str()?.parse().ok()?;
            Some((hotkey, commitment_text(&value)?))
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }
}

/// The first text field of a commitment.
fn commitment_text(commitment: &Json) -> Option<String> {
    let fields = commitment.get("info")?.get("fields")?.as_array()?;
    fields.iter().find_map(|field| {
        let (kind, value) = field.as_object()?.iter().next()?;
        let text = value.as_str()?;
        match kind.as_str() {
            "BigRaw" => Some(text.to_owned()),
            kind if kind.starts_with("Raw") => {
                let bytes = hex::decode(text.strip_prefix("0x")?).ok()?;
                Some(String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned()))
            }
            _ => None,
        }
    })
}

#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct AccountInfo {
    data: Balance,
}

/// A delegate as returned by the runtime API.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Answer {
    delegate_ss58: Hotkey,
    take: u16,
    nominators: Vec<(AccountId, Vec<(NetUid, Alpha)>)>,
    owner_ss58: Coldkey,
    registrations: Vec<NetUid>,
    validator_permits: Vec<NetUid>,
}

impl From<Answer> for Delegate {
    fn from(answer: Answer) -> Self {
        let mut stake = BTreeMap::new();
        for (netuid, alpha) in answer.nominators.iter().flat_map(|(_, stakes)| stakes) {
            let sum: &mut u64 = stake.entry(*netuid).or_default();
            *sum = sum.saturating_add(alpha.get());
        }
        Self {
            hotkey: answer.delegate_ss58,
            owner: answer.owner_ss58,
            take: Share::new(answer.take),
            nominators: answer.nominators.len(),
            stake: stake.into_iter().map(|(netuid, alpha)| (netuid, Alpha::new(alpha))).collect(),
            registrations: answer.registrations,
            validator_permits: answer.validator_permits,
        }
    }
}

fn key(account: impl Into<AccountId>) -> Value {
    Value::from_bytes(account.into().as_bytes())
}
