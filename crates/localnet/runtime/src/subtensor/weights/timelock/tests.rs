use super::super::tests::{MAIN, committing_validator, enter_epoch};
use crate::drand::LastStoredRound;
use crate::runtime::{AccountId, Runtime, RuntimeEvent, System};
use crate::subtensor::{
    Call, Event, LastUpdate, TimelockedWeightCommits, Weights, WeightsSetRateLimit,
    WeightsVersionKey,
};
use crate::testing::{
    BABELBIT, Subtensor, at_first_block, jump_to, last_event, outcome, publish_pulse, run_to, send,
    timelocked,
};
use crate::types::{MechId, NetUidStorageIndex};

/// The weights of the recorded data: those of round 1000, and those of round 2000.
const ROWS: [[(u16, u16); 2]; 2] = [[(0, 32_768), (1, 65_535)], [(0, 65_535), (1, 32_768)]];

/// Commits recorded data.
fn commit(who: &AccountId, mecid: u8, data: &str, reveal_round: u64) {
    let (netuid, mecid, commit) = (BABELBIT, MechId(mecid), timelocked(data));
    let call = Call::commit_crv3_mechanism_weights { netuid, mecid, commit, reveal_round };
    assert_eq!(outcome(send(who, call)), "ok", "{data}");
}

/// Runs the reveals of a block in this epoch; returns the number of pending commits.
fn pending_after_reveals(epoch: u64) -> usize {
    enter_epoch(epoch);
    Subtensor::reveal_timelocked(&Subtensor::awake_netuids());
    TimelockedWeightCommits::<Runtime>::iter_prefix(MAIN).map(|(_, commits)| commits.len()).sum()
}

/// Returns the number of reveals so far.
fn reveals() -> usize {
    let is_reveal = |event: &RuntimeEvent| {
        matches!(event, RuntimeEvent::SubtensorModule(Event::TimelockedWeightsRevealed(..)))
    };
    System::events().iter().filter(|record| is_reveal(&record.event)).count()
}

#[test]
fn pulse_reveals_weights_in_their_epoch() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        commit(&who, 0, "weights", 1_000);
        publish_pulse(1_000);
        assert_eq!((pending_after_reveals(7), reveals()), (1, 0), "the window has not begun");
        // Without commit-reveal, the rate limit would refuse these weights.
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 5_000);
        assert_eq!((pending_after_reveals(8), reveals()), (0, 1));
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[0]);
        assert_eq!(
            LastUpdate::<Runtime>::get(MAIN)[usize::from(uid)],
            700,
            "the block of the commit"
        );
        assert_eq!(last_event(), Event::TimelockedWeightsRevealed(MAIN, who));
    });
}

#[test]
fn weights_are_revealed_before_the_epoch_runs() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        commit(&who, 0, "weights", 1_000);
        publish_pulse(1_000);
        run_to(709);
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), []);
        run_to(710);
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[0]);
    });
}

#[test]
fn commit_waits_for_pulse_within_its_window() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        commit(&who, 0, "weights", 1_000);
        commit(&who, 0, "weights of round 2000", 2_000);
        assert_eq!(pending_after_reveals(8), 2);
        publish_pulse(2_000);
        assert_eq!((pending_after_reveals(8), reveals()), (1, 1));
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[1]);
        publish_pulse(1_000);
        assert_eq!((pending_after_reveals(8), reveals()), (0, 2));
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[0]);

        commit(&who, 0, "weights of round 2000", 2_000);
        assert_eq!((pending_after_reveals(10), reveals()), (0, 2), "the window has passed");
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[0]);
    });
}

#[test]
fn last_commit_of_an_epoch_sets_the_weights() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        publish_pulse(1_000);
        publish_pulse(2_000);
        for (data, round) in [("weights", 1_000), ("weights of round 2000", 2_000)] {
            commit(&who, 0, data, round);
        }
        assert_eq!((pending_after_reveals(8), reveals()), (0, 2));
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[1]);
    });
}

#[test]
fn timelocked_data_without_valid_weights_has_no_effect() {
    // The data, its stated round, and whether its weights are set.
    let cases = [
        ("weights", 1_000, true),
        ("weights without a hotkey", 1_000, true),
        ("weights of another hotkey", 1_000, false),
        ("weights with a repeated uid", 1_000, false),
        ("weights of round 2000", 1_000, false),
        ("weights", 2_000, false),
        ("text", 1_000, false),
        ("text with its round", 1_000, false),
        ("nothing", 1_000, false),
    ];
    for (data, round, is_set) in cases {
        at_first_block(|| {
            let (who, uid) = committing_validator();
            publish_pulse(1_000);
            publish_pulse(2_000);
            commit(&who, 0, data, round);
            assert_eq!(
                (pending_after_reveals(8), reveals()),
                (0, usize::from(is_set)),
                "{data}, round {round}"
            );
            let row: &[(u16, u16)] = if is_set { &ROWS[0] } else { &[] };
            assert_eq!(Weights::<Runtime>::get(MAIN, uid), row, "{data}, round {round}");
        });
    }
}

#[test]
fn revealed_weights_with_wrong_version_are_dropped() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        publish_pulse(1_000);
        commit(&who, 0, "weights", 1_000);
        WeightsVersionKey::<Runtime>::insert(BABELBIT, 4);
        assert_eq!((pending_after_reveals(8), reveals()), (0, 0), "the weights have version key 3");
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), []);
    });
}

#[test]
fn each_mechanism_reveals_its_own_weights() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        Subtensor::set_mechanism_count(BABELBIT, MechId(2));
        let second = NetUidStorageIndex(BABELBIT.0 + 4_096);
        publish_pulse(1_000);
        publish_pulse(2_000);
        commit(&who, 0, "weights", 1_000);
        commit(&who, 1, "weights of round 2000", 2_000);
        assert_eq!((pending_after_reveals(8), reveals()), (0, 2));
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[0]);
        assert_eq!(Weights::<Runtime>::get(second, uid), ROWS[1]);
        assert_eq!(TimelockedWeightCommits::<Runtime>::iter_prefix(second).count(), 0);
        assert_eq!(last_event(), Event::TimelockedWeightsRevealed(second, who));
    });
}

#[test]
fn late_pulse_within_the_window_reveals_weights() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        commit(&who, 0, "weights", 1_000);
        assert_eq!(pending_after_reveals(8), 1);
        jump_to(809);
        publish_pulse(1_000);
        Subtensor::reveal_timelocked(&[BABELBIT]);
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), ROWS[0]);
    });
}

#[test]
fn commit_to_past_round_is_refused() {
    at_first_block(|| {
        let (who, _) = committing_validator();
        LastStoredRound::<Runtime>::put(1_000);
        let calls = |reveal_round| {
            let (netuid, mecid, commit) = (BABELBIT, MechId(0), timelocked("weights"));
            let (commit_copy, commit_reveal_version) = (commit.clone(), 4);
            [
                Call::commit_crv3_mechanism_weights {
                    netuid,
                    mecid,
                    commit: commit.clone(),
                    reveal_round,
                },
                Call::commit_timelocked_weights {
                    netuid,
                    commit,
                    reveal_round,
                    commit_reveal_version,
                },
                Call::commit_timelocked_mechanism_weights {
                    netuid,
                    mecid,
                    commit: commit_copy,
                    reveal_round,
                    commit_reveal_version,
                },
            ]
        };
        for (round, expected) in
            [(0, "InvalidRevealRound"), (999, "InvalidRevealRound"), (1_000, "ok")]
        {
            for call in calls(round) {
                let precheck = Subtensor::precheck_weights(&who, &call);
                assert_eq!(outcome(precheck.map_err(Into::into)), expected, "{round}: {call:?}");
                assert_eq!(outcome(send(&who, call)), expected, "{round}");
            }
        }
    });
}
