//! The dependency graph of pooled extrinsics.
//!
//! An extrinsic requires tags and provides tags (in practice, account and nonce). It is ready when
//! every required tag is provided by a ready extrinsic or by a block; until then it waits for its
//! predecessors.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use sp_core::H256;
use sp_runtime::transaction_validity::{TransactionTag, ValidTransaction};
use taonet_localnet_runtime::AccountId;

use super::PoolLimits;
use super::error::SubmitError;
use super::watch::{StatusSender, TxEvent};

/// Position of an extrinsic in the order of arrival.
pub(crate) type Seq = u64;

pub(super) struct PoolEntry {
    pub(super) hash: H256,
    pub(super) bytes: Arc<[u8]>,
    pub(super) sender: Option<AccountId>,
    pub(super) status_sender: StatusSender,
    requires: Vec<TransactionTag>,
    provides: Vec<TransactionTag>,
    priority: u64,
    valid_till: u64,
    /// The number of required tags that no ready extrinsic provides.
    unmet_count: usize,
}

impl PoolEntry {
    /// Creates an entry for an extrinsic that was validated at block `block_number`.
    pub(super) fn new(
        hash: H256,
        bytes: Vec<u8>,
        sender: Option<AccountId>,
        status_sender: StatusSender,
        validity: ValidTransaction,
        block_number: u32,
    ) -> Self {
        let ValidTransaction { priority, mut requires, provides, longevity, .. } = validity;
        requires.sort_unstable();
        requires.dedup();
        let valid_till = u64::from(block_number).saturating_add(longevity);
        Self {
            hash,
            bytes: bytes.into(),
            sender,
            status_sender,
            requires,
            provides,
            priority,
            valid_till,
            unmet_count: 0,
        }
    }

    fn rank(&self, seq: Seq) -> Rank {
        Rank {
            priority: self.priority,
            earlier_expiry: u64::MAX - self.valid_till,
            earlier_arrival: u64::MAX - seq,
            seq,
        }
    }
}

/// Sort key of ready extrinsics: the greatest is included first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: u64,
    earlier_expiry: u64,
    earlier_arrival: u64,
    seq: Seq,
}

#[derive(Default)]
pub(super) struct Graph {
    entries: BTreeMap<Seq, PoolEntry>,
    by_hash: HashMap<H256, Seq>,
    providers: HashMap<TransactionTag, Seq>,
    dependents: HashMap<TransactionTag, Vec<Seq>>,
    sender_counts: HashMap<AccountId, usize>,
    total_bytes: usize,
    ready_count: usize,
    next_seq: Seq,
}

impl Graph {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn ready_count(&self) -> usize {
        self.ready_count
    }

    pub(super) fn contains(&self, hash: &H256) -> bool {
        self.by_hash.contains_key(hash)
    }

    pub(super) fn provides(&self, tag: &TransactionTag) -> bool {
        self.providers.contains_key(tag)
    }

    #[cfg(test)]
    pub(super) fn provides_at(&self, tag: &TransactionTag) -> Option<Seq> {
        self.providers.get(tag).copied()
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&PoolEntry> {
        self.entries.get(&seq)
    }

    /// Adds an extrinsic, or returns why it is refused. The new extrinsic replaces an extrinsic of
    /// lower priority with the same account and nonce.
    pub(super) fn insert(
        &mut self,
        entry: PoolEntry,
        limits: &PoolLimits,
    ) -> Result<(), SubmitError> {
        if entry.provides.is_empty() {
            return Err(SubmitError::NoTags);
        }
        if self.contains(&entry.hash) {
            return Err(SubmitError::Known(entry.hash));
        }
        let conflicts = self.conflicts_of(&entry)?;
        for seq in self.evictions(&entry, &conflicts, limits)? {
            if let Some(victim) = self.remove(seq) {
                victim.status_sender.send(TxEvent::Dropped);
            }
        }
        for seq in conflicts {
            if let Some(conflict) = self.remove(seq) {
                conflict.status_sender.send(TxEvent::Usurped(entry.hash));
            }
        }
        self.link(entry);
        Ok(())
    }

    /// Returns the pooled extrinsics that `entry` would replace.
    fn conflicts_of(&self, entry: &PoolEntry) -> Result<Vec<Seq>, SubmitError> {
        let mut conflicts: Vec<Seq> =
            entry.provides.iter().filter_map(|tag| self.providers.get(tag)).copied().collect();
        conflicts.sort_unstable();
        conflicts.dedup();
        let pooled = conflicts
            .iter()
            .filter_map(|seq| self.entries.get(seq))
            .map(|conflict| conflict.priority)
            .max();
        match pooled {
            Some(pooled) if pooled >= entry.priority => {
                Err(SubmitError::Priority { pooled, new: entry.priority })
            }
            _ => Ok(conflicts),
        }
    }

    /// Returns the extrinsics of lowest priority to evict from a full pool for `entry`, in addition
    /// to the replaced `conflicts`.
    fn evictions(
        &self,
        entry: &PoolEntry,
        conflicts: &[Seq],
        limits: &PoolLimits,
    ) -> Result<Vec<Seq>, SubmitError> {
        let is_future = self.count_unmet(entry) > 0;
        if is_future && self.entries.len() - self.ready_count >= limits.future {
            return Err(SubmitError::Full);
        }
        let sender_count = entry
            .sender
            .as_ref()
            .and_then(|sender| self.sender_counts.get(sender))
            .copied()
            .unwrap_or(0);
        if sender_count >= limits.per_sender && conflicts.is_empty() {
            return Err(SubmitError::Full);
        }
        let mut count = self.entries.len() - conflicts.len();
        let mut bytes = self.total_bytes + entry.bytes.len()
            - conflicts.iter().map(|seq| self.entry_size(*seq)).sum::<usize>();
        let mut victims = Vec::new();
        if limits.fits(count, bytes) {
            return Ok(victims);
        }
        let others = self
            .entries
            .iter()
            .filter(|(seq, other)| other.priority < entry.priority && !conflicts.contains(seq));
        let mut lowest_ranked: BinaryHeap<_> =
            others.map(|(seq, other)| Reverse(other.rank(*seq))).collect();
        while let Some(Reverse(Rank { seq, .. })) = lowest_ranked.pop() {
            count -= 1;
            bytes -= self.entry_size(seq);
            victims.push(seq);
            if limits.fits(count, bytes) {
                return Ok(victims);
            }
        }
        Err(SubmitError::Full)
    }

    /// Returns the size of an extrinsic in bytes; 0 if it is not in the pool.
    fn entry_size(&self, seq: Seq) -> usize {
        self.entries.get(&seq).map_or(0, |entry| entry.bytes.len())
    }

    fn count_unmet(&self, entry: &PoolEntry) -> usize {
        entry.requires.iter().filter(|tag| !self.is_provided(tag)).count()
    }

    /// Returns whether a ready extrinsic provides the tag.
    fn is_provided(&self, tag: &TransactionTag) -> bool {
        self.providers
            .get(tag)
            .and_then(|seq| self.entries.get(seq))
            .is_some_and(|provider| provider.unmet_count == 0)
    }

    fn link(&mut self, mut entry: PoolEntry) {
        let seq = self.next_seq;
        self.next_seq += 1;
        entry.unmet_count = self.count_unmet(&entry);
        for tag in &entry.provides {
            self.providers.insert(tag.clone(), seq);
        }
        for tag in &entry.requires {
            self.dependents.entry(tag.clone()).or_default().push(seq);
        }
        if let Some(sender) = &entry.sender {
            *self.sender_counts.entry(sender.clone()).or_default() += 1;
        }
        self.total_bytes += entry.bytes.len();
        self.by_hash.insert(entry.hash, seq);
        let is_ready = entry.unmet_count == 0;
        entry.status_sender.send(if is_ready { TxEvent::Ready } else { TxEvent::Future });
        self.entries.insert(seq, entry);
        if is_ready {
            self.ready_count += 1;
            self.promote(seq);
        }
    }

    /// Updates the dependents of an extrinsic that became ready.
    fn promote(&mut self, seq: Seq) {
        let mut became_ready = vec![seq];
        while let Some(seq) = became_ready.pop() {
            for dependent in self.dependents_of(seq) {
                let Some(entry) = self.entries.get_mut(&dependent) else { continue };
                entry.unmet_count = entry.unmet_count.saturating_sub(1);
                if entry.unmet_count == 0 {
                    entry.status_sender.send(TxEvent::Ready);
                    self.ready_count += 1;
                    became_ready.push(dependent);
                }
            }
        }
    }

    /// Updates the dependents of a ready extrinsic that was removed without inclusion.
    fn demote(&mut self, dependents: Vec<Seq>) {
        let mut demoted = dependents;
        while let Some(seq) = demoted.pop() {
            let Some(entry) = self.entries.get_mut(&seq) else { continue };
            entry.unmet_count += 1;
            if entry.unmet_count == 1 {
                entry.status_sender.send(TxEvent::Future);
                self.ready_count -= 1;
                demoted.extend(self.dependents_of(seq));
            }
        }
    }

    /// Returns the extrinsics that require a tag of `seq`, once for each tag.
    fn dependents_of(&self, seq: Seq) -> Vec<Seq> {
        let tags =
            self.entries.get(&seq).map(|entry| entry.provides.as_slice()).unwrap_or_default();
        tags.iter().filter_map(|tag| self.dependents.get(tag)).flatten().copied().collect()
    }

    /// Removes an extrinsic that was not included.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<PoolEntry> {
        let dependents = self.dependents_of(seq);
        let entry = self.unlink(seq)?;
        if entry.unmet_count == 0 {
            self.demote(dependents);
        }
        Some(entry)
    }

    /// Removes an included extrinsic; the tags that it provided count as provided from now on.
    pub(super) fn include(&mut self, seq: Seq) -> Option<PoolEntry> {
        let entry = self.unlink(seq)?;
        for tag in &entry.provides {
            for dependent in self.dependents.remove(tag).unwrap_or_default() {
                if let Some(dependent) = self.entries.get_mut(&dependent) {
                    dependent.requires.retain(|required| required != tag);
                }
            }
        }
        Some(entry)
    }

    fn unlink(&mut self, seq: Seq) -> Option<PoolEntry> {
        let entry = self.entries.remove(&seq)?;
        self.by_hash.remove(&entry.hash);
        for tag in &entry.provides {
            self.providers.remove(tag);
        }
        for tag in &entry.requires {
            if let Some(dependents) = self.dependents.get_mut(tag) {
                dependents.retain(|other| *other != seq);
                if dependents.is_empty() {
                    self.dependents.remove(tag);
                }
            }
        }
        if let Some(sender) = &entry.sender
            && let Some(sender_count) = self.sender_counts.get_mut(sender)
        {
            *sender_count -= 1;
            if *sender_count == 0 {
                self.sender_counts.remove(sender);
            }
        }
        self.total_bytes -= entry.bytes.len();
        self.ready_count -= usize::from(entry.unmet_count == 0);
        Some(entry)
    }

    /// Returns the future extrinsics that are no longer valid at block `block_number`. Ready ones
    /// are validated when a block is built.
    pub(super) fn expired(&self, block_number: u32) -> Vec<Seq> {
        self.entries
            .iter()
            .filter(|(_, entry)| {
                entry.unmet_count > 0 && entry.valid_till < u64::from(block_number)
            })
            .map(|(seq, _)| *seq)
            .collect()
    }

    /// Returns the ready extrinsics in the order of inclusion: by priority, each after its
    /// dependencies.
    pub(super) fn ready_in_order(&self) -> Vec<Seq> {
        let mut unmet_counts: HashMap<Seq, usize> = HashMap::new();
        let mut ready = BinaryHeap::new();
        for (seq, entry) in self.entries.iter().filter(|(_, entry)| entry.unmet_count == 0) {
            match entry.requires.len() {
                0 => ready.push(entry.rank(*seq)),
                required => drop(unmet_counts.insert(*seq, required)),
            }
        }
        let mut order = Vec::with_capacity(self.ready_count);
        while let Some(Rank { seq, .. }) = ready.pop() {
            order.push(seq);
            for dependent in self.dependents_of(seq) {
                let Some(unmet_count) = unmet_counts.get_mut(&dependent) else { continue };
                *unmet_count -= 1;
                if *unmet_count == 0 {
                    unmet_counts.remove(&dependent);
                    ready.extend(self.entries.get(&dependent).map(|entry| entry.rank(dependent)));
                }
            }
        }
        order
    }

    /// Returns all extrinsics, in order of arrival.
    pub(super) fn iter_entries(&self) -> impl Iterator<Item = &PoolEntry> {
        self.entries.values()
    }
}
