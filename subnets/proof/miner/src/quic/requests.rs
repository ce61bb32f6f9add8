//! Handlers of requests, and the count of those in progress.

use std::collections::HashMap;
use std::sync::Arc;

use btlightning::{AsyncSynapseHandler, typed_async_handler};
use taonet_proof_core::messages::{
    QUERY_ZK_PROOF, QueryZkProof, QueryZkProofResponse, SLICE_PROOF, SliceProofRequest,
    SliceProofResponse,
};
use taonet_proof_core::query::{ProofQuery, SliceQuery};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{Miner, Refusal, metrics};

/// Handlers by the name of their request.
pub(super) type Handlers = HashMap<&'static str, Arc<dyn AsyncSynapseHandler>>;

/// Returns the handlers of a miner.
pub(super) fn create_handlers(miner: &Miner, requests: &RequestTracker) -> Handlers {
    let (handler_miner, handler_requests) = (miner.clone(), requests.clone());
    let circuit_handler = typed_async_handler(move |message: QueryZkProof| {
        let (miner, requests) = (handler_miner.clone(), handler_requests.clone());
        async move { prove(&miner, &requests, &message).await }
    });
    let (handler_miner, handler_requests) = (miner.clone(), requests.clone());
    let slice_handler = typed_async_handler(move |message: SliceProofRequest| {
        let (miner, requests) = (handler_miner.clone(), handler_requests.clone());
        async move { prove_slice(&miner, &requests, &message).await }
    });
    HashMap::from([(QUERY_ZK_PROOF, circuit_handler), (SLICE_PROOF, slice_handler)])
}

/// Counts the requests in progress, so that shutdown waits for them.
#[derive(Clone, Default)]
pub(super) struct RequestTracker(TaskTracker);

impl RequestTracker {
    /// Begins a request, which is in progress until the token is dropped.
    ///
    /// # Errors
    /// [`Refusal::Full`] while the server shuts down.
    fn begin(&self) -> Result<TaskTrackerToken, Refusal> {
        // Take the token first, so that each request is either refused or awaited by `drain`.
        let in_progress = self.0.token();
        if self.0.is_closed() { Err(Refusal::Full) } else { Ok(in_progress) }
    }

    /// Refuses further requests, and waits until those in progress end.
    pub(super) async fn drain(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

async fn prove(
    miner: &Miner,
    requests: &RequestTracker,
    message: &QueryZkProof,
) -> Result<QueryZkProofResponse, Refusal> {
    let answer = async {
        let _in_progress = requests.begin()?;
        Ok(miner.answer(&ProofQuery::from_message(message)?).await?.to_message()?)
    };
    count_outcome(answer.await, || QueryZkProofResponse {
        busy: true,
        ..QueryZkProofResponse::default()
    })
}

async fn prove_slice(
    miner: &Miner,
    requests: &RequestTracker,
    message: &SliceProofRequest,
) -> Result<SliceProofResponse, Refusal> {
    let answer = async {
        let _in_progress = requests.begin()?;
        Ok(miner.answer_slice(&SliceQuery::from_message(message)?).await?.to_slice_message()?)
    };
    count_outcome(answer.await, || SliceProofResponse {
        busy: true,
        ..SliceProofResponse::default()
    })
}

/// Counts an outcome in the metrics, by HTTP status. The protocol has no code for a miner at
/// capacity, so such a refusal becomes an answer with `busy` set.
fn count_outcome<T>(answer: Result<T, Refusal>, busy: impl FnOnce() -> T) -> Result<T, Refusal> {
    metrics::count_request(answer.as_ref().map_or_else(Refusal::status, |_| http::StatusCode::OK));
    match answer {
        Err(Refusal::Full) => Ok(busy()),
        answer => answer,
    }
}
