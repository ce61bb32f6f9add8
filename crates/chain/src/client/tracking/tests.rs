use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use taonet_primitives::Rao;
use taonet_wallet::Keypair;

use super::*;
use crate::nonce::Nonces;
use crate::testing::MockChain;
use crate::{Chain as _, Era, SignOptions, TransportError, calls};

const BLOCK_TIME: Duration = Duration::from_secs(12);
const WAIT_TIMEOUT: Duration = Duration::from_secs(9 * 12);
const LAG: u32 = 3;
const UNTIL_INCLUDED: Follow =
    Follow { until: Until::Included, timeout_blocks: 8, sent_before: false };
const UNTIL_FINALIZED: Follow = Follow { until: Until::Finalized, ..UNTIL_INCLUDED };

/// A scripted change of the mock chain.
type ChainChange = Box<dyn FnOnce(&MockChain) + Send>;

/// The pool's next response.
enum ScriptedResponse {
    /// Accepts the bytes, sends status notifications, each after a scripted change, and ends the
    /// stream.
    Accepts(Vec<(Status, ChainChange)>),
    Refuses(i32, &'static str),
    /// Refuses the bytes after another node failed to respond.
    RefusesAfterAnother(i32, &'static str),
    Fails(ChainError),
}

/// A mock chain with a scripted pool.
struct ScriptedNodes {
    chain: MockChain,
    responses: Mutex<VecDeque<ScriptedResponse>>,
    offers: AtomicUsize,
    /// The pause between two status notifications.
    pause: Duration,
    /// A change that runs after the newest block was requested.
    after_head: Mutex<Option<ChainChange>>,
}

struct ScriptedStatuses {
    chain: MockChain,
    pause: Duration,
    statuses: VecDeque<(Status, ChainChange)>,
}

#[async_trait]
impl StatusStream for ScriptedStatuses {
    async fn next(&mut self) -> Option<Status> {
        let Some((status, change)) = self.statuses.pop_front() else {
            std::future::pending().await
        };
        tokio::time::sleep(self.pause).await;
        change(&self.chain);
        Some(status)
    }
}

#[async_trait]
impl NodeApi for ScriptedNodes {
    type Statuses = ScriptedStatuses;

    async fn final_block(&self) -> Result<Block, ChainError> {
        self.chain.finalized_head().await
    }

    async fn newest_block(&self) -> Result<Block, ChainError> {
        let head = self.chain.head().await;
        if let Some(change) = self.after_head.lock().unwrap().take() {
            change(&self.chain);
        }
        head
    }

    async fn search_block(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<BlockSearch, ChainError> {
        let number = BlockNumber::new(u32::from_le_bytes(*block.as_bytes().first_chunk().unwrap()));
        if self.chain.block_hash(number).await? != Some(block) {
            return Err(ChainError::NoSuchBlock(block.into()));
        }
        let parent = self.chain.block_hash(number.minus(1)).await?.unwrap();
        let outcome = self.chain.lookup(extrinsic, number, number).await?;
        Ok(BlockSearch {
            number,
            parent,
            inclusion: outcome.and_then(|outcome| outcome.inclusion().cloned()),
        })
    }

    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError> {
        let number = u32::from_le_bytes(*block.as_bytes().first_chunk().unwrap());
        Ok(self.chain.nonce_at(account, BlockNumber::new(number)))
    }

    async fn submit_to_pool(&self, _: &[u8]) -> Result<PoolResponse<ScriptedStatuses>, ChainError> {
        self.offers.fetch_add(1, Ordering::Relaxed);
        let error = |code, data: &str| RpcError {
            code,
            message: "refused".into(),
            data: Some(data.into()),
        };
        let other_pools_may_hold_it = matches!(
            self.responses.lock().unwrap().front(),
            Some(ScriptedResponse::RefusesAfterAnother(..))
        );
        let result = match self.responses.lock().unwrap().pop_front() {
            Some(ScriptedResponse::Accepts(statuses)) => Ok(ScriptedStatuses {
                chain: self.chain.clone(),
                pause: self.pause,
                statuses: statuses.into(),
            }),
            Some(
                ScriptedResponse::Refuses(code, data)
                | ScriptedResponse::RefusesAfterAnother(code, data),
            ) => Err(error(code, data)),
            Some(ScriptedResponse::Fails(error)) => return Err(error),
            None => Err(error(ALREADY_IN_POOL, "")),
        };
        Ok(PoolResponse { result, other_pools_may_hold_it })
    }

    async fn refusal_reason(
        &self,
        _: &SignedExtrinsic,
    ) -> Result<Option<RefusalReason>, ChainError> {
        Ok(Some(RefusalReason::Payment))
    }
}

impl ScriptedNodes {
    /// Creates a chain of ten finalized blocks; later blocks are finalized with a lag of three
    /// blocks.
    fn new(responses: impl IntoIterator<Item = ScriptedResponse>) -> Self {
        let chain = MockChain::new(BLOCK_TIME);
        chain.mine(10);
        chain.set_finality_lag(LAG);
        let responses = Mutex::new(responses.into_iter().collect());
        Self {
            chain,
            responses,
            offers: AtomicUsize::new(0),
            pause: Duration::ZERO,
            after_head: Mutex::default(),
        }
    }

    async fn signed(&self, era: Era) -> SignedExtrinsic {
        let alice = Keypair::from_uri("//Alice").unwrap();
        let call = calls::transfer_keep_alive(alice.coldkey().into(), Rao::new(5));
        self.chain.sign(&call, &alice, SignOptions { era, ..SignOptions::default() }).await.unwrap()
    }

    async fn follow(&self, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
        let times = TrackingTimeouts {
            total_timeout: WAIT_TIMEOUT,
            retry_delay: BLOCK_TIME / 16,
            status_timeout: BLOCK_TIME * 2,
        };
        super::submit_and_track(self, extrinsic, follow, None, times).await
    }

    fn offers(&self) -> usize {
        self.offers.load(Ordering::Relaxed)
    }

    /// Mines blocks at the chain's block time from now on.
    fn keep_mining(&self) {
        let chain = self.chain.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(BLOCK_TIME).await;
                chain.mine(1);
            }
        });
    }
}

fn no_change() -> ChainChange {
    Box::new(|_| {})
}

/// Returns a change that mines a block with the extrinsic.
fn include(extrinsic: &SignedExtrinsic) -> ChainChange {
    let extrinsic = extrinsic.clone();
    Box::new(move |chain| drop(chain.submit_immediately(&extrinsic, UNTIL_INCLUDED)))
}

fn connection_lost() -> ScriptedResponse {
    let source = TransportError::Connection("it was reset".into());
    ScriptedResponse::Fails(ChainError::Unreachable { endpoint: "ws://node".to_owned(), source })
}

#[tokio::test(start_paused = true)]
async fn follow_ends_at_inclusion_or_finality_as_requested() {
    for follow in [UNTIL_INCLUDED, UNTIL_FINALIZED] {
        let nodes = ScriptedNodes::new([]);
        nodes.keep_mining();
        let extrinsic = nodes.signed(Era::default()).await;
        let statuses =
            vec![(Status::Ready, no_change()), (Status::InBlock(IgnoredAny), include(&extrinsic))];
        nodes.responses.lock().unwrap().push_back(ScriptedResponse::Accepts(statuses));
        let outcome = nodes.follow(&extrinsic, follow).await;
        assert_eq!(
            matches!(outcome, Outcome::Finalized(_)),
            follow == UNTIL_FINALIZED,
            "{outcome:?}"
        );
        assert!(outcome.is_success());
    }
}

#[tokio::test(start_paused = true)]
async fn nonce_used_in_finalized_block_supersedes_extrinsic() {
    let nodes = ScriptedNodes::new([]);
    let (extrinsic, other) =
        (nodes.signed(Era::default()).await, nodes.signed(Era::default()).await);
    include(&other)(&nodes.chain);
    let start = Instant::now();
    nodes.keep_mining();
    assert_eq!(nodes.follow(&extrinsic, UNTIL_INCLUDED).await, Outcome::Superseded);
    assert!(start.elapsed() >= BLOCK_TIME * LAG, "{:?}", start.elapsed());
    assert_eq!(nodes.offers(), 0, "its nonce is used, so it is not sent");
}

#[tokio::test(start_paused = true)]
async fn extrinsic_is_sent_when_competing_one_is_reverted() {
    let nodes = ScriptedNodes::new([]);
    let (extrinsic, other) =
        (nodes.signed(Era::default()).await, nodes.signed(Era::default()).await);
    include(&other)(&nodes.chain);
    nodes.responses.lock().unwrap().push_back(ScriptedResponse::Accepts(vec![(
        Status::InBlock(IgnoredAny),
        include(&extrinsic),
    )]));
    let chain = nodes.chain.clone();
    tokio::spawn(async move {
        tokio::time::sleep(BLOCK_TIME).await;
        chain.revert(1);
    });
    let outcome = nodes.follow(&extrinsic, UNTIL_INCLUDED).await;
    assert!(outcome.is_success(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn extrinsic_expires_when_last_block_of_era_is_finalized() {
    let nodes = ScriptedNodes::new([connection_lost()]);
    let extrinsic = nodes.signed(Era::Blocks(4)).await;
    nodes.chain.mine(3);
    let start = Instant::now();
    nodes.keep_mining();
    let last_block = BlockNumber::new(13);
    assert_eq!(nodes.follow(&extrinsic, UNTIL_INCLUDED).await, Outcome::Expired { last_block });
    assert!(start.elapsed() >= BLOCK_TIME * LAG, "{:?}", start.elapsed());
    assert_eq!(nodes.offers(), 0);
}

#[tokio::test(start_paused = true)]
async fn block_finalized_during_search_is_searched() {
    let nodes = ScriptedNodes::new([ScriptedResponse::Refuses(1010, "Transaction is outdated")]);
    let extrinsic = nodes.signed(Era::default()).await;
    let included = extrinsic.clone();
    *nodes.after_head.lock().unwrap() = Some(Box::new(move |chain| {
        drop(chain.submit_immediately(&included, UNTIL_INCLUDED));
        chain.mine(LAG);
    }));
    let outcome = nodes.follow(&extrinsic, UNTIL_INCLUDED).await;
    assert!(matches!(outcome, Outcome::Finalized(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn permanent_refusal_is_invalid() {
    for (code, data) in [
        (1001, ""),
        (1010, "Transaction has a bad signature"),
        (1010, "Transaction has an ancient birth block"),
        (1010, "Inability to pay some fees (e.g. account balance too low)"),
        (1010, "Custom error: 6"),
        (1010, "something new"),
    ] {
        let nodes = ScriptedNodes::new([ScriptedResponse::Refuses(code, data)]);
        let outcome = nodes.follow(&nodes.signed(Era::default()).await, UNTIL_INCLUDED).await;
        let reason = RefusalReason::from_rpc_error(code, "refused", Some(data));
        assert_eq!((outcome, nodes.offers()), (Outcome::Invalid(reason), 1), "{code} {data}");
    }
}

#[tokio::test(start_paused = true)]
async fn temporary_refusal_is_not_invalid() {
    for (code, data) in [
        (1002, ""),
        (1012, ""),
        (1014, ""),
        (1016, ""),
        (-32_603, "boom"),
        (1010, "Transaction is outdated"),
    ] {
        let refusals = || (0..10_000).map(|_| ScriptedResponse::Refuses(code, data));
        let nodes = ScriptedNodes::new(refusals());
        let extrinsic = nodes.signed(Era::default()).await;
        let outcome = nodes.follow(&extrinsic, UNTIL_INCLUDED).await;
        let reason = RefusalReason::from_rpc_error(code, "refused", Some(data));
        assert_eq!(outcome, Outcome::Unknown(UnknownReason::Refused(reason)), "{code}");
        assert!(nodes.offers() > 10, "{code}");
        // The refusal is temporary, or the bytes are in a block already.
        for is_in_block in [false, true] {
            let nodes = ScriptedNodes::new(refusals().take(5));
            let extrinsic = nodes.signed(Era::default()).await;
            if is_in_block {
                *nodes.after_head.lock().unwrap() = Some(include(&extrinsic));
            } else {
                let statuses = vec![(Status::InBlock(IgnoredAny), include(&extrinsic))];
                nodes.responses.lock().unwrap().push_back(ScriptedResponse::Accepts(statuses));
            }
            assert!(
                nodes.follow(&extrinsic, UNTIL_INCLUDED).await.is_success(),
                "{code} {is_in_block}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_is_unknown_if_another_pool_may_have_the_extrinsic() {
    let refusals = || (0..10_000).map(|_| ScriptedResponse::Refuses(1010, "Custom error: 6"));
    let statuses = vec![(Status::Ready, no_change()), (Status::Invalid, no_change())];
    for (name, first, follow) in [
        ("sent before", None, Follow { sent_before: true, ..UNTIL_INCLUDED }),
        ("response lost", Some(connection_lost()), UNTIL_INCLUDED),
        (
            "sent to another node before",
            Some(ScriptedResponse::RefusesAfterAnother(1010, "Custom error: 6")),
            UNTIL_INCLUDED,
        ),
        (
            "accepted, then reported invalid",
            Some(ScriptedResponse::Accepts(statuses)),
            UNTIL_INCLUDED,
        ),
        (
            "already in the pool",
            Some(ScriptedResponse::Refuses(ALREADY_IN_POOL, "")),
            UNTIL_INCLUDED,
        ),
    ] {
        let nodes = ScriptedNodes::new(first.into_iter().chain(refusals()));
        let outcome = nodes.follow(&nodes.signed(Era::default()).await, follow).await;
        assert_eq!(
            outcome,
            Outcome::Unknown(UnknownReason::Refused(RefusalReason::custom(6))),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_names_its_cause() {
    let nodes = ScriptedNodes::new((0..10_000).map(|_| connection_lost()));
    let outcome = nodes.follow(&nodes.signed(Era::default()).await, UNTIL_INCLUDED).await;
    let Outcome::Unknown(reason @ UnknownReason::Unreachable { .. }) = outcome else {
        panic!("{outcome:?}")
    };
    let text = reason.to_string();
    assert!(text.contains("ws://node") && text.matches("it was reset").count() == 1, "{text}");

    let pruned = || ScriptedResponse::Fails(ChainError::NoSuchBlock(BlockNumber::new(3).into()));
    let nodes = ScriptedNodes::new((0..10_000).map(|_| pruned()));
    let outcome = nodes.follow(&nodes.signed(Era::default()).await, UNTIL_INCLUDED).await;
    let Outcome::Unknown(reason @ UnknownReason::Unreadable { .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.to_string().contains("does not have block 3"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn endless_status_notifications_do_not_extend_deadline() {
    let statuses = (0..1_000).map(|_| {
        let change: ChainChange = Box::new(|_| {});
        (Status::Broadcast(IgnoredAny), change)
    });
    let mut nodes = ScriptedNodes::new([ScriptedResponse::Accepts(statuses.collect())]);
    nodes.pause = BLOCK_TIME;
    let extrinsic = nodes.signed(Era::default()).await;
    let start = Instant::now();
    let outcome = nodes.follow(&extrinsic, UNTIL_INCLUDED).await;
    assert!(
        matches!(outcome, Outcome::Unknown(UnknownReason::NotYetIncluded { .. })),
        "{outcome:?}"
    );
    assert!(start.elapsed() <= WAIT_TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn unfinalized_block_is_reported_as_included() {
    let nodes = ScriptedNodes::new([]);
    let extrinsic = nodes.signed(Era::default()).await;
    include(&extrinsic)(&nodes.chain);
    let outcome = nodes.follow(&extrinsic, UNTIL_FINALIZED).await;
    assert!(matches!(outcome, Outcome::Included(_)), "{outcome:?}");

    // A reverted block proves nothing.
    let chain = nodes.chain.clone();
    tokio::spawn(async move {
        tokio::time::sleep(BLOCK_TIME * 2).await;
        chain.revert(1);
        chain.mine(1);
    });
    let outcome = nodes.follow(&extrinsic, UNTIL_FINALIZED).await;
    assert!(
        matches!(outcome, Outcome::Unknown(UnknownReason::NotYetIncluded { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nonce_lease_is_released_once_pool_accepts_extrinsic() {
    let (nonces, refused) =
        (Nonces::default(), || ScriptedResponse::Refuses(1010, "Custom error: 6"));
    let lease = async || {
        nonces
            .lease(AccountId::from_bytes([1; 32]), BLOCK_TIME, WAIT_TIMEOUT, async { Ok(0) })
            .await
    };
    let times = TrackingTimeouts {
        total_timeout: WAIT_TIMEOUT,
        retry_delay: BLOCK_TIME / 16,
        status_timeout: BLOCK_TIME * 2,
    };
    let nodes = ScriptedNodes::new([refused(), ScriptedResponse::Accepts(Vec::new())]);
    let extrinsic = nodes.signed(Era::default()).await;
    super::submit_and_track(
        &nodes,
        &extrinsic,
        UNTIL_INCLUDED,
        Some(lease().await.unwrap()),
        times,
    )
    .await;
    let first = lease().await.unwrap();
    assert_eq!(first.nonce(), 0, "no pool accepted the extrinsic");
    let (outcome, second) = tokio::join!(
        super::submit_and_track(&nodes, &extrinsic, UNTIL_INCLUDED, Some(first), times),
        async {
            let start = Instant::now();
            let second = lease().await.unwrap();
            (second.nonce(), start.elapsed())
        }
    );
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert_eq!(second, (1, Duration::ZERO));
}
