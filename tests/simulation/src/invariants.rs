//! What must hold at the end of every simulation, whatever its faults were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_runner::{ChallengeState, Ledger as RunnerLedger, OutboxCounts};
use taonet_babelbit_scoring_api::server::Store;
use taonet_chain::{Chain as _, Outcome};
use taonet_ledger::{LedgerReader, State, Step};
use taonet_primitives::{BlockNumber, ExtrinsicHash};

use crate::chain::{BLOCK_TIME, epoch_of};
use crate::record::fail;
use crate::schedule::EPOCH_TIME;
use crate::services::{MINERS, UTTERANCES, scoring_database};
use crate::world::{GATEWAY, RUNNER, SCORING, World};

/// Name of the call that reveals a hash commit; all others submit weights.
const REVEAL: &str = "reveal_mechanism_weights";

/// Checks a world after its last tick. There were no faults since `quiet_from`.
pub(crate) fn check(world: &World, quiet_from: Duration) {
    // The checks have no simulated time.
    crate::boundary::set_clocks(Duration::ZERO, Duration::ZERO);
    let submissions = submissions(world);
    once_an_epoch(&submissions);
    recovery(world, &submissions, quiet_from);
    let Ok(runtime) = runtime() else { return fail("no runtime") };
    let checked = runtime.block_on(async {
        weight_ledger(world).await?;
        scores(world).await
    });
    if let Err(error) = checked {
        fail(&format!("cannot check the files: {error:#}"));
    }
}

/// Returns a runtime outside of simulated processes.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(crate::turns::run_others)
        .build()
}

/// Returns how many submissions the runner's outbox has; `None` if it is unreadable now.
pub(crate) fn backlog(world: &World) -> Option<u64> {
    let runner = world.processes.get(RUNNER)?;
    runtime().ok()?.block_on(async {
        let ledger = RunnerLedger::read(&runner.directory().join("state")).await.ok()?;
        let OutboxCounts { waiting, refused, .. } = ledger.outbox_counts().await.ok()?;
        Some(waiting + refused)
    })
}

/// Returns the successful submissions on the chain by epoch.
fn submissions(world: &World) -> BTreeMap<u64, Vec<ExtrinsicHash>> {
    let submitted = world.chain.mock().submitted();
    let reveals: BTreeSet<ExtrinsicHash> = submitted
        .iter()
        .filter(|one| one.call.as_ref().is_some_and(|call| call.name() == REVEAL))
        .map(|one| one.extrinsic.hash)
        .collect();
    let mut by_epoch: BTreeMap<u64, Vec<ExtrinsicHash>> = BTreeMap::new();
    for (block, hash) in world.chain.included() {
        if !reveals.contains(&hash) {
            by_epoch.entry(epoch_of(block)).or_default().push(hash);
        }
    }
    by_epoch
}

fn once_an_epoch(submissions: &BTreeMap<u64, Vec<ExtrinsicHash>>) {
    for (epoch, all) in submissions {
        if all.len() > 1 {
            fail(&format!("{} submissions in epoch {epoch}", all.len()));
        }
    }
}

/// Within one epoch after the last fault, each epoch has a submission again.
fn recovery(world: &World, submissions: &BTreeMap<u64, Vec<ExtrinsicHash>>, quiet_from: Duration) {
    let epoch_at = |time: Duration| epoch_of((time.as_secs() / BLOCK_TIME.as_secs()) as u32);
    let recovered = epoch_at(quiet_from + EPOCH_TIME) + 1;
    let last = epoch_of(world.chain.head().number.get());
    for epoch in recovered..last {
        if !submissions.contains_key(&epoch) {
            fail(&format!(
                "no submission in epoch {epoch}, although there was no fault since {quiet_from:?}"
            ));
        }
    }
}

/// The weight ledger agrees with the chain.
async fn weight_ledger(world: &World) -> anyhow::Result<()> {
    let (chain, head) = (world.chain.mock(), world.chain.head().number);
    let Some(gateway) = world.processes.get(GATEWAY) else { return Ok(()) };
    for record in LedgerReader::open(&gateway.directory()).await?.latest(u32::MAX).await? {
        let epoch = record.intent.plan.key.epoch;
        for extrinsic in &record.extrinsics {
            let (hash, state) = (extrinsic.signed.extrinsic.hash, extrinsic.signed.state);
            let found = chain.lookup(hash, BlockNumber::new(0), head).await?;
            let has_succeeded = found.as_ref().is_some_and(Outcome::is_success);
            if state == State::Finalized && !has_succeeded {
                fail(&format!(
                    "the ledger has {:?} of epoch {epoch} as final, which the chain has not",
                    extrinsic.step
                ));
            }
            if state.is_void() && has_succeeded {
                fail(&format!(
                    "the ledger has {:?} of epoch {epoch} as {state}, which the chain has",
                    extrinsic.step
                ));
            }
        }
        let of_step = |step: Step| record.extrinsics.iter().filter(|one| one.step == step).count();
        if of_step(Step::Submit) == 0 && of_step(Step::Reveal) > 0 {
            fail(&format!("the ledger reveals in epoch {epoch} what was not submitted"));
        }
    }
    Ok(())
}

/// Each played challenge has each score once, in the runner's ledger and in the scoring API.
async fn scores(world: &World) -> anyhow::Result<()> {
    let (Some(runner), Some(scoring)) = (world.processes.get(RUNNER), world.processes.get(SCORING))
    else {
        return Ok(());
    };
    let ledger = RunnerLedger::read(&runner.directory().join("state")).await?;
    let store =
        Store::open(&format!("sqlite:{}", scoring_database(&scoring.directory()).display()))
            .await?;
    let OutboxCounts { waiting, refused, .. } = ledger.outbox_counts().await?;
    if waiting + refused > 0 {
        fail(&format!(
            "{waiting} submissions wait and {refused} are refused, although there were no faults lately"
        ));
    }
    let (mut finished, expected) = (0, mean());
    for uid in ledger.latest(ChallengeType::Main, u32::MAX).await? {
        let Some(challenge) = ledger.find(&uid, ChallengeType::Main).await? else { continue };
        let given = store.scores(&uid, Some(ChallengeType::Main)).await?;
        let miners: BTreeSet<u16> = given.iter().map(|score| score.miner_uid).collect();
        if miners.len() != given.len() {
            fail(&format!(
                "{uid}: the scoring API has {} scores of {} miners",
                given.len(),
                miners.len()
            ));
        }
        if let Some(score) = given.iter().find(|given| (given.score - expected).abs() > 1e-6) {
            fail(&format!("{uid}: the scoring API has the score {}, not {expected}", score.score));
        }
        if challenge.state != ChallengeState::Finished {
            continue;
        }
        finished += 1;
        let rows = ledger.results(&challenge).await?;
        if rows.len() != usize::from(MINERS) * UTTERANCES as usize
            || rows.iter().any(|row| row.score.is_none())
        {
            fail(&format!(
                "{uid}: the finished challenge has {} rows, or one without a score",
                rows.len()
            ));
        }
        if miners.len() != usize::from(MINERS) {
            fail(&format!("{uid}: the scoring API has the scores of {} miners", miners.len()));
        }
    }
    if finished < 2 {
        fail(&format!("{finished} challenges were played"));
    }
    Ok(())
}

/// Returns the mean of the scores in a challenge's references.
fn mean() -> f64 {
    (1..=UTTERANCES).map(|index| f64::from(index) / 10.0).sum::<f64>() / f64::from(UTTERANCES)
}
