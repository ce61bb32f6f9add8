use sp_runtime::transaction_validity::ValidTransaction;
use tokio::sync::mpsc::Receiver;

use super::*;

const WIDE_LIMITS: PoolLimits =
    PoolLimits { count: 100, bytes: 10_000, future: 100, per_sender: 100 };

fn account(number: u8) -> AccountId {
    AccountId::new([number; 32])
}

/// Returns the validity of an extrinsic of an account whose next nonce on the chain is `from`.
fn valid(number: u8, nonce: u32, from: u32, priority: u64) -> ValidTransaction {
    let requires =
        if nonce > from { vec![nonce_tag(&account(number), nonce - 1)] } else { Vec::new() };
    let provides = vec![nonce_tag(&account(number), nonce)];
    ValidTransaction { priority, requires, provides, longevity: 10, propagate: true }
}

struct TestPool {
    graph: Graph,
    events: Vec<(H256, Receiver<TxEvent>)>,
    limits: PoolLimits,
}

impl TestPool {
    fn new(limits: PoolLimits) -> Self {
        Self { graph: Graph::default(), events: Vec::new(), limits }
    }

    /// Returns a hash of account, nonce and priority, which identify an extrinsic.
    fn hash(number: u8, nonce: u32, priority: u64) -> H256 {
        H256(sp_io::hashing::blake2_256(&(number, nonce, priority).encode()))
    }

    fn add(&mut self, number: u8, nonce: u32, from: u32, priority: u64) -> Result<(), SubmitError> {
        self.add_of_size(number, nonce, from, priority, 100)
    }

    fn add_of_size(
        &mut self,
        number: u8,
        nonce: u32,
        from: u32,
        priority: u64,
        size: usize,
    ) -> Result<(), SubmitError> {
        let hash = Self::hash(number, nonce, priority);
        let (status_sender, events) = StatusSender::channel();
        let valid = valid(number, nonce, from, priority);
        let entry =
            PoolEntry::new(hash, vec![0; size], Some(account(number)), status_sender, valid, 0);
        self.graph.insert(entry, &self.limits)?;
        self.events.push((hash, events));
        Ok(())
    }

    fn received_events(&mut self, hash: H256) -> Vec<TxEvent> {
        let (_, events) = self.events.iter_mut().find(|(watched, _)| *watched == hash).unwrap();
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    fn order(&self) -> Vec<H256> {
        self.graph
            .ready_in_order()
            .into_iter()
            .map(|seq| self.graph.get(seq).unwrap().hash)
            .collect()
    }

    fn seq(&self, hash: H256) -> Seq {
        self.graph
            .ready_in_order()
            .into_iter()
            .find(|seq| self.graph.get(*seq).unwrap().hash == hash)
            .unwrap()
    }
}

#[test]
fn extrinsics_are_ordered_by_priority_and_nonce() {
    let mut pool = TestPool::new(WIDE_LIMITS);
    pool.add(1, 0, 0, 5).unwrap();
    pool.add(1, 1, 0, 100).unwrap();
    pool.add(2, 7, 7, 50).unwrap();
    pool.add(3, 0, 0, 5).unwrap();
    let expected = [(2, 7, 50), (1, 0, 5), (1, 1, 100), (3, 0, 5)];
    assert_eq!(
        pool.order(),
        expected.map(|(number, nonce, priority)| TestPool::hash(number, nonce, priority))
    );
}

#[test]
fn nonce_gap_keeps_later_extrinsics_future() {
    let mut pool = TestPool::new(WIDE_LIMITS);
    pool.add(1, 2, 0, 5).unwrap();
    pool.add(1, 3, 0, 5).unwrap();
    pool.add(1, 0, 0, 5).unwrap();
    assert_eq!((pool.graph.ready_count(), pool.graph.len()), (1, 3));
    assert_eq!(pool.received_events(TestPool::hash(1, 3, 5)), [TxEvent::Future]);
    pool.add(1, 1, 0, 5).unwrap();
    assert_eq!(pool.graph.ready_count(), 4);
    assert_eq!(pool.received_events(TestPool::hash(1, 3, 5)), [TxEvent::Ready]);
    let expected: Vec<_> = (0..4).map(|nonce| TestPool::hash(1, nonce, 5)).collect();
    assert_eq!(pool.order(), expected);
}

#[test]
fn dropped_extrinsic_requeues_dependents() {
    let mut pool = TestPool::new(WIDE_LIMITS);
    for nonce in 0..4 {
        pool.add(1, nonce, 0, 5).unwrap();
    }
    let seq = pool.seq(TestPool::hash(1, 1, 5));
    pool.graph.remove(seq).unwrap();
    assert_eq!((pool.graph.ready_count(), pool.graph.len()), (1, 3));
    assert_eq!(pool.received_events(TestPool::hash(1, 3, 5)), [TxEvent::Ready, TxEvent::Future]);
    // Another extrinsic with that nonce closes the gap again.
    pool.add(1, 1, 0, 6).unwrap();
    assert_eq!(pool.graph.ready_count(), 4);
    let expected = [(0, 5), (1, 6), (2, 5), (3, 5)]
        .map(|(nonce, priority)| TestPool::hash(1, nonce, priority));
    assert_eq!(pool.order(), expected);
}

#[test]
fn included_extrinsic_keeps_dependents_ready() {
    let mut pool = TestPool::new(WIDE_LIMITS);
    for nonce in 0..3 {
        pool.add(1, nonce, 0, 5).unwrap();
    }
    let seq = pool.seq(TestPool::hash(1, 0, 5));
    pool.graph.include(seq).unwrap();
    assert_eq!(pool.graph.ready_count(), 2);
    assert_eq!(pool.order(), [TestPool::hash(1, 1, 5), TestPool::hash(1, 2, 5)]);
}

#[test]
fn only_higher_priority_replaces_same_nonce() {
    let mut pool = TestPool::new(WIDE_LIMITS);
    pool.add(1, 0, 0, 5).unwrap();
    assert!(matches!(pool.add(1, 0, 0, 4), Err(SubmitError::Priority { pooled: 5, new: 4 })));
    assert!(matches!(pool.add(1, 0, 0, 5), Err(SubmitError::Known(_))));
    pool.add(1, 0, 0, 6).unwrap();
    assert_eq!(pool.graph.len(), 1);
    assert_eq!(
        pool.received_events(TestPool::hash(1, 0, 5)),
        [TxEvent::Ready, TxEvent::Usurped(TestPool::hash(1, 0, 6))]
    );
}

#[test]
fn pool_limits_are_enforced() {
    let mut pool = TestPool::new(PoolLimits { count: 3, bytes: 10_000, future: 1, per_sender: 2 });
    pool.add(1, 0, 0, 5).unwrap();
    pool.add(1, 1, 0, 5).unwrap();
    assert!(matches!(pool.add(1, 2, 0, 5), Err(SubmitError::Full)), "at most two per account");
    pool.add(2, 9, 0, 5).unwrap();
    assert!(
        matches!(pool.add(2, 8, 0, 5), Err(SubmitError::Full)),
        "at most one waits for an earlier nonce"
    );
    assert!(matches!(pool.add(3, 0, 0, 5), Err(SubmitError::Full)), "no priority is lower");
    pool.add(3, 0, 0, 6).unwrap();
    assert_eq!(pool.graph.len(), 3);
    assert_eq!(pool.received_events(TestPool::hash(2, 9, 5)), [TxEvent::Future, TxEvent::Dropped]);
    let mut pool =
        TestPool::new(PoolLimits { count: 100, bytes: 250, future: 100, per_sender: 100 });
    pool.add(1, 0, 0, 5).unwrap();
    pool.add(2, 0, 0, 5).unwrap();
    assert!(matches!(pool.add(3, 0, 0, 5), Err(SubmitError::Full)), "the byte limit applies");
}

#[test]
fn refused_extrinsic_evicts_no_pooled_one() {
    let mut pool =
        TestPool::new(PoolLimits { count: 100, bytes: 250, future: 100, per_sender: 100 });
    pool.add(1, 0, 0, 1).unwrap();
    pool.add(2, 0, 0, 9).unwrap();
    // The extrinsic would need both slots, but one of the two pooled ones has a higher priority.
    assert!(matches!(pool.add_of_size(3, 0, 0, 5, 200), Err(SubmitError::Full)));
    assert_eq!(pool.graph.len(), 2);
    assert_eq!(pool.received_events(TestPool::hash(1, 0, 1)), [TxEvent::Ready]);
    pool.add_of_size(3, 0, 0, 10, 200).unwrap();
    assert_eq!(pool.graph.len(), 1);
    assert_eq!(pool.received_events(TestPool::hash(1, 0, 1)), [TxEvent::Dropped]);
}

#[test]
fn replacement_evicts_no_other_extrinsic() {
    let mut pool =
        TestPool::new(PoolLimits { count: 2, bytes: 10_000, future: 100, per_sender: 100 });
    pool.add(1, 0, 0, 5).unwrap();
    pool.add(2, 0, 0, 1).unwrap();
    pool.add(1, 0, 0, 6).unwrap();
    assert_eq!(
        pool.received_events(TestPool::hash(1, 0, 5)),
        [TxEvent::Ready, TxEvent::Usurped(TestPool::hash(1, 0, 6))]
    );
    assert_eq!(pool.received_events(TestPool::hash(2, 0, 1)), [TxEvent::Ready]);
}

#[test]
fn future_extrinsic_expires() {
    let mut pool = TestPool::new(WIDE_LIMITS);
    pool.add(1, 0, 0, 5).unwrap();
    pool.add(2, 5, 0, 5).unwrap();
    assert!(pool.graph.expired(10).is_empty());
    let expired = pool.graph.expired(11);
    assert_eq!(expired.len(), 1);
    assert_eq!(pool.graph.get(expired[0]).unwrap().hash, TestPool::hash(2, 5, 5));
}

#[test]
fn extrinsic_without_tags_is_refused() {
    let mut graph = Graph::default();
    let valid = ValidTransaction { provides: Vec::new(), ..valid(1, 0, 0, 1) };
    let entry = PoolEntry::new(H256::zero(), vec![1], None, StatusSender::default(), valid, 0);
    assert!(matches!(graph.insert(entry, &WIDE_LIMITS), Err(SubmitError::NoTags)));
}

proptest::proptest! {
    /// After any sequence of changes, the number of ready extrinsics is correct, and each one
    /// follows its dependencies.
    #[test]
    fn random_changes_keep_dependencies_in_order(
        moves in proptest::collection::vec((0u8..3, 0u32..6, 1u64..4, 0u8..4), 1..80),
    ) {
        let mut pool = TestPool::new(PoolLimits { count: 12, bytes: 10_000, future: 4, per_sender: 5 });
        let mut next = [0u32; 3];
        for (number, nonce, priority, kind) in moves {
            match kind {
                0 => {
                    // A block includes the first extrinsic.
                    if let Some(seq) = pool.graph.ready_in_order().first().copied() {
                        let entry = pool.graph.include(seq).unwrap();
                        let sender = entry.sender.unwrap();
                        next[<AccountId as AsRef<[u8; 32]>>::as_ref(&sender)[0] as usize] += 1;
                    }
                }
                1 => {
                    if let Some(seq) = pool.graph.ready_in_order().last().copied() {
                        pool.graph.remove(seq).unwrap();
                    }
                }
                _ => {
                    let from = next[number as usize];
                    if nonce >= from {
                        let _ = pool.add(number, nonce, from, priority);
                    }
                }
            }
            let order = pool.graph.ready_in_order();
            proptest::prop_assert_eq!(order.len(), pool.graph.ready_count());
            let mut expected = next;
            for seq in order {
                let entry = pool.graph.get(seq).unwrap();
                let tag = |number: u8| nonce_tag(&account(number), expected[number as usize]);
                let number = (0..3).find(|number| pool.graph.provides_at(&tag(*number)) == Some(seq));
                proptest::prop_assert!(number.is_some(), "{:?}", entry.hash);
                expected[number.unwrap() as usize] += 1;
            }
        }
    }
}
