use std::collections::BTreeMap;

use codec::Decode as _;
use serde_json::Value as Json;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use taonet_primitives::{AccountId, Alpha, Coldkey, Hotkey, NetUid};

use super::Client;
use super::state::KEYS_PER_REQUEST;
use super::subnets::number;
use crate::{At, Balance, ChainError, Delegate, Share, Stake};

const STAKE_API: &str = "StakeInfoRuntimeApi";

/// Queries for accounts, stake and commitments.
impl Client {
    /// Returns the balance of an account; zero for an unknown account.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn balance(&self, account: AccountId, at: At) -> Result<Balance, ChainError> {
        let info: Option<AccountInfo> =
            self.value_at("balance", "System", "Account", &[account_key(account)], at).await?;
        Ok(info.map(|info| info.data).unwrap_or_default())
    }

    /// Returns the balances of accounts at one block, in their order; zero for unknown accounts.
    /// The read timeout applies to each request for 512 accounts.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn balances(
        &self,
        accounts: &[AccountId],
        at: At,
    ) -> Result<Vec<Balance>, ChainError> {
        let (pallet, item) = ("System", "Account");
        let block_and_runtime = async {
            let block = self.inner.hash(at).await?;
            Ok((block, self.inner.runtime(block).await?))
        };
        let (block, runtime) = self.inner.rpc.with_timeout("balances", block_and_runtime).await?;
        let mut balances = Vec::with_capacity(accounts.len());
        for chunk in accounts.chunks(KEYS_PER_REQUEST) {
            let keys = chunk
                .iter()
                .map(|account| runtime.storage_key(pallet, item, &[account_key(*account)]));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let values = self
                .inner
                .rpc
                .with_timeout("balances", self.inner.storage_batch(&keys, block))
                .await?;
            for key in &keys {
                let info: Option<AccountInfo> =
                    runtime.storage_value(pallet, item, values.get(key))?;
                balances.push(info.map(|info| info.data).unwrap_or_default());
            }
        }
        Ok(balances)
    }

    /// Returns all stakes of a coldkey.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn stakes(&self, coldkey: Coldkey, at: At) -> Result<Vec<Stake>, ChainError> {
        self.api_at("stakes", STAKE_API, "get_stake_info_for_coldkey", &[account_key(coldkey)], at)
            .await
    }

    /// Returns the stake of a coldkey on a hotkey on one subnet; `None` if the runtime reports
    /// none.
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
        let args = [account_key(hotkey), account_key(coldkey), number(netuid.0)];
        self.api_at("stake", STAKE_API, "get_stake_info_for_hotkey_coldkey_netuid", &args, at).await
    }

    /// Returns all delegates: hotkeys that others stake on.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn delegates(&self, at: At) -> Result<Vec<Delegate>, ChainError> {
        let raw_delegates: Vec<RawDelegate> =
            self.api_at("delegates", "DelegateInfoRuntimeApi", "get_delegates", &[], at).await?;
        Ok(raw_delegates.into_iter().map(Delegate::from).collect())
    }

    /// Returns the take of a delegate: its share of its nominators' earnings. A hotkey that has set
    /// none has the default of 18 %.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn take(&self, hotkey: Hotkey, at: At) -> Result<Share, ChainError> {
        let parts: Option<u16> = self
            .value_at("take", "SubtensorModule", "Delegates", &[account_key(hotkey)], at)
            .await?;
        Ok(parts.map_or(Share::MAX_TAKE, Share::new))
    }

    /// Returns the commitment text of a neuron on a subnet; `None` if it has published none.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn commitment(
        &self,
        netuid: NetUid,
        hotkey: Hotkey,
        at: At,
    ) -> Result<Option<String>, ChainError> {
        let keys = [netuid.0.into(), hotkey.to_string().into()];
        Ok(commitment_text(&self.storage("Commitments", "CommitmentOf", &keys, at).await?))
    }

    /// Returns the commitment texts of all neurons on a subnet. The read timeout applies per page;
    /// see [`Client::storage_map`].
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn commitments(
        &self,
        netuid: NetUid,
        at: At,
    ) -> Result<Vec<(Hotkey, String)>, ChainError> {
        let entries =
            self.storage_map("Commitments", "CommitmentOf", &[netuid.0.into()], at).await?;
        Ok(entries
            .into_iter()
            .filter_map(|(keys, value)| {
                let hotkey = keys.last()?.as_str()?.parse().ok()?;
                Some((hotkey, commitment_text(&value)?))
            })
            .collect())
    }

    /// Returns the commitment texts of all neurons on a subnet, each with the block of its
    /// commitment. Otherwise like [`Self::commitments`].
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn dated_commitments(
        &self,
        netuid: NetUid,
        at: At,
    ) -> Result<Vec<DatedCommitment>, ChainError> {
        let entries =
            self.storage_map("Commitments", "CommitmentOf", &[netuid.0.into()], at).await?;
        Ok(entries
            .into_iter()
            .filter_map(|(keys, value)| {
                let hotkey = keys.last()?.as_str()?.parse().ok()?;
                let block = value.get("block")?.as_u64()?;
                Some(DatedCommitment { hotkey, block, text: commitment_text(&value)? })
            })
            .collect())
    }

    /// Returns the latest revealed timelocked commitment of each neuron on a subnet, with the block
    /// of its reveal; see
    /// [`calls::set_timelocked_commitment`](crate::calls::set_timelocked_commitment). Texts that
    /// are not UTF-8 are skipped. The read timeout applies per page.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn revealed_commitments(
        &self,
        netuid: NetUid,
        at: At,
    ) -> Result<Vec<DatedCommitment>, ChainError> {
        const PALLET: &str = "Commitments";
        const ITEM: &str = "RevealedCommitments";
        let block = self.inner.hash(at).await?;
        let runtime = self.inner.runtime(block).await?;
        let prefix = runtime.storage_key_of_json(PALLET, ITEM, &[netuid.0.into()])?;
        let mut commitments = Vec::new();
        for (key, bytes) in self.inner.storage_entries(&prefix, block).await? {
            let keys = runtime.storage_keys::<Vec<Json>>(PALLET, ITEM, &key)?;
            let Some(hotkey) =
                keys.last().and_then(Json::as_str).and_then(|hotkey| hotkey.parse().ok())
            else {
                continue;
            };
            commitments.extend(latest_revealed(hotkey, &bytes)?);
        }
        Ok(commitments)
    }
}

/// A neuron's commitment and its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedCommitment {
    /// Hotkey of the neuron.
    pub hotkey: Hotkey,
    /// Height of the block in which the text was published or revealed.
    pub block: u64,
    /// The text.
    pub text: String,
}

/// Decodes the revealed commitments of a neuron; returns the latest, if its plaintext is a
/// SCALE-encoded text.
fn latest_revealed(
    hotkey: Hotkey,
    mut bytes: &[u8],
) -> Result<Option<DatedCommitment>, ChainError> {
    let rows = Vec::<(Vec<u8>, u64)>::decode(&mut bytes);
    let rows = rows.map_err(|error| {
        ChainError::decode("Commitments.RevealedCommitments", error.to_string())
    })?;
    // A later row of the same block is the newer one.
    let latest = rows.into_iter().max_by_key(|(_, block)| *block);
    Ok(latest.and_then(|(plaintext, block)| {
        let text = String::decode(&mut plaintext.as_slice()).ok()?;
        Some(DatedCommitment { hotkey, block, text })
    }))
}

/// Returns the first text field of a commitment.
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
struct RawDelegate {
    delegate_ss58: Hotkey,
    take: u16,
    nominators: Vec<(AccountId, Vec<(NetUid, Alpha)>)>,
    owner_ss58: Coldkey,
    registrations: Vec<NetUid>,
    validator_permits: Vec<NetUid>,
}

impl From<RawDelegate> for Delegate {
    fn from(raw: RawDelegate) -> Self {
        let mut stake = BTreeMap::new();
        for (netuid, alpha) in raw.nominators.iter().flat_map(|(_, stakes)| stakes) {
            let sum: &mut u64 = stake.entry(*netuid).or_default();
            *sum = sum.saturating_add(alpha.get());
        }
        Self {
            hotkey: raw.delegate_ss58,
            owner: raw.owner_ss58,
            take: Share::new(raw.take),
            nominators: raw.nominators.len(),
            stake: stake.into_iter().map(|(netuid, alpha)| (netuid, Alpha::new(alpha))).collect(),
            registrations: raw.registrations,
            validator_permits: raw.validator_permits,
        }
    }
}

pub(super) fn account_key(account: impl Into<AccountId>) -> Value {
    Value::from_bytes(account.into().as_bytes())
}

#[cfg(test)]
mod tests {
    use codec::Encode as _;

    use super::*;

    /// Columns: rows of a neuron: plaintext and block · latest text and its block
    #[test]
    fn latest_revealed_commitment_is_returned() {
        type Row<'a> = (Vec<(Vec<u8>, u64)>, Option<(&'a str, u64)>);

        let text = |text: &str| text.encode();
        let table: [Row<'_>; 5] = [
            (vec![], None),
            (vec![(text("one"), 7)], Some(("one", 7))),
            (vec![(text("two"), 9), (text("one"), 7)], Some(("two", 9))),
            (vec![(text("one"), 7), (text("two"), 7)], Some(("two", 7))),
            (vec![(text("one"), 7), (vec![8, 255, 255], 9)], None),
        ];
        let hotkey = Hotkey::from_bytes([1; 32]);
        for (rows, expected) in table {
            let revealed = latest_revealed(hotkey, &rows.encode()).unwrap();
            assert_eq!(
                revealed.as_ref().map(|revealed| (revealed.text.as_str(), revealed.block)),
                expected,
                "{rows:?}"
            );
        }
        // Longer texts have longer prefixes.
        let long = "x".repeat(400);
        assert_eq!(
            latest_revealed(hotkey, &vec![(text(&long), 1_u64)].encode()).unwrap().unwrap().text,
            long
        );
        assert!(latest_revealed(hotkey, &[4]).is_err());
    }
}
