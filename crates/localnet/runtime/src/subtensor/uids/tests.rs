use super::*;
use crate::runtime::Runtime;
use crate::subtensor::types::{AxonInfo, PrometheusInfo};
use crate::testing::{BABELBIT, Subtensor, account, at_first_block, jump_to, key};

type Row = Vec<(u16, u16)>;

fn register_neurons(count: u32) {
    for number in 1..count {
        Subtensor::own_hotkey(&account("Bob"), &key(number)).unwrap();
        Subtensor::append_neuron(BABELBIT, &key(number));
    }
}

#[test]
fn new_neuron_has_an_entry_in_every_map() {
    at_first_block(|| {
        Subtensor::set_mechanism_count(BABELBIT, MechId(2));
        jump_to(5);
        register_neurons(3);
        assert_eq!(Subtensor::neuron_count(BABELBIT), 3);
        assert_eq!(Active::<Runtime>::get(BABELBIT), [true; 3]);
        assert_eq!(ValidatorPermit::<Runtime>::get(BABELBIT), [false; 3]);
        assert_eq!(Emission::<Runtime>::get(BABELBIT), [AlphaBalance::ZERO; 3]);
        for row in
            [Consensus::<Runtime>::get, Dividends::<Runtime>::get, ValidatorTrust::<Runtime>::get]
        {
            assert_eq!(row(BABELBIT), [PerU16::zero(); 3]);
        }
        assert_eq!(StakeWeight::<Runtime>::get(BABELBIT), [0; 3]);
        for mecid in [0, 1] {
            let index = BABELBIT.mechanism(MechId(mecid));
            assert_eq!(Incentive::<Runtime>::get(index), [PerU16::zero(); 3]);
            assert_eq!(LastUpdate::<Runtime>::get(index), [0, 5, 5]);
        }
    });
}

#[test]
fn replaced_neuron_leaves_no_state() {
    at_first_block(|| {
        Subtensor::set_mechanism_count(BABELBIT, MechId(2));
        register_neurons(4);
        let half = PerU16::from_percent(50);
        let (old, new) = (key(2), key(9));
        Emission::<Runtime>::insert(BABELBIT, vec![AlphaBalance(7); 4]);
        Consensus::<Runtime>::insert(BABELBIT, vec![half; 4]);
        Dividends::<Runtime>::insert(BABELBIT, vec![half; 4]);
        ValidatorTrust::<Runtime>::insert(BABELBIT, vec![half; 4]);
        ValidatorPermit::<Runtime>::insert(BABELBIT, vec![true; 4]);
        StakeWeight::<Runtime>::insert(BABELBIT, vec![9; 4]);
        Active::<Runtime>::insert(BABELBIT, vec![false; 4]);
        let indices: Vec<NetUidStorageIndex> = Subtensor::mechanisms(BABELBIT).collect();
        assert_eq!(indices, [NetUidStorageIndex(59), NetUidStorageIndex(4_155)]);
        for &index in &indices {
            Incentive::<Runtime>::insert(index, vec![half; 4]);
            ConsensusByMechanism::<Runtime>::insert(index, vec![half; 4]);
            for uid in [1, 2] {
                Weights::<Runtime>::insert(index, uid, vec![(0, 1), (2, 2), (3, 3)]);
                Bonds::<Runtime>::insert(index, uid, vec![(0, 4), (2, 5), (3, 6)]);
            }
        }
        for hotkey in [&old, &key(3)] {
            Axons::<Runtime>::insert(BABELBIT, hotkey, AxonInfo::default());
            Prometheus::<Runtime>::insert(BABELBIT, hotkey, PrometheusInfo::default());
            NeuronCertificates::<Runtime>::insert(
                BABELBIT,
                hotkey,
                crate::subtensor::types::NeuronCertificate::default(),
            );
        }
        jump_to(12);
        Subtensor::replace_neuron(BABELBIT, 2, &new);

        assert_eq!(Subtensor::uid_of(BABELBIT, &old), None);
        assert!(!Subtensor::is_registered_anywhere(&old));
        assert_eq!(Subtensor::uid_of(BABELBIT, &new), Some(2));
        assert_eq!(Subtensor::hotkey_at(BABELBIT, 2), new);
        assert!(Subtensor::is_registered_anywhere(&new));
        assert_eq!(Subtensor::neuron_count(BABELBIT), 4);
        assert_eq!(BlockAtRegistration::<Runtime>::get(BABELBIT, 2), 12);
        assert_eq!(BlockAtRegistration::<Runtime>::get(BABELBIT, 1), 1);
        let with_cleared_uid = |value: PerU16| vec![value, value, PerU16::zero(), value];
        assert_eq!(Emission::<Runtime>::get(BABELBIT), [7, 7, 0, 7].map(AlphaBalance));
        assert_eq!(Consensus::<Runtime>::get(BABELBIT), with_cleared_uid(half));
        assert_eq!(Dividends::<Runtime>::get(BABELBIT), with_cleared_uid(half));
        assert_eq!(ValidatorTrust::<Runtime>::get(BABELBIT), with_cleared_uid(half));
        assert_eq!(ValidatorPermit::<Runtime>::get(BABELBIT), [true, true, false, true]);
        assert_eq!(StakeWeight::<Runtime>::get(BABELBIT), [9, 9, 0, 9]);
        assert_eq!(Active::<Runtime>::get(BABELBIT), [false, false, true, false]);
        for index in indices {
            assert_eq!(Incentive::<Runtime>::get(index), with_cleared_uid(half));
            assert_eq!(ConsensusByMechanism::<Runtime>::get(index), with_cleared_uid(half));
            assert_eq!(Weights::<Runtime>::get(index, 1), [(0, 1), (2, 0), (3, 3)]);
            assert_eq!(Weights::<Runtime>::get(index, 2), Row::new());
            assert_eq!(
                Bonds::<Runtime>::get(index, 1),
                [(0, 4), (2, 5), (3, 6)],
                "masked by the next epoch"
            );
            assert_eq!(Bonds::<Runtime>::get(index, 2), Row::new());
        }
        assert!(!Axons::<Runtime>::contains_key(BABELBIT, &old));
        assert!(!Prometheus::<Runtime>::contains_key(BABELBIT, &old));
        assert!(!NeuronCertificates::<Runtime>::contains_key(BABELBIT, &old));
        assert!(Axons::<Runtime>::contains_key(BABELBIT, key(3)));
    });
}

#[test]
fn owner_hotkeys_are_protected_up_to_the_limit() {
    at_first_block(|| {
        let alice = account("Alice");
        for number in [5, 6, 7] {
            Subtensor::own_hotkey(&alice, &key(number)).unwrap();
            Subtensor::append_neuron(BABELBIT, &key(number));
        }
        register_neurons(2);
        BlockAtRegistration::<Runtime>::insert(BABELBIT, 0, 9);
        BlockAtRegistration::<Runtime>::insert(BABELBIT, 3, 0);
        assert_eq!(Subtensor::owner_uid(BABELBIT), Some(0));
        let mut all = Subtensor::owner_uids(BABELBIT);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        // Any limit above 0 includes the owner hotkey, even if it registered last.
        for (limit, expected) in
            [(0, vec![]), (1, vec![0]), (2, vec![0, 3]), (3, vec![0, 3, 1]), (4, vec![3, 1, 2, 0])]
        {
            ImmuneOwnerUidsLimit::<Runtime>::insert(BABELBIT, limit);
            assert_eq!(Subtensor::immune_owner_uids(BABELBIT), expected, "{limit}");
        }
        SubnetOwnerHotkey::<Runtime>::insert(BABELBIT, key(99));
        assert_eq!(Subtensor::owner_uid(BABELBIT), None);
    });
}
