//! The scores of the miners, on disk.

mod evidence;
mod export;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taonet_database::{Database, DatabaseError, Executor, Row, Transaction, migrations, statement};
use taonet_primitives::{BlockNumber, Hotkey, NetUid, Ss58Error, Uid};
use taonet_service::unix_time;

use crate::request_hash::{RequestHash, RequestHashError};
use evidence::moving_average;

pub use evidence::{Explanation, RecordedReward, RecordedStep};
pub use export::{ExportError, ScoresExport};

/// Number of the newest steps whose rewards are recorded. With an `alpha` of 0.1, older rewards
/// count less than the rounding of a score; with 256 miners, the record takes about 40 MB.
const RECORDED_STEPS: i64 = 1_000;
/// Migrations of the database: version, name and SQL.
const MIGRATIONS: [(i64, &str, &str); 5] = [
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
    (
        4,
        "recorded steps",
        "CREATE TABLE steps (
    netuid BIGINT NOT NULL,
    number BIGINT NOT NULL,
    block BIGINT NOT NULL,
    began_ms BIGINT NOT NULL,
    alpha DOUBLE PRECISION NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (netuid, number)
)",
    ),
    (
        5,
        "recorded rewards",
        "CREATE TABLE rewards (
    netuid BIGINT NOT NULL,
    step BIGINT NOT NULL,
    hotkey TEXT NOT NULL,
    uid BIGINT NOT NULL,
    reward DOUBLE PRECISION NOT NULL,
    score_before DOUBLE PRECISION NOT NULL,
    score_after DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (netuid, step, hotkey)
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
        /// Why it is not a hotkey.
        source: Ss58Error,
    },
    /// A row of the database has no valid hash of a request.
    #[error("the record of a step is damaged; hint: another program has written the database")]
    Request(#[from] RequestHashError),
    /// The imported scores are those of another subnet.
    #[error("the scores are those of subnet {actual}, expected {expected}")]
    OtherSubnet {
        /// Netuid of the imported scores.
        actual: NetUid,
        /// Netuid of the scores that they would replace.
        expected: NetUid,
    },
    /// The scores are newer than those to import, which would undo steps.
    #[error(
        "the scores here are newer: their last step was at block {block}; hint: to go back to the older ones, move the \
         database away first"
    )]
    Newer {
        /// Block of the last step here.
        block: BlockNumber,
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
    pub started_at: SystemTime,
}

/// Results of a step, for [`Scores::update`].
#[derive(Debug, Clone)]
pub struct StepResults {
    /// Block and time of the step.
    pub step: CompletedStep,
    /// Hash of the request that the miners got.
    pub request: RequestHash,
    /// Rewards by hotkey.
    pub rewards: BTreeMap<Hotkey, f64>,
    /// The hotkeys that were registered at the block of the step, with their uids.
    pub registered: BTreeMap<Hotkey, Uid>,
}

/// Parameters of the moving averages.
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
///
/// The rewards of the newest 1 000 steps are recorded, so that [`Self::explain`] can show how a
/// score came about, and anyone can recompute it. With a score, its record is deleted, too.
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

    /// Opens the scores of a subnet to read them while a validator writes them. The file is not
    /// changed.
    ///
    /// # Errors
    /// [`ScoresError`] when the file is missing or unusable, or was written by another version of
    /// the program.
    pub async fn open_read_only(file: &Path, netuid: NetUid) -> Result<Self, ScoresError> {
        let database = Database::sqlite_read_only(file, &migrations(&MIGRATIONS)).await?;
        Ok(Self { database, netuid })
    }

    /// Returns the scores by hotkey, including those of hotkeys that left the subnet recently.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn read(&self) -> Result<BTreeMap<Hotkey, f64>, ScoresError> {
        Ok(scores_of(&self.read_averages((&self.database).into()).await?))
    }

    /// Returns the last step that is part of the scores; `None` if there was none.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn last_step(&self) -> Result<Option<CompletedStep>, ScoresError> {
        self.read_last_step((&self.database).into()).await
    }

    /// Returns how the score of a hotkey came about; `None` if it has no score.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn explain(&self, hotkey: &Hotkey) -> Result<Option<Explanation>, ScoresError> {
        // One statement, so that score and record are of the same step.
        let query = statement(
            "SELECT scores.score, rewards.hotkey, rewards.uid, rewards.reward, rewards.score_before, \
             rewards.score_after, steps.number, steps.block, steps.began_ms, steps.alpha, steps.request \
             FROM scores \
             LEFT JOIN rewards ON rewards.netuid = scores.netuid AND rewards.hotkey = scores.hotkey \
             LEFT JOIN steps ON steps.netuid = rewards.netuid AND steps.number = rewards.step \
             WHERE scores.netuid = $1 AND scores.hotkey = $2 ORDER BY steps.number",
        );
        let rows =
            query.bind(self.netuid_column()).bind(hotkey.to_string()).rows(&self.database).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let score = first.get("score")?;
        let mut rewards = Vec::new();
        for row in &rows {
            if row.get::<Option<i64>>("number")?.is_some() {
                rewards.push((parse_recorded_step(row)?, parse_recorded_reward(row)?));
            }
        }
        Ok(Some(Explanation { hotkey: *hotkey, score, rewards }))
    }

    /// Returns the hotkey of the miner that had a uid in the newest recorded step which rewarded
    /// this uid.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn hotkey_of(&self, uid: Uid) -> Result<Option<Hotkey>, ScoresError> {
        let query = statement(
            "SELECT hotkey FROM rewards WHERE netuid = $1 AND uid = $2 ORDER BY step DESC LIMIT 1",
        );
        let row =
            query.bind(self.netuid_column()).bind(i64::from(uid.0)).row(&self.database).await?;
        row.map(|row| parse_hotkey(&row)).transpose()
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
        let before = self.read_averages((&mut transaction).into()).await?;
        let after = update_averages(before.clone(), results, averaging);
        self.write_averages(&after, &mut transaction).await?;
        self.record_step(results, averaging.alpha, &before, &after, &mut transaction).await?;
        self.write_last_step(results.step, &mut transaction).await?;
        transaction.commit().await?;
        Ok(scores_of(&after))
    }

    /// Returns the scores with the record of their steps.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn export(&self) -> Result<ScoresExport, ScoresError> {
        let mut transaction = self.database.begin_reading().await?;
        let last_step = self.read_last_step((&mut transaction).into()).await?;
        let averages = self.read_averages((&mut transaction).into()).await?;
        let query = statement("SELECT * FROM steps WHERE netuid = $1 ORDER BY number")
            .bind(self.netuid_column());
        let rows = query.rows(&mut transaction).await?;
        let (recorded_steps, mut steps) =
            (rows.iter().map(parse_recorded_step).collect::<Result<Vec<_>, _>>()?, Vec::new());
        for step in recorded_steps {
            let query = statement("SELECT * FROM rewards WHERE netuid = $1 AND step = $2")
                .bind(self.netuid_column());
            let rows = query.bind(to_column(step.number)).rows(&mut transaction).await?;
            let mut rewards =
                rows.iter().map(parse_recorded_reward).collect::<Result<Vec<_>, _>>()?;
            rewards.sort_unstable_by_key(|reward| reward.hotkey);
            steps.push((step, rewards));
        }
        transaction.commit().await?;
        Ok(ScoresExport { netuid: self.netuid, last_step, averages, steps })
    }

    /// Replaces the scores and the record of their steps by exported ones, in one transaction.
    ///
    /// # Errors
    /// [`ScoresError`] when the scores here are newer, the exported ones are those of another
    /// subnet, or the database fails. The scores are then unchanged, unless the commit itself
    /// failed.
    pub async fn import(&self, export: &ScoresExport) -> Result<(), ScoresError> {
        if export.netuid != self.netuid {
            return Err(ScoresError::OtherSubnet { actual: export.netuid, expected: self.netuid });
        }
        let mut transaction = self.database.begin().await?;
        let current_step = self.read_last_step((&mut transaction).into()).await?;
        // Times instead of blocks: a development chain can have been restarted from genesis.
        if let Some(current_step) = current_step.filter(|current_step| {
            export.last_step.is_none_or(|imported| imported.started_at < current_step.started_at)
        }) {
            return Err(ScoresError::Newer { block: current_step.block });
        }
        for delete in [
            "DELETE FROM last_steps WHERE netuid = $1",
            "DELETE FROM rewards WHERE netuid = $1",
            "DELETE FROM steps WHERE netuid = $1",
        ] {
            statement(delete).bind(self.netuid_column()).execute(&mut transaction).await?;
        }
        self.write_averages(&export.averages, &mut transaction).await?;
        for (step, rewards) in &export.steps {
            self.write_step(step, rewards, &mut transaction).await?;
        }
        if let Some(last_step) = export.last_step {
            self.write_last_step(last_step, &mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Returns the netuid as a column value.
    fn netuid_column(&self) -> i64 {
        i64::from(self.netuid.0)
    }

    async fn read_averages(
        &self,
        executor: Executor<'_>,
    ) -> Result<BTreeMap<Hotkey, Average>, ScoresError> {
        let query = statement("SELECT hotkey, score, absent_since FROM scores WHERE netuid = $1")
            .bind(self.netuid_column());
        let mut averages = BTreeMap::new();
        for row in query.rows(executor).await? {
            let absent_since = row.get::<Option<i64>>("absent_since")?.map(to_block_number);
            averages
                .insert(parse_hotkey(&row)?, Average { score: row.get("score")?, absent_since });
        }
        Ok(averages)
    }

    async fn read_last_step(
        &self,
        executor: Executor<'_>,
    ) -> Result<Option<CompletedStep>, ScoresError> {
        let query = statement("SELECT block, began_ms FROM last_steps WHERE netuid = $1")
            .bind(self.netuid_column());
        query.row(executor).await?.map(|row| parse_completed_step(&row)).transpose()
    }

    /// Replaces the averages.
    async fn write_averages(
        &self,
        averages: &BTreeMap<Hotkey, Average>,
        transaction: &mut Transaction,
    ) -> Result<(), ScoresError> {
        statement("DELETE FROM scores WHERE netuid = $1")
            .bind(self.netuid_column())
            .execute(&mut *transaction)
            .await?;
        for (hotkey, average) in averages {
            statement(
                "INSERT INTO scores (netuid, hotkey, score, absent_since) VALUES ($1, $2, $3, $4)",
            )
            .bind(self.netuid_column())
            .bind(hotkey.to_string())
            .bind(average.score)
            .bind(average.absent_since.map(|block| i64::from(block.get())))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }

    /// Replaces the last step.
    async fn write_last_step(
        &self,
        step: CompletedStep,
        transaction: &mut Transaction,
    ) -> Result<(), ScoresError> {
        let CompletedStep { block, started_at } = step;
        statement("DELETE FROM last_steps WHERE netuid = $1")
            .bind(self.netuid_column())
            .execute(&mut *transaction)
            .await?;
        statement("INSERT INTO last_steps (netuid, block, began_ms) VALUES ($1, $2, $3)")
            .bind(self.netuid_column())
            .bind(i64::from(block.get()))
            .bind(to_column(unix_ms(started_at)))
            .execute(&mut *transaction)
            .await?;
        Ok(())
    }

    /// Records a step, and deletes the record of old steps and of deleted scores.
    async fn record_step(
        &self,
        results: &StepResults,
        alpha: f64,
        before: &BTreeMap<Hotkey, Average>,
        after: &BTreeMap<Hotkey, Average>,
        transaction: &mut Transaction,
    ) -> Result<(), ScoresError> {
        let newest_number =
            statement("SELECT COALESCE(MAX(number), 0) FROM steps WHERE netuid = $1")
                .bind(self.netuid_column());
        let number = newest_number.number(&mut *transaction).await?.saturating_add(1);
        let rewards = results.rewards.iter().filter_map(|(hotkey, reward)| {
            // Hotkeys that are not registered get no reward.
            let (uid, average) = (*results.registered.get(hotkey)?, after.get(hotkey)?);
            let score_before = before.get(hotkey).map_or(0.0, |average| average.score);
            Some(RecordedReward {
                hotkey: *hotkey,
                uid,
                reward: *reward,
                score_before,
                score_after: average.score,
            })
        });
        let rewards: Vec<RecordedReward> = rewards.collect();
        let step = RecordedStep {
            number: number.unsigned_abs(),
            completed: results.step,
            alpha,
            request: results.request,
        };
        self.write_step(&step, &rewards, transaction).await?;
        let newest_deleted = number.saturating_sub(RECORDED_STEPS);
        for delete in [
            "DELETE FROM rewards WHERE netuid = $1 AND step <= $2",
            "DELETE FROM steps WHERE netuid = $1 AND number <= $2",
        ] {
            statement(delete)
                .bind(self.netuid_column())
                .bind(newest_deleted)
                .execute(&mut *transaction)
                .await?;
        }
        let deleted: Vec<Hotkey> =
            before.keys().filter(|hotkey| !after.contains_key(hotkey)).copied().collect();
        for hotkey in deleted {
            let delete = statement("DELETE FROM rewards WHERE netuid = $1 AND hotkey = $2")
                .bind(self.netuid_column());
            delete.bind(hotkey.to_string()).execute(&mut *transaction).await?;
        }
        Ok(())
    }

    /// Writes a step and its rewards.
    async fn write_step(
        &self,
        step: &RecordedStep,
        rewards: &[RecordedReward],
        transaction: &mut Transaction,
    ) -> Result<(), ScoresError> {
        let RecordedStep { number, completed, alpha, request } = *step;
        let CompletedStep { block, started_at } = completed;
        statement(
            "INSERT INTO steps (netuid, number, block, began_ms, alpha, request) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.netuid_column())
        .bind(to_column(number))
        .bind(i64::from(block.get()))
        .bind(to_column(unix_ms(started_at)))
        .bind(alpha)
        .bind(request.to_string())
        .execute(&mut *transaction)
        .await?;
        for reward in rewards {
            statement(
                "INSERT INTO rewards (netuid, step, hotkey, uid, reward, score_before, score_after) VALUES ($1, $2, $3, \
                 $4, $5, $6, $7)",
            )
            .bind(self.netuid_column())
            .bind(to_column(number))
            .bind(reward.hotkey.to_string())
            .bind(i64::from(reward.uid.0))
            .bind(reward.reward)
            .bind(reward.score_before)
            .bind(reward.score_after)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }
}

/// Reads the hotkey of a row.
fn parse_hotkey(row: &Row) -> Result<Hotkey, ScoresError> {
    let text: String = row.get("hotkey")?;
    match text.parse::<Hotkey>() {
        Ok(hotkey) => Ok(hotkey),
        Err(source) => Err(ScoresError::Hotkey { text, source }),
    }
}

/// Reads block and time of a step.
fn parse_completed_step(row: &Row) -> Result<CompletedStep, ScoresError> {
    let started_at = from_unix_ms(u64::try_from(row.get::<i64>("began_ms")?).unwrap_or_default());
    Ok(CompletedStep {
        block: to_block_number(row.get("block")?),
        started_at: started_at.unwrap_or(UNIX_EPOCH),
    })
}

fn parse_recorded_step(row: &Row) -> Result<RecordedStep, ScoresError> {
    let request: String = row.get("request")?;
    Ok(RecordedStep {
        number: row.get::<i64>("number")?.unsigned_abs(),
        completed: parse_completed_step(row)?,
        alpha: row.get("alpha")?,
        request: request.parse()?,
    })
}

fn parse_recorded_reward(row: &Row) -> Result<RecordedReward, ScoresError> {
    Ok(RecordedReward {
        hotkey: parse_hotkey(row)?,
        // Values that are no uids are written only by another program.
        uid: Uid(u16::try_from(row.get::<i64>("uid")?).unwrap_or(u16::MAX)),
        reward: row.get("reward")?,
        score_before: row.get("score_before")?,
        score_after: row.get("score_after")?,
    })
}

/// Returns a number as a column value.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a time in whole milliseconds since the Unix epoch.
fn unix_ms(time: SystemTime) -> u64 {
    u64::try_from(unix_time(time).as_millis()).unwrap_or(u64::MAX)
}

/// Converts milliseconds since the Unix epoch to a time; `None` if the clock cannot represent it.
fn from_unix_ms(milliseconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// Converts a column value to a block number. Values that are out of range, which only another
/// program writes, become block 0.
fn to_block_number(number: i64) -> BlockNumber {
    BlockNumber::new(u32::try_from(number).unwrap_or_default())
}

fn scores_of(averages: &BTreeMap<Hotkey, Average>) -> BTreeMap<Hotkey, f64> {
    averages.iter().map(|(hotkey, average)| (*hotkey, average.score)).collect()
}

/// Returns the averages after a step. A miner's first average starts at 0.
fn update_averages(
    mut averages: BTreeMap<Hotkey, Average>,
    results: &StepResults,
    averaging: Averaging,
) -> BTreeMap<Hotkey, Average> {
    let current_block = results.step.block;
    for (hotkey, reward) in
        results.rewards.iter().filter(|(hotkey, _)| results.registered.contains_key(hotkey))
    {
        let average = averages.entry(*hotkey).or_default();
        average.score = moving_average(average.score, averaging.alpha, *reward);
    }
    averages.retain(|hotkey, average| {
        if results.registered.contains_key(hotkey) {
            average.absent_since = None;
            return true;
        }
        // After a restart of a development chain from genesis, block numbers are lower.
        let absent_since =
            average.absent_since.map_or(current_block, |block| block.min(current_block));
        average.absent_since = Some(absent_since);
        current_block.since(absent_since) < averaging.absence
    });
    averages
}

#[cfg(test)]
mod tests;
