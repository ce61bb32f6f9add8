//! Diagnosis of rejected proofs: tries the proof with other circuits, earlier requests and other miners.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use taonet_primitives::Hotkey;
use taonet_proof_backends::{Statement, VerifyError};
use taonet_proof_core::Binding;
use taonet_proof_core::scoring::Fault;

use crate::request::{Claimed, Examined};

/// Number of statements kept for each miner: those of its last verified proofs.
const REMEMBERED: usize = 4;
/// Maximum number of other miners that a rejected proof is tried with.
const MOST_MINERS: usize = 64;

/// Statements of the last verified proofs, by miner.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<BTreeMap<Hotkey, VecDeque<Statement>>>);

impl Remembered {
    pub(crate) fn add(&self, statement: Statement) {
        let mut miners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let statements = miners.entry(statement.binding.miner).or_default();
        if statements.len() == REMEMBERED {
            statements.pop_front();
        }
        statements.push_back(statement);
    }

    /// Returns the statements of one miner, then those of some others.
    fn of(&self, miner: &Hotkey) -> Vec<Statement> {
        let miners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = miners.iter().filter(|(other, _)| *other != miner).take(MOST_MINERS).flat_map(|(_, all)| all);
        miners.get(miner).into_iter().flatten().chain(others).cloned().collect()
    }
}

/// Classifies a proof that was rejected with `error`. CPU-bound: several verifications.
pub(crate) fn diagnose(
    examined: &Examined,
    all: &[Examined],
    claimed: &Claimed,
    error: &VerifyError,
    remembered: &Remembered,
    miners: &[Hotkey],
) -> Fault {
    let Claimed { statement, proof, .. } = claimed;
    let Binding { nonce, miner, .. } = statement.binding;
    let holds = |examined: &Examined, statement: &Statement| examined.verifier.verify(statement, proof).is_ok();
    let is_other = |other: &&Examined| other.directory.id() != examined.directory.id();
    for other in all.iter().filter(is_other) {
        let statement = Statement { binding: other.binding(nonce, miner), ..statement.clone() };
        if holds(other, &statement) {
            return Fault::OtherCircuit;
        }
    }
    for earlier in remembered.of(&miner) {
        let Some(of) = all.iter().find(|examined| examined.directory.id() == earlier.binding.circuit) else { continue };
        if holds(of, &earlier) {
            return if earlier.binding.miner == miner { Fault::ReplayedProof } else { Fault::CopiedProof };
        }
    }
    for other in miners.iter().filter(|other| **other != miner).take(MOST_MINERS) {
        let statement = Statement { binding: examined.binding(nonce, *other), ..statement.clone() };
        if holds(examined, &statement) {
            return Fault::CopiedProof;
        }
    }
    if matches!(error, VerifyError::Malformed(_)) {
        return Fault::Malformed;
    }
    match examined.circuit().execute(&statement.inputs) {
        Ok(execution) if execution.outputs(examined.circuit()) != statement.outputs => Fault::WrongOutput,
        _ => Fault::Invalid,
    }
}
