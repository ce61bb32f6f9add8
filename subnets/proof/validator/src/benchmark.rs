//! Benchmark requests: dispatched in turn to all miners until shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_proof_core::scoring::Outcome;
use taonet_service::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use crate::dispatch::Assignment;
use crate::request::{LoadedCircuit, ProofRequest, RequestError};
use crate::{Examiner, ProofMiner, metrics};

/// Grace period for the answers to requests in flight at shutdown, so that no finished work is
/// lost.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Interval between two saves of the measured performance.
const SAVE_INTERVAL: Duration = Duration::from_mins(5);
/// Poll interval for requests in flight at shutdown.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Examiner {
    /// Follows the list of miners and sends benchmark requests to them until shutdown. Requests in
    /// flight, including users' requests, then have 8 s to be answered, verified and recorded.
    /// Saves the measured performance every five minutes and at the end.
    pub async fn run(
        self: Arc<Self>,
        mut miner_list: watch::Receiver<Vec<ProofMiner>>,
        stop: &Shutdown,
    ) {
        let mut tasks = JoinSet::new();
        self.update_miners(&mut miner_list, &mut tasks);
        let mut save_interval =
            tokio::time::interval_at((Instant::now() + SAVE_INTERVAL).into(), SAVE_INTERVAL);
        loop {
            tokio::select! {
                () = stop.requested() => break,
                _ = save_interval.tick() => {
                    let examiner = Arc::clone(&self);
                    tasks.spawn(async move { examiner.save_performance().await });
                }
                changed = miner_list.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.update_miners(&mut miner_list, &mut tasks);
                }
                Some(joined) = tasks.join_next() => if joined.is_err_and(|error| error.is_panic()) {
                    tracing::error!("a request panicked; stopping");
                    stop.request();
                },
                (assignment, permit) = self.next_assignment() => {
                    let (examiner, mut miner_list) = (Arc::clone(&self), miner_list.clone());
                    let miner = assignment.miner.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            _ = examiner.benchmark(assignment, permit) => {}
                            // Abandons the request once the miner has left the list or changed its
                            // address.
                            _ = miner_list.wait_for(|miners| !miners.contains(&miner)) => {}
                        }
                    });
                }
            }
        }
        stop.requested().await;
        let drain = async {
            while self.dispatcher.in_flight() > 0 {
                tokio::time::sleep(DRAIN_POLL_INTERVAL).await;
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, drain).await.is_err() {
            tracing::info!(
                requests = self.dispatcher.in_flight(),
                "dropped unanswered requests at shutdown"
            );
        }
        tasks.shutdown().await;
        self.save_performance().await;
    }

    /// Updates the list of miners. Connects in the background, because a connection attempt to a
    /// silent miner lasts until its timeout.
    fn update_miners(
        self: &Arc<Self>,
        miner_list: &mut watch::Receiver<Vec<ProofMiner>>,
        tasks: &mut JoinSet<()>,
    ) {
        let miners = miner_list.borrow_and_update().clone();
        metrics::set_miners(miners.len());
        self.set_miners(&miners);
        let examiner = Arc::clone(self);
        tasks.spawn(async move { examiner.connect(&miners).await });
    }

    /// Waits for a free permit and a miner with free capacity; never returns if benchmarks are
    /// disabled.
    async fn next_assignment(&self) -> (Assignment, OwnedSemaphorePermit) {
        if !self.settings.benchmarks {
            return std::future::pending().await;
        }
        loop {
            let permit = Arc::clone(&self.requests).acquire_owned().await;
            let (Ok(permit), Some(circuit)) = (permit, self.choose_circuit()) else {
                // Without circuits for benchmarks there is nothing to request.
                return std::future::pending().await;
            };
            match self.dispatcher.next_benchmark(circuit, &self.miners(), Instant::now()) {
                Ok(assignment) => return (assignment, permit),
                Err(Some(ready_at)) => tokio::select! {
                    () = tokio::time::sleep_until(ready_at.into()) => {}
                    () = self.dispatcher.wait_for_request_end() => {}
                },
                Err(None) => self.dispatcher.wait_for_request_end().await,
            }
        }
    }

    /// Sends one benchmark request to a miner, verifies its proof and records the outcome. Returns
    /// `None` if the miner is at capacity or an error is local: neither is recorded. An error is
    /// local, too, if no random inputs of the circuit can be proven.
    pub async fn examine(&self, miner: &ProofMiner) -> Option<Outcome> {
        let circuit = self.choose_circuit()?;
        let permit = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        self.benchmark(self.dispatcher.assign_benchmark_to(circuit, miner), permit).await
    }

    async fn benchmark(
        &self,
        assignment: Assignment,
        permit: OwnedSemaphorePermit,
    ) -> Option<Outcome> {
        let miner = *assignment.miner.hotkey();
        let (circuits, position) = (Arc::clone(&self.circuits), assignment.circuit());
        let query =
            self.execute(move || circuits.get(position).map(LoadedCircuit::benchmark_query));
        let request = match query.await?? {
            Ok(query) => ProofRequest::Circuit(query),
            Err(error) => {
                let circuit = self.circuits.get(position)?.directory.id();
                tracing::warn!(%circuit, %error, "no benchmark request: no random inputs can be proven");
                return None;
            }
        };
        // An overdue request releases its permit, so that a silent miner does not block others.
        match self.request(assignment, &request, || drop(permit)).await {
            Ok((outcome, _)) => Some(outcome),
            Err(RequestError::Fault(fault)) => Some(Outcome::Failed(fault)),
            Err(RequestError::Busy) => None,
            Err(RequestError::Local(error)) => {
                tracing::warn!(%miner, error, "local error in a benchmark request");
                None
            }
        }
    }
}
