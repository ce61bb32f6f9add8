//! Scores of all validators, from the scoring API.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_babelbit_core::contest_scores::ContestScores;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring_api::Contest;
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_dashboard::Changes;
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use tokio::time::sleep;

use crate::index::Index;
use crate::source::RunDirectory;

/// Number of latest challenges whose scores are read.
const MAX_CHALLENGES: usize = 20;
/// Number of latest challenges whose scores are reread, since other validators may still submit
/// theirs.
const ALWAYS_REREAD: usize = 3;
/// Maximum interval between two reads.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Minimum interval between two reads.
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Scores of all validators at the last read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ValidatorScores {
    /// Whether the scoring API is a source of this dashboard.
    pub(crate) is_followed: bool,
    /// Scores by challenge UID.
    challenges: HashMap<String, Arc<ContestScores<Hotkey>>>,
    /// Why the latest read failed, if it did. The scores are then those of the last successful
    /// read.
    pub(crate) problem: Option<String>,
}

impl ValidatorScores {
    /// Returns the scores of a challenge in a contest, in the order of the scoring API; `None` if
    /// they have not been read, and for contests that the scoring API does not aggregate.
    pub(crate) fn scores_of(
        &self,
        challenge_uid: &str,
        contest: ChallengeType,
    ) -> Option<&[(Hotkey, f64)]> {
        let scores = self.challenges.get(challenge_uid)?;
        match contest {
            ChallengeType::Main => Some(&scores.main),
            ChallengeType::Arena => Some(&scores.arena),
            ChallengeType::Solo => None,
        }
    }
}

/// Reader of the scoring API, with the latest scores.
#[derive(Debug, Default)]
pub(crate) struct Validators(RwLock<Arc<ValidatorScores>>);

impl Validators {
    pub(crate) fn state(&self) -> Arc<ValidatorScores> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the scores of the latest challenges until shutdown: when the runner has submitted
    /// scores, and at intervals. Reports each change.
    pub(crate) async fn follow(
        &self,
        client: &ScoresClient,
        directory: &RunDirectory,
        changes: &Changes,
        shutdown: &Shutdown,
    ) {
        let mut reports = changes.subscribe();
        loop {
            let index = directory.index();
            tokio::select! {
                () = self.read(client, &index, changes) => {}
                () = shutdown.requested() => return,
            }
            let wait_for_submissions = async {
                sleep(MIN_POLL_INTERVAL).await;
                while directory.index().outbox.delivered == index.outbox.delivered {
                    if reports.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = wait_for_submissions => {}
                () = sleep(MAX_POLL_INTERVAL) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Reads the scores of the latest challenges once, and reports changes.
    pub(crate) async fn read(&self, client: &ScoresClient, index: &Index, changes: &Changes) {
        let old_state = self.state();
        let mut state = ValidatorScores {
            is_followed: true,
            problem: None,
            ..ValidatorScores::clone(&old_state)
        };
        let mut uids: Vec<&str> = Vec::new();
        for challenge in &index.challenges {
            if !uids.contains(&challenge.header.challenge_uid.as_str()) {
                uids.push(&challenge.header.challenge_uid);
            }
        }
        uids.truncate(MAX_CHALLENGES);
        state.challenges.retain(|uid, _| uids.contains(&uid.as_str()));
        for (position, uid) in uids.iter().enumerate() {
            if position >= ALWAYS_REREAD && state.challenges.contains_key(*uid) {
                continue;
            }
            let mut scores = ContestScores::<Hotkey>::default();
            match client.rows(uid, None).await {
                Ok(rows) => scores.add(&rows, Contest::Main, |hotkey| hotkey.parse().ok()),
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    state.problem = Some(error.to_string());
                    break;
                }
            }
            state.challenges.insert((*uid).to_owned(), Arc::new(scores));
        }
        if state.problem != old_state.problem {
            if let Some(problem) = &state.problem {
                tracing::warn!(problem, "cannot fetch scores from the scoring API");
            } else {
                tracing::info!("the scoring API responds again");
            }
        }
        let has_changed = !old_state.is_followed
            || state.problem != old_state.problem
            || state.challenges != old_state.challenges;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        if has_changed {
            changes.report();
        }
    }
}
