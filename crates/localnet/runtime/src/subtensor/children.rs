//! Child hotkeys: a hotkey lends proportions of its stake on a subnet to other hotkeys, its
//! children. A child validates with this stake, pays the parent its part of the dividends, and
//! keeps its child key take.
//!
//! [`inheritance`] computes stakes and dividends, and [`threshold`] suspends parents with too
//! little stake; this module sets children and takes.

use frame_support::pallet_prelude::*;
use sp_runtime::{AccountId32, PerU16};
use substrate_fixed::types::U64F64;

use super::rate_limits::LimitedAction;
use super::{
    AutoParentDelegationEnabled, ChildKeys, ChildkeyTake, ChildkeyThresholdSuspended, Config,
    Error, Event, Keys, LastEpochBlock, MaxChildkeyTake, MinChildkeyTake, MinChildkeyTakePerSubnet,
    Pallet, ParentKeys, PendingChildKeyCooldown, PendingChildKeys, SubnetOwnerHotkey,
    SubtokenEnabled,
};
use crate::types::{NetUid, TaoBalance};

mod inheritance;
mod threshold;

/// Relatives of a hotkey on a subnet: the part of the parent's stake that the child receives, in
/// parts of 2⁶⁴, and the other hotkey.
pub(super) type Relatives = Vec<(u64, AccountId32)>;

/// Maximum number of children of a hotkey on a subnet.
const MAX_CHILDREN: usize = 5;

/// Returns the hotkeys that have an entry on a subnet, given all keys of a map.
fn hotkeys_on(
    netuid: NetUid,
    keys: impl Iterator<Item = (AccountId32, NetUid)>,
) -> Vec<AccountId32> {
    keys.filter(|(_, key_netuid)| *key_netuid == netuid).map(|(hotkey, _)| hotkey).collect()
}

impl<T: Config> Pallet<T> {
    /// Schedules new children of a hotkey on a subnet; before the subnet is started, they apply
    /// immediately.
    ///
    /// # Errors
    /// In this order: `TxRateLimitExceeded` within 150 blocks,
    /// `RegistrationNotPermittedOnRootSubnet`, `SubnetNotExists`, `NonAssociatedColdKey`,
    /// `DuplicateChild`, the errors of [`Self::check_children`], and
    /// `NotEnoughStakeToSetChildkeys`.
    pub(crate) fn do_set_children(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        children: Relatives,
    ) -> DispatchResult {
        Self::ensure_within_rate(hotkey, netuid, LimitedAction::Children)?;
        ensure!(netuid != NetUid::ROOT, Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(Self::owns(who, hotkey), Error::<T>::NonAssociatedColdKey);
        let has_duplicate = children.iter().enumerate().any(|(index, (_, child))| {
            children.iter().take(index).any(|(_, earlier)| earlier == child)
        });
        ensure!(!has_duplicate, Error::<T>::DuplicateChild);
        Self::check_children(hotkey, netuid, &children)?;
        ensure!(
            children.is_empty() || Self::has_stake_for_children(hotkey, netuid),
            Error::<T>::NotEnoughStakeToSetChildkeys
        );
        Self::record_action(hotkey, netuid, LimitedAction::Children);
        Self::wake(netuid);
        if !SubtokenEnabled::<T>::get(netuid) {
            Self::apply_children(netuid, hotkey, children);
            return Ok(());
        }
        let cooldown_end =
            Self::current_block().saturating_add(PendingChildKeyCooldown::<T>::get());
        PendingChildKeys::<T>::insert(netuid, hotkey, (children.clone(), cooldown_end));
        Self::deposit_event(Event::SetChildrenScheduled(
            hotkey.clone(),
            netuid,
            cooldown_end,
            children,
        ));
        Ok(())
    }

    /// Sets the child key take of a hotkey on a subnet.
    ///
    /// # Errors
    /// `NonAssociatedColdKey`, `SubnetNotExists`, `InvalidChildkeyTake` out of bounds,
    /// `TxChildkeyTakeRateLimitExceeded` if the take rises within the rate limit.
    pub(crate) fn do_set_childkey_take(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        take: PerU16,
    ) -> DispatchResult {
        ensure!(Self::owns(who, hotkey), Error::<T>::NonAssociatedColdKey);
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        let bounds = Self::min_childkey_take(netuid)..=MaxChildkeyTake::<T>::get();
        ensure!(bounds.contains(&take), Error::<T>::InvalidChildkeyTake);
        ensure!(
            take <= Self::childkey_take(hotkey, netuid)
                || Self::is_action_within_rate(hotkey, netuid, LimitedAction::ChildkeyTake),
            Error::<T>::TxChildkeyTakeRateLimitExceeded
        );
        Self::record_action(hotkey, netuid, LimitedAction::ChildkeyTake);
        ChildkeyTake::<T>::insert(hotkey, netuid, take);
        Self::deposit_event(Event::ChildKeyTakeSet(hotkey.clone(), take));
        Ok(())
    }

    /// Sets whether a hotkey makes the owners of subnets its children: of existing subnets when it
    /// joins root, and of new subnets while it is a member.
    ///
    /// # Errors
    /// `NonAssociatedColdKey`.
    pub(crate) fn do_set_auto_parent_delegation_enabled(
        who: &AccountId32,
        hotkey: AccountId32,
        enabled: bool,
    ) -> DispatchResult {
        ensure!(Self::owns(who, &hotkey), Error::<T>::NonAssociatedColdKey);
        AutoParentDelegationEnabled::<T>::insert(&hotkey, enabled);
        Self::deposit_event(Event::AutoParentDelegationEnabledSet { hotkey, enabled });
        Ok(())
    }

    /// Makes the owner hotkey of a new subnet the only child of each member of root, unless
    /// [`Self::delegate_to_owner`] skips the member.
    pub(super) fn delegate_to_owner_of_new_subnet(netuid: NetUid) {
        let members: Vec<AccountId32> = Keys::<T>::iter_prefix_values(NetUid::ROOT).collect();
        for member in members {
            Self::delegate_to_owner(&member, netuid);
        }
    }

    /// Makes the owner hotkey of each existing subnet the only child of a new member of root there,
    /// unless [`Self::delegate_to_owner`] skips the subnet.
    pub(super) fn delegate_to_owners_of_all_subnets(member: &AccountId32) {
        for netuid in Self::all_netuids() {
            Self::delegate_to_owner(member, netuid);
        }
    }

    /// Makes the owner hotkey of a subnet the only child of a member of root, immediately.
    ///
    /// As on the real chain (its published source, `pallets/subtensor/src/staking/auto_parent.rs`
    /// of RaoFoundation/subtensor at 1d298379), neither rate limit, stake threshold nor cooldown of
    /// [`Self::do_set_children`] applies. Skips root, a subnet without an owner hotkey, an owner
    /// hotkey that is the member itself or one of its parents, a member that disabled the
    /// delegation, and one that has or has scheduled children on the subnet.
    fn delegate_to_owner(member: &AccountId32, netuid: NetUid) {
        let Ok(owner) = SubnetOwnerHotkey::<T>::try_get(netuid) else { return };
        let is_skipped = netuid == NetUid::ROOT
            || owner == *member
            || !AutoParentDelegationEnabled::<T>::get(member)
            || !ChildKeys::<T>::get(member, netuid).is_empty()
            || PendingChildKeys::<T>::contains_key(netuid, member);
        if !is_skipped {
            Self::apply_children(netuid, member, vec![(u64::MAX, owner)]);
        }
    }

    /// Removes the owner hotkey of each subnet from the children of a hotkey that loses its seat on
    /// root, if the owner is the only child, with all stake. Other children remain.
    pub(super) fn end_delegation_to_owners(member: &AccountId32) {
        for netuid in Self::all_netuids() {
            let is_only_child = SubnetOwnerHotkey::<T>::try_get(netuid)
                .is_ok_and(|owner| ChildKeys::<T>::get(member, netuid) == [(u64::MAX, owner)]);
            if is_only_child {
                Self::apply_children(netuid, member, Relatives::new());
            }
        }
    }

    /// Applies the scheduled children whose cooldown has passed, on subnets whose epoch ran in
    /// this block. Children of a hotkey whose stake has fallen below the threshold since are
    /// dropped.
    pub(super) fn apply_scheduled_children(subnets: &[NetUid]) {
        let block = Self::current_block();
        for &netuid in subnets.iter().filter(|netuid| LastEpochBlock::<T>::get(**netuid) == block) {
            let ready_children: Vec<(AccountId32, Relatives)> =
                PendingChildKeys::<T>::iter_prefix(netuid)
                    .filter(|(_, (_, cooldown_end))| {
                        *cooldown_end < block || !SubtokenEnabled::<T>::get(netuid)
                    })
                    .map(|(hotkey, (children, _))| (hotkey, children))
                    .collect();
            for (hotkey, children) in ready_children {
                PendingChildKeys::<T>::remove(netuid, &hotkey);
                if children.is_empty() {
                    Self::apply_children(netuid, &hotkey, children);
                } else if Self::has_stake_for_children(&hotkey, netuid) {
                    Self::apply_children(netuid, &hotkey, children);
                    if Self::has_threshold_stake(&hotkey) {
                        ChildkeyThresholdSuspended::<T>::remove(&hotkey);
                    }
                }
            }
        }
    }

    /// Returns the child key take of a hotkey on a subnet, at least the minimum.
    pub fn childkey_take(hotkey: &AccountId32, netuid: NetUid) -> PerU16 {
        ChildkeyTake::<T>::get(hotkey, netuid).max(Self::min_childkey_take(netuid))
    }

    fn min_childkey_take(netuid: NetUid) -> PerU16 {
        MinChildkeyTake::<T>::get().max(MinChildkeyTakePerSubnet::<T>::get(netuid))
    }

    /// Whether a hotkey may have children: its stake on all subnets is worth `StakeThreshold`, or
    /// it is the hotkey of the subnet's owner.
    fn has_stake_for_children(hotkey: &AccountId32, netuid: NetUid) -> bool {
        Self::has_threshold_stake(hotkey)
            || SubnetOwnerHotkey::<T>::try_get(netuid).is_ok_and(|owner| owner == *hotkey)
    }

    /// Returns the value of all stake on a hotkey, on all subnets, at the current prices.
    fn total_value_of(hotkey: &AccountId32) -> TaoBalance {
        Self::all_netuids()
            .into_iter()
            .map(|netuid| {
                let alpha = U64F64::from_num(Self::total_alpha(hotkey, netuid).0);
                TaoBalance(alpha.saturating_mul(Self::alpha_price(netuid)).saturating_to_num())
            })
            .fold(TaoBalance::ZERO, TaoBalance::saturating_add)
    }

    /// Checks that a hotkey can have these children on a subnet.
    ///
    /// # Errors
    /// In this order: `InvalidChild` if the hotkey is among them, `TooManyChildren` above five,
    /// `ProportionOverflow` above 100 %, `ChildParentInconsistency` if a child is one of its
    /// parents.
    pub(super) fn check_children(
        hotkey: &AccountId32,
        netuid: NetUid,
        children: &[(u64, AccountId32)],
    ) -> Result<(), Error<T>> {
        ensure!(children.iter().all(|(_, child)| child != hotkey), Error::<T>::InvalidChild);
        ensure!(children.len() <= MAX_CHILDREN, Error::<T>::TooManyChildren);
        let total_proportion: u128 =
            children.iter().map(|(proportion, _)| u128::from(*proportion)).sum();
        ensure!(total_proportion <= u128::from(u64::MAX), Error::<T>::ProportionOverflow);
        let parents = ParentKeys::<T>::get(hotkey, netuid);
        let has_parent =
            children.iter().any(|(_, child)| parents.iter().any(|(_, parent)| parent == child));
        ensure!(!has_parent, Error::<T>::ChildParentInconsistency);
        Ok(())
    }

    /// Replaces the children of a hotkey. Children that have become inconsistent since they were
    /// scheduled are dropped.
    fn apply_children(netuid: NetUid, hotkey: &AccountId32, children: Relatives) {
        if Self::check_children(hotkey, netuid, &children).is_ok() {
            Self::replace_children(netuid, hotkey, children.clone());
            Self::deposit_event(Event::SetChildren(hotkey.clone(), netuid, children));
        }
    }

    /// Replaces the children of a hotkey, and with them the hotkey among the parents of old and new
    /// children.
    fn replace_children(netuid: NetUid, hotkey: &AccountId32, mut children: Relatives) {
        for (_, child) in ChildKeys::<T>::get(hotkey, netuid) {
            Self::change_parents(netuid, &child, |parents| {
                parents.retain(|(_, parent)| parent != hotkey);
            });
        }
        for (proportion, child) in &children {
            Self::change_parents(netuid, child, |parents| {
                parents.push((*proportion, hotkey.clone()));
            });
        }
        children.sort_by(|(_, one), (_, other)| one.cmp(other));
        Self::change_children(netuid, hotkey, |old| *old = children);
    }

    /// Moves all relations of a hotkey on a subnet to another hotkey: children, parents, scheduled
    /// children, scheduled relations with other parents, and the child key take. They replace those
    /// of the other hotkey.
    ///
    /// # Errors
    /// `InvalidChild` if the new hotkey is a relative of the old one.
    pub(super) fn move_relations(
        netuid: NetUid,
        old: &AccountId32,
        new: &AccountId32,
    ) -> DispatchResult {
        let (children, parents) =
            (ChildKeys::<T>::get(old, netuid), ParentKeys::<T>::get(old, netuid));
        let are_related = children.iter().chain(&parents).any(|(_, relative)| relative == new);
        ensure!(!are_related, Error::<T>::InvalidChild);
        Self::replace_children(netuid, new, Relatives::new());
        for (_, parent) in ParentKeys::<T>::take(new, netuid) {
            Self::change_children(netuid, &parent, |children| {
                children.retain(|(_, child)| child != new);
            });
        }
        ChildKeys::<T>::remove(old, netuid);
        ParentKeys::<T>::remove(old, netuid);
        for (_, child) in &children {
            Self::change_parents(netuid, child, |parents| replace_hotkey(parents, old, new));
        }
        for (_, parent) in &parents {
            Self::change_children(netuid, parent, |children| replace_hotkey(children, old, new));
        }
        Self::change_children(netuid, new, |relations| relations.extend(children));
        Self::change_parents(netuid, new, |relations| relations.extend(parents));
        if PendingChildKeys::<T>::contains_key(netuid, old) {
            let (scheduled, cooldown_end) = PendingChildKeys::<T>::take(netuid, old);
            Self::check_children(new, netuid, &scheduled)?;
            PendingChildKeys::<T>::insert(netuid, new, (scheduled, cooldown_end));
        }
        let scheduling_parents: Vec<AccountId32> = PendingChildKeys::<T>::iter_prefix(netuid)
            .filter(|(_, (children, _))| children.iter().any(|(_, child)| child == old))
            .map(|(parent, _)| parent)
            .collect();
        for parent in scheduling_parents {
            PendingChildKeys::<T>::mutate(netuid, parent, |(children, _)| {
                replace_hotkey(children, old, new);
            });
        }
        if ChildkeyTake::<T>::contains_key(old, netuid) {
            ChildkeyTake::<T>::insert(new, netuid, ChildkeyTake::<T>::take(old, netuid));
        }
        Ok(())
    }

    /// Removes all relations of hotkeys on a subnet.
    pub(super) fn remove_relations(netuid: NetUid) {
        for hotkey in hotkeys_on(netuid, ChildKeys::<T>::iter_keys()) {
            ChildKeys::<T>::remove(hotkey, netuid);
        }
        for hotkey in hotkeys_on(netuid, ParentKeys::<T>::iter_keys()) {
            ParentKeys::<T>::remove(hotkey, netuid);
        }
        for hotkey in hotkeys_on(netuid, ChildkeyTake::<T>::iter_keys()) {
            ChildkeyTake::<T>::remove(hotkey, netuid);
        }
        let _ = PendingChildKeys::<T>::clear_prefix(netuid, u32::MAX, None);
    }

    fn change_children(netuid: NetUid, parent: &AccountId32, change: impl FnOnce(&mut Relatives)) {
        let mut children = ChildKeys::<T>::get(parent, netuid);
        change(&mut children);
        if children.is_empty() {
            ChildKeys::<T>::remove(parent, netuid);
        } else {
            ChildKeys::<T>::insert(parent, netuid, children);
        }
    }

    fn change_parents(netuid: NetUid, child: &AccountId32, change: impl FnOnce(&mut Relatives)) {
        let mut parents = ParentKeys::<T>::get(child, netuid);
        change(&mut parents);
        if parents.is_empty() {
            ParentKeys::<T>::remove(child, netuid);
        } else {
            ParentKeys::<T>::insert(child, netuid, parents);
        }
    }
}

/// Replaces a hotkey in a list of relatives.
fn replace_hotkey(relatives: &mut Relatives, old: &AccountId32, new: &AccountId32) {
    for (_, relative) in relatives.iter_mut().filter(|(_, relative)| relative == old) {
        *relative = new.clone();
    }
}

#[cfg(test)]
mod tests;
