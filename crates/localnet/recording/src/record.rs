//! Reading a recording from a node.

use std::collections::{BTreeMap, BTreeSet};

use codec::Decode;
use taonet_localnet_runtime::fork::{self, Item, Items, KeyLayout, KeyPart, MetadataError};

use super::{OmittedItem, Origin, REQUIRED_ITEMS, RecordedItem, Recording, shares};

type Account = [u8; 32];
/// A storage key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Maximum number of mechanisms of a subnet: their storage indexes are mechanism × 4 096 + netuid.
const MAX_MECHANISMS: u16 = 16;

/// The state of a node after one block.
pub trait Source {
    /// Why a read fails.
    type Error;

    /// Returns all storage keys that begin with one of these prefixes, in any order. `item`
    /// describes the keys, for progress.
    fn keys(
        &self,
        item: &str,
        prefixes: Vec<Vec<u8>>,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, Self::Error>> + Send;

    /// Returns those of the storage keys that have a value, with their values, in any order.
    fn values(
        &self,
        item: &str,
        keys: Vec<Vec<u8>>,
    ) -> impl Future<Output = Result<Vec<Entry>, Self::Error>> + Send;
}

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError<E> {
    /// Reading from the node failed.
    #[error(transparent)]
    Source(E),
    /// The node's metadata cannot be read.
    #[error("the node's runtime cannot be recorded: {0}")]
    Metadata(#[from] MetadataError),
    /// The node's runtime lacks an item without which no chain can continue, or has it with another
    /// encoding.
    #[error(
        "the node's runtime (spec version {spec_version}) cannot be recorded: {item}: {reason}; hint: record a \
         Subtensor node of a version that docs/localnet-coverage.md names, or update tao"
    )]
    Item {
        /// Name of the item.
        item: String,
        /// Why it cannot be recorded.
        reason: String,
        /// Spec version of the node's runtime.
        spec_version: u32,
    },
    /// The subnet does not exist on the recorded chain.
    #[error(
        "netuid {netuid}: there is no such subnet in block {block}; hint: tao subnets list --network URL shows them"
    )]
    Subnet {
        /// Netuid of the subnet.
        netuid: u16,
        /// The recorded block.
        block: u32,
    },
    /// A value cannot be decoded.
    #[error("the node returned a malformed value of {0}; hint: try another node")]
    Value(&'static str),
}

/// Records the state of some subnets of a chain.
///
/// `metadata` is the runtime's metadata of version [`fork::METADATA_VERSION`].
///
/// # Errors
/// [`RecordError`].
pub async fn record<S: Source + Sync>(
    source: &S,
    origin: Origin,
    metadata: &[u8],
    netuids: &[u16],
) -> Result<Recording, RecordError<S::Error>> {
    let mut localnet_items = fork::runtime_items()?;
    let share_items = fork::share_items(&localnet_items);
    localnet_items.extend(share_items.iter().map(|(name, item)| (name.clone(), Ok(item.clone()))));
    let ItemComparison { mut items, defaults, omitted_items } =
        compare_items(&localnet_items, fork::items(metadata)?);
    // While the main network migrated the older shares, its calls read them, but its metadata did
    // not name them.
    for (name, item) in &share_items {
        if omitted_items.iter().all(|omitted| omitted.item != *name) {
            items.entry(name.clone()).or_insert_with(|| item.clone());
        }
    }
    let mut required = REQUIRED_ITEMS.into_iter().chain(share_items.keys().map(String::as_str));
    if let Some(item) = required.find(|item| !items.contains_key(*item)) {
        let reason = omitted_items.iter().find(|omitted| omitted.item == item);
        let reason = reason.map_or_else(
            || "the runtime has no such item".to_owned(),
            |omitted| omitted.reason.clone(),
        );
        return Err(RecordError::Item {
            item: item.to_owned(),
            reason,
            spec_version: origin.spec_version,
        });
    }
    let netuids: BTreeSet<u16> = netuids.iter().copied().collect();
    let mut reader = StateReader { source, items: &items, netuids, entries: BTreeMap::new() };
    reader.read_subnets().await?;
    if let Some(netuid) = reader.netuids.iter().find(|netuid| !reader.has_subnet(**netuid)) {
        return Err(RecordError::Subnet { netuid: *netuid, block: origin.block });
    }
    let hotkeys = reader.read_hotkeys().await?;
    let stake_pairs = reader.read_stakes(&hotkeys).await?;
    reader.read_accounts(&hotkeys, &stake_pairs).await?;
    reader.add_defaults(&defaults);
    let netuids = reader.netuids.into_iter().collect();
    let mut entries = reader.entries;
    shares::convert(&items, &mut entries).map_err(RecordError::Value)?;
    items.retain(|name, _| !share_items.contains_key(name));
    Ok(Recording { origin, netuids, omitted_items, items: group_by_item(&items, &entries) })
}

/// A comparison of the recorded chain's items with those of the localnet.
struct ItemComparison {
    /// Items that both runtimes have with the same encoding.
    items: BTreeMap<String, Item>,
    /// Defaults of the recorded chain for those items whose defaults differ.
    defaults: BTreeMap<String, Vec<u8>>,
    /// Items that only one runtime has, or that differ in encoding.
    omitted_items: Vec<OmittedItem>,
}

fn compare_items(localnet_items: &Items, chain_items: Items) -> ItemComparison {
    let (mut items, mut defaults, mut omitted_items) =
        (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (name, item) in chain_items {
        let reason = match (localnet_items.get(&name), item) {
            (None, _) => "the localnet has no such item",
            (_, Err(reason)) => reason,
            (Some(Err(reason)), _) => *reason,
            (Some(Ok(localnet_item)), Ok(item))
                if localnet_item.encoding() != item.encoding()
                    || localnet_item.layout != item.layout =>
            {
                "the localnet encodes it differently"
            }
            (Some(Ok(localnet_item)), Ok(item)) => {
                if let Some(default) =
                    item.default.filter(|default| localnet_item.default.as_ref() != Some(default))
                {
                    defaults.insert(name.clone(), default);
                }
                items.insert(name, localnet_item.clone());
                continue;
            }
        };
        omitted_items.push(OmittedItem::new(&name, reason));
    }
    ItemComparison { items, defaults, omitted_items }
}

fn group_by_item(
    items: &BTreeMap<String, Item>,
    entries: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> BTreeMap<String, RecordedItem> {
    let recorded = items.iter().map(|(name, item)| {
        let prefix = item.prefix().to_vec();
        let item_entries =
            entries.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let entries = item_entries.map(|(key, value)| {
            (key.get(prefix.len()..).unwrap_or_default().to_vec(), value.clone())
        });
        let entries = entries.collect();
        (
            name.clone(),
            RecordedItem { encoding: item.encoding().to_owned(), prefix: prefix.clone(), entries },
        )
    });
    recorded.collect()
}

struct StateReader<'a, S> {
    source: &'a S,
    items: &'a BTreeMap<String, Item>,
    netuids: BTreeSet<u16>,
    /// Values read so far, by storage key.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<S: Source + Sync> StateReader<'_, S> {
    /// Reads single values, and the maps by subnet.
    async fn read_subnets(&mut self) -> Result<(), RecordError<S::Error>> {
        let (mut values, mut prefixes) = (Vec::new(), Vec::new());
        for item in self.items.values() {
            match item.layout {
                KeyLayout::Value => values.push(item.prefix().to_vec()),
                KeyLayout::Subnet => {
                    let netuids = self.netuids.iter();
                    prefixes.extend(netuids.map(|netuid| item.key([&netuid.to_le_bytes()[..]])));
                }
                KeyLayout::Mechanism => {
                    let indexes = self.netuids.iter().flat_map(|netuid| {
                        (0..MAX_MECHANISMS).map(move |mechanism| {
                            mechanism.saturating_mul(4_096).saturating_add(*netuid)
                        })
                    });
                    prefixes.extend(indexes.map(|index| item.key([&index.to_le_bytes()[..]])));
                }
                _ => {}
            }
        }
        let keys = self.source.keys("subnets", prefixes).await.map_err(RecordError::Source)?;
        values.extend(keys);
        self.read_values("subnets", values).await
    }

    fn has_subnet(&self, netuid: u16) -> bool {
        let key = self.storage_key("SubtensorModule.NetworksAdded", &[&netuid.to_le_bytes()]);
        key.and_then(|key| self.entries.get(&key)) == Some(&vec![1])
    }

    /// Reads the hotkeys of the neurons and of all stakes in the subnets, and of their parents and
    /// children.
    async fn read_hotkeys(&mut self) -> Result<BTreeSet<Account>, RecordError<S::Error>> {
        let mut hotkeys: BTreeSet<Account> = BTreeSet::new();
        hotkeys.extend(self.accounts_in("SubtensorModule.Uids"));
        hotkeys.extend(self.decode_values::<Account>("SubtensorModule.SubnetOwnerHotkey")?);
        if let Some(stakes) = self.items.get("SubtensorModule.TotalHotkeyAlpha") {
            // One request per first byte of the hash, so that the requests can run concurrently.
            let prefixes = (0..=u8::MAX).map(|byte| [stakes.prefix(), &[byte]].concat());
            let keys = self
                .source
                .keys("stakes", prefixes.collect())
                .await
                .map_err(RecordError::Source)?;
            for key in keys {
                if let Some([KeyPart::Account(hotkey), KeyPart::Netuid(netuid)]) =
                    stakes.parts(&key).as_deref()
                    && self.netuids.contains(netuid)
                {
                    hotkeys.insert(*hotkey);
                }
            }
        }
        let parent_child_items = ["SubtensorModule.ChildKeys", "SubtensorModule.ParentKeys"];
        let mut keys = Vec::new();
        for item in parent_child_items.iter().filter_map(|name| self.items.get(*name)) {
            for hotkey in &hotkeys {
                keys.extend(
                    self.netuids
                        .iter()
                        .map(|netuid| item.key([&hotkey[..], &netuid.to_le_bytes()])),
                );
            }
        }
        self.read_values("relatives", keys).await?;
        for name in parent_child_items {
            let relatives = self.decode_values::<Vec<(u64, Account)>>(name)?;
            hotkeys.extend(relatives.into_iter().flatten().map(|(_, hotkey)| hotkey));
        }
        Ok(hotkeys)
    }

    /// Reads all stakes in the subnets and on root of these hotkeys; returns the pairs of hotkey
    /// and coldkey.
    async fn read_stakes(
        &mut self,
        hotkeys: &BTreeSet<Account>,
    ) -> Result<BTreeSet<(Account, Account)>, RecordError<S::Error>> {
        let (mut keys, mut stake_pairs) = (Vec::new(), BTreeSet::new());
        for item in
            self.items.values().filter(|item| item.layout == KeyLayout::AccountAccountSubnet)
        {
            let prefixes = hotkeys.iter().map(|hotkey| item.key([&hotkey[..]])).collect();
            for key in self.source.keys("stakers", prefixes).await.map_err(RecordError::Source)? {
                if let Some(
                    [KeyPart::Account(hotkey), KeyPart::Account(coldkey), KeyPart::Netuid(netuid)],
                ) = item.parts(&key).as_deref()
                    && (*netuid == 0 || self.netuids.contains(netuid))
                {
                    stake_pairs.insert((*hotkey, *coldkey));
                    keys.push(key);
                }
            }
        }
        self.read_values("stakes", keys).await?;
        let owners = self.items.get("SubtensorModule.Owner");
        let keys = owners
            .iter()
            .flat_map(|owners| hotkeys.iter().map(move |hotkey| owners.key([&hotkey[..]])));
        let keys: Vec<_> = keys.collect();
        self.read_values("owners", keys).await?;
        for hotkey in hotkeys {
            let owner = self
                .storage_key("SubtensorModule.Owner", &[&hotkey[..]])
                .and_then(|key| self.entries.get(&key));
            if let Some(owner) = owner {
                let owner = Account::decode(&mut owner.as_slice());
                stake_pairs.insert((
                    *hotkey,
                    owner.map_err(|_| RecordError::Value("SubtensorModule.Owner"))?,
                ));
            }
        }
        Ok(stake_pairs)
    }

    /// Reads the maps by account, for the accounts of the subnets.
    async fn read_accounts(
        &mut self,
        hotkeys: &BTreeSet<Account>,
        stake_pairs: &BTreeSet<(Account, Account)>,
    ) -> Result<(), RecordError<S::Error>> {
        let mut accounts = hotkeys.clone();
        accounts.extend(stake_pairs.iter().map(|(_, coldkey)| *coldkey));
        accounts.extend(self.decode_values::<Account>("SubtensorModule.SubnetOwner")?);
        let mut netuids = self.netuids.clone();
        netuids.insert(0);
        let netuids: Vec<_> = netuids.iter().map(|netuid| netuid.to_le_bytes()).collect();
        let ordered_account_pairs: BTreeSet<_> = stake_pairs
            .iter()
            .flat_map(|(first, second)| [(first, second), (second, first)])
            .collect();
        for (name, item) in self.items {
            let keys: Vec<_> = match item.layout {
                KeyLayout::Account => {
                    accounts.iter().map(|account| item.key([&account[..]])).collect()
                }
                KeyLayout::AccountSubnet => {
                    let keys = accounts.iter().flat_map(|account| {
                        netuids.iter().map(move |netuid| item.key([&account[..], netuid]))
                    });
                    keys.collect()
                }
                KeyLayout::AccountAccount => ordered_account_pairs
                    .iter()
                    .map(|(first, second)| item.key([&first[..], &second[..]]))
                    .collect(),
                KeyLayout::AccountSubnetAccount => {
                    let keys = ordered_account_pairs.iter().flat_map(|(first, second)| {
                        netuids
                            .iter()
                            .map(move |netuid| item.key([&first[..], netuid, &second[..]]))
                    });
                    keys.collect()
                }
                _ => continue,
            };
            self.read_values(name, keys).await?;
        }
        Ok(())
    }

    /// Sets the defaults of the recorded chain where they differ from the localnet's and no value
    /// is stored.
    fn add_defaults(&mut self, defaults: &BTreeMap<String, Vec<u8>>) {
        for (name, default) in defaults {
            let Some(item) = self.items.get(name) else { continue };
            let keys = match item.layout {
                KeyLayout::Value => vec![item.prefix().to_vec()],
                KeyLayout::Subnet => self
                    .netuids
                    .iter()
                    .map(|netuid| item.key([&netuid.to_le_bytes()[..]]))
                    .collect(),
                _ => continue,
            };
            // A netuid alone is not a complete key of a map with more keys.
            for key in keys.into_iter().filter(|key| item.is_key(key)) {
                self.entries.entry(key).or_insert_with(|| default.clone());
            }
        }
    }

    async fn read_values(
        &mut self,
        item: &str,
        keys: Vec<Vec<u8>>,
    ) -> Result<(), RecordError<S::Error>> {
        self.entries.extend(self.source.values(item, keys).await.map_err(RecordError::Source)?);
        Ok(())
    }

    fn storage_key(&self, item: &str, parts: &[&[u8]]) -> Option<Vec<u8>> {
        Some(self.items.get(item)?.key(parts.iter().copied()))
    }

    /// Returns the recorded entries of an item.
    fn entries_of(&self, item: &str) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let prefix = self.items.get(item).map(Item::prefix);
        prefix.into_iter().flat_map(move |prefix| {
            self.entries
                .range(prefix.to_vec()..)
                .take_while(move |(key, _)| key.starts_with(prefix))
        })
    }

    fn accounts_in(&self, item: &str) -> Vec<Account> {
        let parts =
            self.entries_of(item).filter_map(|(key, _)| self.items.get(item)?.parts(key)).flatten();
        let accounts = parts.filter_map(|part| match part {
            KeyPart::Account(account) => Some(account),
            KeyPart::Netuid(_) => None,
        });
        accounts.collect()
    }

    fn decode_values<T: Decode>(
        &self,
        item: &'static str,
    ) -> Result<Vec<T>, RecordError<S::Error>> {
        let values = self.entries_of(item).map(|(_, value)| T::decode(&mut value.as_slice()));
        values.collect::<Result<_, _>>().map_err(|_| RecordError::Value(item))
    }
}
