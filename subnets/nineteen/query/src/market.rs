//! The open period, which is replaced while requests are in flight.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use taonet_nineteen_store::PeriodId;

use crate::{Contender, Divisions, Roster};

/// Handle to the roster of the open period. The roster is replaced atomically when the next period opens. Clones share
/// state.
#[derive(Debug, Clone, Default)]
pub struct Market(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: RwLock<State>,
    buyers_requests: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    roster: Option<Arc<Roster>>,
    divisions: Divisions,
}

impl Market {
    /// Returns the roster of the open period; `None` before the first one.
    pub fn roster(&self) -> Option<Arc<Roster>> {
        self.read().roster.clone()
    }

    /// Opens a period with this roster; returns the roster of the previous period.
    pub fn open(&self, mut roster: Roster) -> Option<Arc<Roster>> {
        let mut state = self.write();
        if let Some(earlier) = state.roster.as_deref() {
            roster.inherit(earlier);
        }
        roster.divide(&state.divisions);
        state.roster.replace(Arc::new(roster))
    }

    /// Adds contenders to the open period, unless it is another one than `period`. Ignores tasks that the period does not
    /// offer, and contenders that it has already.
    pub fn admit(&self, period: PeriodId, late: Vec<Contender>) {
        let mut state = self.write();
        let Some(open) = state.roster.as_ref().filter(|roster| roster.period == period) else { return };
        let roster = open.with(late);
        roster.divide(&state.divisions);
        state.roster = Some(Arc::new(roster));
    }

    /// Sets this process's part of the miners' limits and of the queue's places.
    pub fn divide(&self, divisions: Divisions) {
        let mut state = self.write();
        if let Some(roster) = &state.roster {
            roster.divide(&divisions);
        }
        state.divisions = divisions;
    }

    /// Returns this process's part of a limit of the market.
    pub(crate) fn part(&self, total: usize) -> usize {
        self.read().divisions.part(total)
    }

    /// Counts a buyer's request.
    pub(crate) fn count_buyers_request(&self) {
        self.0.buyers_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of buyers' requests since the process has started.
    pub(crate) fn buyers_requests(&self) -> u64 {
        self.0.buyers_requests.load(Ordering::Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
