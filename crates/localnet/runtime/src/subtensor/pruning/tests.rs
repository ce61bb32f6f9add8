use sp_runtime::PerU16;

use super::*;
use crate::runtime::Runtime;
use crate::subtensor::{ImmuneOwnerUidsLimit, SubnetOwner};
use crate::testing::{BABELBIT, Subtensor, account, at_first_block, jump_to, key, outcome};
use crate::types::MechId;

/// Emission and registration block of a neuron.
type Neuron = (u64, u64);

/// Registers these neurons in the subnet, after the owner's neuron 0.
fn fill(neurons: &[Neuron]) {
    for (number, _) in (1..).zip(neurons) {
        Subtensor::own_hotkey(&account("Bob"), &key(number)).unwrap();
        Subtensor::append_neuron(BABELBIT, &key(number));
    }
    let emission = std::iter::once(AlphaBalance::ZERO)
        .chain(neurons.iter().map(|(earned, _)| AlphaBalance(*earned)));
    Emission::<Runtime>::insert(BABELBIT, emission.collect::<Vec<_>>());
    for (uid, (_, since)) in (1..).zip(neurons) {
        BlockAtRegistration::<Runtime>::insert(BABELBIT, uid, since);
    }
}

#[test]
fn neuron_with_lowest_emission_is_pruned() {
    // At block 100, neurons younger than 50 blocks are immune. An immune neuron is pruned only if
    // at most one other neuron is not immune.
    let cases: [(&str, &[Neuron], Option<u16>); 9] = [
        ("the lowest emission", &[(3, 1), (1, 2), (2, 3)], Some(2)),
        ("the oldest if tied", &[(1, 9), (1, 7), (1, 8)], Some(2)),
        ("the lowest uid if tied in the same block", &[(2, 7), (1, 7), (1, 7)], Some(2)),
        ("no immune neuron", &[(5, 1), (0, 60), (4, 2)], Some(3)),
        ("immunity ends after exactly the period", &[(5, 1), (0, 50), (4, 2)], Some(2)),
        ("an immune neuron if too few others remain", &[(0, 1), (5, 60), (4, 70)], Some(3)),
        ("the oldest immune neuron if tied", &[(4, 80), (4, 60), (4, 70)], Some(2)),
        ("none if too few others and no immune neurons remain", &[(0, 1)], None),
        ("never the owner's neuron", &[], None),
    ];
    for (case, neurons, expected) in cases {
        at_first_block(|| {
            ImmunityPeriod::<Runtime>::insert(BABELBIT, 50);
            MinNonImmuneUids::<Runtime>::insert(BABELBIT, 1);
            fill(neurons);
            jump_to(100);
            assert_eq!(Subtensor::neuron_to_prune(BABELBIT), expected, "{case}");
        });
    }
}

#[test]
fn empty_subnet_has_no_neuron_to_prune() {
    at_first_block(|| assert_eq!(Subtensor::neuron_to_prune(NetUid::ROOT), None));
}

#[test]
fn owner_hotkeys_are_protected_up_to_the_limit() {
    at_first_block(|| {
        SubnetOwner::<Runtime>::insert(BABELBIT, account("Bob"));
        fill(&[(0, 1), (0, 2), (9, 3)]);
        jump_to(9_000);
        MinNonImmuneUids::<Runtime>::insert(BABELBIT, 0);
        // Neuron 0 is the owner's hotkey; 1 to 3 belong to the owner, too.
        for (limit, expected) in [(0, Some(0)), (1, Some(1)), (2, Some(2)), (3, Some(3)), (4, None)]
        {
            ImmuneOwnerUidsLimit::<Runtime>::insert(BABELBIT, limit);
            // The owner's hotkey is put first before the list is truncated.
            let protected = Subtensor::immune_owner_uids(BABELBIT);
            assert_eq!(protected.len(), usize::from(limit));
            assert_eq!(Subtensor::neuron_to_prune(BABELBIT), expected, "{limit} {protected:?}");
        }
    });
}

#[test]
fn trim_outside_its_limits_is_refused() {
    let trim = |max_uids| outcome(Subtensor::trim_to_max_allowed_uids(BABELBIT, max_uids));
    at_first_block(|| {
        assert_eq!(outcome(Subtensor::trim_to_max_allowed_uids(NetUid(77), 64)), "SubnetNotExists");
        assert_eq!(trim(63), "InvalidValue");
        assert_eq!(trim(257), "InvalidValue");
        assert_eq!(trim(64), "ok");
        assert_eq!(MaxAllowedUids::<Runtime>::get(BABELBIT), 64);
        assert_eq!(trim(65), "InvalidValue");
        // Six neurons, three of them immune: two new ones and the owner's. They would fill three
        // uids completely, and 75 % of four uids.
        MinAllowedUids::<Runtime>::insert(BABELBIT, 1);
        ImmunityPeriod::<Runtime>::insert(BABELBIT, 50);
        fill(&[(1, 1), (2, 60), (3, 70), (4, 4), (5, 5)]);
        jump_to(100);
        assert_eq!(trim(3), "TrimmingWouldExceedMaxImmunePercentage");
        assert_eq!(MaxAllowedUids::<Runtime>::get(BABELBIT), 64);
        assert_eq!(trim(4), "ok");
        assert_eq!(Subtensor::neuron_count(BABELBIT), 4);
    });
}

#[test]
fn trim_removes_lowest_emission_and_compacts_uids() {
    at_first_block(|| {
        MinAllowedUids::<Runtime>::insert(BABELBIT, 1);
        Subtensor::set_mechanism_count(BABELBIT, MechId(2));
        fill(&[(10, 1), (20, 2), (10, 3), (30, 4)]);
        Active::<Runtime>::insert(BABELBIT, [true, false, true, false, true].to_vec());
        let per_u16 = |parts: u16| PerU16::from_parts(parts);
        for index in Subtensor::mechanisms(BABELBIT) {
            Incentive::<Runtime>::insert(index, (0..5).map(per_u16).collect::<Vec<_>>());
            LastUpdate::<Runtime>::insert(index, (0..5).collect::<Vec<_>>());
            Weights::<Runtime>::insert(index, 1, vec![(0, 1)]);
            Weights::<Runtime>::insert(index, 4, vec![(0, 10), (1, 11), (2, 12), (3, 13), (4, 14)]);
            Bonds::<Runtime>::insert(index, 2, vec![(4, 24), (3, 23), (2, 22)]);
        }
        jump_to(9_000);
        assert_eq!(outcome(Subtensor::trim_to_max_allowed_uids(BABELBIT, 4)), "ok");
        // 1 and 3 have equal emission: the lower uid is removed.
        let hotkeys: Vec<_> = (0..5).map(|uid| Subtensor::hotkey_at(BABELBIT, uid)).collect();
        assert_eq!(hotkeys[1..4], [key(2), key(3), key(4)]);
        assert!(!Keys::<Runtime>::contains_key(BABELBIT, 4));
        assert!(!Subtensor::is_registered_anywhere(&key(1)));
        for (uid, number) in [(1, 2), (2, 3), (3, 4)] {
            assert_eq!(Subtensor::uid_of(BABELBIT, &key(number)), Some(uid));
            assert_eq!(BlockAtRegistration::<Runtime>::get(BABELBIT, uid), u64::from(number));
        }
        assert_eq!(BlockAtRegistration::<Runtime>::iter_prefix(BABELBIT).count(), 4);
        assert_eq!(Emission::<Runtime>::get(BABELBIT), [0, 20, 10, 30].map(AlphaBalance));
        assert_eq!(Active::<Runtime>::get(BABELBIT), [true, true, false, true]);
        assert_eq!(ValidatorPermit::<Runtime>::get(BABELBIT).len(), 4);
        for index in Subtensor::mechanisms(BABELBIT) {
            assert_eq!(Incentive::<Runtime>::get(index), [0, 2, 3, 4].map(per_u16));
            assert_eq!(LastUpdate::<Runtime>::get(index), [0, 2, 3, 4]);
            assert_eq!(Weights::<Runtime>::iter_prefix(index).count(), 1);
            assert_eq!(Weights::<Runtime>::get(index, 3), [(0, 10), (1, 12), (2, 13), (3, 14)]);
            assert_eq!(Bonds::<Runtime>::iter_prefix(index).count(), 1);
            assert_eq!(Bonds::<Runtime>::get(index, 1), [(3, 24), (2, 23), (1, 22)]);
        }
    });
}
