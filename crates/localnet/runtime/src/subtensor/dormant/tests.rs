use super::*;
use crate::admin_utils;
use crate::runtime::{Runtime, RuntimeCall, RuntimeOrigin};
use crate::subtensor::{Call, NetworksAdded, SubtokenEnabled};
use crate::testing::{BABELBIT, Subtensor, account, at_first_block, key, outcome, run_to, send};
use sp_runtime::traits::Dispatchable;

/// Returns all stored keys and values.
fn state() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut last = Vec::new();
    while let Some(key) = sp_io::storage::next_key(&last) {
        let value = sp_io::storage::get(&key).unwrap_or_default().to_vec();
        entries.push((key.clone(), value));
        last = key;
    }
    entries
}

/// Returns the values in storage maps whose only key is this netuid.
fn values_of(netuid: NetUid) -> Vec<(Vec<u8>, Vec<u8>)> {
    let number = netuid.0.to_le_bytes();
    state().into_iter().filter(|(key, _)| key.len() == 34 && key.ends_with(&number)).collect()
}

#[test]
fn blocks_do_not_process_dormant_subnets() {
    at_first_block(|| {
        assert_eq!(Subtensor::awake_netuids(), [BABELBIT]);
        let before: Vec<_> = (1..59).map(|netuid| values_of(NetUid(netuid))).collect();
        assert!(before.iter().all(|values| values.len() > 15));
        run_to(800);
        let after: Vec<_> = (1..59).map(|netuid| values_of(NetUid(netuid))).collect();
        assert!(before == after);
    });
}

#[test]
fn woken_subnet_has_the_schedule_of_an_active_one() {
    let at = |woken_at: u32, until: u32| {
        at_first_block(|| {
            run_to(woken_at);
            Subtensor::wake(NetUid(18));
            run_to(until);
            assert_eq!(
                Subtensor::schedule(NetUid(18)).blocks_since_epoch,
                BlocksSinceLastStep::<Runtime>::get(NetUid(18))
            );
            (values_of(NetUid(18)), Subtensor::schedule(NetUid(18)))
        })
    };
    let (values, schedule) = at(1, 1_000);
    assert_eq!(schedule, Schedule { last_epoch: 720, blocks_since_epoch: 280, index: 2 });
    for woken_at in [2, 359, 360, 361, 719] {
        assert_eq!(at(woken_at, 1_000), (values.clone(), schedule), "{woken_at}");
    }
}

#[test]
fn dormant_subnet_reports_its_schedule() {
    at_first_block(|| {
        run_to(800);
        assert_eq!(
            Subtensor::schedule(NetUid(18)),
            Schedule { last_epoch: 720, blocks_since_epoch: 80, index: 2 }
        );
        assert_eq!(Subtensor::next_epoch_block(NetUid(18)), Some(1_080));
        let index = Subtensor::epoch_index_now(NetUid(18));
        Subtensor::wake(NetUid(18));
        assert_eq!(Subtensor::next_epoch_block(NetUid(18)), Some(1_080));
        assert_eq!(Subtensor::epoch_index_now(NetUid(18)), index);
        run_to(1_080);
        assert_eq!(LastEpochBlock::<Runtime>::get(NetUid(18)), 1_080);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(NetUid(18)), 3);
    });
}

#[test]
fn call_to_dormant_subnet_wakes_it() {
    let netuid = NetUid(18);
    let alice = account("Alice");
    let set_tempo: RuntimeCall = admin_utils::Call::sudo_set_tempo { netuid, tempo: 20 }.into();
    let owner_hotkey = account("Alice_hk");
    at_first_block(|| {
        assert_eq!(outcome(send(&alice, Call::start_call { netuid })), "ok");
        assert!(Subtensor::is_awake(netuid) && SubtokenEnabled::<Runtime>::get(netuid));
    });
    at_first_block(|| {
        assert_eq!(outcome(send(&alice, Call::burned_register { netuid, hotkey: key(1) })), "ok");
        assert!(Subtensor::is_awake(netuid));
    });
    at_first_block(|| {
        set_tempo.clone().dispatch(RuntimeOrigin::root()).unwrap();
        assert!(Subtensor::is_awake(netuid));
    });
    at_first_block(|| {
        let commit = Call::commit_weights { netuid, commit_hash: sp_core::H256::zero() };
        assert_eq!(outcome(send(&owner_hotkey, commit)), "ok");
        assert!(Subtensor::is_awake(netuid));
    });
    at_first_block(|| {
        assert_eq!(
            outcome(send(&alice, admin_utils::Call::sudo_set_tempo { netuid, tempo: 400 })),
            "ok"
        );
        assert!(Subtensor::is_awake(netuid));
        // Refused calls wake no subnet, and a subnet that does not exist is never awake.
        assert_ne!(outcome(send(&account("Bob"), Call::start_call { netuid: NetUid(19) })), "ok");
        assert_ne!(
            outcome(send(
                &account("Bob"),
                Call::burned_register { netuid: NetUid(77), hotkey: key(1) }
            )),
            "ok"
        );
        assert_eq!(Subtensor::awake_netuids(), [netuid, BABELBIT]);
        assert!(!NetworksAdded::<Runtime>::get(NetUid(77)));
    });
}
