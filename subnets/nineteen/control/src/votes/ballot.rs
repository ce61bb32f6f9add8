//! A validator's vote on the weights of the tasks, signed by its hotkey.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::config::VOTE_UNITS;
use taonet_primitives::{Hotkey, NetUid};
use taonet_service::{Clock, unix_time};
use taonet_wallet::{Keypair, Signature, verify};

use crate::MarketFile;

/// Domain separator at the beginning of the signed text: no other signature of a hotkey is a vote.
const CONTEXT: &str = "taonet-nineteen-vote/1";
/// Maximum age of a vote. A validator signs its vote again for each request.
const MAX_AGE: Duration = Duration::from_hours(24);
/// Maximum time by which the clock of the signing validator may be ahead.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A validator's signed vote on the weights of the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    hotkey: Hotkey,
    netuid: NetUid,
    /// Time of the signature, in seconds since the Unix epoch.
    created: u64,
    /// Weight of each task, in [`VOTE_UNITS`]; 0 is a vote to disable the task.
    weights: BTreeMap<TaskName, u32>,
    signature: Signature,
}

/// Why a vote is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BallotError {
    /// The vote is for another subnet.
    #[error("it is for netuid {0}")]
    Subnet(NetUid),
    /// The vote is too old, or was signed in the future.
    #[error("it was signed more than a day ago, or in the future")]
    Time,
    /// The hotkey has not signed the vote.
    #[error("the signature is not that of hotkey {0}")]
    Signature(Hotkey),
}

impl Ballot {
    /// Returns the validator's hotkey.
    pub const fn hotkey(&self) -> Hotkey {
        self.hotkey
    }

    /// Returns the time of the signature, in seconds since the Unix epoch.
    pub(super) const fn created(&self) -> u64 {
        self.created
    }

    /// Returns the weight of each task, in [`VOTE_UNITS`].
    pub const fn weights(&self) -> &BTreeMap<TaskName, u32> {
        &self.weights
    }

    /// Checks subnet, age and signature; `now` is the time since the Unix epoch.
    ///
    /// # Errors
    /// [`BallotError`] when the vote does not count.
    pub fn check(&self, netuid: NetUid, now: Duration) -> Result<(), BallotError> {
        if self.netuid != netuid {
            return Err(BallotError::Subnet(self.netuid));
        }
        if !self.is_current(now) {
            return Err(BallotError::Time);
        }
        let text = signed_text(self.netuid, self.created, &self.weights);
        if verify(&self.hotkey, text.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(BallotError::Signature(self.hotkey))
        }
    }

    /// Returns whether the vote was signed within a day.
    pub(super) fn is_current(&self, now: Duration) -> bool {
        let created = Duration::from_secs(self.created);
        created <= now.saturating_add(MAX_CLOCK_SKEW) && now.saturating_sub(created) <= MAX_AGE
    }
}

/// Returns the text that a validator signs. Names of tasks have neither spaces nor line breaks.
fn signed_text(netuid: NetUid, created: u64, weights: &BTreeMap<TaskName, u32>) -> String {
    let mut text = format!("{CONTEXT}\n{netuid}\n{created}\n");
    for (task, units) in weights {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{task} {units}");
    }
    text
}

/// Signer of a validator's own vote: the weights of its task file.
#[derive(Clone)]
pub struct Voter {
    keypair: Keypair,
    netuid: NetUid,
    market: MarketFile,
    clock: Clock,
}

impl Voter {
    /// Creates the signer of the votes of `keypair` on a subnet: the weights of the market's file.
    pub const fn new(keypair: Keypair, netuid: NetUid, market: MarketFile, clock: Clock) -> Self {
        Self { keypair, netuid, market, clock }
    }

    /// Returns the vote, signed now.
    pub fn ballot(&self) -> Ballot {
        let tasks = self.market.file_weights();
        let sum: f64 = tasks.iter().map(|(_, weight)| weight).sum();
        let weights =
            tasks.into_iter().map(|(task, weight)| (task, units_of(weight, sum))).collect();
        let created = self.now().as_secs();
        let text = signed_text(self.netuid, created, &weights);
        let signature = self.keypair.sign(text.as_bytes());
        Ballot { hotkey: self.keypair.hotkey(), netuid: self.netuid, created, weights, signature }
    }

    pub(super) const fn netuid(&self) -> NetUid {
        self.netuid
    }

    pub(super) const fn market(&self) -> &MarketFile {
        &self.market
    }

    /// Returns the time since the Unix epoch.
    pub(super) fn now(&self) -> Duration {
        unix_time((self.clock)())
    }
}

/// Returns the units of a task with this weight, of [`VOTE_UNITS`] for the sum of all weights.
fn units_of(weight: f64, sum: f64) -> u32 {
    let units = (weight / sum * f64::from(VOTE_UNITS)).round() as u32;
    // A vote of 0 would disable a task of little weight.
    units.max(u32::from(weight > 0.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use serde_json::{Value, json};
    use taonet_nineteen_core::MarketConfig;

    use super::*;

    const NETUID: NetUid = NetUid(19);
    /// Time of the vote, in seconds since the Unix epoch.
    const CREATED: u64 = 1_800_000_000;

    fn ballot() -> Ballot {
        let clock: Clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(CREATED));
        let mut config = MarketConfig::default();
        // Smaller than a unit, and a disabled task.
        config.tasks[0].weight = 1e-9;
        config.tasks[1].enabled = false;
        let market = MarketFile::from_config(config);
        Voter::new(Keypair::from_uri("//Bob").unwrap(), NETUID, market, clock).ballot()
    }

    #[test]
    fn votes_are_the_weights_of_the_file() {
        let ballot = ballot();
        let config = MarketConfig::default();
        let units = |index: usize| ballot.weights()[&config.tasks[index].task];
        assert_eq!((units(0), units(1)), (1, 0));
        let sum: u32 = ballot.weights().values().sum();
        assert!(sum.abs_diff(VOTE_UNITS) < 20, "{sum}");
    }

    #[test]
    fn votes_count_on_their_subnet_for_a_day() {
        let ballot = ballot();
        let check = |netuid, seconds| ballot.check(netuid, Duration::from_secs(seconds));
        for seconds in [CREATED - 300, CREATED, CREATED + 86_400] {
            assert_eq!(check(NETUID, seconds), Ok(()), "{seconds}");
        }
        for seconds in [0, CREATED - 301, CREATED + 86_401] {
            assert_eq!(check(NETUID, seconds), Err(BallotError::Time), "{seconds}");
        }
        assert_eq!(check(NetUid(1), CREATED), Err(BallotError::Subnet(NETUID)));
    }

    /// Each field is signed.
    #[test]
    fn vote_with_a_changed_field_is_rejected() {
        let ballot = ballot();
        let document = serde_json::to_value(&ballot).unwrap();
        let alice = Keypair::from_uri("//Alice").unwrap().hotkey();
        let check = |document: &Value, netuid| {
            let changed: Ballot = serde_json::from_value(document.clone()).unwrap();
            changed.check(netuid, Duration::from_secs(CREATED))
        };
        assert_eq!(check(&document, NETUID), Ok(()));
        for (pointer, value, netuid) in [
            ("/hotkey", json!(alice), NETUID),
            ("/netuid", json!(7), NetUid(7)),
            ("/created", json!(CREATED + 1), NETUID),
            ("/weights/avatar", json!(7), NETUID),
            ("/weights", json!({}), NETUID),
        ] {
            let mut changed = document.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            let error = check(&changed, netuid).unwrap_err();
            assert!(matches!(error, BallotError::Signature(_)), "{pointer}: {error}");
        }
        let mut malformed = document;
        malformed["weights"]["no such name"] = json!(1);
        assert!(serde_json::from_value::<Ballot>(malformed).is_err());
    }
}
