//! Arithmetic of leases: what one transaction changes for one API key.
//!
//! Prices and budgets can be any number up to `i64::MAX`. All balances together are at most
//! [`crate::MAX_CREDITS`], so that the sums of held, leased and available credits are exact.

#![deny(clippy::arithmetic_side_effects)]

use super::{Lease, PendingCharge, PendingHold};
use crate::budgets::BudgetLimits;
use crate::credits::HoldRefusal;

/// Inverse of the share of a key's credits that a reserve may have.
const MAX_RESERVE_DIVISOR: i64 = 64;
/// Maximum number of further requests that a reserve is for.
const MAX_RESERVED_REQUESTS: i64 = 255;

/// Pending work on one key.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) pending_holds: Vec<PendingHold>,
    pub(super) pending_charges: Vec<PendingCharge>,
    /// Day in UTC, if the reserve is to be refilled.
    pub(super) refill_day: Option<String>,
    /// Credits of the lease that no other request may hold until the end of the transaction.
    pub(super) set_aside: i64,
    /// Time of the transaction, as Unix time in milliseconds.
    pub(super) now_ms: i64,
    /// Credits that other running requests hold.
    running_holds: i64,
    /// Change of the credits that no request holds, positive for credits to lease; `None` if the
    /// size of the lease follows from the holds and the key's credits.
    reserve_change: Option<i64>,
    keeps_reserve: bool,
}

/// A key's rows at the start of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyState {
    /// Credits outside of all leases.
    pub(super) available: i64,
    /// Lease of this process.
    pub(super) lease: i64,
    /// Budgets less the credits charged in their periods, and less the other leases: those of other
    /// processes and, of the team's budgets, those of its other keys.
    pub(super) budgets: BudgetLimits,
}

/// Result of a transaction for one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SettledKey {
    /// Size of the lease.
    pub(super) lease: i64,
    /// Size of the reserve; `None` if it is unchanged.
    pub(super) reserve: Option<i64>,
    /// Charges, in the order of [`Plan::pending_charges`]; `None` if the lease was released,
    /// because this process was suspended.
    pub(super) charges: Vec<Option<i64>>,
    /// Results of [`Plan::pending_holds`], in the same order.
    pub(super) hold_results: Vec<Result<(), HoldRefusal>>,
    /// Whether the lease has credits that exceed what remains of a budget. The next transaction
    /// returns them: other requests may have used them during this one.
    pub(super) is_over_budget: bool,
}

impl PendingCharge {
    fn charge(&self) -> i64 {
        self.usage.charge.clamp(0, self.hold.amount)
    }
}

impl Plan {
    /// Prepares the transaction: sets aside the credits that it may return or use for pending
    /// holds. Meanwhile, further requests may use the rest of the lease.
    pub(super) fn prepare(&mut self, lease: &mut Lease, returns_reserve: bool) {
        let pending =
            sum(self.pending_charges.iter().map(|pending_charge| pending_charge.hold.amount));
        self.running_holds = lease.held.saturating_sub(pending);
        let times_ms = self
            .pending_holds
            .iter()
            .map(|pending_hold| pending_hold.hold.created_ms)
            .chain(self.pending_charges.iter().map(|pending_charge| pending_charge.now_ms));
        self.now_ms = times_ms.max().unwrap_or_else(|| lease.now_ms());
        self.keeps_reserve = !returns_reserve;
        let free = lease.free();
        let is_uncertain = !lease.is_confirmed || lease.is_over_budget || free < 0;
        if !self.pending_holds.is_empty() || returns_reserve || is_uncertain {
            self.set_aside = free.max(0);
        } else {
            let released =
                pending.saturating_sub(sum(self.pending_charges.iter().map(PendingCharge::charge)));
            let remaining = free.saturating_add(released);
            let smallest = if self.refill_day.is_some() { lease.reserve } else { 0 };
            let is_within_bounds =
                (smallest..=lease.reserve.saturating_mul(2)).contains(&remaining);
            let change = if is_within_bounds { 0 } else { lease.reserve.saturating_sub(remaining) };
            self.set_aside = change.saturating_add(released).saturating_neg().max(0);
            self.reserve_change = Some(change);
        }
        lease.hold(self.set_aside);
    }

    /// Returns the day of the pending holds, which is the same for all, otherwise that of the
    /// refill or of the latest charge; `None` without any.
    pub(super) fn day(&self) -> Option<&str> {
        let charged =
            || self.pending_charges.iter().map(|pending_charge| &pending_charge.usage.day).max();
        self.pending_holds
            .first()
            .map(|pending_hold| &pending_hold.day)
            .or(self.refill_day.as_ref())
            .or_else(charged)
            .map(String::as_str)
    }

    /// Computes the result of the transaction. `earlier_charges` are charges that an earlier
    /// transaction with an unknown outcome has written, in the order of [`Plan::pending_charges`].
    pub(super) fn settle(
        &self,
        key_state: &KeyState,
        earlier_charges: &[Option<i64>],
    ) -> SettledKey {
        let (mut remaining_lease, mut budgets) = (key_state.lease, key_state.budgets);
        let mut charges = Vec::with_capacity(self.pending_charges.len());
        for (pending_charge, earlier_charge) in self.pending_charges.iter().zip(earlier_charges) {
            if earlier_charge.is_some() {
                charges.push(*earlier_charge);
                continue;
            }
            let charge = Some(pending_charge.charge()).filter(|charge| *charge <= remaining_lease);
            remaining_lease = remaining_lease.saturating_sub(charge.unwrap_or(0));
            if let Some(today) = self.day() {
                budgets =
                    budgets.after_charge(charge.unwrap_or(0), &pending_charge.usage.day, today);
            }
            charges.push(charge);
        }
        if let Some(change) = self.reserve_change {
            let maximum = (key_state.available.min(budgets.reservable(remaining_lease))
                / MAX_RESERVE_DIVISOR)
                .max(0);
            let lease = remaining_lease.saturating_add(
                change.clamp(remaining_lease.saturating_neg().min(maximum), maximum),
            );
            let reserve = (change > maximum).then_some(maximum);
            let is_over_budget =
                self.day().is_some() && self.exceeds_budget(remaining_lease, budgets);
            return SettledKey {
                lease,
                reserve,
                charges,
                hold_results: Vec::new(),
                is_over_budget,
            };
        }
        // Credits of the lease that neither running requests nor charges need.
        let unused = remaining_lease.saturating_sub(self.running_holds);
        let credits = key_state.available.saturating_add(unused);
        let budget = budgets.tightest().map(|(remaining, period, scope)| {
            (remaining.saturating_sub(self.running_holds), period, scope)
        });
        let (mut granted, mut largest, mut hold_results) =
            (0_i64, 0, Vec::with_capacity(self.pending_holds.len()));
        for PendingHold { hold, .. } in &self.pending_holds {
            let credits = credits.saturating_sub(granted);
            let budget = budget.map(|(remaining, period, scope)| {
                (remaining.saturating_sub(granted), period, scope)
            });
            hold_results.push(match budget {
                _ if credits < hold.amount => Err(HoldRefusal::Credits { balance: credits.max(0) }),
                Some((remaining, period, scope)) if remaining < hold.amount => {
                    Err(HoldRefusal::Budget { remaining: remaining.max(0), period, scope })
                }
                _ => {
                    granted = granted.saturating_add(hold.amount);
                    largest = hold.amount.max(largest);
                    Ok(())
                }
            });
        }
        let reservable = budgets
            .reservable(self.running_holds.saturating_add(granted))
            .min(credits.saturating_sub(granted));
        let reserve =
            (reservable / MAX_RESERVE_DIVISOR).min(largest.saturating_mul(MAX_RESERVED_REQUESTS));
        // A reserve for less than one request would only keep credits from others.
        let reserve = if self.keeps_reserve && reserve >= largest { reserve.max(0) } else { 0 };
        let retained = unused.saturating_sub(granted).clamp(reserve, reserve.saturating_mul(2));
        // After the release of the lease, the credits may not cover the running requests.
        let lease = self
            .running_holds
            .saturating_add(granted)
            .saturating_add(retained)
            .min(remaining_lease.saturating_add(key_state.available));
        SettledKey { lease, reserve: Some(reserve), charges, hold_results, is_over_budget: false }
    }

    /// Returns whether a lease of `lease` credits has some that no request holds, although a budget
    /// is too small for them.
    fn exceeds_budget(&self, lease: i64, budgets: BudgetLimits) -> bool {
        let is_too_large = budgets.tightest().is_some_and(|(remaining, ..)| remaining < lease);
        is_too_large && lease > self.running_holds
    }
}

fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::oneshot;

    use super::*;
    use crate::MAX_CREDITS;
    use crate::budgets::Budgets;
    use crate::credit_leases::Hold;
    use crate::credits::Usage;

    const DAY: &str = "2026-11-21";

    fn hold(amount: i64) -> Hold {
        Hold { key: "k".to_owned(), amount, created_ms: 0, transfer_id: 0, is_retried: false }
    }

    fn pending_hold(amount: i64) -> PendingHold {
        PendingHold {
            request: "r".to_owned(),
            hold: hold(amount),
            day: DAY.to_owned(),
            reply: oneshot::channel().0,
        }
    }

    fn pending_charge(amount: i64, charge: i64) -> PendingCharge {
        let (model, day) = ("a".to_owned(), DAY.to_owned());
        let usage = Usage { model, day, input_tokens: 3, output_tokens: 5, charge };
        PendingCharge {
            request: "r".to_owned(),
            hold: hold(amount),
            usage,
            now_ms: 0,
            reply: oneshot::channel().0,
        }
    }

    fn lease(amount: i64, held: i64, reserve: i64) -> Lease {
        Lease { amount, held, reserve, ..Lease::new(0) }
    }

    fn monthly(month: Option<i64>) -> BudgetLimits {
        BudgetLimits { key: Budgets { month, day: None }, ..BudgetLimits::default() }
    }

    /// Returns the limits of a key with a monthly budget in a team of two keys with another one.
    fn in_team(month: Option<i64>, team_month: Option<i64>) -> BudgetLimits {
        BudgetLimits {
            team: Budgets { month: team_month, day: None },
            team_keys: 2,
            ..monthly(month)
        }
    }

    fn key_state(available: i64, lease: i64) -> KeyState {
        KeyState { available, lease, budgets: BudgetLimits::default() }
    }

    #[test]
    fn first_request_of_funded_key_leases_credits_for_many_requests() {
        let mut plan = Plan { pending_holds: vec![pending_hold(10)], ..Plan::default() };
        plan.prepare(&mut lease(0, 0, 0), false);
        let settled = plan.settle(&key_state(1_000_000, 0), &[]);
        assert_eq!((settled.lease, settled.reserve), (10 + 2_550, Some(2_550)));
        let settled = plan.settle(&key_state(64_010, 0), &[]);
        assert_eq!(
            (settled.lease, settled.reserve),
            (10 + 1_000, Some(1_000)),
            "at most 1/64 of the rest"
        );
        let settled = plan.settle(&key_state(649, 0), &[]);
        assert_eq!(
            (settled.lease, settled.reserve),
            (10, Some(0)),
            "no reserve for less than one request"
        );
        let settled =
            plan.settle(&KeyState { budgets: monthly(Some(74)), ..key_state(1_000_000, 0) }, &[]);
        assert_eq!(
            (settled.lease, settled.reserve),
            (10, Some(0)),
            "the budget limits the reserve"
        );
        let settled = plan.settle(
            &KeyState { budgets: in_team(None, Some(128_010)), ..key_state(1_000_000, 0) },
            &[],
        );
        assert_eq!(
            (settled.lease, settled.reserve),
            (10 + 1_000, Some(1_000)),
            "the keys of a team share its budget"
        );
    }

    #[test]
    fn charges_return_credits_above_reserve() {
        // Two holds of 10 with charges of 4 and 0, and a running hold of 10.
        let settle = |amount, reserve| {
            let mut plan = Plan {
                pending_charges: vec![pending_charge(10, 4), pending_charge(10, 0)],
                ..Plan::default()
            };
            let mut lease = lease(amount, 30, reserve);
            plan.prepare(&mut lease, false);
            (plan.set_aside, plan.settle(&key_state(0, amount), &[None, None]).lease)
        };
        assert_eq!(settle(30, 0), (0, 10), "without a reserve, all of it");
        assert_eq!(settle(30, 20), (0, 26), "up to twice the reserve, nothing");
        assert_eq!(settle(60, 20), (10, 30));
    }

    #[test]
    fn reserve_is_refilled_while_requests_use_it() {
        let settle = |free: i64, available, budget| {
            let mut plan = Plan {
                refill_day: Some(DAY.to_owned()),
                pending_charges: vec![pending_charge(10, 4)],
                ..Plan::default()
            };
            let mut lease = lease(10 + free, 10, 100);
            plan.prepare(&mut lease, false);
            assert_eq!(plan.set_aside, 0);
            let settled = plan.settle(
                &KeyState { budgets: monthly(budget), ..key_state(available, lease.amount) },
                &[None],
            );
            (settled.lease, settled.reserve)
        };
        assert_eq!(settle(40, 1_000_000, None), (100, None));
        assert_eq!(settle(94, 1_000_000, None), (100, None), "other charges have refilled it");
        assert_eq!(settle(40, 640, None), (46 + 10, Some(10)), "at most 1/64 of the key's credits");
        assert_eq!(
            settle(40, 1_000_000, Some(4 + 46 + 640)),
            (46 + 10, Some(10)),
            "and of its budget"
        );
        assert_eq!(settle(40, 0, Some(0)), (46, Some(0)));
    }

    /// Of a lease of 64 credits, a charge leaves 60, of which a running request holds 10.
    #[test]
    fn lease_that_exceeds_a_budget_returns_its_reserve() {
        for (key_limits, team_limits, is_over_budget) in [
            (None, None, false),
            (Some(64), Some(64), false),
            (Some(63), None, true),
            (None, Some(63), true),
            (Some(-9), Some(1_000), true),
        ] {
            for refill in [None, Some(DAY.to_owned())] {
                let mut plan = Plan {
                    pending_charges: vec![pending_charge(10, 4)],
                    refill_day: refill,
                    ..Plan::default()
                };
                let mut lease = lease(64, 20, 30);
                plan.prepare(&mut lease, false);
                assert_eq!(
                    plan.set_aside, 0,
                    "other requests may use the reserve during the transaction"
                );
                let key_state =
                    KeyState { budgets: in_team(key_limits, team_limits), ..key_state(0, 64) };
                let settled = plan.settle(&key_state, &[None]);
                assert_eq!(
                    (settled.lease, settled.is_over_budget),
                    (60, is_over_budget),
                    "{key_limits:?} {team_limits:?}"
                );
            }
        }
        // The next transaction returns it, also without pending work.
        let mut plan = Plan::default();
        let mut lease = Lease { is_over_budget: true, ..lease(60, 10, 30) };
        plan.prepare(&mut lease, false);
        assert_eq!((plan.set_aside, lease.free()), (50, 0));
        let settled =
            plan.settle(&KeyState { budgets: monthly(Some(-13)), ..key_state(0, 60) }, &[]);
        assert_eq!((settled.lease, settled.reserve, settled.is_over_budget), (10, Some(0), false));
        // Running requests hold all of the lease, so that there is nothing to return.
        let mut plan = Plan { pending_charges: vec![pending_charge(10, 10)], ..Plan::default() };
        plan.prepare(&mut self::lease(20, 20, 0), false);
        let settled =
            plan.settle(&KeyState { budgets: monthly(Some(0)), ..key_state(0, 20) }, &[None]);
        assert_eq!((settled.lease, settled.is_over_budget), (10, false));
    }

    #[test]
    fn lost_lease_charges_nothing() {
        let mut plan = Plan {
            pending_holds: vec![pending_hold(5)],
            pending_charges: vec![pending_charge(10, 4), pending_charge(10, 0)],
            ..Plan::default()
        };
        plan.prepare(&mut lease(30, 30, 0), false);
        let settled = plan.settle(&key_state(100, 0), &[None, None]);
        assert_eq!(settled.charges, [None, Some(0)]);
        assert_eq!(
            (settled.lease, settled.hold_results),
            (15, vec![Ok(())]),
            "the lease covers running requests again"
        );
        let settled = plan.settle(&key_state(12, 0), &[None, None]);
        let refusal = Err(HoldRefusal::Credits { balance: 2 });
        assert_eq!((settled.lease, settled.hold_results), (10, vec![refusal]));
        assert_eq!(plan.settle(&key_state(3, 0), &[None, None]).lease, 3);
    }

    #[test]
    fn charge_with_unknown_outcome_is_not_repeated() {
        let mut plan = Plan {
            pending_charges: vec![pending_charge(10, 4), pending_charge(10, 3)],
            ..Plan::default()
        };
        let mut lease = lease(20, 20, 0);
        lease.is_confirmed = false;
        plan.prepare(&mut lease, false);
        let settled = plan.settle(&key_state(0, 16), &[Some(4), None]);
        assert_eq!((settled.lease, settled.charges), (0, vec![Some(4), Some(3)]));
    }

    /// Credits, of which all together are at most the limit; prices can be larger.
    fn credits() -> impl Strategy<Value = i64> {
        prop_oneof![0..3_000_i64, 0..=MAX_CREDITS / 16, Just(MAX_CREDITS / 16)]
    }

    proptest! {
        /// Amounts up to the limit, prices above it, and any budget: nothing overflows, and credits
        /// are conserved.
        #[test]
        fn lease_plan_never_overflows_and_conserves_credits(
            hold_amounts in prop::collection::vec(prop_oneof![credits(), any::<i64>().prop_map(|price| price.max(0)), Just(i64::MAX)], 0..5),
            charges in prop::collection::vec((credits(), any::<i64>()), 0..5),
            (running, free, reserve, available) in (credits(), credits(), credits(), credits()),
            (budget, team_budget) in (prop::option::of(any::<i64>()), prop::option::of(any::<i64>())),
            (returns, refills) in (any::<bool>(), any::<bool>()),
        ) {
            let pending: i64 = charges.iter().map(|(amount, _)| amount).sum();
            let mut lease = lease(running + pending + free, running + pending, reserve);
            let mut plan = Plan {
                pending_holds: hold_amounts.iter().map(|amount| pending_hold(*amount)).collect(),
                pending_charges: charges
                    .iter()
                    .map(|(amount, charge)| pending_charge(*amount, *charge))
                    .collect(),
                refill_day: refills.then(|| DAY.to_owned()),
                ..Plan::default()
            };
            plan.prepare(&mut lease, returns);
            prop_assert!(lease.free() >= 0 && (0..=free).contains(&plan.set_aside));
            let budgets = in_team(budget, team_budget);
            let key_state = KeyState { available, lease: lease.amount, budgets };
            let settled = plan.settle(&key_state, &vec![None; charges.len()]);
            let mut charged = 0;
            for ((amount, charge), charged_credits) in charges.iter().zip(&settled.charges) {
                prop_assert_eq!(*charged_credits, Some((*charge).clamp(0, *amount)));
                charged += charged_credits.unwrap_or(0);
            }
            let hold_results = settled.hold_results.iter().zip(&hold_amounts);
            let granted = hold_results.filter(|(result, _)| result.is_ok());
            let granted: i128 = granted.map(|(_, amount)| i128::from(*amount)).sum();
            prop_assert!(granted <= i128::from(MAX_CREDITS));
            let moved = settled.lease - (lease.amount - charged);
            prop_assert!(moved <= available, "the key has {available}, {moved} are leased");
            prop_assert!(i128::from(settled.lease) >= i128::from(running) + granted);
        }

        /// Credits are neither created nor lost.
        #[test]
        fn settled_lease_covers_all_holds(
            hold_amounts in prop::collection::vec(0..2_000_i64, 0..5),
            charges in prop::collection::vec((0..2_000_i64, 0..3_000_i64), 0..5),
            (running, free, reserve) in (0..5_000_i64, 0..5_000_i64, 0..2_000_i64),
            available in 0..500_000_i64,
            (budget, team_budget) in (prop::option::of(0..10_000_i64), prop::option::of(0..10_000_i64)),
            (returns, refills, concurrent_hold) in (any::<bool>(), any::<bool>(), 0..=100_i64),
        ) {
            let pending: i64 = charges.iter().map(|(amount, _)| amount).sum();
            let mut lease = lease(running + pending + free, running + pending, reserve);
            let mut plan = Plan {
                pending_holds: hold_amounts.iter().map(|amount| pending_hold(*amount)).collect(),
                pending_charges: charges
                    .iter()
                    .map(|(amount, charge)| pending_charge(*amount, *charge))
                    .collect(),
                refill_day: refills.then(|| DAY.to_owned()),
                ..Plan::default()
            };
            plan.prepare(&mut lease, returns);
            // Another request takes a part of the rest during the transaction.
            let concurrent_hold = lease.free() * concurrent_hold / 100;
            prop_assert!(lease.free() >= 0 && plan.set_aside <= free);
            let budgets = in_team(budget, team_budget);
            let key_state = KeyState { available, lease: lease.amount, budgets };
            let settled = plan.settle(&key_state, &vec![None; charges.len()]);
            let budget = budget.into_iter().chain(team_budget).min();
            for ((amount, charge), charged) in charges.iter().zip(&settled.charges) {
                prop_assert_eq!(*charged, Some(*charge.min(amount)));
            }
            let charged: i64 = settled.charges.iter().flatten().sum();
            let hold_results = settled.hold_results.iter().zip(&hold_amounts);
            let granted = hold_results.filter(|(result, _)| result.is_ok());
            let granted: i64 = granted.map(|(_, amount)| amount).sum();
            let moved = settled.lease - (lease.amount - charged);
            prop_assert!(moved <= available, "the key has {available}, {moved} are leased");
            let free = settled.lease - running - granted - concurrent_hold;
            prop_assert!(free >= 0, "holds exceed the lease by {}", -free);
            prop_assert!(!returns || settled.lease == running + granted);
            if let Some(budget) = budget.filter(|_| granted > 0) {
                prop_assert!(charged + running + granted <= budget, "the budget is exceeded");
            }
            if let Some(budget) = budget.filter(|_| plan.day().is_some() && !settled.is_over_budget) {
                let maximum = (budget - charged).max(running + granted);
                prop_assert!(settled.lease <= maximum, "{} leased of {maximum}", settled.lease);
            }
            // The first refusal is exact.
            let uncommitted = available + lease.amount - charged - running;
            if let Some(index) = settled.hold_results.iter().position(Result::is_err) {
                let before: i64 = hold_amounts[..index].iter().sum();
                let budget = budget.map_or(i64::MAX, |budget| budget - charged - running);
                prop_assert!(uncommitted.min(budget) - before < hold_amounts[index]);
            }
        }
    }
}
