//! What engine and scoring API say about the current challenge, and what of it could not be had.

use serde_json::Value;
use taonet_babelbit_core::contest_scores::ContestScores;
use taonet_babelbit_core::scoring_api::Contest;
use taonet_primitives::Uid;

use super::{Babelbit, MissingScores};
use taonet_babelbit_engine::client::ChallengeKind;

/// The rows of the current challenge.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The challenge, where the engine named one.
    pub(super) challenge_uid: Option<String>,
    main: Vec<Value>,
    arena: Vec<Value>,
    /// The first answer that would count and did not come. That there are no scores is an answer.
    missing: Option<MissingScores>,
}

impl Rows {
    /// Fails where an answer is missing, unless it is too late to ask again.
    pub(super) fn check(&mut self, is_late: bool) -> Result<(), MissingScores> {
        match self.missing.take() {
            Some(missing) if !is_late => Err(missing),
            Some(missing) => {
                tracing::warn!(%missing, "the epoch is nearly over: weights are decided without these scores");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The scores that count. `uid_of` finds the slot of a hotkey.
    pub(super) fn scores(&self, uid_of: impl Fn(&str) -> Option<Uid>) -> ContestScores {
        let mut scores = ContestScores::default();
        scores.add(&self.main, Contest::Main, &uid_of);
        scores.add(&self.arena, Contest::Arena, &uid_of);
        scores
    }
}

impl Babelbit {
    /// The current challenge, and the rows that the scoring API has of it.
    pub(super) async fn rows(&self) -> Rows {
        let challenge_uid = match self.engine.start_with_retry(ChallengeKind::Main).await {
            Ok(utterance) => Some(utterance.challenge_uid).filter(|uid| !uid.is_empty()),
            Err(error) => return Rows { missing: Some(MissingScores::Challenge(error)), ..Rows::default() },
        };
        let mut rows = Rows { challenge_uid, ..Rows::default() };
        let Some(challenge_uid) = &rows.challenge_uid else { return rows };
        let (main, arena) = tokio::join!(
            self.rows_of(challenge_uid, Some(Contest::Main)),
            self.rows_of(challenge_uid, Some(Contest::Arena))
        );
        let arena_share = self.settings.arena_share.get();
        for (answer, place, share) in [(main, &mut rows.main, 1.0 - arena_share), (arena, &mut rows.arena, arena_share)]
        {
            match answer {
                Ok(found) => *place = found,
                Err(error) if share > 0.0 => rows.missing = rows.missing.take().or(Some(error)),
                Err(error) => tracing::warn!(%error, "the contest has no share of the weights"),
            }
        }
        rows
    }

    /// In place of an answer for each contest, of which neither has scores, the API's older form, for all of them.
    pub(super) async fn older_rows(&self, rows: &mut Rows) {
        let Some(challenge_uid) = &rows.challenge_uid else { return };
        match self.rows_of(challenge_uid, None).await {
            Ok(found) => rows.main = found,
            Err(error) => rows.missing = Some(error),
        }
    }

    async fn rows_of(&self, challenge_uid: &str, contest: Option<Contest>) -> Result<Vec<Value>, MissingScores> {
        match self.scores.rows(challenge_uid, contest).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            answer => answer.map_err(|source| MissingScores::Scores {
                contest: contest.map_or("all contests", Contest::query_name),
                source,
            }),
        }
    }
}
