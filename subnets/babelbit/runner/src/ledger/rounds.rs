use std::str::FromStr;

use sqlx::Row;
use taonet_babelbit_core::records::ChallengeType;

use super::{Ledger, LedgerError};

/// Outcome of a contest's last round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEnd {
    /// The runner played, scored and wrote the complete round.
    Played,
    /// The maximum number of attempts failed.
    Failed,
    /// No round was run: the first start of a runner waits for the next epoch.
    Waited,
}

impl RoundEnd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Waited => "waited",
        }
    }
}

impl FromStr for RoundEnd {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        match text {
            "played" => Ok(Self::Played),
            "failed" => Ok(Self::Failed),
            "waited" => Ok(Self::Waited),
            other => Err(LedgerError::Value { column: "round.outcome", value: other.to_owned() }),
        }
    }
}

/// Record of a contest's last round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundRow {
    /// Contest of the round.
    pub challenge_type: ChallengeType,
    /// Epoch of the round; `None` if the chain was unreadable.
    pub epoch: Option<u32>,
    /// Outcome of the round.
    pub end: RoundEnd,
    /// ID of the challenge, if there was one.
    pub challenge_uid: Option<String>,
    /// End time in seconds since the Unix epoch.
    pub ended_unix: i64,
}

impl Ledger {
    /// Reads the last round of a contest.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub async fn last_round(
        &self,
        challenge_type: ChallengeType,
    ) -> Result<Option<RoundRow>, LedgerError> {
        let row = sqlx::query(
            "SELECT epoch, outcome, challenge_uid, ended_unix FROM round WHERE challenge_type = ?",
        )
        .bind(challenge_type.as_str())
        .fetch_optional(&mut *self.connection.lock().await)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(RoundRow {
            challenge_type,
            epoch: row.try_get("epoch")?,
            end: row.try_get::<String, _>("outcome")?.parse()?,
            challenge_uid: row.try_get("challenge_uid")?,
            ended_unix: row.try_get("ended_unix")?,
        }))
    }

    /// Records the end of a round.
    ///
    /// # Errors
    /// [`LedgerError`] when the database operation fails.
    pub(crate) async fn end_round(&self, round: &RoundRow) -> Result<(), LedgerError> {
        let statement = sqlx::query(
            "INSERT INTO round (challenge_type, epoch, outcome, challenge_uid, ended_unix) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (challenge_type) DO UPDATE SET
                 epoch = excluded.epoch, outcome = excluded.outcome, challenge_uid = excluded.challenge_uid,
                 ended_unix = excluded.ended_unix",
        )
        .bind(round.challenge_type.as_str())
        .bind(round.epoch)
        .bind(round.end.as_str())
        .bind(&round.challenge_uid)
        .bind(round.ended_unix);
        self.execute(statement).await.map(drop)
    }
}
