//! How a subnet wants its weights: in clear, committed to by hash, or timelocked.

use std::time::Duration;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use codec::Encode as _;
use rand::CryptoRng;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use taonet_chain::{Call, CommitReveal, WeightRules, calls};
use taonet_primitives::{BlockNumber, Hotkey, MechId, NetUid, Uid};
use taonet_timelock::{Beacon, EpochSchedule, WeightsPayload, encrypt};

use crate::{NewIntent, SubmitError};

/// The version of timelocked commits that this program makes.
const TIMELOCKED: u16 = 4;

/// The last version with commits by hash.
const LAST_BY_HASH: u16 = 2;

/// So many numbers of a salt as the SDK takes.
const SALT: usize = 8;

/// Storage index of a mechanism: mechanism × 4096 + subnet (spec §2.1).
const MECHANISM_STRIDE: u16 = 4096;

/// How weights are submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Form {
    /// In clear, at once.
    Plain,
    /// By their hash first; the weights and the salt are revealed so many epochs later.
    Hash {
        /// What keeps others from guessing the weights.
        salt: Vec<u16>,
        /// How many epochs later.
        period_epochs: u64,
    },
    /// Encrypted to a round of the beacon; the chain reveals them by itself.
    Timelocked {
        /// After how many epochs.
        period_epochs: u64,
    },
}

impl Form {
    /// The form that a subnet's setting asks for.
    pub(crate) fn of(netuid: NetUid, rules: &WeightRules, rng: &mut impl CryptoRng) -> Result<Self, SubmitError> {
        match rules.commit_reveal {
            None => Ok(Self::Plain),
            Some(CommitReveal { version: TIMELOCKED, period_epochs }) => Ok(Self::Timelocked { period_epochs }),
            Some(CommitReveal { version, period_epochs }) if version <= LAST_BY_HASH => {
                Ok(Self::Hash { salt: (0..SALT).map(|_| rng.random()).collect(), period_epochs })
            }
            Some(CommitReveal { version, .. }) => Err(SubmitError::UnknownCommitReveal { netuid, version }),
        }
    }

    /// After how many epochs the weights are to be revealed by a call of ours.
    pub(crate) const fn reveal_after(&self) -> Option<u64> {
        match self {
            Self::Hash { period_epochs, .. } => Some(*period_epochs),
            Self::Plain | Self::Timelocked { .. } => None,
        }
    }
}

/// What a timelocked commit needs to know of the moment at which it is made.
pub(crate) struct Moment<'a> {
    pub(crate) beacon: &'a Beacon,
    pub(crate) head: BlockNumber,
    pub(crate) block_time: Duration,
    /// Since the Unix epoch.
    pub(crate) time: Duration,
}

/// The call that submits the weights of an intent.
pub(crate) fn submit_call(
    intent: &NewIntent,
    rules: &WeightRules,
    moment: &Moment<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Call, SubmitError> {
    let NewIntent { key, weights, version_key, .. } = intent;
    Ok(match &intent.form {
        Form::Plain => calls::set_mechanism_weights(key.netuid, key.mech, weights, *version_key),
        Form::Hash { salt, .. } => {
            let hash = commit_hash(&key.hotkey, key.netuid, key.mech, weights, salt, *version_key);
            calls::commit_mechanism_weights(key.netuid, key.mech, hash)
        }
        Form::Timelocked { period_epochs } => {
            let schedule = schedule(rules, moment.head, *period_epochs);
            let round = schedule.reveal_round(moment.beacon, moment.block_time, moment.time)?;
            let (uids, values) = weights.iter().copied().unzip();
            let payload = WeightsPayload { hotkey: key.hotkey, uids, values, version_key: *version_key };
            let commit = encrypt(&payload.to_bytes(), moment.beacon, round, rng)?.to_bytes();
            calls::commit_timelocked_mechanism_weights(key.netuid, key.mech, &commit, round.0, TIMELOCKED)
        }
    })
}

/// The call that reveals the weights of an intent; `None` where the form has none.
pub(crate) fn reveal_call(intent: &NewIntent) -> Option<Call> {
    let NewIntent { key, weights, version_key, .. } = intent;
    match &intent.form {
        Form::Hash { salt, .. } => {
            Some(calls::reveal_mechanism_weights(key.netuid, key.mech, weights, salt, *version_key))
        }
        Form::Plain | Form::Timelocked { .. } => None,
    }
}

fn schedule(rules: &WeightRules, head: BlockNumber, reveal_period_epochs: u64) -> EpochSchedule {
    let schedule = rules.schedule;
    EpochSchedule {
        current_block: head.get().into(),
        last_epoch_block: schedule.last_epoch.get().into(),
        pending_epoch_at: schedule.pending_epoch.map(|block| block.get().into()),
        // The chain counts this apart; with a tempo of at most 50 400 it makes no difference.
        blocks_since_last_step: head.since(schedule.last_epoch).into(),
        tempo: schedule.tempo,
        reveal_period_epochs,
    }
}

/// What a commit by hash commits to: BLAKE2b-256 of hotkey, mechanism index, uids, values, salt and version key in SCALE
/// (spec §3.6).
pub fn commit_hash(
    hotkey: &Hotkey,
    netuid: NetUid,
    mech: MechId,
    weights: &[(Uid, u16)],
    salt: &[u16],
    version_key: u64,
) -> [u8; 32] {
    let index = u16::from(mech.0).wrapping_mul(MECHANISM_STRIDE).wrapping_add(netuid.0);
    let uids: Vec<u16> = weights.iter().map(|(uid, _)| uid.0).collect();
    let values: Vec<u16> = weights.iter().map(|(_, value)| *value).collect();
    Blake2b::<U32>::digest((hotkey.as_bytes(), index, uids, values, salt, version_key).encode()).into()
}
