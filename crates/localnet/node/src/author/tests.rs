use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use sp_core::H256;
use taonet_localnet_runtime::genesis;

use super::group::MAX_GROUP_BLOCKS;
use super::*;
use crate::chain::ChainEvent;
use crate::pool::{Pool, PoolLimits, TxEvent};
use crate::store::{FirstBlock, History, Store};

pub(super) fn author() -> Author {
    author_on(Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap())
}

fn author_on(store: Store) -> Author {
    let head = store.head().unwrap();
    let pool = Pool::new(head.clone(), PoolLimits::default());
    let chain = Arc::new(Chain::new(store, pool, head.hash, head).0);
    Author::new(chain, Clock::Manual, Some(1_000_000), Arc::new(AtomicBool::new(false))).unwrap()
}

/// Bytes that are not an extrinsic make the runtime panic: all changes are rolled back, and the
/// block is still produced.
#[test]
fn panicking_extrinsic_leaves_block_unchanged() {
    let (mut one, mut other) = (author(), author());
    let hash = H256::repeat_byte(7);
    let mut events = one.chain.pool.insert_unvalidated(hash, vec![1, 2, 3]);
    one.produce_blocks(1).unwrap();
    other.produce_blocks(1).unwrap();
    assert_eq!(one.tip, other.tip);
    assert_eq!(events.try_recv().unwrap(), TxEvent::Ready);
    assert_eq!(events.try_recv().unwrap(), TxEvent::Invalid);
    assert_eq!(one.chain.pool.ready_and_total(), (0, 0));
    one.produce_blocks(1).unwrap();
}

#[test]
fn stopping_author_commits_finished_blocks() {
    let mut author = author();
    author.produce_blocks(3).unwrap();
    author.stopping.store(true, Ordering::SeqCst);
    assert!(matches!(author.produce_blocks(5), Err(AuthorError::Stopping)));
    assert_eq!(author.chain.head().number(), 3);
}

#[test]
fn command_is_cancelled_when_its_caller_disconnects() {
    let mut author = author();
    let (reply, receiver) = oneshot::channel();
    let (_, mut events) = author.chain.subscribe();
    let chain = author.chain.clone();
    let caller = std::thread::spawn(move || {
        while events.try_recv().is_err() {
            std::thread::yield_now();
        }
        drop(receiver);
        chain.head().number()
    });
    author.execute(Command { action: Action::MineBlocks(u32::MAX), reply });
    // Blocks that were produced before the caller disconnected remain.
    assert!(author.chain.head().number() >= caller.join().unwrap());
    assert_eq!(author.chain.head(), author.tip);
}

#[test]
fn block_is_announced_after_it_is_on_disk() {
    let mut author = author();
    let (_, mut events) = author.chain.subscribe();
    author.produce_from_pool().unwrap();
    assert_eq!(author.chain.head().number(), 0);
    assert!(events.try_recv().is_err());
    author.commit().unwrap();
    assert_eq!(author.chain.head().number(), 1);
    let committed = author.chain.store.head().unwrap();
    assert!(
        matches!(&*events.try_recv().unwrap(), ChainEvent::Block(block) if block.head == committed)
    );
}

/// The blocks of a group share a commit, and are built while the previous group is written.
#[test]
fn grouped_blocks_equal_single_blocks() {
    let (mut one, mut other) = (author(), author());
    let blocks = 3 * MAX_GROUP_BLOCKS as u32 + 5;
    one.produce_blocks(blocks).unwrap();
    for _ in 0..blocks {
        other.produce_blocks(1).unwrap();
    }
    assert_eq!(one.tip, other.tip);
    for author in [one, other] {
        assert_eq!(author.chain.head(), author.tip);
        assert_eq!(author.chain.store.head().unwrap(), author.tip);
    }
}

/// A storage backend that counts flushes to disk, and whose writes fail while the disk is full, and
/// wait while another thread holds the gate.
#[derive(Debug, Default)]
struct TestDisk {
    file: InMemoryBackend,
    flushes: Arc<AtomicUsize>,
    full: Arc<AtomicBool>,
    gate: Arc<Mutex<()>>,
    /// Whether a write has waited at the gate.
    waiting: Arc<AtomicBool>,
}

impl StorageBackend for TestDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.gate.try_lock().is_err() {
            self.waiting.store(true, Ordering::SeqCst);
            drop(self.gate.lock());
        }
        self.file.write(offset, data)
    }
}

#[test]
fn failed_write_resets_author_to_committed_block() {
    let disk = TestDisk::default();
    let full = disk.full.clone();
    let mut author = author_on(Store::on_backend(disk, genesis::genesis(&[]).unwrap()));
    author.produce_blocks(1).unwrap();
    let (first, last_timestamp) = (author.tip.clone(), author.last_timestamp);
    let (_, mut events) = author.chain.subscribe();
    full.store(true, Ordering::SeqCst);
    // One group fails while the next is built.
    assert!(matches!(
        author.produce_blocks(3 * MAX_GROUP_BLOCKS as u32),
        Err(AuthorError::Store(_))
    ));
    assert!(events.try_recv().is_err());
    assert!(author.group.is_empty());
    assert_eq!(
        (&author.tip, author.chain.head(), author.chain.pool.tip()),
        (&first, first.clone(), first.clone())
    );
    assert_eq!(author.last_timestamp, last_timestamp);
}

#[test]
fn head_is_readable_while_chain_is_replaced() {
    let disk = TestDisk::default();
    let (gate, waiting) = (disk.gate.clone(), disk.waiting.clone());
    let author = author_on(Store::on_backend(disk, genesis::genesis(&[]).unwrap()));
    let (chain, first) =
        (author.chain.clone(), FirstBlock::from_genesis(genesis::genesis(&[]).unwrap()).unwrap());
    let gate_guard = gate.lock().unwrap();
    let restart = std::thread::spawn(move || chain.restart(first).unwrap());
    while !waiting.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (chain, (sender, receiver)) = (author.chain.clone(), std::sync::mpsc::channel());
    let reader = std::thread::spawn(move || sender.send(chain.head()).is_ok());
    let head = receiver.recv_timeout(Duration::from_mins(1));
    drop(gate_guard);
    assert_eq!(head.unwrap(), author.tip);
    assert!(reader.join().unwrap());
    restart.join().unwrap();
    assert_eq!(author.chain.head(), author.tip);
    assert!(author.chain.state(None).is_ok());
}

#[test]
fn author_flushes_at_intervals() {
    let disk = TestDisk::default();
    let flushes = disk.flushes.clone();
    let mut author = author_on(Store::on_backend(disk, genesis::genesis(&[]).unwrap()));
    author.produce_blocks(1).unwrap();
    assert_eq!(flushes.load(Ordering::SeqCst), 0);
    author.last_flush -= FLUSH_INTERVAL;
    author.produce_blocks(1).unwrap();
    let after = flushes.load(Ordering::SeqCst);
    assert!(after > 0);
    author.produce_blocks(1).unwrap();
    assert_eq!(flushes.load(Ordering::SeqCst), after);
}

#[test]
fn epoch_of_unknown_subnet_is_an_error() {
    let author = author();
    assert!(author.blocks_to_epoch(60_000).is_err());
}
