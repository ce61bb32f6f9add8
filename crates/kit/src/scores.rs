//! The scores of the miners, on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taonet_database::{Database, DatabaseError, On, migrations, statement};
use taonet_primitives::{BlockNumber, Hotkey, NetUid, Ss58Error};
use taonet_service::unix_time;

/// Migrations of the database: version, name and SQL.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (
        1,
        "scores",
        "CREATE TABLE scores (
    netuid BIGINT NOT NULL,
    hotkey TEXT NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (netuid, hotkey)
)",
    ),
    (2, "absence", "ALTER TABLE scores ADD COLUMN absent_since BIGINT"),
    (
        3,
        "last step",
        "CREATE TABLE last_steps (
    netuid BIGINT NOT NULL PRIMARY KEY,
    block BIGINT NOT NULL,
    began_ms BIGINT NOT NULL
)",
    ),
];

/// Why scores cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoresError {
    /// The database failed.
    #[error("cannot read or write the scores")]
    Database(#[from] DatabaseError),
    /// A row of the database has no valid hotkey.
    #[error(
        "the scores contain `{text}`, which is no hotkey; hint: another program has written the database"
    )]
    Hotkey {
        /// The text in place of a hotkey.
        text: String,
        /// Why it is no hotkey.
        source: Ss58Error,
    },
    /// The scores are too old to be submitted.
    #[error(
        "no step has completed within {max_age} blocks; hint: the log has the errors of the steps"
    )]
    Stale {
        /// Maximum age of scores in blocks.
        max_age: u32,
    },
}

/// A completed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedStep {
    /// The block at which the neurons were read.
    pub block: BlockNumber,
    /// Start of the step, in whole milliseconds.
    pub began: SystemTime,
}

/// Results of a step, for [`Scores::update`].
#[derive(Debug, Clone)]
pub struct StepResults {
    /// Block and time of the step.
    pub step: CompletedStep,
    /// Rewards by hotkey.
    pub rewards: BTreeMap<Hotkey, f64>,
    /// The hotkeys that were registered at the block of the step.
    pub registered: BTreeSet<Hotkey>,
}

/// How results change scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Averaging {
    /// Share of the newest reward in a miner's score.
    pub alpha: f64,
    /// Number of blocks after which the score of a hotkey that has left the subnet is deleted.
    pub absence: u32,
}

/// Moving averages of the miners' rewards, in a SQLite file. Clones share the file.
///
/// A score belongs to a hotkey, not to a uid: it follows a miner to another uid, and a new miner in
/// a reused uid starts at 0. A miner that has left the subnet loses its score after a number of
/// blocks, so that one wrong list of neurons deletes nothing. An update is one transaction: after a
/// kill, a step counts completely or not at all.
#[derive(Debug, Clone)]
pub struct Scores {
    database: Database,
    netuid: NetUid,
}

/// The average of a hotkey.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Average {
    score: f64,
    /// The block of the first step without the hotkey; `None` if the last step had it.
    absent_since: Option<BlockNumber>,
}

impl Scores {
    /// Opens the scores of a subnet; creates the file if missing. The scores of several subnets can
    /// be in one file.
    ///
    /// # Errors
    /// [`ScoresError`] when the file is unusable, locked, or was written by another program.
    pub async fn open(file: &Path, netuid: NetUid) -> Result<Self, ScoresError> {
        let database = Database::sqlite(file, &migrations(&MIGRATIONS)).await?;
        Ok(Self { database, netuid })
    }

    /// Returns the scores by hotkey, including those of hotkeys that left the subnet recently.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn read(&self) -> Result<BTreeMap<Hotkey, f64>, ScoresError> {
        Ok(scores_of(&self.averages((&self.database).into()).await?))
    }

    /// Returns the last step that is part of the scores; `None` if there was none.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn last_step(&self) -> Result<Option<CompletedStep>, ScoresError> {
        let query =
            statement("SELECT block, began_ms FROM last_steps WHERE netuid = $1").bind(self.key());
        let Some(row) = query.row(&self.database).await? else { return Ok(None) };
        let began =
            Duration::from_millis(u64::try_from(row.get::<i64>("began_ms")?).unwrap_or_default());
        Ok(Some(CompletedStep { block: block(row.get("block")?), began: UNIX_EPOCH + began }))
    }

    /// Moves the averages towards the rewards of one step, and returns the new scores. Miners
    /// without a reward keep their scores; hotkeys that are not registered get no reward, and are
    /// deleted after [`Averaging::absence`].
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails. The scores are then unchanged, unless the commit
    /// itself failed.
    pub async fn update(
        &self,
        results: &StepResults,
        averaging: Averaging,
    ) -> Result<BTreeMap<Hotkey, f64>, ScoresError> {
        let mut transaction = self.database.begin().await?;
        let averages =
            averaged(self.averages((&mut transaction).into()).await?, results, averaging);
        statement("DELETE FROM scores WHERE netuid = $1")
            .bind(self.key())
            .execute(&mut transaction)
            .await?;
        for (hotkey, average) in &averages {
            statement(
                "INSERT INTO scores (netuid, hotkey, score, absent_since) VALUES ($1, $2, $3, $4)",
            )
            .bind(self.key())
            .bind(hotkey.to_string())
            .bind(average.score)
            .bind(average.absent_since.map(|block| i64::from(block.get())))
            .execute(&mut transaction)
            .await?;
        }
        let CompletedStep { block, began } = results.step;
        statement("DELETE FROM last_steps WHERE netuid = $1")
            .bind(self.key())
            .execute(&mut transaction)
            .await?;
        statement("INSERT INTO last_steps (netuid, block, began_ms) VALUES ($1, $2, $3)")
            .bind(self.key())
            .bind(i64::from(block.get()))
            .bind(i64::try_from(unix_time(began).as_millis()).unwrap_or(i64::MAX))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(scores_of(&averages))
    }

    /// Returns the netuid as a column value.
    fn key(&self) -> i64 {
        i64::from(self.netuid.0)
    }

    async fn averages(&self, on: On<'_>) -> Result<BTreeMap<Hotkey, Average>, ScoresError> {
        let query = statement("SELECT hotkey, score, absent_since FROM scores WHERE netuid = $1")
            .bind(self.key());
        let mut averages = BTreeMap::new();
        for row in query.rows(on).await? {
            let text: String = row.get("hotkey")?;
            let hotkey = match text.parse::<Hotkey>() {
                Ok(hotkey) => hotkey,
                Err(source) => return Err(ScoresError::Hotkey { text, source }),
            };
            let absent_since = row.get::<Option<i64>>("absent_since")?.map(block);
            averages.insert(hotkey, Average { score: row.get("score")?, absent_since });
        }
        Ok(averages)
    }
}

/// Converts a column value. Only another program writes values that are no block numbers; these are
/// long ago.
fn block(number: i64) -> BlockNumber {
    BlockNumber::new(u32::try_from(number).unwrap_or_default())
}

fn scores_of(averages: &BTreeMap<Hotkey, Average>) -> BTreeMap<Hotkey, f64> {
    averages.iter().map(|(hotkey, average)| (*hotkey, average.score)).collect()
}

/// Returns the averages after a step. A miner's first average starts at 0.
fn averaged(
    mut averages: BTreeMap<Hotkey, Average>,
    results: &StepResults,
    averaging: Averaging,
) -> BTreeMap<Hotkey, Average> {
    let now = results.step.block;
    for (hotkey, reward) in
        results.rewards.iter().filter(|(hotkey, _)| results.registered.contains(hotkey))
    {
        let average = averages.entry(*hotkey).or_default();
        average.score += averaging.alpha * (*reward - average.score);
    }
    averages.retain(|hotkey, average| {
        if results.registered.contains(hotkey) {
            average.absent_since = None;
            return true;
        }
        // After a restart of a development chain from genesis, block numbers are lower.
        let since = average.absent_since.map_or(now, |since| since.min(now));
        average.absent_since = Some(since);
        now.since(since) < averaging.absence
    });
    averages
}

#[cfg(test)]
mod tests;
