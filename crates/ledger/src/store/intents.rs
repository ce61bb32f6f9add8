use std::str::FromStr;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use taonet_chain::{Block, WeightRow};
use taonet_primitives::{BlockHash, BlockNumber, Hotkey, MechId, NetUid};

use super::{Ledger, LedgerError, from_column, from_json, to_json};
use crate::{Step, SubmissionForm};

/// The unique key of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IntentKey {
    /// The chain's genesis hash.
    pub genesis: BlockHash,
    /// The hotkey that submits the weights.
    pub hotkey: Hotkey,
    /// The netuid of the subnet.
    pub netuid: NetUid,
    /// The mechanism of the subnet.
    pub mech: MechId,
    /// The index of the subnet's epoch, as counted by the chain.
    pub epoch: u64,
}

/// The state of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentState {
    /// An action or an outcome is pending.
    Open,
    /// The weights are in a finalized block; for a hash commit, so is the reveal.
    Done,
    /// The epoch for the submission or the reveal ended before it succeeded, or another ledger
    /// carried it out.
    Missed,
}

impl IntentState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Missed => "missed",
        }
    }
}

/// The content of an intent: what to submit, and in which form.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The key of the intent.
    pub key: IntentKey,
    /// A finalized block that identifies the chain.
    pub anchor: Block,
    /// The block whose state the weights are based on.
    pub state_block: BlockNumber,
    /// The form in which the weights are submitted.
    pub form: SubmissionForm,
    /// The weights by uid.
    pub weights: WeightRow,
    /// The version of the validator's code.
    pub version_key: u64,
}

/// An intent in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    pub(crate) id: i64,
    /// The content: what to submit, and in which form.
    pub plan: Plan,
    /// The epoch to which the chain assigned a hash commit; `None` until the commit is in a block.
    pub commit_epoch: Option<u64>,
    /// The state of the intent.
    pub state: IntentState,
}

impl Ledger {
    /// Inserts an intent, replacing one with the same key unless the stored one [may still take
    /// effect](Self::may_take_effect). Returns the stored intent.
    pub(crate) async fn store_intent(&self, plan: &Plan) -> Result<Intent, LedgerError> {
        sqlx::query(
            "INSERT INTO intent (genesis, hotkey, netuid, mech, epoch, anchor_number, anchor_hash, state_block, form,
                                 weights, version_key, state)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')
             ON CONFLICT (genesis, hotkey, netuid, mech, epoch) DO UPDATE SET
                 anchor_number = excluded.anchor_number, anchor_hash = excluded.anchor_hash,
                 state_block = excluded.state_block, form = excluded.form, weights = excluded.weights,
                 version_key = excluded.version_key, state = 'open'
             WHERE NOT EXISTS (SELECT 1 FROM extrinsic WHERE intent_id = intent.id AND state NOT IN
                               ('failed', 'superseded', 'expired', 'withdrawn'))",
        )
        .bind(plan.key.genesis.to_string())
        .bind(plan.key.hotkey.to_string())
        .bind(plan.key.netuid.0)
        .bind(plan.key.mech.0)
        .bind(epoch_to_column(plan.key.epoch)?)
        .bind(plan.anchor.number.get())
        .bind(plan.anchor.hash.to_string())
        .bind(plan.state_block.get())
        .bind(to_json("form", &plan.form)?)
        .bind(to_json("weights", &plan.weights)?)
        .bind(plan.version_key.to_string())
        .execute(&mut *self.connection.lock().await)
        .await?;
        self.intent(&plan.key).await?.ok_or(LedgerError::Database(sqlx::Error::RowNotFound))
    }

    /// Whether any extrinsic signed for the intent may still take effect, that is, is not
    /// [void](crate::State::is_void).
    pub(crate) async fn may_take_effect(&self, intent: &Intent) -> Result<bool, LedgerError> {
        let submits = self.extrinsics(intent, Step::Submit).await?;
        let reveals = self.extrinsics(intent, Step::Reveal).await?;
        Ok(submits.iter().chain(&reveals).any(|signed| !signed.state.is_void()))
    }

    /// Returns the intent for a key.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger fails.
    pub async fn intent(&self, key: &IntentKey) -> Result<Option<Intent>, LedgerError> {
        let row = sqlx::query(
            "SELECT * FROM intent WHERE genesis = ? AND hotkey = ? AND netuid = ? AND mech = ? AND epoch = ?",
        )
        .bind(key.genesis.to_string())
        .bind(key.hotkey.to_string())
        .bind(key.netuid.0)
        .bind(key.mech.0)
        .bind(epoch_to_column(key.epoch)?)
        .fetch_optional(&mut *self.connection.lock().await)
        .await?;
        row.as_ref().map(read_intent).transpose()
    }

    /// Returns the intents of a hotkey on a chain, oldest first: all of them, or with `only_open`
    /// only the open ones.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger fails.
    pub async fn intents(
        &self,
        genesis: BlockHash,
        hotkey: &Hotkey,
        only_open: bool,
    ) -> Result<Vec<Intent>, LedgerError> {
        let rows = sqlx::query(
            "SELECT * FROM intent WHERE genesis = ? AND hotkey = ? AND (state = 'open' OR NOT ?) ORDER BY id",
        )
        .bind(genesis.to_string())
        .bind(hotkey.to_string())
        .bind(only_open)
        .fetch_all(&mut *self.connection.lock().await)
        .await?;
        rows.iter().map(read_intent).collect()
    }

    /// Sets the state of an intent.
    pub(crate) async fn set_state(
        &self,
        intent: &mut Intent,
        state: IntentState,
    ) -> Result<(), LedgerError> {
        sqlx::query("UPDATE intent SET state = ? WHERE id = ?")
            .bind(state.as_str())
            .bind(intent.id)
            .execute(&mut *self.connection.lock().await)
            .await?;
        intent.state = state;
        Ok(())
    }

    /// Sets the epoch to which the chain assigned a hash commit; `None` if the commit's block was
    /// reverted.
    pub(crate) async fn set_commit_epoch(
        &self,
        intent: &mut Intent,
        epoch: Option<u64>,
    ) -> Result<(), LedgerError> {
        sqlx::query("UPDATE intent SET commit_epoch = ? WHERE id = ?")
            .bind(epoch.map(epoch_to_column).transpose()?)
            .bind(intent.id)
            .execute(&mut *self.connection.lock().await)
            .await?;
        intent.commit_epoch = epoch;
        Ok(())
    }
}

fn epoch_to_column(epoch: u64) -> Result<i64, LedgerError> {
    from_column("epoch", &epoch, i64::try_from(epoch).ok())
}

pub(super) fn read_intent(row: &SqliteRow) -> Result<Intent, LedgerError> {
    let commit_epoch: Option<i64> = row.try_get("commit_epoch")?;
    let epoch: i64 = row.try_get("epoch")?;
    let state: String = row.try_get("state")?;
    let states = [IntentState::Open, IntentState::Done, IntentState::Missed];
    let key = IntentKey {
        genesis: read_text(row, "genesis")?,
        hotkey: read_text(row, "hotkey")?,
        netuid: NetUid(row.try_get("netuid")?),
        mech: MechId(row.try_get("mech")?),
        epoch: epoch_from_column(epoch)?,
    };
    let anchor = Block {
        number: BlockNumber::new(row.try_get("anchor_number")?),
        hash: read_text(row, "anchor_hash")?,
    };
    let plan = Plan {
        key,
        anchor,
        state_block: BlockNumber::new(row.try_get("state_block")?),
        form: from_json("form", row.try_get("form")?)?,
        weights: from_json("weights", row.try_get("weights")?)?,
        version_key: read_text(row, "version_key")?,
    };
    Ok(Intent {
        id: row.try_get("id")?,
        plan,
        commit_epoch: commit_epoch.map(epoch_from_column).transpose()?,
        state: from_column(
            "state",
            &state,
            states.into_iter().find(|candidate| candidate.as_str() == state),
        )?,
    })
}

fn epoch_from_column(epoch: i64) -> Result<u64, LedgerError> {
    from_column("epoch", &epoch, u64::try_from(epoch).ok())
}

fn read_text<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, LedgerError> {
    let text: String = row.try_get(column)?;
    from_column(column, &text, text.parse().ok())
}
