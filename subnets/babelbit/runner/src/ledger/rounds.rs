use std::str::FromStr;

use sqlx::Row;
use taonet_babelbit_core::records::ChallengeType;

use super::{Ledger, LedgerError};

/// How the last round of a contest came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEnd {
    /// Everything is played, scored and written.
    Played,
    /// It failed as often as it may.
    Failed,
    /// There was none: the first start waits for the next epoch.
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

/// The last epoch of blocks whose round of a contest is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundRow {
    /// The contest.
    pub challenge_type: ChallengeType,
    /// The epoch; nothing where the chain could not be read.
    pub epoch: Option<u32>,
    /// How the round ended.
    pub end: RoundEnd,
    /// The challenge, where there was one.
    pub challenge_uid: Option<String>,
    /// When it ended: Unix time in seconds.
    pub ended_unix: i64,
}

impl Ledger {
    /// The last round of a contest.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger fails.
    pub async fn last_round(&self, challenge_type: ChallengeType) -> Result<Option<RoundRow>, LedgerError> {
        let row = sqlx::query("SELECT epoch, outcome, challenge_uid, ended_unix FROM round WHERE challenge_type = ?")
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

    /// Notes that a round is over.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger fails.
    pub async fn end_round(&self, round: &RoundRow) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO round (challenge_type, epoch, outcome, challenge_uid, ended_unix) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (challenge_type) DO UPDATE SET
                 epoch = excluded.epoch, outcome = excluded.outcome, challenge_uid = excluded.challenge_uid,
                 ended_unix = excluded.ended_unix",
        )
        .bind(round.challenge_type.as_str())
        .bind(round.epoch)
        .bind(round.end.as_str())
        .bind(&round.challenge_uid)
        .bind(round.ended_unix)
        .execute(&mut *self.connection.lock().await)
        .await?;
        Ok(())
    }
}
