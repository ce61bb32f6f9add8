//! Random sequences of commits, reverts and restarts.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Produces blocks, with commits of these sizes in turn.
    Grow(u32, Vec<usize>),
    /// Produces a block that has too many nodes for a row.
    Large,
    TakeSnapshot,
    Revert,
    DropSnapshot,
    Reopen(History),
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop::collection::vec(1..9_usize, 1..3);
    let histories = vec![History::Last(5), History::Last(20), History::Last(40), History::Archive];
    prop_oneof![
        4 => (1..25_u32, sizes).prop_map(|(blocks, sizes)| Step::Grow(blocks, sizes)),
        2 => Just(Step::Large),
        1 => Just(Step::TakeSnapshot),
        2 => Just(Step::Revert),
        1 => Just(Step::DropSnapshot),
        2 => prop::sample::select(histories).prop_map(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn kept_states_are_complete_and_others_are_removed(steps in prop::collection::vec(step(), 1..12)) {
        let directory = tempfile::tempdir().unwrap();
        let open = |genesis, history| Store::open(Some(directory.path()), genesis, history).unwrap();
        let mut store = open(Some(genesis()), History::Last(20));
        for step in steps {
            let head = store.head().unwrap();
            let newest = store.snapshots().unwrap().pop();
            match (step, newest) {
                (Step::Grow(blocks, sizes), _) => drop(produce_blocks(&store, blocks, &sizes)),
                (Step::Large, _) => {
                    let mut items = large_block_items(head.number() as u8);
                    // The smaller blocks remove this value, and create it again.
                    items.push((b"abc".to_vec(), Some(vec![3; 70])));
                    store.commit(&[stage(&store, &head, items)]).unwrap();
                }
                (Step::TakeSnapshot, newest)
                    if newest.as_ref().is_none_or(|newest| newest.hash != head.hash) =>
                {
                    store.take_snapshot(&head.number().to_string()).unwrap();
                }
                (Step::Revert, Some(newest)) => {
                    let target = store.revert_target(&newest.name).unwrap();
                    store.revert(&target.head, target.time).unwrap();
                }
                (Step::DropSnapshot, Some(newest)) => store.drop_snapshot(&newest.name).unwrap(),
                (Step::Reopen(history), _) => {
                    drop(store);
                    store = open(None, history);
                }
                (Step::TakeSnapshot | Step::Revert | Step::DropSnapshot, _) => {}
            }
        }
        prop_assert!(reachable_rows(&store).is_subset(&stored_rows(&store)));
        for snapshot in store.snapshots().unwrap() {
            store.drop_snapshot(&snapshot.name).unwrap();
        }
        drop(store);
        let store = open(None, History::Last(20));
        produce_blocks(&store, 100, &[3]);
        prop_assert_eq!(stored_rows(&store), reachable_rows(&store));
    }
}
