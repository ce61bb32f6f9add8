//! Queue of sampled answers for the checker, and the resulting rewards.

use taonet_database::{Row, Transaction, statement};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::sampling::{eviction_count, has_room_for_sample};
use taonet_primitives::{Hotkey, Uid};

use crate::error::{integer_column, parse_column};
use crate::{PeriodId, Store, StoreError};

/// A sampled answer in the queue of the checker.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// ID of the attempt that produced the answer.
    pub job_id: String,
    /// Period of the request.
    pub period: PeriodId,
    /// Name of the task.
    pub task: TaskName,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Uid of the miner.
    pub uid: Uid,
    /// Whether the request was synthetic.
    pub synthetic: bool,
    /// Payload of the request, in JSON.
    pub request: String,
    /// Chunks of the answer, as a JSON array.
    pub answer: String,
    /// Work of the answer, in the unit of the task.
    pub work: f64,
    /// Response time from sending to the last chunk, in seconds.
    pub response_time: Option<f64>,
    /// Time of the response, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// Result of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Reward {
    /// Quality in `0..=1`; `None` if the check could not determine it.
    pub quality: Option<f64>,
    /// Speed: work per second, in the unit of the task.
    pub metric: Option<f64>,
    /// Human-readable reason for the quality.
    pub reason: String,
    /// Time of the check, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// A stored reward.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardRow {
    /// ID of the attempt that produced the answer.
    pub job_id: String,
    /// Name of the task.
    pub task: TaskName,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Whether the request was synthetic.
    pub synthetic: bool,
    /// Result of the check.
    pub reward: Reward,
}

impl Store {
    /// Queues an answer for checking, unless the task's queue is full; returns whether it was
    /// queued. `weight` is the task's share of the incentive.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn put_sample(&self, sample: &Sample, weight: f64) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let to_usize = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
        let task_sample_count = statement("SELECT COUNT(*) FROM sample WHERE task = $1")
            .bind(sample.task.as_str())
            .number(&mut transaction)
            .await?;
        if !has_room_for_sample(to_usize(task_sample_count), weight) {
            return Ok(false);
        }
        let sample_count =
            statement("SELECT COUNT(*) FROM sample").number(&mut transaction).await?;
        let evicted_count = i64::try_from(eviction_count(to_usize(sample_count))).unwrap_or(0);
        statement(
            "DELETE FROM sample WHERE job_id IN (SELECT job_id FROM sample ORDER BY created_ms, job_id LIMIT $1)",
        )
        .bind(evicted_count)
        .execute(&mut transaction)
        .await?;
        // An answer is checked at most once.
        let inserted_rows = statement(
            "INSERT INTO sample (job_id, period_id, task, hotkey, uid, synthetic, request, answer, work, response_time,
                                 created_ms)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
             WHERE NOT EXISTS (SELECT 1 FROM reward WHERE job_id = $1) ON CONFLICT (job_id) DO NOTHING",
        )
        .bind(&sample.job_id)
        .bind(sample.period.0)
        .bind(sample.task.as_str())
        .bind(sample.hotkey.to_string())
        .bind(i64::from(sample.uid.0))
        .bind(i64::from(sample.synthetic))
        .bind(&sample.request)
        .bind(&sample.answer)
        .bind(sample.work)
        .bind(sample.response_time)
        .bind(sample.created_ms)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(inserted_rows > 0)
    }

    /// Returns the number of queued answers per task.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn samples_by_task(&self) -> Result<Vec<(TaskName, usize)>, StoreError> {
        let rows =
            statement("SELECT task, COUNT(*) AS stored FROM sample GROUP BY task ORDER BY task")
                .rows(&self.database)
                .await?;
        rows.iter()
            .map(|row| Ok((parse_column(row, "task")?, integer_column(row, "stored")?)))
            .collect()
    }

    /// Returns the answer to check next: the oldest one of the miner with the fewest rewards in the
    /// task.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn next_sample(&self, task: &TaskName) -> Result<Option<Sample>, StoreError> {
        let row = statement(
            "SELECT sample.* FROM sample
             LEFT JOIN (SELECT hotkey, COUNT(*) AS checked FROM reward WHERE task = $1 GROUP BY hotkey) AS known
             ON known.hotkey = sample.hotkey
             WHERE sample.task = $1 ORDER BY COALESCE(known.checked, 0), sample.created_ms, sample.job_id LIMIT 1",
        )
        .bind(task.as_str())
        .row(&self.database)
        .await?;
        row.as_ref().map(parse_sample).transpose()
    }

    /// Replaces a sample in the queue with its reward, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn put_reward(&self, sample: &Sample, reward: &Reward) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        insert_reward(&mut transaction, sample, reward).await?;
        statement("DELETE FROM sample WHERE job_id = $1")
            .bind(&sample.job_id)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Returns the rewards since `since_ms` (Unix time in milliseconds), newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn rewards_since(&self, since_ms: i64) -> Result<Vec<RewardRow>, StoreError> {
        let rows = statement(
            "SELECT * FROM reward WHERE created_ms >= $1 ORDER BY created_ms DESC, job_id",
        )
        .bind(since_ms)
        .rows(&self.database)
        .await?;
        rows.iter().map(parse_reward).collect()
    }

    /// Deletes rewards, closed periods and the neurons registered then, and unchecked samples older
    /// than the given Unix times in milliseconds.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn sweep(
        &self,
        rewards_ms: i64,
        periods_ms: i64,
        samples_ms: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        statement("DELETE FROM reward WHERE created_ms < $1")
            .bind(rewards_ms)
            .execute(&mut transaction)
            .await?;
        statement("DELETE FROM sample WHERE created_ms < $1")
            .bind(samples_ms)
            .execute(&mut transaction)
            .await?;
        for sql in [
            "DELETE FROM contender WHERE period_id IN (SELECT id FROM period WHERE closed_ms < $1)",
            "DELETE FROM budget WHERE period_id IN (SELECT id FROM period WHERE closed_ms < $1)",
            // Keeps the newest period, so that the numbering continues.
            "DELETE FROM period_config WHERE period_id IN (SELECT id FROM period WHERE closed_ms < $1 AND
             id < (SELECT MAX(id) FROM period))",
            "DELETE FROM period WHERE closed_ms < $1 AND id < (SELECT MAX(id) FROM period)",
            // Keeps the neurons that were registered when the oldest of the remaining periods
            // closed.
            "DELETE FROM registered WHERE since_ms < (SELECT MAX(since_ms) FROM registered WHERE since_ms <= $1)",
        ] {
            statement(sql).bind(periods_ms).execute(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Returns the mean quality of each miner's rewards since `since_ms` (Unix time in
    /// milliseconds), by task.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn qualities_since(
        &self,
        since_ms: i64,
    ) -> Result<Vec<(TaskName, Hotkey, f64)>, StoreError> {
        let rows = statement(
            "SELECT task, hotkey, AVG(quality) AS quality FROM reward
             WHERE created_ms >= $1 AND quality IS NOT NULL GROUP BY task, hotkey",
        )
        .bind(since_ms)
        .rows(&self.database)
        .await?;
        rows.iter()
            .map(|row| {
                Ok((parse_column(row, "task")?, parse_column(row, "hotkey")?, row.get("quality")?))
            })
            .collect()
    }
}

/// Stores the result of a check, unless the job has one.
pub(crate) async fn insert_reward(
    transaction: &mut Transaction,
    sample: &Sample,
    reward: &Reward,
) -> Result<(), StoreError> {
    statement(
        "INSERT INTO reward (job_id, period_id, task, hotkey, uid, synthetic, quality, metric, work, response_time,
                             reason, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (job_id) DO NOTHING",
    )
    .bind(&sample.job_id)
    .bind(sample.period.0)
    .bind(sample.task.as_str())
    .bind(sample.hotkey.to_string())
    .bind(i64::from(sample.uid.0))
    .bind(i64::from(sample.synthetic))
    .bind(reward.quality)
    .bind(reward.metric)
    .bind(sample.work)
    .bind(sample.response_time)
    .bind(&reward.reason)
    .bind(reward.created_ms)
    .execute(transaction)
    .await?;
    Ok(())
}

fn parse_sample(row: &Row) -> Result<Sample, StoreError> {
    Ok(Sample {
        job_id: row.get("job_id")?,
        period: PeriodId(row.get("period_id")?),
        task: parse_column(row, "task")?,
        hotkey: parse_column(row, "hotkey")?,
        uid: Uid(integer_column(row, "uid")?),
        synthetic: row.get::<i64>("synthetic")? != 0,
        request: row.get("request")?,
        answer: row.get("answer")?,
        work: row.get("work")?,
        response_time: row.get("response_time")?,
        created_ms: row.get("created_ms")?,
    })
}

fn parse_reward(row: &Row) -> Result<RewardRow, StoreError> {
    Ok(RewardRow {
        job_id: row.get("job_id")?,
        task: parse_column(row, "task")?,
        hotkey: parse_column(row, "hotkey")?,
        synthetic: row.get::<i64>("synthetic")? != 0,
        reward: Reward {
            quality: row.get("quality")?,
            metric: row.get("metric")?,
            reason: row.get("reason")?,
            created_ms: row.get("created_ms")?,
        },
    })
}
