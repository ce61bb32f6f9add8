//! The forms in which weights are submitted: unencrypted, as a hash commit, or timelocked.

use std::time::Duration;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use codec::Encode as _;
use rand::CryptoRng;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use taonet_chain::{Call, CommitReveal, HotkeyState, WeightRules, calls};
use taonet_primitives::{BlockNumber, Hotkey, MechId, NetUid, Uid};
use taonet_timelock::{Beacon, EpochSchedule, Round, WeightsPayload, encrypt};

use crate::{Plan, SubmitError};

/// The commit-reveal version with timelocked commits; later versions are unsupported.
const TIMELOCKED_VERSION: u16 = 4;

/// The last commit-reveal version with hash commits.
const LAST_HASH_COMMIT_VERSION: u16 = 2;

/// The number of 16-bit values in a salt, as in Bittensor's SDK.
const SALT_LENGTH: usize = 8;

/// The form in which weights are submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubmissionForm {
    /// The weights are submitted unencrypted and take effect immediately.
    Plain,
    /// A hash of the weights is committed; weights and salt are revealed after `period_epochs`
    /// epochs.
    Hash {
        /// The salt, which keeps others from guessing the weights.
        salt: Vec<u16>,
        /// The number of epochs from commit to reveal.
        period_epochs: u64,
    },
    /// The weights are encrypted to a future beacon round; the chain decrypts them once the round
    /// is published.
    Timelocked {
        /// The number of epochs from commit to reveal.
        period_epochs: u64,
    },
}

impl SubmissionForm {
    /// Creates the form that a subnet requires, with a new salt for a hash commit.
    ///
    /// # Errors
    /// [`SubmitError::UnknownCommitReveal`] for an unsupported version.
    pub fn of(
        netuid: NetUid,
        rules: &WeightRules,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SubmitError> {
        match rules.commit_reveal {
            None => Ok(Self::Plain),
            Some(CommitReveal { version: TIMELOCKED_VERSION, period_epochs }) => {
                Ok(Self::Timelocked { period_epochs })
            }
            Some(CommitReveal { version, period_epochs })
                if version <= LAST_HASH_COMMIT_VERSION =>
            {
                Ok(Self::Hash { salt: salt(rng), period_epochs })
            }
            Some(CommitReveal { version, .. }) => {
                Err(SubmitError::UnknownCommitReveal { netuid, version })
            }
        }
    }

    /// Returns the number of epochs after which a reveal call must be submitted; `None` if none is
    /// needed.
    pub(crate) const fn reveal_after(&self) -> Option<u64> {
        match self {
            Self::Hash { period_epochs, .. } => Some(*period_epochs),
            Self::Plain | Self::Timelocked { .. } => None,
        }
    }
}

/// Generates a random salt for a hash commit, so that nobody can guess the weights from the hash.
pub fn salt(rng: &mut impl CryptoRng) -> Vec<u16> {
    (0..SALT_LENGTH).map(|_| rng.random()).collect()
}

/// The maximum difference between the local clock and the timestamp of the newest block: 25 blocks
/// of the main network. A synchronised clock is a few blocks ahead at most, even if authors miss
/// their slots.
pub(crate) const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_mins(5);

/// The timing inputs of a timelocked commit.
#[derive(Debug)]
pub struct Sealing<'a> {
    /// The drand beacon; the weights are encrypted to one of its rounds.
    pub beacon: &'a Beacon,
    /// The height of the newest block.
    pub head: BlockNumber,
    /// The chain's block time.
    pub block_time: Duration,
    /// The hotkey's state after that block. Its timestamp, not the local clock, determines the
    /// reveal round.
    pub state: &'a HotkeyState,
    /// The time of the local clock, since the Unix epoch.
    pub local_time: Duration,
}

/// Returns the chain's time, by which reveals are scheduled. The local clock must agree with it:
/// otherwise the clock is wrong or the node lags behind. The time of a development chain is exempt,
/// since its user can advance it. Times are since the Unix epoch.
///
/// # Errors
/// [`SubmitError::ClockDifference`] if the times differ by more than five minutes.
pub fn chain_time(state: &HotkeyState, local_time: Duration) -> Result<Duration, SubmitError> {
    let difference = local_time.abs_diff(state.time);
    if difference > MAX_CLOCK_DIFFERENCE && !state.is_development {
        return Err(SubmitError::ClockDifference { difference, is_ahead: local_time > state.time });
    }
    Ok(state.time)
}

/// Builds a timelocked commit that the chain reveals after `period_epochs` epochs, and returns the
/// call with its beacon round.
///
/// # Errors
/// [`SubmitError::ClockDifference`] if the local clock differs from the chain's time by more than
/// five minutes, except on a development chain, [`SubmitError::Schedule`] if the round cannot be
/// computed, [`SubmitError::Encrypt`] if encryption fails.
pub fn timelocked_commit(
    payload: &WeightsPayload,
    (netuid, mech): (NetUid, MechId),
    rules: &WeightRules,
    period_epochs: u64,
    sealing: &Sealing<'_>,
    rng: &mut impl CryptoRng,
) -> Result<(Call, Round), SubmitError> {
    let Sealing { beacon, head, block_time, state, local_time } = *sealing;
    let time = chain_time(state, local_time)?;
    let round = schedule(rules, head, period_epochs).reveal_round(beacon, block_time, time)?;
    let commit = encrypt(&payload.to_bytes(), beacon, round, rng)?.to_bytes();
    Ok((
        calls::commit_timelocked_mechanism_weights(
            netuid,
            mech,
            &commit,
            round.0,
            TIMELOCKED_VERSION,
        ),
        round,
    ))
}

/// Builds the call that submits an intent's weights.
pub(crate) fn submit_call(
    intent: &Plan,
    rules: &WeightRules,
    sealing: &Sealing<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Call, SubmitError> {
    let Plan { key, weights, version_key, .. } = intent;
    Ok(match &intent.form {
        SubmissionForm::Plain => {
            calls::set_mechanism_weights(key.netuid, key.mech, weights, *version_key)
        }
        SubmissionForm::Hash { salt, .. } => {
            let hash = commit_hash(&key.hotkey, key.netuid, key.mech, weights, salt, *version_key);
            calls::commit_mechanism_weights(key.netuid, key.mech, hash)
        }
        SubmissionForm::Timelocked { period_epochs } => {
            let (uids, values) = weights.iter().copied().unzip();
            let payload =
                WeightsPayload { hotkey: key.hotkey, uids, values, version_key: *version_key };
            timelocked_commit(
                &payload,
                (key.netuid, key.mech),
                rules,
                *period_epochs,
                sealing,
                rng,
            )?
            .0
        }
    })
}

/// Returns the hash of an intent's hash commit; `None` for other forms.
pub(crate) fn hash_of(intent: &Plan) -> Option<[u8; 32]> {
    let Plan { key, weights, version_key, .. } = intent;
    match &intent.form {
        SubmissionForm::Hash { salt, .. } => {
            Some(commit_hash(&key.hotkey, key.netuid, key.mech, weights, salt, *version_key))
        }
        SubmissionForm::Plain | SubmissionForm::Timelocked { .. } => None,
    }
}

/// Builds the call that reveals an intent's weights; `None` if the form needs none.
pub(crate) fn reveal_call(intent: &Plan) -> Option<Call> {
    let Plan { key, weights, version_key, .. } = intent;
    match &intent.form {
        SubmissionForm::Hash { salt, .. } => {
            Some(calls::reveal_mechanism_weights(key.netuid, key.mech, weights, salt, *version_key))
        }
        SubmissionForm::Plain | SubmissionForm::Timelocked { .. } => None,
    }
}

fn schedule(rules: &WeightRules, head: BlockNumber, reveal_period_epochs: u64) -> EpochSchedule {
    let schedule = rules.schedule;
    EpochSchedule {
        current_block: head.get().into(),
        last_epoch_block: schedule.last_epoch.get().into(),
        pending_epoch_at: schedule.pending_epoch.map(|block| block.get().into()),
        // The chain counts these blocks separately; with a tempo of at most 50 400 the result is
        // the same.
        blocks_since_last_step: head.since(schedule.last_epoch).into(),
        tempo: schedule.tempo,
        reveal_period_epochs,
    }
}

/// Computes the hash of a hash commit: BLAKE2b-256 of the SCALE encoding of hotkey, storage index,
/// uids, values, salt and version key.
pub fn commit_hash(
    hotkey: &Hotkey,
    netuid: NetUid,
    mech: MechId,
    weights: &[(Uid, u16)],
    salt: &[u16],
    version_key: u64,
) -> [u8; 32] {
    let index = mech.storage_index(netuid);
    let uids: Vec<u16> = weights.iter().map(|(uid, _)| uid.0).collect();
    let values: Vec<u16> = weights.iter().map(|(_, value)| *value).collect();
    Blake2b::<U32>::digest((hotkey.as_bytes(), index, uids, values, salt, version_key).encode())
        .into()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use taonet_chain::testing::weight_rules;
    use taonet_chain::{Block, Schedule};
    use taonet_primitives::BlockHash;
    use taonet_timelock::{Ciphertext, Pulse};
    use taonet_wallet::Keypair;

    use super::*;
    use crate::IntentKey;

    fn rules(commit_reveal: Option<CommitReveal>) -> WeightRules {
        let rules = weight_rules(360, commit_reveal);
        WeightRules {
            schedule: Schedule { last_epoch: BlockNumber::new(1000), ..rules.schedule },
            ..rules
        }
    }

    fn hotkey_state(time: Duration) -> HotkeyState {
        HotkeyState {
            nonce: 0,
            last_update: None,
            commits: Vec::new(),
            time,
            is_development: false,
        }
    }

    fn intent(form: SubmissionForm) -> Plan {
        let genesis = BlockHash::from_bytes([1; 32]);
        let hotkey = Keypair::from_uri("//Alice").unwrap().hotkey();
        Plan {
            key: IntentKey { genesis, hotkey, netuid: NetUid(59), mech: MechId(1), epoch: 7 },
            anchor: Block { number: BlockNumber::new(1100), hash: genesis },
            state_block: BlockNumber::new(1100),
            form,
            weights: vec![(Uid(3), 65_535), (Uid(7), 9)],
            version_key: 5,
        }
    }

    #[test]
    fn commit_reveal_setting_selects_the_submission_form() {
        let form_of_version = |version| {
            let setting = CommitReveal { version, period_epochs: 2 };
            SubmissionForm::of(NetUid(59), &rules(Some(setting)), &mut StdRng::seed_from_u64(1))
        };
        assert_eq!(
            SubmissionForm::of(NetUid(59), &rules(None), &mut StdRng::seed_from_u64(1)).unwrap(),
            SubmissionForm::Plain
        );
        assert_eq!(form_of_version(4).unwrap(), SubmissionForm::Timelocked { period_epochs: 2 });
        let SubmissionForm::Hash { salt, period_epochs: 2 } = form_of_version(2).unwrap() else {
            panic!("not by hash")
        };
        assert_eq!(salt.len(), SALT_LENGTH);
        for version in [3, 5] {
            assert!(
                matches!(form_of_version(version), Err(SubmitError::UnknownCommitReveal { version: found, .. }) if found == version)
            );
        }
    }

    /// The first expected hash comes from `generate_weight_hash` in bittensor 10.5.0, which takes
    /// the storage index as an argument.
    #[test]
    fn commit_hashes_equal_those_of_the_sdk() {
        let hotkey = Keypair::from_uri("//Alice").unwrap().hotkey();
        let weights = [(Uid(1), 65_535), (Uid(2), 7), (Uid(300), 1)];
        for (mech, expected) in [
            (0, "ef5f3de7549ad12c3337597f272beff19e2fd90430fd43ec5d11dcda6bb6afe8"),
            (1, "2fe3ffbab15e56892e15db8b0ad1d337f8aa3a408bde71706f495471f2e24e21"),
        ] {
            let salt = [1, 2, 3, 4, 5, 6, 7, 65_535];
            let hash = commit_hash(&hotkey, NetUid(59), MechId(mech), &weights, &salt, 10_005_000);
            assert_eq!(hex::encode(hash), expected);
        }
    }

    /// At the chosen time the weights are encrypted to quicknet's round 1000, whose signature is
    /// known.
    #[test]
    fn timelocked_weights_decrypt_with_their_round() {
        let signature = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";
        let pulse =
            Pulse::new(Round(1000), &hex::decode(signature).unwrap().try_into().unwrap()).unwrap();
        let (beacon, head) = (Beacon::quicknet(), BlockNumber::new(1100));
        // 260 blocks to the epoch at block 1360, plus 3, at one second per block.
        let time =
            beacon.time_of(Round(1001)).unwrap().checked_sub(Duration::from_secs(263)).unwrap();
        // The local clock's error of a few seconds has no effect.
        let state = hotkey_state(time);
        let local_time = time + Duration::from_secs(40);
        let sealing =
            Sealing { beacon, head, block_time: Duration::from_secs(1), state: &state, local_time };
        let intent = intent(SubmissionForm::Timelocked { period_epochs: 1 });
        let call =
            submit_call(&intent, &rules(None), &sealing, &mut StdRng::seed_from_u64(9)).unwrap();

        let uids = vec![Uid(3), Uid(7)];
        let payload = WeightsPayload {
            hotkey: intent.key.hotkey,
            uids,
            values: vec![65_535, 9],
            version_key: 5,
        };
        let commit =
            encrypt(&payload.to_bytes(), beacon, Round(1000), &mut StdRng::seed_from_u64(9))
                .unwrap()
                .to_bytes();
        assert_eq!(
            call,
            calls::commit_timelocked_mechanism_weights(NetUid(59), MechId(1), &commit, 1000, 4)
        );
        let plaintext = Ciphertext::from_bytes(&commit).unwrap().decrypt(&pulse).unwrap();
        assert_eq!(WeightsPayload::from_bytes(&plaintext), Ok(payload));
    }

    #[test]
    fn clock_difference_above_five_minutes_is_an_error() {
        let (minutes, time) = (Duration::from_mins, Duration::from_secs(1_763_650_000));
        let commit = |local_time, is_development| {
            let state = HotkeyState { is_development, ..hotkey_state(time) };
            let (beacon, head) = (Beacon::quicknet(), BlockNumber::new(1100));
            let sealing = Sealing {
                beacon,
                head,
                block_time: Duration::from_secs(12),
                state: &state,
                local_time,
            };
            let intent = intent(SubmissionForm::Timelocked { period_epochs: 1 });
            submit_call(&intent, &rules(None), &sealing, &mut StdRng::seed_from_u64(9))
        };
        let synchronized = commit(time, false).unwrap();
        for local_time in [time.saturating_sub(minutes(5)), time + minutes(5)] {
            assert_eq!(
                commit(local_time, false).unwrap(),
                synchronized,
                "the chain's time determines the round"
            );
        }
        let day = minutes(24 * 60);
        for (local_time, words) in [
            (
                time + day,
                "86400 s ahead of the time of the chain's newest block, more than the 300 s",
            ),
            (time.saturating_sub(day), "86400 s behind the time of the chain's newest block"),
            (time + minutes(5) + Duration::from_secs(1), "301 s ahead of"),
        ] {
            let error = commit(local_time, false).unwrap_err();
            assert!(
                matches!(error, SubmitError::ClockDifference { .. })
                    && error.to_string().contains(words),
                "{error}"
            );
            assert_eq!(
                commit(local_time, true).unwrap(),
                synchronized,
                "a development chain has its own time"
            );
        }
    }

    #[test]
    fn only_commits_by_hash_are_revealed() {
        let salt = vec![1, 2];
        let hash_intent = intent(SubmissionForm::Hash { salt: salt.clone(), period_epochs: 3 });
        let expected =
            calls::reveal_mechanism_weights(NetUid(59), MechId(1), &hash_intent.weights, &salt, 5);
        assert_eq!(
            (reveal_call(&hash_intent), hash_intent.form.reveal_after()),
            (Some(expected), Some(3))
        );
        for form in [SubmissionForm::Plain, SubmissionForm::Timelocked { period_epochs: 3 }] {
            assert_eq!((reveal_call(&intent(form.clone())), form.reveal_after()), (None, None));
        }
    }
}
