//! Invariants at the end of every simulation, whatever its faults were: for the weights of all
//! subnets, and for the scores of Babelbit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_runner::{ChallengeState, Ledger as RunnerLedger, OutboxCounts};
use taonet_babelbit_scoring_api::server::Store;
use taonet_chain::{Chain as _, Outcome};
use taonet_ledger::{LedgerReader, State, Step};
use taonet_primitives::{BlockNumber, ExtrinsicHash};

use crate::babelbit::{GATEWAY, RUNNER, SCORING};
use crate::chain::{BLOCK_TIME, epoch_of};
use crate::nineteen;
use crate::record::fail;
use crate::schedule::{EPOCH_TIME, Fault, FaultKind};
use crate::services::{MINERS, UTTERANCES, scoring_database};
use crate::simulation::{Simulation, Subnet};

/// Name of the call that reveals a hash commit; all others submit weights.
const REVEAL: &str = "reveal_mechanism_weights";
/// Number of the newest finished challenges that were played after the last fault.
const UNDISTURBED_CHALLENGES: usize = 2;
/// Tolerance of scores, which files round.
const TOLERANCE: f64 = 1e-6;

/// Checks a simulation after its last tick. There were no faults since `quiet_from`.
pub(crate) fn check(simulation: &Simulation, faults: &[Fault], quiet_from: Duration) {
    // The checks have no simulated time.
    crate::libc_overrides::set_clocks(Duration::ZERO, Duration::ZERO);
    check_submissions(simulation, quiet_from);
    let Ok(runtime) = runtime() else { return fail("no runtime") };
    let result = runtime.block_on(async {
        match simulation.subnet {
            Subnet::Babelbit => check_babelbit(simulation, faults).await,
            Subnet::Nineteen => nineteen::invariants::check(simulation, faults, quiet_from).await,
        }
    });
    if let Err(error) = result {
        fail(&format!("cannot check the files: {error:#}"));
    }
}

async fn check_babelbit(simulation: &Simulation, faults: &[Fault]) -> anyhow::Result<()> {
    if let Some(gateway) = simulation.processes.get(GATEWAY) {
        check_weight_ledger(simulation, &gateway.directory()).await?;
    }
    check_scores(simulation, faults).await
}

/// Records violations.
pub(crate) fn fail_all(violations: Vec<String>) {
    for violation in violations {
        fail(&violation);
    }
}

/// Returns a runtime outside of simulated processes.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(crate::thread_scheduler::run_others)
        .build()
}

/// Returns how many submissions the runner's outbox has; `None` if it is unreadable now.
pub(crate) fn backlog(simulation: &Simulation) -> Option<u64> {
    let runner = simulation.processes.get(RUNNER)?;
    runtime().ok()?.block_on(async {
        let ledger = RunnerLedger::read(&runner.directory().join("state")).await.ok()?;
        let OutboxCounts { waiting, refused, .. } = ledger.outbox_counts().await.ok()?;
        Some(waiting + refused)
    })
}

/// Returns the epoch of a time.
pub(crate) fn epoch_at(time: Duration) -> u64 {
    epoch_of((time.as_secs() / BLOCK_TIME.as_secs()) as u32)
}

/// Returns the chain's epochs in which everything works again: from one epoch after the last fault
/// on, up to the last complete one. `head` is the height of the newest block, at the time `now`.
fn recovered_epochs(head: u32, now: Duration, quiet_from: Duration) -> std::ops::Range<u64> {
    // Counted back from the newest block: each fork has made all later blocks late.
    let recovered = now.saturating_sub(quiet_from + EPOCH_TIME);
    let blocks = (recovered.as_secs() / BLOCK_TIME.as_secs()) as u32;
    epoch_of(head.saturating_sub(blocks)) + 1..epoch_of(head)
}

/// Checks the submissions of weights on the chain.
fn check_submissions(simulation: &Simulation, quiet_from: Duration) {
    let submissions = submissions(simulation);
    fail_all(repeated_submissions(&submissions));
    let head = simulation.chain.head().number.get();
    let recovered = recovered_epochs(head, simulation.now, quiet_from);
    fail_all(missing_submissions(&submissions, recovered));
}

/// Successful submissions on the chain by epoch.
type Submissions = BTreeMap<u64, Vec<ExtrinsicHash>>;

fn submissions(simulation: &Simulation) -> Submissions {
    let submitted = simulation.chain.mock().submitted();
    let reveals: BTreeSet<ExtrinsicHash> = submitted
        .iter()
        .filter(|one| one.call.as_ref().is_some_and(|call| call.name() == REVEAL))
        .map(|one| one.extrinsic.hash)
        .collect();
    let mut by_epoch = Submissions::new();
    for (block, hash) in simulation.chain.included() {
        if !reveals.contains(&hash) {
            by_epoch.entry(epoch_of(block)).or_default().push(hash);
        }
    }
    by_epoch
}

/// No epoch has more than one submission.
fn repeated_submissions(submissions: &Submissions) -> Vec<String> {
    let repeated = submissions.iter().filter(|(_, all)| all.len() > 1);
    repeated.map(|(epoch, all)| format!("{} submissions in epoch {epoch}", all.len())).collect()
}

/// Each of these epochs has a submission.
fn missing_submissions(
    submissions: &Submissions,
    epochs: impl IntoIterator<Item = u64>,
) -> Vec<String> {
    let missing = epochs.into_iter().filter(|epoch| !submissions.contains_key(epoch));
    missing
        .map(|epoch| {
            format!("no submission in epoch {epoch}, although there were no faults lately")
        })
        .collect()
}

/// The weight ledger in a directory agrees with the chain.
pub(crate) async fn check_weight_ledger(
    simulation: &Simulation,
    directory: &Path,
) -> anyhow::Result<()> {
    let (chain, head) = (simulation.chain.mock(), simulation.chain.head().number);
    for record in LedgerReader::open(directory).await?.latest(u32::MAX).await? {
        let epoch = record.intent.plan.key.epoch;
        for extrinsic in &record.extrinsics {
            let (hash, state) = (extrinsic.signed.extrinsic.hash, extrinsic.signed.state);
            let outcome = chain.lookup(hash, BlockNumber::new(0), head).await?;
            let has_succeeded = outcome.as_ref().is_some_and(Outcome::is_success);
            if let Some(conflict) = conflict(state, has_succeeded) {
                fail(&format!(
                    "the ledger has {:?} of epoch {epoch} as {state}, {conflict}",
                    extrinsic.step
                ));
            }
        }
        let step_count =
            |step: Step| record.extrinsics.iter().filter(|one| one.step == step).count();
        if step_count(Step::Submit) == 0 && step_count(Step::Reveal) > 0 {
            fail(&format!("the ledger reveals in epoch {epoch} what was not submitted"));
        }
    }
    Ok(())
}

/// Returns how a state in the ledger disagrees with the chain, on which the extrinsic has succeeded
/// or not.
const fn conflict(state: State, has_succeeded: bool) -> Option<&'static str> {
    if matches!(state, State::Finalized) && !has_succeeded {
        Some("but it has not succeeded on the chain")
    } else if state.is_void() && has_succeeded {
        Some("but it has succeeded on the chain")
    } else {
        None
    }
}

/// Each played challenge has each score once, in the runner's ledger and in the scoring API.
async fn check_scores(simulation: &Simulation, faults: &[Fault]) -> anyhow::Result<()> {
    let (Some(runner), Some(scoring)) =
        (simulation.processes.get(RUNNER), simulation.processes.get(SCORING))
    else {
        return Ok(());
    };
    // A restored scoring API lacks what it has received since the backup.
    let is_restored = simulation.restored.contains(&SCORING);
    // Of two versions of a score, the API keeps the one that was signed later.
    let is_order_reliable =
        !faults.iter().any(|fault| matches!(fault.kind, FaultKind::Clock(RUNNER, _)));
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
    let mut finished = 0;
    for uid in ledger.latest(ChallengeType::Main, u32::MAX).await? {
        let Some(challenge) = ledger.find(&uid, ChallengeType::Main).await? else { continue };
        let scores = store.scores(&uid, Some(ChallengeType::Main)).await?;
        let rows = ledger.results(&challenge).await?;
        let is_finished = challenge.state == ChallengeState::Finished;
        let has_all_scores = !is_restored || finished < UNDISTURBED_CHALLENGES;
        finished += usize::from(is_finished);
        let played = PlayedChallenge {
            rows: rows.len(),
            unscored: rows.iter().filter(|row| row.score.is_none()).count(),
            scores: scores.iter().map(|score| (score.miner_uid, score.score)).collect(),
            is_finished,
            is_complete: is_finished && has_all_scores,
            is_exact: is_finished && has_all_scores && is_order_reliable,
        };
        fail_all(played.faults().into_iter().map(|fault| format!("{uid}: {fault}")).collect());
    }
    if finished < UNDISTURBED_CHALLENGES {
        fail(&format!("{finished} challenges were played"));
    }
    Ok(())
}

/// A challenge in the runner's ledger, and its scores in the scoring API.
struct PlayedChallenge {
    /// Number of results in the ledger.
    rows: usize,
    /// Number of results without a score.
    unscored: usize,
    /// Uids and scores of miners in the scoring API.
    scores: Vec<(u16, f64)>,
    /// Whether the ledger has the challenge as finished.
    is_finished: bool,
    /// Whether the scoring API must have the scores of all miners.
    is_complete: bool,
    /// Whether these are the scores of the complete challenge. Otherwise, they may be those of the
    /// utterances that the engine has delivered first.
    is_exact: bool,
}

impl PlayedChallenge {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let miners: BTreeSet<u16> = self.scores.iter().map(|(miner, _)| *miner).collect();
        if miners.len() != self.scores.len() {
            let (scores, miners) = (self.scores.len(), miners.len());
            faults.push(format!("the scoring API has {scores} scores of {miners} miners"));
        }
        let minimum = if self.is_exact { UTTERANCES } else { 1 };
        let is_expected = |score: f64| {
            (minimum..=UTTERANCES).any(|delivered| (score - mean(delivered)).abs() <= TOLERANCE)
        };
        if let Some((_, score)) = self.scores.iter().find(|(_, score)| !is_expected(*score)) {
            let expected = mean(UTTERANCES);
            faults.push(format!("the scoring API has the score {score}, not {expected}"));
        }
        let rows = usize::from(MINERS) * UTTERANCES as usize;
        if self.is_finished && (self.rows != rows || self.unscored > 0) {
            let (rows, unscored) = (self.rows, self.unscored);
            faults.push(format!("the finished challenge has {rows} rows, {unscored} unscored"));
        }
        if self.is_complete && miners.len() != usize::from(MINERS) {
            faults.push(format!("the scoring API has the scores of {} miners", miners.len()));
        }
        faults
    }
}

/// Returns the mean of the scores in the references of a challenge's first utterances.
fn mean(utterances: u32) -> f64 {
    (1..=utterances).map(|index| f64::from(index) / 10.0).sum::<f64>() / f64::from(utterances)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submissions_by(counts: &[(u64, u8)]) -> Submissions {
        let hashes = |count: u8| (0..count).map(|byte| ExtrinsicHash::from_bytes([byte; 32]));
        counts.iter().map(|(epoch, count)| (*epoch, hashes(*count).collect())).collect()
    }

    #[test]
    fn second_submission_in_an_epoch_is_a_violation() {
        let single = submissions_by(&[(0, 1), (1, 1), (3, 1)]);
        assert_eq!(repeated_submissions(&single), [""; 0]);
        let repeated = submissions_by(&[(0, 1), (1, 2), (3, 1)]);
        assert_eq!(repeated_submissions(&repeated), ["2 submissions in epoch 1"]);
    }

    #[test]
    fn recovered_epoch_without_submission_is_a_violation() {
        let submissions = submissions_by(&[(0, 1), (3, 1)]);
        assert_eq!(missing_submissions(&submissions, 3..4), [""; 0]);
        let missing = missing_submissions(&submissions, 2..5);
        assert_eq!(missing.len(), 2, "{missing:?}");
    }

    #[test]
    fn one_epoch_is_checked_after_recovery_despite_forks() {
        let seconds = Duration::from_secs;
        for quiet in [0, 7, 359, 360, 371, 719] {
            let now = seconds(quiet) + EPOCH_TIME * 3;
            for reverted in [0, 3, 12] {
                let head = (now.as_secs() / BLOCK_TIME.as_secs()) as u32 - reverted;
                let recovered = recovered_epochs(head, now, seconds(quiet));
                assert_eq!(recovered.clone().count(), 1, "{quiet} {reverted} {recovered:?}");
            }
        }
        // Without forks, epochs begin at multiples of their length.
        assert_eq!(recovered_epochs(98, seconds(1_180), seconds(100)), 2..3);
    }

    #[test]
    fn ledger_that_contradicts_the_chain_is_a_violation() {
        for (state, has_succeeded, is_violation) in [
            (State::Finalized, true, false),
            (State::Finalized, false, true),
            (State::Expired, false, false),
            (State::Expired, true, true),
            (State::Superseded, true, true),
            (State::Included, false, false),
            (State::Unknown, true, false),
        ] {
            let actual = conflict(state, has_succeeded);
            assert_eq!(actual.is_some(), is_violation, "{state:?} {has_succeeded}");
        }
    }

    #[test]
    fn lost_or_doubled_score_is_a_violation() {
        let played = || PlayedChallenge {
            rows: 6,
            unscored: 0,
            scores: vec![(1, 0.15), (2, 0.15), (3, 0.15)],
            is_finished: true,
            is_complete: true,
            is_exact: true,
        };
        let partial = || vec![(1, 0.1), (2, 0.15), (3, 0.15)];
        for (name, played, violations) in [
            ("complete", played(), 0),
            ("lost", PlayedChallenge { scores: vec![(1, 0.15), (3, 0.15)], ..played() }, 1),
            (
                "lost before the API was restored",
                PlayedChallenge { scores: Vec::new(), is_complete: false, ..played() },
                0,
            ),
            (
                "doubled",
                PlayedChallenge {
                    scores: vec![(1, 0.15), (1, 0.15), (2, 0.15), (3, 0.15)],
                    ..played()
                },
                1,
            ),
            (
                "another",
                PlayedChallenge { scores: vec![(1, 0.2)], is_complete: false, ..played() },
                1,
            ),
            ("of the first utterance", PlayedChallenge { scores: partial(), ..played() }, 1),
            (
                "of the only utterance",
                PlayedChallenge {
                    rows: 3,
                    scores: partial(),
                    is_finished: false,
                    is_complete: false,
                    is_exact: false,
                    ..played()
                },
                0,
            ),
            ("row lost", PlayedChallenge { rows: 5, ..played() }, 1),
            ("row unscored", PlayedChallenge { unscored: 1, ..played() }, 1),
        ] {
            let faults = played.faults();
            assert_eq!(faults.len(), violations, "{name}: {faults:?}");
        }
    }
}
