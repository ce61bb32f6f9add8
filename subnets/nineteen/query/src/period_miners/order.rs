//! Order in which the contenders of a task are asked.

use std::sync::Arc;

use taonet_nineteen_core::routing::{
    self, Allowance, RoutingCandidate, exceeds_share, organic_order, share, synthetic_order,
};
use taonet_primitives::Hotkey;

use super::{TaskMiner, TaskMiners};
use crate::prefix::PromptPrefix;

/// Contenders for an organic request, in the order in which to ask them.
#[derive(Debug)]
pub(crate) struct OrganicOrder<'a> {
    contenders: &'a [Arc<TaskMiner>],
    /// Miners to omit.
    tried: &'a [Hotkey],
    order: routing::OrganicOrder,
    /// Whether the prefix of the prompt determines the order.
    pub(crate) is_prefix_order: bool,
    /// Whether the answer of the first contender may be sampled. If the prefix determines the
    /// order, the probability equals that of a random order that begins with this contender: a
    /// buyer who selects a miner by the prompt cannot add to its samples.
    pub(crate) is_sampled: bool,
}

impl OrganicOrder<'_> {
    fn is_tried(&self, index: usize) -> bool {
        self.contenders
            .get(index)
            .is_none_or(|contender| self.tried.contains(&contender.offer.hotkey))
    }

    /// Returns the index of the next contender, which remains the next one.
    fn peek(&mut self) -> Option<usize> {
        while let Some(index) = self.order.peek() {
            if !self.is_tried(index) {
                return Some(index);
            }
            self.order.next();
        }
        None
    }
}

impl<'a> Iterator for OrganicOrder<'a> {
    type Item = &'a Arc<TaskMiner>;

    fn next(&mut self) -> Option<&'a Arc<TaskMiner>> {
        let index = self.peek()?;
        self.order.next();
        self.contenders.get(index)
    }
}

impl TaskMiners {
    /// Returns the contenders for a synthetic request, in ascending order of the used share of the
    /// allowance.
    pub(crate) fn for_synthetic(&self) -> Vec<Arc<TaskMiner>> {
        let allowances: Vec<_> = self
            .contenders
            .iter()
            .map(|contender| {
                let live = contender.live();
                Allowance {
                    to_score: live.allowance,
                    sent: live.sent_volume + live.other_sent_volume,
                }
            })
            .collect();
        self.contenders_at(&synthetic_order(&allowances))
    }

    /// Returns the contenders for an organic request, in a random order weighted by the value of
    /// their answers. Omits the miners in `tried`. With a prefix, the order is always the same one
    /// for the prefix, as long as the values are, unless the first miner has too many requests in
    /// flight. `random` returns uniform random numbers in `0..1`.
    pub(crate) fn for_organic<'a>(
        &'a self,
        now: f64,
        tried: &'a [Hotkey],
        prefix: Option<PromptPrefix>,
        mut random: impl FnMut() -> f64,
    ) -> OrganicOrder<'a> {
        let contenders = self.contenders.as_slice();
        let candidates = || contenders.iter().map(|contender| contender.live().candidate());
        if let Some(prefix) = prefix {
            let candidates: Vec<RoutingCandidate> = candidates().collect();
            let hotkey =
                |index: usize| contenders.get(index).map(|contender| &contender.offer.hotkey);
            let draw = |index| hotkey(index).map_or(0.0, |hotkey| prefix.draw(hotkey));
            let order = organic_order(candidates.iter().copied(), now, draw);
            let mut order =
                OrganicOrder { contenders, tried, order, is_prefix_order: true, is_sampled: false };
            if let Some(first) = order.peek()
                && !exceeds_share(&candidates, first)
            {
                order.is_sampled = random() < share(&candidates, first);
                return order;
            }
        }
        let order = organic_order(candidates(), now, |_| random());
        OrganicOrder { contenders, tried, order, is_prefix_order: false, is_sampled: true }
    }

    /// Returns whether any contender with remaining capacity, except for those in `tried`, may
    /// accept an organic request within `pause` seconds. It may be busy.
    pub(crate) fn may_accept_within(&self, now: f64, pause: f64, tried: &[Hotkey]) -> bool {
        let mut contenders =
            self.contenders.iter().filter(|contender| !tried.contains(&contender.offer.hotkey));
        contenders.any(|contender| {
            let live = contender.live();
            live.remaining_capacity() > 0.0 && live.health.breaker().allows_from() - now <= pause
        })
    }

    fn contenders_at(&self, indices: &[usize]) -> Vec<Arc<TaskMiner>> {
        indices.iter().filter_map(|index| self.contenders.get(*index)).map(Arc::clone).collect()
    }
}
