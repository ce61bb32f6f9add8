//! Admission of miners while a period runs.

use std::collections::HashSet;
use std::error::Error;

use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_query::TaskMiner;
use taonet_nineteen_store::PeriodId;
use taonet_primitives::Hotkey;
use tokio::time::Instant;

use super::{ControlError, Controller, initial_row};
use crate::metrics;
use crate::onboarding::Offer;

impl Controller {
    /// Until `end`, queries at intervals the capacities of new miners and of those that have
    /// offered none, and admits those that offer some.
    pub(super) async fn admit_late_miners(
        &self,
        period: PeriodId,
        end: Instant,
        config: &MarketConfig,
    ) {
        loop {
            tokio::time::sleep(self.settings.capacity_retry_interval).await;
            if let Err(error) = self.admit_late_miners_once(period, end, config).await {
                tracing::warn!(error = &error as &dyn Error, "failed to admit further miners");
            }
        }
    }

    /// Queries and admits late miners once. A late miner gets its capacity and its synthetic
    /// requests in proportion to the remaining time, out of the period's budget, so that no miner
    /// avoids synthetic requests by starting late.
    async fn admit_late_miners_once(
        &self,
        period: PeriodId,
        end: Instant,
        config: &MarketConfig,
    ) -> Result<(), ControlError> {
        let time_left = end.saturating_duration_since(Instant::now());
        // This late, a single synthetic request would decide the miner's score of the period.
        if time_left < self.settings.capacity_retry_interval {
            return Ok(());
        }
        self.refresh_nodes(self.settings.capacity_retry_interval).await?;
        let Some(period_miners) = self.querier.market().period_miners() else { return Ok(()) };
        let admitted: HashSet<Hotkey> =
            period_miners.contenders().map(|contender| contender.offer.hotkey).collect();
        let mut nodes = self.store.nodes().await?;
        nodes.retain(|node| !admitted.contains(node.peer.hotkey()));
        let mut offers = self.query_offers(nodes, config, time_left).await?;
        let share =
            end.saturating_duration_since(Instant::now()).as_secs_f64() / config.period().get();
        for offer in offers.iter_mut().flat_map(|offer| &mut offer.contenders) {
            offer.capacity.accepted *= share.min(1.0);
            offer.capacity.to_score *= share.min(1.0);
        }
        let contenders: Vec<_> = offers.iter().flat_map(|offer| offer.contenders.clone()).collect();
        if contenders.is_empty() {
            return Ok(());
        }
        self.store.add_contenders(period, &contenders).await?;
        let late_miners = offers.iter().flat_map(|Offer { session, contenders }| {
            contenders.iter().map(move |contender| {
                let allowance = contender.capacity.to_score * config.period_multiplier();
                TaskMiner::new(&initial_row(contender.clone()), session.clone(), allowance)
            })
        });
        let market = self.querier.market();
        market.admit(period, late_miners.collect());
        let Some(period_miners) = market.period_miners() else { return Ok(()) };
        metrics::set_contenders(&period_miners);
        tracing::info!(%period, offers = contenders.len(), "further miners admitted");
        Ok(())
    }
}
