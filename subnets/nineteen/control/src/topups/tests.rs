use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use taonet_chain::{Phase, TransportError};
use taonet_nineteen_store::{KeyTerms, TopUpTerms};
use taonet_primitives::BlockNumber;
use taonet_service::system_clock;
use tempfile::TempDir;

use super::*;

const OPERATOR: AccountId = AccountId::from_bytes([7; 32]);
const PAYER: AccountId = AccountId::from_bytes([8; 32]);
const RAO_PER_CREDIT: u64 = 100;

/// A chain whose forks and finalized block a test decides.
struct Forks {
    /// Parent and events of each block.
    blocks: Mutex<HashMap<BlockHash, (Block, Vec<Event>)>>,
    finalized: Mutex<Block>,
    /// Newest block of the best fork.
    best: Mutex<Block>,
    /// Every request with a number that is a multiple of this fails; 0 for none.
    failure_interval: AtomicU32,
    /// Number of requests after which all fail.
    limit: AtomicU32,
    requests: AtomicU32,
    announcements: watch::Sender<Option<Block>>,
}

impl Forks {
    /// Creates a chain that consists of its finalized genesis block.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            blocks: Mutex::default(),
            finalized: Mutex::new(genesis()),
            best: Mutex::new(genesis()),
            failure_interval: AtomicU32::new(0),
            limit: AtomicU32::new(u32::MAX),
            requests: AtomicU32::new(0),
            announcements: watch::channel(None).0,
        })
    }

    /// Adds a block, on a fork with a number, with these transfers: sender, recipient, amount in
    /// rao.
    fn add(&self, parent: Block, fork: u8, transfers: &[(AccountId, AccountId, u64)]) -> Block {
        let number = parent.number.plus(1);
        let mut hash = [fork; 32];
        hash[..4].copy_from_slice(&number.get().to_le_bytes());
        let block = Block { number, hash: BlockHash::from_bytes(hash) };
        let success = event(0, "System", "ExtrinsicSuccess", json!({"dispatch_info": {}}));
        let transfers = transfers.iter().zip(1..).map(|((from, to, amount), index)| {
            event(index, "Balances", "Transfer", json!({"from": from, "to": to, "amount": amount}))
        });
        let events = std::iter::once(success).chain(transfers).collect();
        self.blocks.lock().unwrap().insert(block.hash, (parent, events));
        block
    }

    /// Replaces the events of a block.
    fn set_events(&self, block: Block, events: Vec<Event>) {
        self.blocks.lock().unwrap().get_mut(&block.hash).unwrap().1 = events;
    }

    /// Announces the newest block of the best fork.
    fn announce(&self, block: Block) {
        *self.best.lock().unwrap() = block;
        self.announcements.send_replace(Some(block));
    }

    fn finalize(&self, block: Block) {
        *self.finalized.lock().unwrap() = block;
        self.announce(block);
    }

    fn request(&self) -> Result<(), ChainError> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let fails = number.checked_rem(self.failure_interval.load(Ordering::SeqCst)) == Some(0);
        if fails || number >= self.limit.load(Ordering::SeqCst) {
            let source = TransportError::Connection("the node is down".into());
            return Err(ChainError::Unreachable { endpoint: "test".to_owned(), source });
        }
        Ok(())
    }

    fn block(&self, block: BlockHash) -> Result<(Block, Vec<Event>), ChainError> {
        self.request()?;
        let blocks = self.blocks.lock().unwrap();
        blocks.get(&block).cloned().ok_or(ChainError::NoSuchBlock(At::Hash(block)))
    }
}

#[async_trait]
impl FinalizedBlocks for Forks {
    async fn newest(&self) -> Result<Block, ChainError> {
        self.request()?;
        Ok(*self.finalized.lock().unwrap())
    }

    async fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        self.request()?;
        let blocks = self.blocks.lock().unwrap();
        let mut block = *self.best.lock().unwrap();
        while block.number > number {
            block = blocks[&block.hash].0;
        }
        Ok((block.number == number).then_some(block.hash))
    }

    async fn block_header(&self, block: BlockHash) -> Result<BlockHeader, ChainError> {
        tokio::task::yield_now().await;
        let (parent, _) = self.block(block)?;
        let root = BlockHash::from_bytes([0; 32]);
        let block = Block { number: parent.number.plus(1), hash: block };
        Ok(BlockHeader {
            block,
            parent: parent.hash,
            state_root: root,
            extrinsics_root: root,
            digest: Vec::new(),
        })
    }

    async fn events_of(&self, header: &BlockHeader) -> Result<Vec<Event>, ChainError> {
        tokio::task::yield_now().await;
        Ok(self.block(header.block.hash)?.1)
    }

    fn announcements(&self) -> watch::Receiver<Option<Block>> {
        self.announcements.subscribe()
    }
}

fn genesis() -> Block {
    Block { number: BlockNumber::new(0), hash: BlockHash::from_bytes([0; 32]) }
}

fn event(index: u32, pallet: &str, name: &str, fields: serde_json::Value) -> Event {
    Event {
        index,
        phase: Phase::ApplyExtrinsic(1),
        pallet: pallet.to_owned(),
        name: name.to_owned(),
        fields,
    }
}

/// A buyer's key on a chain with a watcher.
struct TestMarket {
    chain: Arc<Forks>,
    store: Store,
    watcher: TopUpWatcher,
    key: String,
    address: AccountId,
    _folder: TempDir,
}

impl TestMarket {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let chain = Forks::new();
        let genesis = genesis();
        let terms = TopUpTerms {
            account: OPERATOR,
            rao_per_credit: NonZeroU64::new(RAO_PER_CREDIT).unwrap(),
        };
        store.enable_topups(terms, genesis.hash, (genesis.number, genesis.hash)).await.unwrap();
        let key = store.create_key(&KeyTerms::new("shop", 60), &[1; 40], 0).await.unwrap().id;
        let address = store.deposit_address(&key).await.unwrap().unwrap().address;
        let watcher = TopUpWatcher::new(Arc::clone(&chain) as _, store.clone(), system_clock());
        Self { chain, store, watcher, key, address, _folder: folder }
    }

    async fn balance(&self) -> i64 {
        self.store.key(&self.key).await.unwrap().unwrap().balance
    }
}

#[tokio::test]
async fn transfers_of_finalized_blocks_are_credited() {
    let market = TestMarket::open().await;
    let (chain, address) = (&market.chain, market.address);
    let first = chain.add(genesis(), 1, &[(PAYER, address, 250), (PAYER, PAYER, 9_999)]);
    // The operator collects the TAO of the address.
    let second = chain.add(
        first,
        1,
        &[(address, OPERATOR, 250), (PAYER, OPERATOR, 700), (PAYER, address, 100)],
    );
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 0, "no block is final");
    chain.finalize(first);
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 2);
    chain.finalize(second);
    market.watcher.advance().await.unwrap();
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 3);
    let deposits = market.store.deposits(None).await.unwrap();
    let rows: Vec<_> = deposits
        .iter()
        .map(|row| (row.event, row.amount_rao.get(), row.key_id.is_some()))
        .collect();
    assert_eq!(rows, [(1, 250, true), (2, 700, false), (3, 100, true)]);
    assert!(market.store.is_balanced().await.unwrap());
}

#[tokio::test]
async fn transfer_to_a_derivative_without_a_key_is_unattributed() {
    let market = TestMarket::open().await;
    let unused = OPERATOR.derivative(7);
    let block = market.chain.add(
        genesis(),
        1,
        &[(PAYER, unused, 300), (unused, OPERATOR, 300), (PAYER, PAYER, 300)],
    );
    market.chain.finalize(block);
    market.watcher.advance().await.unwrap();
    let deposits = market.store.deposits(None).await.unwrap();
    let rows: Vec<_> =
        deposits.iter().map(|row| (row.to, row.amount_rao.get(), row.key_id.is_none())).collect();
    assert_eq!(rows, [(unused, 300, true)]);
    assert_eq!(market.balance().await, 0);
}

#[tokio::test]
async fn transfer_of_an_abandoned_fork_is_not_credited() {
    let market = TestMarket::open().await;
    let (chain, payment) = (&market.chain, (PAYER, market.address, 500));
    let base = chain.add(genesis(), 1, &[]);
    chain.finalize(base);
    market.watcher.advance().await.unwrap();
    let abandoned = chain.add(base, 1, &[payment]);
    chain.announce(chain.add(abandoned, 1, &[payment]));
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 0, "the newest blocks are not final");
    // The other fork includes one of the two transfers, later.
    let empty = chain.add(base, 2, &[]);
    let included = chain.add(empty, 2, &[payment]);
    chain.finalize(included);
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 5);
    assert_eq!(market.store.deposits(None).await.unwrap()[0].block_hash, included.hash);
}

#[tokio::test]
async fn revert_of_a_recorded_block_stops_crediting() {
    let market = TestMarket::open().await;
    let (chain, payment) = (&market.chain, (PAYER, market.address, 500));
    let base = chain.add(genesis(), 1, &[]);
    let credited = chain.add(base, 1, &[payment]);
    chain.finalize(credited);
    market.watcher.advance().await.unwrap();
    // The same height on another fork, and a later block of it.
    let other = chain.add(base, 2, &[payment]);
    let later = chain.add(other, 2, &[payment]);
    for block in [other, later] {
        chain.finalize(block);
        let error = market.watcher.advance().await.unwrap_err();
        assert!(matches!(error, TopUpError::Reverted(block) if block == credited), "{error:?}");
    }
    // A node that lags behind has no further blocks.
    chain.finalize(base);
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 5);
    // Another node has the finalized chain.
    chain.finalize(chain.add(credited, 1, &[payment]));
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 10);
}

#[tokio::test]
async fn unknown_transfer_fields_stop_crediting() {
    let market = TestMarket::open().await;
    let chain = &market.chain;
    let block = chain.add(genesis(), 1, &[(PAYER, market.address, 500)]);
    let unknown = event(
        9,
        "Balances",
        "Transfer",
        json!({"from": PAYER, "dest": market.address, "amount": 500}),
    );
    chain.set_events(block, vec![unknown]);
    chain.finalize(block);
    let error = market.watcher.advance().await.unwrap_err();
    assert!(matches!(error, TopUpError::Event { .. }), "{error:?}");
    assert_eq!(market.store.deposits(None).await.unwrap(), []);
}

/// Two watchers of 300 blocks, each aborted and restarted at many points, with a node that fails at
/// many requests.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_watchers_credit_each_transfer_once() {
    let market = TestMarket::open().await;
    let chain = &market.chain;
    let (mut block, mut expected) = (genesis(), 0);
    for amount in 1..=300 {
        block = chain.add(block, 1, &[(PAYER, market.address, amount * RAO_PER_CREDIT)]);
        expected += i64::try_from(amount).unwrap();
        // Later blocks are in their own transactions.
        if amount == 200 {
            chain.finalize(block);
        }
    }
    chain.failure_interval.store(401, Ordering::SeqCst);
    let watchers: Vec<_> = (0..2_u64)
        .map(|index| {
            let (chain, store) = (Arc::clone(chain), market.store.clone());
            tokio::spawn(async move {
                for round in 0..2_000_u64 {
                    if round == 20 {
                        chain.finalize(block);
                    }
                    let watcher =
                        TopUpWatcher::new(Arc::clone(&chain) as _, store.clone(), system_clock());
                    let limit = Duration::from_millis((round * 7 + index * 3) % 40 + round / 20);
                    let advanced = tokio::time::timeout(limit, watcher.advance()).await;
                    let topups = store.topups().await.unwrap().unwrap();
                    if topups.hash == block.hash {
                        return;
                    }
                    assert!(
                        !matches!(&advanced, Ok(Err(error)) if error.is_permanent()),
                        "{advanced:?}"
                    );
                }
                panic!("the watcher does not reach the last block");
            })
        })
        .collect();
    for watcher in watchers {
        watcher.await.unwrap();
    }
    assert_eq!(market.balance().await, expected);
    assert_eq!(market.store.deposits(None).await.unwrap().len(), 300);
    assert!(market.store.is_balanced().await.unwrap());
}

#[tokio::test]
async fn watcher_continues_after_failure_until_shutdown() {
    let market = TestMarket::open().await;
    let (chain, shutdown) = (&market.chain, Shutdown::new());
    // The first request fails, the watcher continues with the next block.
    chain.failure_interval.store(1, Ordering::SeqCst);
    let first = chain.add(genesis(), 1, &[(PAYER, market.address, 500)]);
    chain.finalize(first);
    let watcher = TopUpWatcher::new(Arc::clone(chain) as _, market.store.clone(), system_clock());
    let stop = shutdown.clone();
    shutdown.spawn("topups", async move { watcher.run(&stop).await });
    while chain.requests.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    chain.failure_interval.store(0, Ordering::SeqCst);
    chain.finalize(chain.add(first, 1, &[(PAYER, market.address, 100)]));
    let credited = async {
        while market.balance().await < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), credited).await.unwrap();
    shutdown.request();
    shutdown.finished().await.unwrap();
}

/// Adds finalized blocks, each with a transfer of the price of one credit.
fn pay_in_blocks(market: &TestMarket, count: u32) -> Block {
    let payment = (PAYER, market.address, RAO_PER_CREDIT);
    let last = (0..count).fold(genesis(), |block, _| market.chain.add(block, 1, &[payment]));
    market.chain.finalize(last);
    last
}

async fn recorded_block(market: &TestMarket) -> u32 {
    market.store.topups().await.unwrap().unwrap().block.get()
}

#[tokio::test]
async fn failure_while_catching_up_keeps_the_recorded_blocks() {
    let market = TestMarket::open().await;
    let last = pay_in_blocks(&market, 200);
    // Three requests for each block, one for the newest block and one for each part.
    market.chain.limit.store(300, Ordering::SeqCst);
    let error = market.watcher.advance().await.unwrap_err();
    assert!(
        matches!(error, TopUpError::Chain(ChainError::Unreachable { .. })) && !error.is_permanent(),
        "{error:?}"
    );
    assert_eq!(
        (recorded_block(&market).await, market.balance().await),
        (MAX_BLOCKS, i64::from(MAX_BLOCKS))
    );
    market.chain.limit.store(u32::MAX, Ordering::SeqCst);
    market.chain.requests.store(0, Ordering::SeqCst);
    market.watcher.advance().await.unwrap();
    assert_eq!((recorded_block(&market).await, market.balance().await), (last.number.get(), 200));
    let requests = market.chain.requests.load(Ordering::SeqCst);
    assert!(requests <= 3 * (200 - MAX_BLOCKS) + 5, "{requests} requests");
}

#[tokio::test]
async fn block_without_events_is_not_recorded() {
    let market = TestMarket::open().await;
    let first = market.chain.add(genesis(), 1, &[(PAYER, market.address, RAO_PER_CREDIT)]);
    let second = market.chain.add(first, 1, &[]);
    market.chain.set_events(first, Vec::new());
    market.chain.finalize(second);
    let error = market.watcher.advance().await.unwrap_err();
    assert!(
        matches!(error, TopUpError::Chain(ChainError::NoEvents(hash)) if hash == first.hash),
        "{error:?}"
    );
    assert!(error.is_permanent());
    assert_eq!(recorded_block(&market).await, 0);
}

#[tokio::test]
async fn missing_block_of_a_pruned_node_fails_after_few_requests() {
    let market = TestMarket::open().await;
    pay_in_blocks(&market, 200);
    let first = market.chain.hash_at(BlockNumber::new(1)).await.unwrap().unwrap();
    market.chain.blocks.lock().unwrap().remove(&first);
    market.chain.requests.store(0, Ordering::SeqCst);
    let error = market.watcher.advance().await.unwrap_err();
    assert!(
        matches!(error, TopUpError::Chain(ChainError::NoSuchBlock(_))) && error.is_permanent(),
        "{error:?}"
    );
    assert_eq!(
        (market.chain.requests.load(Ordering::SeqCst), recorded_block(&market).await),
        (3, 0)
    );
}

/// One node reports the finalized block; another node, on a different fork, answers the requests by
/// height.
#[tokio::test]
async fn blocks_of_a_lagging_node_are_not_recorded() {
    let market = TestMarket::open().await;
    let (chain, payment) = (&market.chain, (PAYER, market.address, RAO_PER_CREDIT));
    let last = pay_in_blocks(&market, 100);
    let fork = (0..100).fold(genesis(), |block, _| chain.add(block, 2, &[payment, payment]));
    for best in [fork, chain.add(fork, 2, &[]), genesis()] {
        chain.announce(best);
        let error = market.watcher.advance().await.unwrap_err();
        assert!(matches!(error, TopUpError::Lagging(_)) && !error.is_permanent(), "{error:?}");
    }
    assert_eq!(recorded_block(&market).await, 0);
    chain.announce(last);
    market.watcher.advance().await.unwrap();
    assert_eq!(market.balance().await, 100);
}

/// A node whose headers are those of other blocks.
struct WrongHeaders(Arc<Forks>);

#[async_trait]
impl FinalizedBlocks for WrongHeaders {
    async fn newest(&self) -> Result<Block, ChainError> {
        self.0.newest().await
    }

    async fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        self.0.hash_at(number).await
    }

    async fn block_header(&self, block: BlockHash) -> Result<BlockHeader, ChainError> {
        let header = self.0.block_header(block).await?;
        let block = Block { hash: BlockHash::from_bytes([5; 32]), ..header.block };
        Ok(BlockHeader { block, ..header })
    }

    async fn events_of(&self, header: &BlockHeader) -> Result<Vec<Event>, ChainError> {
        self.0.events_of(header).await
    }

    fn announcements(&self) -> watch::Receiver<Option<Block>> {
        self.0.announcements()
    }
}

#[tokio::test]
async fn header_of_another_block_is_rejected() {
    let market = TestMarket::open().await;
    let last = pay_in_blocks(&market, 1);
    let blocks = Arc::new(WrongHeaders(Arc::clone(&market.chain)));
    let error = TopUpWatcher::new(blocks, market.store.clone(), system_clock())
        .advance()
        .await
        .unwrap_err();
    assert!(
        matches!(error, TopUpError::WrongHeader { requested, .. } if requested == last),
        "{error:?}"
    );
    assert_eq!(recorded_block(&market).await, 0);
}

#[tokio::test]
async fn disabled_topups_are_not_credited() {
    let market = TestMarket::open().await;
    pay_in_blocks(&market, 2);
    market.store.disable_topups().await.unwrap();
    market.watcher.advance().await.unwrap();
    assert_eq!(
        (recorded_block(&market).await, market.chain.requests.load(Ordering::SeqCst)),
        (0, 0)
    );
}

#[tokio::test]
async fn large_transfer_batches_are_split_and_small_transfers_ignored() {
    let market = TestMarket::open().await;
    let (chain, payment) = (&market.chain, (PAYER, market.address, RAO_PER_CREDIT));
    let first = chain.add(
        genesis(),
        1,
        &vec![(PAYER, market.address, RAO_PER_CREDIT - 1); 2 * MAX_TRANSFERS_PER_BATCH],
    );
    let second = chain.add(first, 1, &vec![payment; MAX_TRANSFERS_PER_BATCH + 1]);
    let third = chain.add(second, 1, &[payment]);
    chain.set_events(third, Vec::new());
    chain.finalize(third);
    market.watcher.advance().await.unwrap_err();
    assert_eq!(recorded_block(&market).await, 2, "the third block is in a batch of its own");
    assert_eq!(market.store.deposits(None).await.unwrap().len(), MAX_TRANSFERS_PER_BATCH + 1);
}

#[test]
fn retry_pauses_double_only_after_permanent_failures() {
    let mut failures = Failures::default();
    let permanent = || Err(TopUpError::Reverted(genesis()));
    let pauses: Vec<_> = (0..8).map(|_| failures.record(permanent()).as_secs()).collect();
    assert_eq!(pauses, [12, 24, 48, 96, 192, 384, 600, 600]);
    assert_eq!((failures.kind, failures.is_permanent), (Some("reverted"), true));
    let pruned = || Err(ChainError::NoSuchBlock(At::Head).into());
    assert_eq!(failures.record(pruned()), Duration::from_mins(10));
    assert_eq!(failures.kind, Some("pruned"), "a failure of another kind is logged");
    // After a temporary failure, the next block is enough for a retry.
    assert_eq!(failures.record(Err(TopUpError::Lagging(BlockNumber::new(1)))), POLL_INTERVAL);
    assert_eq!((failures.kind, failures.is_permanent), (Some("lagging"), false));
    assert_eq!(failures.record(Ok(())), POLL_INTERVAL);
    assert_eq!((failures.kind, failures.count), (None, 0));
}
