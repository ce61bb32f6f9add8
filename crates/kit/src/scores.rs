//! The scores of the miners, on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use taonet_database::{Database, DatabaseError, On, migrations, statement};
use taonet_primitives::{Hotkey, NetUid, Ss58Error};

/// Schema of the database.
const SCHEMA: &str = "CREATE TABLE scores (
    netuid BIGINT NOT NULL,
    hotkey TEXT NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (netuid, hotkey)
)";

/// Why scores cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoresError {
    /// The database failed.
    #[error("cannot read or write the scores")]
    Database(#[from] DatabaseError),
    /// A row of the database has no valid hotkey.
    #[error("the scores contain `{text}`, which is no hotkey; hint: another program has written the database")]
    Hotkey {
        /// The text in place of a hotkey.
        text: String,
        /// Why it is no hotkey.
        source: Ss58Error,
    },
}

/// Moving averages of the miners' rewards, in a SQLite file. Clones share the file.
///
/// A score belongs to a hotkey, not to a uid: it follows a miner to another uid, and a new miner in a reused uid starts
/// at 0. A miner that leaves the subnet loses its score. An update is one transaction, so that after a kill a step
/// counts completely or not at all.
#[derive(Debug, Clone)]
pub struct Scores {
    database: Database,
    netuid: NetUid,
}

impl Scores {
    /// Opens the scores of a subnet; creates the file if missing. The scores of several subnets can be in one file.
    ///
    /// # Errors
    /// [`ScoresError`] when the file is unusable, locked, or was written by another program.
    pub async fn open(file: &Path, netuid: NetUid) -> Result<Self, ScoresError> {
        let database = Database::sqlite(file, &migrations(&[(1, "scores", SCHEMA)])).await?;
        Ok(Self { database, netuid })
    }

    /// Returns the scores by hotkey.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails.
    pub async fn read(&self) -> Result<BTreeMap<Hotkey, f64>, ScoresError> {
        self.read_on((&self.database).into()).await
    }

    /// Moves the averages towards the rewards of one step by the share `alpha`, and returns the new scores. Miners
    /// without a reward keep their scores; hotkeys that are not registered are removed.
    ///
    /// # Errors
    /// [`ScoresError`] when the database fails. The scores are then unchanged, unless the commit itself failed.
    pub async fn update(
        &self,
        rewards: &BTreeMap<Hotkey, f64>,
        registered: &BTreeSet<Hotkey>,
        alpha: f64,
    ) -> Result<BTreeMap<Hotkey, f64>, ScoresError> {
        let netuid = i64::from(self.netuid.0);
        let mut transaction = self.database.begin().await?;
        let scores = averaged(self.read_on((&mut transaction).into()).await?, rewards, registered, alpha);
        statement("DELETE FROM scores WHERE netuid = $1").bind(netuid).execute(&mut transaction).await?;
        for (hotkey, score) in &scores {
            statement("INSERT INTO scores (netuid, hotkey, score) VALUES ($1, $2, $3)")
                .bind(netuid)
                .bind(hotkey.to_string())
                .bind(*score)
                .execute(&mut transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(scores)
    }

    async fn read_on(&self, on: On<'_>) -> Result<BTreeMap<Hotkey, f64>, ScoresError> {
        let query = statement("SELECT hotkey, score FROM scores WHERE netuid = $1").bind(i64::from(self.netuid.0));
        let mut scores = BTreeMap::new();
        for row in query.rows(on).await? {
            let text: String = row.get("hotkey")?;
            match text.parse::<Hotkey>() {
                Ok(hotkey) => scores.insert(hotkey, row.get("score")?),
                Err(source) => return Err(ScoresError::Hotkey { text, source }),
            };
        }
        Ok(scores)
    }
}

/// Returns the scores of the registered hotkeys after a step. A miner's first average starts at 0.
fn averaged(
    mut scores: BTreeMap<Hotkey, f64>,
    rewards: &BTreeMap<Hotkey, f64>,
    registered: &BTreeSet<Hotkey>,
    alpha: f64,
) -> BTreeMap<Hotkey, f64> {
    for (hotkey, reward) in rewards {
        let score = scores.entry(*hotkey).or_default();
        *score += alpha * (*reward - *score);
    }
    scores.retain(|hotkey, _| registered.contains(hotkey));
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn scores(pairs: &[(u8, f64)]) -> BTreeMap<Hotkey, f64> {
        pairs.iter().map(|(byte, score)| (key(*byte), *score)).collect()
    }

    fn registered(bytes: &[u8]) -> BTreeSet<Hotkey> {
        bytes.iter().map(|byte| key(*byte)).collect()
    }

    /// Columns: scores · rewards · registered hotkeys · new scores
    #[test]
    fn averages_follow_hotkeys() {
        type Pairs = &'static [(u8, f64)];
        let rows: [(Pairs, Pairs, &[u8], Pairs); 6] = [
            // The first step, and a second one.
            (&[], &[(1, 1.0), (2, 0.0)], &[1, 2, 3], &[(1, 0.25), (2, 0.0)]),
            (&[(1, 0.25)], &[(1, 1.0)], &[1], &[(1, 0.4375)]),
            // Miners that were not queried keep their scores; silent ones lose a share.
            (&[(1, 0.5), (2, 0.5)], &[(2, 0.0)], &[1, 2], &[(1, 0.5), (2, 0.375)]),
            // Hotkey 3 replaced hotkey 2, in the same uid.
            (&[(1, 0.5), (2, 0.5)], &[(3, 1.0)], &[1, 3], &[(1, 0.5), (3, 0.25)]),
            // A miner that left between the request and the step earns nothing.
            (&[(1, 0.5)], &[(1, 0.5), (2, 1.0)], &[1], &[(1, 0.5)]),
            // The subnet has no neurons.
            (&[(1, 0.5)], &[], &[], &[]),
        ];
        for (before, rewards, present, after) in rows {
            let found = averaged(scores(before), &scores(rewards), &registered(present), 0.25);
            assert_eq!(found, scores(after), "{before:?} {rewards:?} {present:?}");
        }
    }

    #[tokio::test]
    async fn scores_survive_a_restart_and_belong_to_their_subnet() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("scores.sqlite");
        let open = async |netuid| Scores::open(&file, NetUid(netuid)).await.unwrap();
        let first = open(7).await;
        assert_eq!(first.read().await.unwrap(), scores(&[]));
        let updated = first.update(&scores(&[(1, 1.0), (2, 0.5)]), &registered(&[1, 2]), 0.5).await.unwrap();
        assert_eq!(updated, scores(&[(1, 0.5), (2, 0.25)]));
        drop(first);
        let other = open(8).await;
        assert_eq!(other.update(&scores(&[(9, 1.0)]), &registered(&[9]), 1.0).await.unwrap(), scores(&[(9, 1.0)]));
        let restarted = open(7).await;
        assert_eq!(restarted.read().await.unwrap(), updated);
        restarted.update(&scores(&[]), &registered(&[2]), 0.5).await.unwrap();
        assert_eq!(restarted.read().await.unwrap(), scores(&[(2, 0.25)]));
        assert_eq!(other.read().await.unwrap(), scores(&[(9, 1.0)]));
    }

    #[tokio::test]
    async fn step_that_is_interrupted_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let scores_file = Scores::open(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap();
        let before = scores_file.update(&scores(&[(1, 1.0)]), &registered(&[1]), 0.5).await.unwrap();
        let mut transaction = scores_file.database.begin().await.unwrap();
        statement("DELETE FROM scores").execute(&mut transaction).await.unwrap();
        drop(transaction);
        assert_eq!(scores_file.read().await.unwrap(), before);
    }
}
