//! Diagnosis of rejected proofs: verifies a proof against other circuits, earlier requests and
//! other miners.
//!
//! The reason has no effect on the score, so a diagnosis is bounded: at most [`MAX_TRIALS`]
//! verifications per proof, and [`MAX_TRIALS_PER_MINUTE`] per minute for all proofs of a miner.
//! Recognising a verbatim copy requires none. Verifiers of external programs are not tried: each
//! verification may take minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taonet_primitives::Hotkey;
use taonet_proof_backends::{Statement, VerifyError};
use taonet_proof_core::scoring::Fault;
use taonet_proof_core::{Binding, Digest};

use crate::ProofMiner;
use crate::request::{LoadedCircuit, UnverifiedProof};

/// Number of statements remembered per miner, from the miner's latest verified proofs.
const MAX_STATEMENTS: usize = 4;
/// Maximum number of verifications to diagnose one proof.
const MAX_TRIALS: usize = 32;
/// Maximum number of verifications with other circuits.
const MAX_CIRCUITS: usize = 8;
/// Maximum number of verifications with other miners for the same request.
const MAX_MINERS: usize = 16;
/// Maximum number of verifications per minute to diagnose the proofs of one miner.
const MAX_TRIALS_PER_MINUTE: usize = 128;

const MINUTE: Duration = Duration::from_mins(1);

/// Statements of the last verified proofs, and the cost of diagnoses, by miner.
#[derive(Debug, Default)]
pub(crate) struct ProofHistory(Mutex<BTreeMap<Hotkey, MinerRecord>>);

#[derive(Debug, Default)]
struct MinerRecord {
    /// Statements with the digest of their proof, oldest first.
    verified: VecDeque<(Statement, Digest)>,
    /// Start of the current minute, and the number of verifications in it.
    spent: Option<(Instant, usize)>,
}

impl ProofHistory {
    pub(crate) fn add(&self, statement: Statement, proof: &[u8]) {
        let proof = Digest::of(proof);
        let mut miners = self.lock();
        let verified = &mut miners.entry(statement.binding.miner).or_default().verified;
        if verified.len() == MAX_STATEMENTS {
            verified.pop_front();
        }
        verified.push_back((statement, proof));
    }

    /// Removes miners that are not listed.
    pub(crate) fn retain(&self, listed: &[ProofMiner]) {
        self.lock().retain(|miner, _| listed.iter().any(|entry| entry.hotkey() == miner));
    }

    /// Returns the miner whose verified proof has exactly these bytes.
    fn miner_of_proof(&self, proof: &[u8]) -> Option<Hotkey> {
        let proof = Digest::of(proof);
        let miners = self.lock();
        let mut records = miners.iter();
        records
            .find(|(_, record)| {
                record.verified.iter().any(|(_, verified_proof)| *verified_proof == proof)
            })
            .map(|(miner, _)| *miner)
    }

    /// Returns the statements of one miner.
    fn statements_of(&self, miner: &Hotkey) -> Vec<Statement> {
        let miners = self.lock();
        let verified = miners.get(miner).into_iter().flat_map(|record| &record.verified);
        verified.map(|(statement, _)| statement.clone()).collect()
    }

    /// Returns the last statement of at most `count` other miners.
    fn statements_of_others(&self, miner: &Hotkey, count: usize) -> Vec<Statement> {
        let miners = self.lock();
        let others = miners.iter().filter(|(other, _)| *other != miner);
        others
            .filter_map(|(_, record)| Some(record.verified.back()?.0.clone()))
            .take(count)
            .collect()
    }

    /// Returns the maximum number of verifications to diagnose a proof of the miner.
    fn allowance(&self, miner: &Hotkey, now: Instant) -> usize {
        match self.lock().get(miner).and_then(|record| record.spent) {
            Some((start, spent)) if now.saturating_duration_since(start) < MINUTE => {
                MAX_TRIALS_PER_MINUTE.saturating_sub(spent).min(MAX_TRIALS)
            }
            _ => MAX_TRIALS,
        }
    }

    /// Charges verifications to a miner.
    fn charge(&self, miner: Hotkey, trials: usize, now: Instant) {
        let mut miners = self.lock();
        let spent = &mut miners.entry(miner).or_default().spent;
        *spent = match *spent {
            Some((start, spent)) if now.saturating_duration_since(start) < MINUTE => {
                Some((start, spent + trials))
            }
            _ => Some((now, trials)),
        };
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Hotkey, MinerRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Verifications of one proof against other statements, up to a limit.
struct Trials<'a> {
    proof: &'a [u8],
    remaining: usize,
    used: usize,
}

impl Trials<'_> {
    /// Returns whether the proof verifies for a statement; `false` once the limit is reached, or if
    /// the verifier is an external program.
    fn verifies(&mut self, loaded: &LoadedCircuit, statement: &Statement) -> bool {
        if self.remaining == 0 || loaded.is_external() {
            return false;
        }
        self.remaining -= 1;
        self.used += 1;
        loaded.verifier.verify(statement, self.proof).is_ok()
    }
}

/// Classifies a proof that was rejected with `error`. CPU-bound: at most [`MAX_TRIALS`]
/// verifications.
pub(crate) fn diagnose(
    loaded: &LoadedCircuit,
    circuits: &[LoadedCircuit],
    claim: &UnverifiedProof,
    error: &VerifyError,
    history: &ProofHistory,
    miners: &[ProofMiner],
) -> Fault {
    let (miner, now) = (claim.statement.binding.miner, Instant::now());
    let mut trials =
        Trials { proof: &claim.proof, remaining: history.allowance(&miner, now), used: 0 };
    let fault = find_origin(loaded, circuits, claim, history, miners, &mut trials);
    history.charge(miner, trials.used, now);
    if let Some(fault) = fault {
        return fault;
    }
    if matches!(error, VerifyError::Malformed(_)) {
        return Fault::Malformed;
    }
    match loaded.circuit().execute(&claim.statement.inputs) {
        Ok(execution) if execution.outputs(loaded.circuit()) != claim.statement.outputs => {
            Fault::WrongOutput
        }
        _ => Fault::Invalid,
    }
}

/// Finds the statement that a rejected proof was made for. Tries the most likely statements first.
fn find_origin(
    loaded: &LoadedCircuit,
    circuits: &[LoadedCircuit],
    claim: &UnverifiedProof,
    history: &ProofHistory,
    miners: &[ProofMiner],
    trials: &mut Trials<'_>,
) -> Option<Fault> {
    let statement = &claim.statement;
    let Binding { nonce, miner, .. } = statement.binding;
    if let Some(owner) = history.miner_of_proof(&claim.proof) {
        return Some(if owner == miner { Fault::ReplayedProof } else { Fault::CopiedProof });
    }
    for other in circuits
        .iter()
        .filter(|other| other.directory.id() != loaded.directory.id())
        .take(MAX_CIRCUITS)
    {
        let statement = Statement { binding: other.binding(nonce, miner), ..statement.clone() };
        if trials.verifies(other, &statement) {
            return Some(Fault::OtherCircuit);
        }
    }
    let circuit_of = |earlier: &Statement| {
        circuits.iter().find(|circuit| circuit.directory.id() == earlier.binding.circuit)
    };
    // The proof may be a re-randomised copy of the miner's own earlier proof.
    for earlier in history.statements_of(&miner) {
        if circuit_of(&earlier).is_some_and(|circuit| trials.verifies(circuit, &earlier)) {
            return Some(Fault::ReplayedProof);
        }
    }
    // A copying miner probably runs on the same host as the miner that it copies.
    let host = miners.iter().find(|entry| *entry.hotkey() == miner).map(|entry| entry.peer.host());
    let mut other_miners: Vec<&ProofMiner> =
        miners.iter().filter(|entry| *entry.hotkey() != miner).collect();
    other_miners.sort_by_key(|entry| Some(entry.peer.host()) != host);
    for other in other_miners.into_iter().take(MAX_MINERS) {
        let statement =
            Statement { binding: loaded.binding(nonce, *other.hotkey()), ..statement.clone() };
        if trials.verifies(loaded, &statement) {
            return Some(Fault::CopiedProof);
        }
    }
    for earlier in history.statements_of_others(&miner, trials.remaining) {
        if circuit_of(&earlier).is_some_and(|circuit| trials.verifies(circuit, &earlier)) {
            return Some(Fault::CopiedProof);
        }
    }
    None
}

#[cfg(test)]
mod tests;
