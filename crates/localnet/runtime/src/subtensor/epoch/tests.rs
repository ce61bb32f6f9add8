use taonet_consensus::{EpochInput, Row};
use taonet_primitives::Uid;

use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::types::ConsensusMode;
use crate::subtensor::{
    AlphaSigmoidSteepness, AlphaValues, BlockAtRegistration, BondsMovingAverage, BondsPenalty,
    Call, Kappa, Keys, LastUpdate, LiquidAlphaConsensusMode, LiquidAlphaOn, MaxAllowedValidators,
    StakeThreshold, SubnetOwnerHotkey, SubnetworkN, TaoWeight, Tempo, TotalHotkeyAlpha, Uids,
    Weights, Yuma3On,
};
use crate::testing::{BABELBIT, Subtensor, at_first_block, key, run_to, send};

/// Tempo of the test subnet, in blocks.
const TEMPO: u32 = 10;

/// Adds neurons with these stakes, each with its own coldkey; returns their hotkeys.
fn register(stakes: &[u64]) -> Vec<AccountId> {
    (0..)
        .zip(stakes)
        .map(|(number, &stake)| {
            let (hotkey, coldkey) = (key(number), key(1_000 + number));
            Subtensor::own_hotkey(&coldkey, &hotkey).unwrap();
            Subtensor::append_neuron(BABELBIT, &hotkey);
            Subtensor::increase_stake(&hotkey, &coldkey, BABELBIT, AlphaBalance(stake));
            hotkey
        })
        .collect()
}

fn uid(hotkey: &AccountId) -> u16 {
    Uids::<Runtime>::get(BABELBIT, hotkey).unwrap()
}

fn random(state: &mut u64) -> u16 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 48) as u16
}

/// Returns the input of the epoch at the next block, assembled from the storage maps that a client
/// reads.
fn next_input(mecid: MechId, block: u64, emission: u64) -> EpochInput {
    let netuid = BABELBIT;
    let index = netuid.mechanism(mecid);
    let n = SubnetworkN::<Runtime>::get(netuid);
    let hotkeys: Vec<AccountId> = (0..n).map(|uid| Keys::<Runtime>::get(netuid, uid)).collect();
    let alpha =
        |hotkey: &AccountId, netuid| u128::from(TotalHotkeyAlpha::<Runtime>::get(hotkey, netuid).0);
    let weight = u128::from(TaoWeight::<Runtime>::get());
    let stake = hotkeys
        .iter()
        .map(|key| (alpha(key, netuid) + ((alpha(key, NetUid::ROOT) * weight) >> 64)) as u64);
    let rows = |row: &dyn Fn(u16) -> Vec<(u16, u16)>| -> Vec<Row> {
        (0..n)
            .map(|uid| row(uid).into_iter().map(|(to, value)| (Uid(to), value)).collect())
            .collect()
    };
    EpochInput {
        n,
        block,
        tempo: Tempo::<Runtime>::get(netuid).into(),
        activity_cutoff: 138,
        last_mechanism_step: LastMechansimStepBlock::<Runtime>::get(netuid),
        emission,
        stake: stake.collect(),
        stake_threshold: StakeThreshold::<Runtime>::get(),
        owner_uid: Uids::<Runtime>::get(netuid, SubnetOwnerHotkey::<Runtime>::get(netuid)).map(Uid),
        max_validators: MaxAllowedValidators::<Runtime>::get(netuid),
        validator_permit: ValidatorPermit::<Runtime>::get(netuid),
        last_update: LastUpdate::<Runtime>::get(index),
        block_at_registration: (0..n)
            .map(|uid| BlockAtRegistration::<Runtime>::get(netuid, uid))
            .collect(),
        commit_blocks: None,
        weights: rows(&|uid| Weights::<Runtime>::get(index, uid)),
        bonds: rows(&|uid| Bonds::<Runtime>::get(index, uid)),
        kappa: Kappa::<Runtime>::get(netuid),
        bonds_penalty: BondsPenalty::<Runtime>::get(netuid),
        bonds_moving_average: BondsMovingAverage::<Runtime>::get(netuid),
        yuma3: Yuma3On::<Runtime>::get(netuid),
        liquid_alpha: LiquidAlphaOn::<Runtime>::get(netuid),
        alpha_low: AlphaValues::<Runtime>::get(netuid).0,
        alpha_high: AlphaValues::<Runtime>::get(netuid).1,
        alpha_sigmoid_steepness: AlphaSigmoidSteepness::<Runtime>::get(netuid),
        liquid_alpha_consensus: (LiquidAlphaConsensusMode::<Runtime>::get(netuid)
            == ConsensusMode::Previous)
            .then(|| parts(ConsensusByMechanism::<Runtime>::get(index)))
            .map(|consensus| if consensus.is_empty() { vec![0; n.into()] } else { consensus }),
    }
}

/// Returns the emission of the epoch at the next block: the pending emission plus that block's
/// alpha without the owner's cut.
fn next_emission() -> u64 {
    let pending = PendingServerEmission::<Runtime>::get(BABELBIT).0
        + PendingValidatorEmission::<Runtime>::get(BABELBIT).0;
    pending + 820_004_578
}

fn parts(stored: Vec<PerU16>) -> Vec<u16> {
    stored.into_iter().map(sp_runtime::PerThing::deconstruct).collect()
}

fn assert_stored(expected: &EpochOutput, mecid: MechId) {
    let index = BABELBIT.mechanism(mecid);
    assert_eq!(parts(Incentive::<Runtime>::get(index)), expected.incentive);
    assert_eq!(parts(ConsensusByMechanism::<Runtime>::get(index)), expected.consensus);
    for (uid, row) in (0..).zip(&expected.bonds) {
        let stored = Bonds::<Runtime>::get(index, uid);
        assert_eq!(
            &stored.into_iter().map(|(to, bond)| (Uid(to), bond)).collect::<Row>(),
            row,
            "bonds of {uid}"
        );
    }
}

#[test]
fn fifty_epochs_store_the_results_of_consensus() {
    use ConsensusMode::{Auto, Current, Previous};
    let kinds = [
        (true, false, Auto),
        (true, true, Auto),
        (true, true, Current),
        (true, true, Previous),
        (false, false, Auto),
    ];
    let mut bonds_by_mode = Vec::new();
    for (yuma3, liquid, mode) in kinds {
        at_first_block(|| {
            Yuma3On::<Runtime>::insert(BABELBIT, yuma3);
            LiquidAlphaOn::<Runtime>::insert(BABELBIT, liquid);
            LiquidAlphaConsensusMode::<Runtime>::insert(BABELBIT, mode);
            let hotkeys = register(&[5_000_000_000_000, 3_000_000_000_000, 0, 0, 0, 0]);
            let (validators, miners) = hotkeys.split_at(2);
            let mut state = 7;
            let mut rewarded = 0;
            // The first epoch grants the permits that setting weights requires.
            let mut next_epoch =
                u32::try_from(crate::subtensor::LastEpochBlock::<Runtime>::get(BABELBIT)).unwrap()
                    + TEMPO;
            for epoch in 0..50 {
                run_to(next_epoch - 3);
                for validator in validators.iter().filter(|_| epoch > 0) {
                    let dests: Vec<u16> = miners.iter().map(uid).collect();
                    let weights = dests.iter().map(|_| random(&mut state)).collect();
                    send(
                        validator,
                        Call::set_weights { netuid: BABELBIT, dests, weights, version_key: 0 },
                    )
                    .unwrap();
                }
                run_to(next_epoch - 1);
                let expected =
                    run(&next_input(MechId(0), next_epoch.into(), next_emission())).unwrap();
                run_to(next_epoch);
                assert_stored(&expected, MechId(0));
                assert_eq!(Active::<Runtime>::get(BABELBIT), expected.active);
                assert_eq!(StakeWeight::<Runtime>::get(BABELBIT), expected.stake_weight);
                assert_eq!(
                    ValidatorPermit::<Runtime>::get(BABELBIT),
                    expected.new_validator_permit
                );
                assert_eq!(parts(Consensus::<Runtime>::get(BABELBIT)), expected.consensus);
                assert_eq!(parts(Dividends::<Runtime>::get(BABELBIT)), expected.dividends);
                assert_eq!(
                    parts(ValidatorTrust::<Runtime>::get(BABELBIT)),
                    expected.validator_trust
                );
                let emission: Vec<u64> =
                    Emission::<Runtime>::get(BABELBIT).into_iter().map(|alpha| alpha.0).collect();
                assert_eq!(emission, expected.emission);
                rewarded += usize::from(expected.incentive.iter().any(|&part| part > 0));
                next_epoch += TEMPO;
            }
            assert_eq!(rewarded, 49);
            bonds_by_mode
                .push(Bonds::<Runtime>::get(BABELBIT.mechanism(MechId(0)), uid(&validators[0])));
        });
    }
    let [_, automatic, current, previous, _] = bonds_by_mode.as_slice() else {
        panic!("{bonds_by_mode:?}")
    };
    assert_eq!(automatic, current);
    assert_ne!(previous, current);
}

#[test]
fn mechanisms_share_the_emission_and_keep_their_own_results() {
    at_first_block(|| {
        let hotkeys = register(&[5_000_000_000_000, 3_000_000_000_000, 0, 0]);
        Subtensor::set_mechanism_count(BABELBIT, MechId(2));
        MechanismEmissionSplit::<Runtime>::insert(
            BABELBIT,
            vec![u16::MAX / 4 * 3, u16::MAX / 4 + 3],
        );
        run_to(30);
        for (mecid, best) in [(MechId(0), &hotkeys[2]), (MechId(1), &hotkeys[3])] {
            for validator in &hotkeys[..2] {
                let (netuid, dests, weights) = (BABELBIT, vec![uid(best)], vec![1]);
                let call =
                    Call::set_mechanism_weights { netuid, mecid, dests, weights, version_key: 0 };
                send(validator, call).unwrap();
            }
        }
        let next_epoch = u32::try_from(Subtensor::next_epoch_block(BABELBIT).unwrap()).unwrap();
        run_to(next_epoch - 1);
        let emission = next_emission();
        let second = emission * u64::from(u16::MAX / 4 + 3) / 65_535;
        let first = emission - second;
        let outputs: Vec<EpochOutput> = [(MechId(0), first), (MechId(1), second)]
            .map(|(mecid, emission)| run(&next_input(mecid, next_epoch.into(), emission)).unwrap())
            .into();
        run_to(next_epoch);
        for (mecid, output) in (0..).map(MechId).zip(&outputs) {
            assert_stored(output, mecid);
        }
        let emission: Vec<u64> =
            Emission::<Runtime>::get(BABELBIT).into_iter().map(|alpha| alpha.0).collect();
        let both: Vec<u64> =
            outputs[0].emission.iter().zip(&outputs[1].emission).map(|(a, b)| a + b).collect();
        assert_eq!(emission, both);
        let consensus = parts(Consensus::<Runtime>::get(BABELBIT));
        assert_eq!(consensus[usize::from(uid(&hotkeys[2]))], 49_149);
        assert_eq!(consensus[usize::from(uid(&hotkeys[3]))], 16_386);
    });
}

#[test]
fn mechanisms_missing_from_split_have_no_emission() {
    at_first_block(|| {
        let split = |count| {
            Subtensor::set_mechanism_count(BABELBIT, MechId(count));
            MechanismEmissionSplit::<Runtime>::insert(BABELBIT, vec![60_000, 5_535]);
            Subtensor::emission_by_mechanism(BABELBIT, 65_535_000)
        };
        assert_eq!(split(2), [60_000_000, 5_535_000]);
        assert_eq!(split(4), [60_000_000, 5_535_000, 0, 0]);
        MechanismEmissionSplit::<Runtime>::remove(BABELBIT);
        assert_eq!(Subtensor::emission_by_mechanism(BABELBIT, 10), [4, 2, 2, 2]);
    });
}

#[test]
fn bonds_are_removed_with_the_permit() {
    at_first_block(|| {
        let hotkeys = register(&[5_000_000_000_000, 3_000_000_000_000, 0]);
        run_to(30);
        for validator in &hotkeys[..2] {
            let (dests, weights) = (vec![uid(&hotkeys[2])], vec![1]);
            send(validator, Call::set_weights { netuid: BABELBIT, dests, weights, version_key: 0 })
                .unwrap();
        }
        run_to(40);
        let has_bonds = |number: usize| {
            Bonds::<Runtime>::contains_key(BABELBIT.mechanism(MechId(0)), uid(&hotkeys[number]))
        };
        assert!(has_bonds(0) && has_bonds(1));
        // The only permit goes to the neuron with the largest stake; the owner's neuron gets an
        // additional one.
        MaxAllowedValidators::<Runtime>::insert(BABELBIT, 1);
        run_to(50);
        assert!(has_bonds(0) && !has_bonds(1));
    });
}
