use sp_core::Pair as _;
use sp_runtime::{Digest, DigestItem};
use sp_state_machine::{Backend, IterArgs};
use taonet_localnet_runtime::{AccountId, RuntimeCall, UncheckedExtrinsic};

use super::*;
use crate::author::tests::author;
use crate::author::{Author, AuthorError};
use crate::chain::ChainEvent;

fn remark() -> RuntimeCall {
    RuntimeCall::System(frame_system::Call::remark { remark: b"remark".to_vec() })
}

fn alice() -> AccountId {
    sp_core::sr25519::Pair::from_string("//Alice", None).unwrap().public().0.into()
}

fn block(author: &Author, number: u32) -> Block {
    let hash = author.chain.store.hash(number).unwrap().unwrap();
    let (head, extrinsics) = author.chain.store.block(hash).unwrap().unwrap();
    Block { head, extrinsics }
}

fn blocks(author: &Author, first: u32) -> Vec<Block> {
    (first..=author.tip.number()).map(|number| block(author, number)).collect()
}

#[test]
fn imported_blocks_reproduce_the_leader_chain() {
    let (mut leader, mut follower) = (author(), author());
    leader.produce_blocks(3).unwrap();
    leader
        .set_storage(vec![(b"new key".to_vec(), Some(vec![7; 50])), (b"none".to_vec(), None)])
        .unwrap();
    leader.advance(7_000).unwrap();
    leader.impersonate(alice(), remark()).unwrap();
    leader.produce_blocks(80).unwrap();
    let (_, mut events) = follower.chain.subscribe();
    follower.import(blocks(&leader, 1)).unwrap();
    assert_eq!((&follower.tip, follower.last_timestamp), (&leader.tip, leader.last_timestamp));
    assert_eq!((&follower.chain.head(), &follower.chain.pool.tip()), (&leader.tip, &leader.tip));
    for number in 1..=leader.tip.number() {
        let ChainEvent::Block(block) = &*events.try_recv().unwrap() else { panic!("a revert") };
        assert_eq!(block.head.number(), number);
    }
    let (_, state) = follower.chain.state(None).unwrap();
    assert_eq!(state.storage(b"new key").unwrap(), Some(vec![7; 50]));
}

/// Changes a block.
type BlockChange = fn(&mut Block);

#[test]
fn block_with_wrong_result_is_refused() {
    let mut leader = author();
    leader.produce_blocks(2).unwrap();
    let changes: [(BlockChange, &str); 7] = [
        (|block| block.head.header.state_root = H256::zero(), "its state root is 0x0000"),
        (|block| block.head.header.extrinsics_root = H256::zero(), "its extrinsics root is 0x0000"),
        (|block| block.head.header.digest.push(DigestItem::Other(vec![1])), "its digest is Digest"),
        (|block| block.head.header.digest = Digest::default(), "block 2 (0x"),
        (|block| block.extrinsics.clear(), "cannot execute block 2"),
        (
            |block| block.extrinsics.push(UncheckedExtrinsic::new_bare(remark()).encode()),
            "its extrinsic 1 is refused",
        ),
        (|block| block.head.header.parent_hash = H256::zero(), "has parent 0x0000"),
    ];
    for (change, expected) in changes {
        let mut follower = author();
        let (good, mut bad) = (blocks(&leader, 1), block(&leader, 2));
        change(&mut bad);
        bad.head = Head::of(bad.head.header);
        let error = follower.import(vec![good[0].clone(), bad]).unwrap_err();
        assert!(
            matches!(error, AuthorError::Import(_)) && error.to_string().contains(expected),
            "{expected}: {error}"
        );
        // The block before it is imported, and so is the right block.
        assert_eq!(follower.chain.head(), good[0].head, "{expected}");
        let mut other = author();
        other.import(vec![good[0].clone()]).unwrap();
        assert_eq!(follower.last_timestamp, other.last_timestamp, "{expected}");
        follower.import(vec![good[1].clone()]).unwrap();
        assert_eq!(follower.chain.head(), leader.tip, "{expected}");
    }
}

#[test]
fn chain_restarts_from_checkpoint() {
    let (mut leader, mut follower) = (author(), author());
    leader.produce_blocks(30).unwrap();
    follower.set_storage(vec![(b"own".to_vec(), Some(vec![1]))]).unwrap();
    let own = follower.tip.clone();
    let mut checkpoint = Checkpoint {
        genesis: block(&leader, 0).head,
        block: block(&leader, 20),
        state: BTreeMap::new(),
    };
    let (_, state) = leader.chain.state(Some(checkpoint.block.head.hash)).unwrap();
    checkpoint.state = state.pairs(IterArgs::default()).unwrap().map(Result::unwrap).collect();
    let mut wrong = checkpoint.clone();
    wrong.state.insert(b"own".to_vec(), vec![1]);
    let error = follower.restart(wrong).unwrap_err();
    assert!(
        error.to_string().contains("block 20") && error.to_string().contains("its state root"),
        "{error}"
    );
    assert_eq!((&follower.tip, &follower.chain.head()), (&own, &own));

    let (_, mut events) = follower.chain.subscribe();
    follower.restart(checkpoint).unwrap();
    assert!(
        matches!(&*events.try_recv().unwrap(), ChainEvent::Reverted(head) if head.number() == 20)
    );
    assert_eq!(follower.chain.store.oldest_state().unwrap(), 20);
    follower.import(blocks(&leader, 21)).unwrap();
    assert_eq!((&follower.tip, follower.last_timestamp), (&leader.tip, leader.last_timestamp));
    // Revert to a block that both chains have, and import again.
    let middle = block(&leader, 25).head;
    follower.rewind(middle.hash).unwrap();
    assert_eq!((&follower.tip, &follower.chain.head()), (&middle, &middle));
    assert!(follower.rewind(own.hash).is_err());
    follower.import(blocks(&leader, 26)).unwrap();
    assert_eq!(follower.chain.head(), leader.tip);
}
