use serde::de::DeserializeOwned;
use subxt::ext::scale_decode::DecodeAsType;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, Coldkey, Hotkey, NetUid, Rao};

use super::metagraph::lossy_text;
use super::subnets::number;
use super::{Client, accounts::account_key};
use crate::runtime::LastKey;
use crate::{
    Announcement, At, ChainError, ColdkeySwap, Crowdloan, Identity, Proportion, Proxies, Proxy,
    Relative, Relatives, ScheduledChildren, Share,
};

const SUBTENSOR: &str = "SubtensorModule";
const PROXY: &str = "Proxy";
const CROWDLOAN: &str = "Crowdloan";

/// Queries for holders of TAO: child hotkeys, root dividends, identities, swaps of coldkeys,
/// proxies and crowdloans.
impl Client {
    /// Returns the children, parents and childkey take of a hotkey on a subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn relatives(
        &self,
        hotkey: Hotkey,
        netuid: NetUid,
        at: At,
    ) -> Result<Relatives, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            let keys = [account_key(hotkey), number(netuid.0)];
            let children: Option<Vec<(u64, Hotkey)>> =
                self.inner.read_value(SUBTENSOR, "ChildKeys", &keys, block).await?;
            let parents: Option<Vec<(u64, Hotkey)>> =
                self.inner.read_value(SUBTENSOR, "ParentKeys", &keys, block).await?;
            let take: Option<u16> =
                self.inner.read_value(SUBTENSOR, "ChildkeyTake", &keys, block).await?;
            let keys = [number(netuid.0), account_key(hotkey)];
            let scheduled: Option<(Vec<(u64, Hotkey)>, u64)> =
                self.inner.read_value(SUBTENSOR, "PendingChildKeys", &keys, block).await?;
            // Without scheduled children, the chain returns its default: no children from block 0.
            let scheduled =
                scheduled.filter(|(_, from)| *from > 0).map(|(children, from)| ScheduledChildren {
                    children: to_relatives(children),
                    from: BlockNumber::new(u32::try_from(from).unwrap_or(u32::MAX)),
                });
            Ok(Relatives {
                children: to_relatives(children.unwrap_or_default()),
                parents: to_relatives(parents.unwrap_or_default()),
                scheduled,
                take: Share::new(take.unwrap_or_default()),
            })
        };
        self.inner.rpc.with_timeout("children", read).await
    }

    /// Returns the value of the dividends that a coldkey's root stake has not claimed, on one or
    /// all validators.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn root_dividends(
        &self,
        hotkey: Option<Hotkey>,
        coldkey: Coldkey,
        at: At,
    ) -> Result<Rao, ChainError> {
        let (method, args) = match hotkey {
            None => ("get_root_basket_owed", vec![account_key(coldkey)]),
            Some(hotkey) => ("get_basket_payout", vec![account_key(hotkey), account_key(coldkey)]),
        };
        self.api_at("root dividends", "BetaBasketRuntimeApi", method, &args, at).await
    }

    /// Returns the hotkeys on which the emission of a coldkey's miners is staked, by subnet. The
    /// read timeout applies per page; see [`Client::storage_map`].
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn auto_stake_hotkeys(
        &self,
        coldkey: Coldkey,
        at: At,
    ) -> Result<Vec<(NetUid, Hotkey)>, ChainError> {
        let entries = self
            .storage_map(SUBTENSOR, "AutoStakeDestination", &[coldkey.to_string().into()], at)
            .await?;
        let mut auto_stakes = Vec::new();
        for (keys, hotkey) in entries {
            let netuid = keys.into_iter().next_back().unwrap_or_default();
            auto_stakes.push((
                parse_json("an automatic stake", netuid)?,
                parse_json("an automatic stake", hotkey)?,
            ));
        }
        auto_stakes.sort_unstable_by_key(|(netuid, _): &(NetUid, Hotkey)| *netuid);
        Ok(auto_stakes)
    }

    /// Returns the identity of a coldkey; `None` if it has published none.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn identity(&self, coldkey: Coldkey, at: At) -> Result<Option<Identity>, ChainError> {
        let stored: Option<RawIdentity> = self
            .value_at("identity", SUBTENSOR, "IdentitiesV2", &[account_key(coldkey)], at)
            .await?;
        Ok(stored.map(Identity::from))
    }

    /// Returns the announced swap of a coldkey; `None` if none is announced.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn coldkey_swap(
        &self,
        coldkey: Coldkey,
        at: At,
    ) -> Result<Option<ColdkeySwap>, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            let keys = [account_key(coldkey)];
            let announcement: Option<(BlockNumber, BlockHash)> =
                self.inner.read_value(SUBTENSOR, "ColdkeySwapAnnouncements", &keys, block).await?;
            let Some((due_block, new_coldkey_hash)) = announcement else { return Ok(None) };
            let disputed =
                self.inner.read_value(SUBTENSOR, "ColdkeySwapDisputes", &keys, block).await?;
            let delay: Option<u32> = self
                .inner
                .read_value(SUBTENSOR, "ColdkeySwapReannouncementDelay", &[], block)
                .await?;
            let replaceable = due_block.plus(delay.unwrap_or_default());
            Ok(Some(ColdkeySwap { new_coldkey_hash, due: due_block, disputed, replaceable }))
        };
        self.inner.rpc.with_timeout("coldkey swap", read).await
    }

    /// Returns the number of blocks between the announcement of a coldkey swap and its execution.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn coldkey_swap_delay(&self, at: At) -> Result<u32, ChainError> {
        let delay = self
            .value_at("coldkey swap delay", SUBTENSOR, "ColdkeySwapAnnouncementDelay", &[], at)
            .await?;
        Ok(delay.unwrap_or_default())
    }

    /// Returns the cost of replacing a hotkey on one subnet, or of replacing a hotkey on all
    /// subnets or a coldkey.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn key_swap_cost(&self, is_on_one_subnet: bool) -> Result<Rao, ChainError> {
        let name = if is_on_one_subnet { "KeySwapOnSubnetCost" } else { "KeySwapCost" };
        parse_json(name, self.constant(SUBTENSOR, name).await?)
    }

    /// Returns the proxies of an account.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn proxies(&self, account: AccountId, at: At) -> Result<Proxies, ChainError> {
        let stored = self.storage(PROXY, "Proxies", &[account.to_string().into()], at).await?;
        let (proxies, deposit): (Vec<Proxy>, Rao) = parse_json("Proxy.Proxies", stored)?;
        Ok(Proxies { proxies, deposit })
    }

    /// Returns the calls that a proxy has announced, and not yet made.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn announcements(
        &self,
        delegate: AccountId,
        at: At,
    ) -> Result<Vec<Announcement>, ChainError> {
        let stored =
            self.storage(PROXY, "Announcements", &[delegate.to_string().into()], at).await?;
        let (announcements, _): (Vec<Announcement>, Rao) =
            parse_json("Proxy.Announcements", stored)?;
        Ok(announcements)
    }

    /// Returns all crowdloans with their numbers, in order.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn crowdloans(&self, at: At) -> Result<Vec<(u32, Crowdloan)>, ChainError> {
        let block = self.inner.hash(at).await?;
        let entries: Vec<(LastKey<u32>, Crowdloan)> =
            self.inner.read_map(CROWDLOAN, "Crowdloans", &[], block).await?;
        let mut crowdloans: Vec<_> =
            entries.into_iter().map(|(LastKey(id), crowdloan)| (id, crowdloan)).collect();
        crowdloans.sort_unstable_by_key(|(id, _)| *id);
        Ok(crowdloans)
    }

    /// Returns a crowdloan; `None` if it does not exist.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn crowdloan(&self, id: u32, at: At) -> Result<Option<Crowdloan>, ChainError> {
        self.value_at("crowdloan", CROWDLOAN, "Crowdloans", &[number(id)], at).await
    }

    /// Returns the contributions to a crowdloan, largest first. The read timeout applies per page;
    /// see [`Client::storage_map`].
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn contributions(
        &self,
        crowdloan: u32,
        at: At,
    ) -> Result<Vec<(AccountId, Rao)>, ChainError> {
        let entries = self.storage_map(CROWDLOAN, "Contributions", &[crowdloan.into()], at).await?;
        let mut contributions: Vec<(AccountId, Rao)> = Vec::new();
        for (keys, amount) in entries {
            let account = keys.into_iter().next_back().unwrap_or_default();
            contributions.push((
                parse_json("a contribution", account)?,
                parse_json("a contribution", amount)?,
            ));
        }
        contributions.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
        Ok(contributions)
    }
}

fn to_relatives(list: Vec<(u64, Hotkey)>) -> Vec<Relative> {
    list.into_iter()
        .map(|(parts, hotkey)| Relative { hotkey, proportion: Proportion::new(parts) })
        .collect()
}

fn parse_json<T: DeserializeOwned>(
    subject: &str,
    json: serde_json::Value,
) -> Result<T, ChainError> {
    serde_json::from_value(json).map_err(|error| ChainError::decode(subject, error))
}

/// An identity as stored by the chain.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawIdentity {
    name: Vec<u8>,
    url: Vec<u8>,
    github_repo: Vec<u8>,
    image: Vec<u8>,
    discord: Vec<u8>,
    description: Vec<u8>,
    additional: Vec<u8>,
}

impl From<RawIdentity> for Identity {
    fn from(raw: RawIdentity) -> Self {
        Self {
            name: lossy_text(Some(raw.name)),
            url: lossy_text(Some(raw.url)),
            github_repo: lossy_text(Some(raw.github_repo)),
            image: lossy_text(Some(raw.image)),
            discord: lossy_text(Some(raw.discord)),
            description: lossy_text(Some(raw.description)),
            additional: lossy_text(Some(raw.additional)),
        }
    }
}
