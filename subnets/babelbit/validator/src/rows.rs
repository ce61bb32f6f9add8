//! Score rows of the current challenge, fetched from the engine and the scoring API, and missing
//! responses.

use serde_json::Value;
use taonet_babelbit_core::contest_scores::ContestScores;
use taonet_babelbit_core::scoring_api::Contest;
use taonet_primitives::Uid;

use super::{Babelbit, CurrentChallenge, MissingScores};
use taonet_babelbit_engine::client::ChallengeKind;

/// Score rows of the current challenge.
#[derive(Debug, Default)]
pub(super) struct ScoreRows {
    /// ID of the challenge, if the engine named one.
    pub(super) challenge_uid: Option<String>,
    main: Vec<Value>,
    arena: Vec<Value>,
    /// The first required response that is missing. An empty list of scores does not count as
    /// missing.
    missing: Option<MissingScores>,
}

impl ScoreRows {
    /// Returns an error if a response is missing; if `is_late`, logs a warning instead.
    pub(super) fn check_missing(&mut self, is_late: bool) -> Result<(), MissingScores> {
        match self.missing.take() {
            Some(missing) if !is_late => Err(missing),
            Some(missing) => {
                tracing::warn!(%missing, "the epoch is nearly over, deciding without the missing scores");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns the scores that determine weights. `uid_of` maps a hotkey to its uid.
    pub(super) fn scores(&self, uid_of: impl Fn(&str) -> Option<Uid>) -> ContestScores {
        let mut scores = ContestScores::default();
        scores.add(&self.main, Contest::Main, &uid_of);
        scores.add(&self.arena, Contest::Arena, &uid_of);
        scores
    }
}

impl Babelbit {
    /// Fetches the current challenge and its rows from the scoring API.
    pub(super) async fn fetch_rows(&self) -> ScoreRows {
        let current_uid = match self.settings.current {
            CurrentChallenge::Speech => {
                let utterance = self.engine.start_with_retry(ChallengeKind::Main).await;
                utterance.map(|utterance| Some(utterance.challenge_uid))
            }
            CurrentChallenge::Text => {
                self.engine.start_text(ChallengeKind::Main).await.map(|token| token.challenge_uid)
            }
        };
        let challenge_uid = match current_uid {
            Ok(uid) => uid.filter(|uid| !uid.is_empty()),
            Err(error) => {
                return ScoreRows {
                    missing: Some(MissingScores::Challenge(error)),
                    ..ScoreRows::default()
                };
            }
        };
        let mut rows = ScoreRows { challenge_uid, ..ScoreRows::default() };
        let Some(challenge_uid) = &rows.challenge_uid else { return rows };
        let (main, arena) = tokio::join!(
            self.fetch_contest_rows(challenge_uid, Some(Contest::Main)),
            self.fetch_contest_rows(challenge_uid, Some(Contest::Arena))
        );
        let arena_share = self.settings.arena_share.get();
        for (result, contest_rows, share) in
            [(main, &mut rows.main, 1.0 - arena_share), (arena, &mut rows.arena, arena_share)]
        {
            match result {
                Ok(scores) => *contest_rows = scores,
                Err(error) if share > 0.0 => rows.missing = rows.missing.take().or(Some(error)),
                Err(error) => {
                    tracing::warn!(%error, "cannot get scores of a contest without a share of the weights");
                }
            }
        }
        rows
    }

    /// Fetches the rows of all contests in one response, as older versions of the API return them:
    /// the fallback when neither contest has scores.
    pub(super) async fn fetch_combined_rows(&self, rows: &mut ScoreRows) {
        let Some(challenge_uid) = &rows.challenge_uid else { return };
        match self.fetch_contest_rows(challenge_uid, None).await {
            Ok(scores) => rows.main = scores,
            Err(error) => rows.missing = Some(error),
        }
    }

    async fn fetch_contest_rows(
        &self,
        challenge_uid: &str,
        contest: Option<Contest>,
    ) -> Result<Vec<Value>, MissingScores> {
        match self.scores.rows(challenge_uid, contest).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            result => result.map_err(|source| MissingScores::Scores {
                contest: contest.map_or("all contests", Contest::query_name),
                source,
            }),
        }
    }
}
