//! One epoch: from the current challenge to weights on the chain.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use taonet_babelbit_core::operator_api::{MetagraphSnapshot, WeightsAnswer};
use taonet_babelbit_core::scoring_api::Contest;
use taonet_babelbit_core::weight_policy::{ContestScores, Decision, PolicyState, WeightPolicy};
use taonet_babelbit_core::weights::Weights;
use taonet_primitives::{BlockNumber, Uid};

use super::Validator;
use super::state::Saved;
use crate::clock::since_1970;
use crate::engine_client::ChallengeKind;
use crate::subtensor_gateway::GatewayError;

/// What an epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpochReport {
    /// The epoch of weights.
    pub epoch: u64,
    /// The block at which it was worked on.
    pub block: BlockNumber,
    /// The current challenge, where the engine named one.
    pub challenge_uid: Option<String>,
    /// `scored`, `previous`, `fallback` or `wait`.
    pub decision: &'static str,
    /// The weights that were to be set, if any.
    pub weights: Option<Weights>,
    /// Epochs in a row without scores.
    pub epochs_without_scores: u32,
    /// Whether the weights are set; true where there was nothing to set.
    pub success: bool,
    /// Why not.
    pub error: Option<String>,
    /// What signer or gateway said.
    pub details: Value,
}

/// The rows of the scoring API: of the main contest, and of the arena.
type Rows = (Vec<Value>, Vec<Value>);

impl Validator {
    /// Works on an epoch. Whether or not weights are set, it is not worked on again; where the chain cannot be asked, it is.
    pub(super) async fn epoch(&mut self, epoch: u64, block: BlockNumber) -> Result<EpochReport, GatewayError> {
        let began = Instant::now();
        let (found, snapshot) = tokio::join!(self.current_rows(), self.services.gateway.snapshot(self.settings.netuid));
        let snapshot = snapshot?;
        let (challenge_uid, rows) = found;
        let scores = self.scores(challenge_uid.as_deref(), &rows, &snapshot).await;
        let policy = self.policy(&snapshot);
        let mut state = self.state.saved().policy.clone();
        let decision = policy.decide(&mut state, challenge_uid.as_deref(), &scores);
        self.measure(&scores, &decision, &state, began);
        tell(epoch, block, challenge_uid.as_deref(), &decision, &policy, &state);

        let answer = match decision.weights() {
            Some(weights) => Some(self.submit(weights).await),
            None => None,
        };
        let is_set = answer.as_ref().is_some_and(|answer| answer.success);
        let mut last_set = self.state.saved().last_set;
        if is_set {
            state.previous = decision.weights().cloned();
            let now = since_1970((self.clock)());
            last_set = Some(now.as_secs());
            metrics::gauge!("lastset").set(now.as_secs_f64());
        }
        let epochs_without_scores = state.epochs_without_scores;
        self.remember(Saved { last_epoch: Some(epoch), last_set, policy: state, ..self.state.saved().clone() });
        let WeightsAnswer { success, error, details } =
            answer.unwrap_or(WeightsAnswer { success: true, error: None, details: Value::Null });
        Ok(EpochReport {
            epoch,
            block,
            challenge_uid,
            decision: decision.as_str(),
            weights: decision.weights().cloned(),
            epochs_without_scores,
            success,
            error,
            details,
        })
    }

    /// The current challenge, and the rows that the scoring API has of it.
    async fn current_rows(&self) -> (Option<String>, Rows) {
        let uid = match self.services.engine.start_with_retry(ChallengeKind::Main).await {
            Ok(utterance) => Some(utterance.challenge_uid).filter(|uid| !uid.is_empty()),
            Err(error) => {
                tracing::warn!(%error, "the current challenge is not known");
                None
            }
        };
        let Some(challenge_uid) = &uid else { return (None, Rows::default()) };
        let rows = tokio::join!(
            self.rows_or_none(challenge_uid, Some(Contest::Main)),
            self.rows_or_none(challenge_uid, Some(Contest::Arena))
        );
        (uid, rows)
    }

    /// Rows; none where the API fails.
    async fn rows_or_none(&self, challenge_uid: &str, contest: Option<Contest>) -> Vec<Value> {
        match self.services.scores.rows(challenge_uid, contest).await {
            Ok(rows) => rows,
            Err(error) => {
                let contest = contest.map_or("all contests", Contest::query_name);
                tracing::warn!(%error, contest, "no scores from the scoring API");
                Vec::new()
            }
        }
    }

    /// The scores that count; where neither contest has any, those of the API's older form.
    async fn scores(
        &self,
        challenge_uid: Option<&str>,
        (main, arena): &Rows,
        snapshot: &MetagraphSnapshot,
    ) -> ContestScores {
        let mut slots: HashMap<&str, Uid> = HashMap::new();
        for (hotkey, uid) in snapshot.hotkeys.iter().zip(0..) {
            slots.entry(hotkey).or_insert(Uid(uid));
        }
        let uid_of = |hotkey: &str| slots.get(hotkey).copied();
        let mut scores = ContestScores::default();
        scores.add(main, Contest::Main, uid_of);
        scores.add(arena, Contest::Arena, uid_of);
        if let (true, Some(challenge_uid)) = (scores.is_empty(), challenge_uid) {
            let rows = self.rows_or_none(challenge_uid, None).await;
            scores.add(&rows, Contest::Main, uid_of);
        }
        scores
    }

    /// The policy for the subnet as it is: a burn uid that nobody has cannot receive anything.
    fn policy(&self, snapshot: &MetagraphSnapshot) -> WeightPolicy {
        let uid = self.settings.burn_uid;
        let is_there = usize::from(uid.0) < snapshot.hotkeys.len();
        if !is_there {
            tracing::warn!(
                "uid {uid} is to receive what nobody has earned, but subnet {} has {} neurons: set \
                 BB_DEFAULT_FALLBACK_UID; until then it goes to the miners that have scores, and nothing is set without any",
                self.settings.netuid,
                snapshot.hotkeys.len()
            );
        }
        WeightPolicy {
            arena_share: self.settings.arena_share,
            burn_uid: is_there.then_some(uid),
            max_skipped_epochs: self.settings.max_skipped_epochs,
            rules: self.settings.rules,
        }
    }

    fn remember(&mut self, saved: Saved) {
        if let Err(error) = self.state.replace(saved) {
            tracing::error!(%error, "what was done is not on disk: after a restart the epoch is worked on again");
        }
    }

    fn measure(&self, scores: &ContestScores, decision: &Decision, state: &PolicyState, began: Instant) {
        metrics::histogram!("taonet_validator_decision_seconds").record(began.elapsed().as_secs_f64());
        metrics::counter!("taonet_validator_epochs_total", "decision" => decision.as_str()).increment(1);
        metrics::gauge!("taonet_validator_epochs_without_scores").set(f64::from(state.epochs_without_scores));
        for (uid, score) in scores.combined(self.settings.arena_share) {
            metrics::gauge!("scores_by_uid", "uid" => uid.to_string()).set(score);
        }
        if let Some(winner) = scores.winner(self.settings.rules) {
            metrics::gauge!("current_winner_uid").set(f64::from(winner.0));
        }
        let entries = std::fs::read_dir(&self.settings.cache_dir).into_iter().flatten().flatten();
        let is_cache = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "jsonl");
        metrics::gauge!("cache_files").set(entries.filter(is_cache).count() as f64);
    }
}

/// Says what was decided, and what of it goes to nobody who earned it.
fn tell(
    epoch: u64,
    block: BlockNumber,
    challenge_uid: Option<&str>,
    decision: &Decision,
    policy: &WeightPolicy,
    state: &PolicyState,
) {
    let without_scores = state.epochs_without_scores;
    tracing::info!(epoch, %block, challenge_uid, decision = decision.as_str(), without_scores, "weights decided");
    let burned = policy.burn_uid.zip(decision.weights()).map(|(uid, weights)| (uid, weights.of(uid)));
    if let Some((uid, share)) = burned.filter(|(_, share)| *share > 0.0) {
        tracing::warn!("{:.1} % of the weights go to uid {uid}, since nobody has earned them", share * 100.0);
    }
}
