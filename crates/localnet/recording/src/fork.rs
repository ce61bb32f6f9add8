//! Import of a recording into a genesis state.

use std::collections::BTreeMap;

use sp_core::storage::Storage;
use sp_state_machine::BasicExternalities;
use taonet_localnet_runtime::fork::{self, Item, KeyLayout};

use super::{OmittedItem, REQUIRED_ITEMS, Recording, RecordingError};

/// Name of the item that lists the existing subnets.
const NETWORKS_ADDED: &str = "SubtensorModule.NetworksAdded";

/// Summary of the data that a fork imported from a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fork {
    /// Number of storage entries in the genesis state that come from the recording.
    pub entries: usize,
    /// Recorded items that this program's runtime cannot import.
    pub omitted_items: Vec<OmittedItem>,
}

impl Recording {
    /// Continues the recorded chain: writes the recorded entries into the genesis state of a new
    /// chain, whose first block has the number of the recorded one.
    ///
    /// Recorded subnets replace those of the genesis state, and dormant ones fill gaps between
    /// netuids. The accounts of the genesis state keep at least their balances there. Totals count
    /// the resulting state.
    ///
    /// # Errors
    /// [`RecordingError`]; the genesis state is then unchanged.
    pub fn fork(&self, genesis: &mut Storage) -> Result<Fork, RecordingError> {
        let localnet_items = fork::runtime_items()?;
        let (mut imported, mut omitted_items) = (Vec::new(), Vec::new());
        for (name, recorded) in &self.items {
            let reason = match localnet_items.get(name) {
                None => "the localnet has no such item",
                Some(Err(reason)) => *reason,
                Some(Ok(item)) if item.encoding() != recorded.encoding => {
                    "the localnet encodes it differently"
                }
                Some(Ok(item)) if item.prefix() != recorded.prefix => {
                    "the localnet stores it elsewhere"
                }
                Some(Ok(item)) => {
                    imported.push((name, item, &recorded.entries));
                    continue;
                }
            };
            if REQUIRED_ITEMS.contains(&name.as_str()) {
                return Err(RecordingError::Item { item: name.clone(), reason: reason.to_owned() });
            }
            omitted_items.push(OmittedItem::new(name, reason));
        }
        if let Some(item) = REQUIRED_ITEMS.iter().find(|item| !self.items.contains_key(**item)) {
            let reason = "it was not recorded".to_owned();
            return Err(RecordingError::Item { item: (*item).to_owned(), reason });
        }
        let mut entries = BTreeMap::new();
        for (name, item, recorded) in imported {
            for (suffix, value) in recorded {
                let key = [item.prefix(), suffix].concat();
                if !self.can_contain(item, &key) {
                    return Err(RecordingError::Key { item: name.clone(), key });
                }
                entries.insert(key, value.clone());
            }
        }
        if let Some(Ok(networks)) = localnet_items.get(NETWORKS_ADDED) {
            let missing_netuid = self.netuids.iter().find(|netuid| {
                entries.get(&networks.key([&netuid.to_le_bytes()[..]])) != Some(&vec![1])
            });
            if let Some(netuid) = missing_netuid {
                return Err(RecordingError::Subnet(*netuid));
            }
        }
        let mut state = genesis.clone();
        let endowed_accounts = BasicExternalities::execute_with_storage(&mut state, || {
            fork::add_subnets(self.netuids.iter().copied().max().unwrap_or_default())
                .map(|()| fork::accounts())
        });
        let endowed_accounts = endowed_accounts.map_err(RecordingError::DevelopmentKey)?;
        for item in localnet_items.values().flatten() {
            self.remove_subnets(item, &mut state);
        }
        let count = entries.len();
        state.top.extend(entries);
        BasicExternalities::execute_with_storage(&mut state, || {
            fork::complete(self.origin.block, &self.netuids, &endowed_accounts);
        });
        *genesis = state;
        Ok(Fork { entries: count, omitted_items })
    }

    /// Whether a key belongs to the item, and to a recorded subnet if it belongs to a subnet. Every
    /// recording also has the stake on root.
    fn can_contain(&self, item: &Item, key: &[u8]) -> bool {
        let is_by_subnet = matches!(item.layout, KeyLayout::Subnet | KeyLayout::Mechanism);
        match item.netuid(key) {
            None => false,
            Some(None) => true,
            Some(Some(netuid)) => self.netuids.contains(&netuid) || (netuid == 0 && !is_by_subnet),
        }
    }

    /// Removes the recorded subnets' entries of an item from a state.
    fn remove_subnets(&self, item: &Item, state: &mut Storage) {
        let start = item.prefix().to_vec();
        let keys = state
            .top
            .range(start..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(item.prefix()));
        let removed = keys.filter(|key| {
            item.netuid(key).flatten().is_some_and(|netuid| self.netuids.contains(&netuid))
        });
        let removed: Vec<_> = removed.cloned().collect();
        for key in removed {
            state.top.remove(&key);
        }
    }
}
