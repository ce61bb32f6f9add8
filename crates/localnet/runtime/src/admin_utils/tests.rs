mod bounds;
mod settings;

use sp_runtime::PerU16;
use sp_runtime::traits::Dispatchable;
use substrate_fixed::types::U64F64;

use super::{Call, Event};
use crate::runtime::{Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System};
use crate::subtensor::types::{ConsensusMode, RecycleOrBurnEnum};
use crate::subtensor::{
    AdminFreezeWindow, Event as SubtensorEvent, Incentive, LastUpdate, LiquidAlphaOn,
    MaxAllowedUids, MechanismEmissionSplit, MinAllowedUids, SubnetOwner, SubnetOwnerHotkey, Tempo,
    Weights,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, jump_to, key, last_event, outcome,
};
use crate::types::{MechId, NetUidStorageIndex, TaoBalance};

fn call(origin: RuntimeOrigin, call: &Call<Runtime>) -> String {
    let call = RuntimeCall::from(call.clone());
    outcome(call.dispatch(origin).map(|_| ()).map_err(|failure| failure.error))
}

fn as_root(setter: &Call<Runtime>) -> String {
    call(RuntimeOrigin::root(), setter)
}

fn as_owner(setter: &Call<Runtime>) -> String {
    call(RuntimeOrigin::signed(SubnetOwner::<Runtime>::get(BABELBIT)), setter)
}

/// Runs a test with a subnet whose owner may change settings.
fn with_owner_settings(test: impl FnOnce()) {
    at_first_block(|| {
        jump_to(50);
        AdminFreezeWindow::<Runtime>::put(0);
        LiquidAlphaOn::<Runtime>::insert(BABELBIT, true);
        MinAllowedUids::<Runtime>::insert(BABELBIT, 8);
        test();
    });
}

#[test]
fn owner_call_checks_run_in_order() {
    with_owner_settings(|| {
        let netuid = BABELBIT;
        let rho = Call::sudo_set_rho { netuid, rho: 1 };
        let cutoff = |factor_milli| Call::sudo_set_activity_cutoff_factor { netuid, factor_milli };
        let tempo = |tempo| Call::sudo_set_tempo { netuid, tempo };
        assert_eq!(as_owner(&rho), "ok");
        assert_eq!(as_owner(&cutoff(2_000)), "ok");
        AdminFreezeWindow::<Runtime>::put(20);
        assert_eq!(as_owner(&rho), "TxRateLimitExceeded");
        assert_eq!(as_owner(&cutoff(2_000)), "AdminActionProhibitedDuringWeightsWindow");
        assert_eq!(as_owner(&cutoff(0)), "ActivityCutoffFactorMilliOutOfBounds");
        assert_eq!(as_owner(&tempo(360)), "AdminActionProhibitedDuringWeightsWindow");
        assert_eq!(as_owner(&tempo(359)), "TempoOutOfBounds");
    });
}

#[test]
fn owner_hotkey_change_is_rate_limited_but_never_frozen() {
    with_owner_settings(|| {
        AdminFreezeWindow::<Runtime>::put(20);
        let set = |number| Call::sudo_set_sn_owner_hotkey { netuid: BABELBIT, hotkey: key(number) };
        assert_eq!(call(RuntimeOrigin::signed(key(3)), &set(9)), "BadOrigin");
        assert_eq!(as_owner(&set(9)), "ok");
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(BABELBIT), key(9));
        assert_eq!(
            (as_owner(&set(8)), as_root(&set(8))),
            ("TxRateLimitExceeded".into(), "TxRateLimitExceeded".into())
        );
        jump_to(50 + 50_400);
        assert_eq!(as_root(&set(8)), "ok");
        assert_eq!(as_owner(&set(7)), "TxRateLimitExceeded");
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(BABELBIT), key(8));
    });
}

#[test]
fn owner_settings_are_rate_limited_by_epochs() {
    with_owner_settings(|| {
        Tempo::<Runtime>::insert(BABELBIT, 10);
        let rho = Call::sudo_set_rho { netuid: BABELBIT, rho: 1 };
        let version =
            Call::sudo_set_weights_version_key { netuid: BABELBIT, weights_version_key: 1 };
        assert_eq!((as_owner(&rho), as_owner(&version)), ("ok".into(), "ok".into()));
        for (block, of_rho, of_version) in [
            (69, "TxRateLimitExceeded", "TxRateLimitExceeded"),
            (70, "ok", "TxRateLimitExceeded"),
            (99, "ok", "TxRateLimitExceeded"),
            (100, "TxRateLimitExceeded", "ok"),
        ] {
            jump_to(block);
            assert_eq!(as_owner(&version), of_version, "{block}");
            assert_eq!(as_owner(&rho), of_rho, "{block}");
        }
    });
}

#[test]
fn activity_cutoff_of_earlier_versions_is_stored_without_effect() {
    with_owner_settings(|| {
        let cutoff = Subtensor::activity_cutoff(BABELBIT);
        let set = Call::sudo_set_activity_cutoff { netuid: BABELBIT, activity_cutoff: 360 };
        assert_eq!(as_owner(&set), "ok");
        assert_eq!(last_event(), SubtensorEvent::ActivityCutoffSet(BABELBIT, 360));
        assert_eq!(Subtensor::activity_cutoff(BABELBIT), cutoff);
        assert_eq!(as_owner(&set), "TxRateLimitExceeded");
    });
}

#[test]
fn new_mechanism_is_empty_and_removed_mechanism_leaves_no_state() {
    with_owner_settings(|| {
        let set = |count| {
            as_root(&Call::sudo_set_mechanism_count {
                netuid: BABELBIT,
                mechanism_count: MechId(count),
            })
        };
        let second = NetUidStorageIndex(BABELBIT.0 + 4_096);
        MaxAllowedUids::<Runtime>::insert(BABELBIT, 128);
        Subtensor::append_neuron(BABELBIT, &key(1));
        let neurons = usize::from(Subtensor::neuron_count(BABELBIT));
        MechanismEmissionSplit::<Runtime>::insert(BABELBIT, vec![65_535]);
        assert_eq!(set(2), "ok");
        assert_eq!(LastUpdate::<Runtime>::get(second), vec![0; neurons]);
        assert_eq!(Incentive::<Runtime>::get(second).len(), neurons);
        assert_eq!(MechanismEmissionSplit::<Runtime>::get(BABELBIT), None);
        Weights::<Runtime>::insert(second, 1, vec![(0, 1)]);
        assert_eq!(set(1), "ok");
        assert_eq!(Weights::<Runtime>::iter_prefix(second).count(), 0);
        assert!(!LastUpdate::<Runtime>::contains_key(second));
    });
}

#[test]
fn sudo_key_changes_settings_through_sudo_pallet() {
    with_owner_settings(|| {
        let inner = Call::sudo_set_yuma3_enabled { netuid: BABELBIT, enabled: false };
        let sudo = RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(inner.into()) });
        sudo.dispatch(RuntimeOrigin::signed(account("Alice"))).unwrap();
        let expected_event = RuntimeEvent::AdminUtils(Event::Yuma3EnableToggled {
            netuid: BABELBIT,
            enabled: false,
        });
        assert!(System::events().iter().any(|record| record.event == expected_event));
    });
}
