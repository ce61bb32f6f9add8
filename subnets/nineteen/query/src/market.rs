//! The open period, which is replaced while requests are in flight.

use std::sync::{Arc, PoisonError, RwLock};

use taonet_nineteen_store::PeriodId;

use crate::{Contender, Roster};

/// Handle to the roster of the open period. The roster is replaced atomically when the next period opens. Clones share
/// state.
#[derive(Debug, Clone, Default)]
pub struct Market(Arc<RwLock<Option<Arc<Roster>>>>);

impl Market {
    /// Returns the roster of the open period; `None` before the first one.
    pub fn roster(&self) -> Option<Arc<Roster>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a period with this roster; returns the roster of the previous period.
    pub fn open(&self, mut roster: Roster) -> Option<Arc<Roster>> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = current.as_deref() {
            roster.inherit(earlier);
        }
        current.replace(Arc::new(roster))
    }

    /// Adds contenders to the open period, unless it is another one than `period`. Ignores tasks that the period does not
    /// offer, and contenders that it has already.
    pub fn admit(&self, period: PeriodId, late: Vec<Contender>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = current.as_ref().filter(|roster| roster.period == period) else { return };
        *current = Some(Arc::new(open.with(late)));
    }
}
