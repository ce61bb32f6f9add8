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
    blocks: Mutex<HashMap<BlockHash, (BlockHash, Vec<Event>)>>,
    finalized: Mutex<Block>,
    /// Every request with a number that is a multiple of this fails; 0 for none.
    fails: AtomicU32,
    requests: AtomicU32,
    announcements: watch::Sender<Option<Block>>,
}

impl Forks {
    /// Creates a chain that consists of its finalized genesis block.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            blocks: Mutex::default(),
            finalized: Mutex::new(genesis()),
            fails: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            announcements: watch::channel(None).0,
        })
    }

    /// Adds a block, on a fork with a number, with these transfers: sender, recipient, amount in rao.
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
        self.blocks.lock().unwrap().insert(block.hash, (parent.hash, events));
        block
    }

    fn finalize(&self, block: Block) {
        *self.finalized.lock().unwrap() = block;
        self.announcements.send_replace(Some(block));
    }

    fn request(&self) -> Result<(), ChainError> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match number.checked_rem(self.fails.load(Ordering::SeqCst)) {
            Some(0) => {
                let source = TransportError::Connection("the node is down".into());
                Err(ChainError::Unreachable { endpoint: "test".to_owned(), source })
            }
            _ => Ok(()),
        }
    }

    fn block(&self, block: BlockHash) -> Result<(BlockHash, Vec<Event>), ChainError> {
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

    async fn parent(&self, block: BlockHash) -> Result<BlockHash, ChainError> {
        tokio::task::yield_now().await;
        Ok(self.block(block)?.0)
    }

    async fn block_events(&self, block: BlockHash) -> Result<Vec<Event>, ChainError> {
        tokio::task::yield_now().await;
        Ok(self.block(block)?.1)
    }

    fn announcements(&self) -> watch::Receiver<Option<Block>> {
        self.announcements.subscribe()
    }
}

fn genesis() -> Block {
    Block { number: BlockNumber::new(0), hash: BlockHash::from_bytes([0; 32]) }
}

fn event(index: u32, pallet: &str, name: &str, fields: serde_json::Value) -> Event {
    Event { index, phase: Phase::ApplyExtrinsic(1), pallet: pallet.to_owned(), name: name.to_owned(), fields }
}

/// A buyer's key on a chain with a watcher.
struct Shop {
    chain: Arc<Forks>,
    store: Store,
    watcher: TopUpWatcher,
    key: String,
    address: AccountId,
    _folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let chain = Forks::new();
        let genesis = genesis();
        let terms = TopUpTerms { account: OPERATOR, rao_per_credit: NonZeroU64::new(RAO_PER_CREDIT).unwrap() };
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
    let shop = Shop::open().await;
    let (chain, address) = (&shop.chain, shop.address);
    let first = chain.add(genesis(), 1, &[(PAYER, address, 250), (PAYER, PAYER, 9_999)]);
    // The operator collects the TAO of the address.
    let second = chain.add(first, 1, &[(address, OPERATOR, 250), (PAYER, OPERATOR, 700), (PAYER, address, 100)]);
    shop.watcher.advance().await.unwrap();
    assert_eq!(shop.balance().await, 0, "no block is final");
    chain.finalize(first);
    shop.watcher.advance().await.unwrap();
    assert_eq!(shop.balance().await, 2);
    chain.finalize(second);
    shop.watcher.advance().await.unwrap();
    shop.watcher.advance().await.unwrap();
    assert_eq!(shop.balance().await, 3);
    let deposits = shop.store.deposits(None).await.unwrap();
    let rows: Vec<_> = deposits.iter().map(|row| (row.event, row.amount_rao.get(), row.key_id.is_some())).collect();
    assert_eq!(rows, [(1, 250, true), (2, 700, false), (3, 100, true)]);
    assert!(shop.store.is_balanced().await.unwrap());
}

#[tokio::test]
async fn transfer_of_an_abandoned_fork_is_not_credited() {
    let shop = Shop::open().await;
    let (chain, payment) = (&shop.chain, (PAYER, shop.address, 500));
    let base = chain.add(genesis(), 1, &[]);
    chain.finalize(base);
    shop.watcher.advance().await.unwrap();
    let abandoned = chain.add(base, 1, &[payment]);
    chain.add(abandoned, 1, &[payment]);
    // The other fork includes one of the two transfers, later.
    let empty = chain.add(base, 2, &[]);
    let included = chain.add(empty, 2, &[payment]);
    chain.finalize(included);
    shop.watcher.advance().await.unwrap();
    assert_eq!(shop.balance().await, 5);
    assert_eq!(shop.store.deposits(None).await.unwrap()[0].block_hash, included.hash);
}

#[tokio::test]
async fn revert_of_a_recorded_block_stops_the_credits() {
    let shop = Shop::open().await;
    let (chain, payment) = (&shop.chain, (PAYER, shop.address, 500));
    let base = chain.add(genesis(), 1, &[]);
    let credited = chain.add(base, 1, &[payment]);
    chain.finalize(credited);
    shop.watcher.advance().await.unwrap();
    // The same height on another fork, and a later block of it.
    let other = chain.add(base, 2, &[payment]);
    let later = chain.add(other, 2, &[payment]);
    for block in [other, later] {
        chain.finalize(block);
        let error = shop.watcher.advance().await.unwrap_err();
        assert!(matches!(error, TopUpError::Reverted(block) if block == credited), "{error:?}");
    }
    // A node that lags behind has no further blocks.
    chain.finalize(base);
    shop.watcher.advance().await.unwrap();
    assert_eq!(shop.balance().await, 5);
    // Another node has the finalized chain.
    chain.finalize(chain.add(credited, 1, &[payment]));
    shop.watcher.advance().await.unwrap();
    assert_eq!(shop.balance().await, 10);
}

#[tokio::test]
async fn unknown_transfer_fields_stop_the_credits() {
    let shop = Shop::open().await;
    let chain = &shop.chain;
    let block = chain.add(genesis(), 1, &[(PAYER, shop.address, 500)]);
    let unknown = event(9, "Balances", "Transfer", json!({"from": PAYER, "dest": shop.address, "amount": 500}));
    chain.blocks.lock().unwrap().get_mut(&block.hash).unwrap().1.push(unknown);
    chain.finalize(block);
    let error = shop.watcher.advance().await.unwrap_err();
    assert!(matches!(error, TopUpError::Event { .. }), "{error:?}");
    assert_eq!(shop.store.deposits(None).await.unwrap(), []);
}

/// Two watchers of 300 blocks, each aborted and restarted at many points, with a node that fails at many requests.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_watchers_credit_each_transfer_once() {
    let shop = Shop::open().await;
    let chain = &shop.chain;
    let (mut block, mut expected) = (genesis(), 0);
    for amount in 1..=300 {
        block = chain.add(block, 1, &[(PAYER, shop.address, amount * RAO_PER_CREDIT)]);
        expected += i64::try_from(amount).unwrap();
        // Later blocks are in transactions of their own.
        if amount == 200 {
            chain.finalize(block);
        }
    }
    chain.fails.store(601, Ordering::SeqCst);
    let watchers: Vec<_> = (0..2_u64)
        .map(|which| {
            let (chain, store) = (Arc::clone(chain), shop.store.clone());
            tokio::spawn(async move {
                for round in 0..2_000_u64 {
                    if round == 20 {
                        chain.finalize(block);
                    }
                    let watcher = TopUpWatcher::new(Arc::clone(&chain) as _, store.clone(), system_clock());
                    let limit = Duration::from_millis((round * 7 + which * 3) % 40 + round / 20);
                    let advanced = tokio::time::timeout(limit, watcher.advance()).await;
                    let topups = store.topups().await.unwrap().unwrap();
                    if topups.hash == block.hash {
                        return;
                    }
                    assert!(!matches!(advanced, Ok(Err(TopUpError::Reverted(_) | TopUpError::Event { .. }))));
                }
                panic!("the watcher does not reach the last block");
            })
        })
        .collect();
    for watcher in watchers {
        watcher.await.unwrap();
    }
    assert_eq!(shop.balance().await, expected);
    assert_eq!(shop.store.deposits(None).await.unwrap().len(), 300);
    assert!(shop.store.is_balanced().await.unwrap());
}

#[tokio::test]
async fn watcher_runs_until_shutdown() {
    let shop = Shop::open().await;
    let (chain, shutdown) = (&shop.chain, Shutdown::new());
    // The first request fails, the watcher continues with the next block.
    chain.fails.store(1, Ordering::SeqCst);
    let first = chain.add(genesis(), 1, &[(PAYER, shop.address, 500)]);
    chain.finalize(first);
    let watcher = TopUpWatcher::new(Arc::clone(chain) as _, shop.store.clone(), system_clock());
    let stop = shutdown.clone();
    shutdown.spawn("topups", async move { watcher.run(&stop).await });
    while chain.requests.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    chain.fails.store(0, Ordering::SeqCst);
    chain.finalize(chain.add(first, 1, &[(PAYER, shop.address, 100)]));
    let credited = async {
        while shop.balance().await < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), credited).await.unwrap();
    shutdown.request();
    shutdown.finished().await.unwrap();
}
