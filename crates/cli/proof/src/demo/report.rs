use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_cli_base::table::{decimals, status_cell, table, wrap_text};
use taonet_cli_base::tables::{PROOF_CIRCUITS, PROOF_STANDINGS, PROOF_USER};
use taonet_cli_localnet::demo_chain::MinerOnChain;
use taonet_primitives::{Hotkey, Uid};
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::scoring::Tally;
use taonet_proof_lm::Text;

use super::market::CompiledCircuit;
use super::user::{UserAnswer, UserProof};
use crate::table::{format_faults, mean_bytes, mean_seconds};
use crate::validator::tally_document;

/// Results of a miner over all epochs.
pub(super) struct RankedMiner {
    pub(super) name: &'static str,
    pub(super) uid: Uid,
    pub(super) hotkey: Hotkey,
    pub(super) tally: Tally,
    /// Seconds of proven work at unit prices.
    pub(super) score: f64,
    /// Weight computed by the validator.
    pub(super) weight: f64,
    pub(super) chain: MinerOnChain,
    /// Last verified proof of the miner.
    pub(super) bundle: Option<PathBuf>,
}

/// Report of `tao proof demo`.
pub(super) struct DemoReport {
    circuits: Vec<(String, CircuitMetadata, f64)>,
    /// Miners by descending score.
    ranking: Vec<RankedMiner>,
    /// Proofs of the user, in order.
    user_proofs: Vec<UserProof>,
    answer: UserAnswer,
    elapsed: Duration,
}

impl DemoReport {
    pub(super) fn new<'a>(
        circuits: impl IntoIterator<Item = &'a CompiledCircuit>,
        mut ranking: Vec<RankedMiner>,
        user_proofs: Vec<UserProof>,
        answer: UserAnswer,
        elapsed: Duration,
    ) -> Self {
        ranking.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
        let circuits = circuits.into_iter().map(|circuit| {
            (
                circuit.directory.id().to_string(),
                circuit.directory.metadata().clone(),
                circuit.seconds,
            )
        });
        Self { circuits: circuits.collect(), ranking, user_proofs, answer, elapsed }
    }

    /// Returns the document that `--json` prints.
    pub(super) fn document(&self) -> Value {
        let circuits = self.circuits.iter().map(|(id, metadata, seconds)| {
            json!({
                "circuit": id,
                "name": metadata.name,
                "backend": metadata.backend,
                "constraints": metadata.constraints,
                "compile_seconds": seconds,
            })
        });
        json!({
            "schema": "taonet.proof-demo/1",
            "wall_seconds": self.elapsed.as_secs_f64(),
            "circuits": circuits.collect::<Vec<_>>(),
            "miners": self.ranking.iter().map(RankedMiner::document).collect::<Vec<_>>(),
            "user": self.user_proofs.iter().map(UserProof::document).collect::<Vec<_>>(),
            "language_model": self.answer.document(),
        })
    }
}

impl RankedMiner {
    fn document(&self) -> Value {
        let mut document = tally_document(&self.hotkey, &self.tally);
        if let Value::Object(fields) = &mut document {
            fields.insert("name".to_owned(), self.name.into());
            fields.insert("uid".to_owned(), self.uid.0.into());
            fields.insert("score".to_owned(), self.score.into());
            fields.insert("weight".to_owned(), self.weight.into());
            fields.insert("weight_submitted".to_owned(), self.chain.weight_submitted.into());
            fields.insert("weight_on_chain".to_owned(), self.chain.weight_stored.into());
            fields.insert("incentive".to_owned(), self.chain.incentive.into());
            fields.insert("emission".to_owned(), self.chain.emission.into());
            fields.insert(
                "bundle".to_owned(),
                self.bundle.as_ref().map(|path| path.display().to_string()).into(),
            );
        }
        document
    }
}

impl UserProof {
    fn document(&self) -> Value {
        json!({
            "circuit": self.circuit,
            "backend": self.backend,
            "miner": self.miner,
            "outputs": self.outputs,
            "digit": self.digit,
            "label": self.label,
            "verification_key": self.verification_key,
            "proof_bytes": self.proof_bytes,
            "seconds": self.elapsed.as_secs_f64(),
            "asked": self.miners_asked,
            "failures": self.failures,
            "bundle": self.bundle.display().to_string(),
        })
    }
}

impl UserAnswer {
    fn document(&self) -> Value {
        json!({
            "circuit": self.circuit,
            "name": self.model,
            "miner": self.miner,
            "text": self.text,
            "proof_bytes": self.proof_bytes,
            "seconds": self.elapsed.as_secs_f64(),
            "verify_seconds": self.verification_time.as_secs_f64(),
            "bundle": self.bundle.display().to_string(),
        })
    }
}

impl fmt::Display for UserAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            miner,
            text: Text { prompt, answer, .. },
            elapsed,
            verification_time,
            ..
        } = self;
        let (seconds, milliseconds) =
            (elapsed.as_secs_f64(), verification_time.as_secs_f64() * 1000.0);
        // Both texts are quoted, with control characters escaped.
        write!(
            f,
            "Answer of the language model {model} to {prompt:?}: {answer:?}, proven by {miner} in {seconds:.1} s, \
             verified in {milliseconds:.1} ms."
        )
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&PROOF_CIRCUITS);
        for (id, metadata, seconds) in &self.circuits {
            rows.add_row([
                metadata.name.clone(),
                metadata.backend.clone(),
                metadata.constraints.to_string(),
                format!("{seconds:.1}"),
                id.clone(),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        let mut rows = table(&PROOF_STANDINGS);
        for miner in &self.ranking {
            let tally = &miner.tally;
            rows.add_row([
                status_cell(miner.name, miner.score > 0.0),
                miner.uid.to_string().into(),
                tally.verified.to_string().into(),
                (tally.answers() - tally.verified).to_string().into(),
                mean_seconds(tally).into(),
                mean_bytes(tally).into(),
                decimals(Some(miner.weight), 3).into(),
                format!("{} α", decimals(Some(miner.chain.emission as f64 / 1e9), 3)).into(),
                format_faults(tally).into(),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        let mut rows = table(&PROOF_USER);
        for proof in &self.user_proofs {
            rows.add_row([
                proof.backend.clone().into(),
                status_cell(
                    format!("{} of {}", proof.digit, proof.label),
                    proof.digit == proof.label,
                ),
                proof.miner.into(),
                decimals(Some(proof.elapsed.as_secs_f64()), 2).into(),
                proof.proof_bytes.to_string().into(),
                proof.miners_asked.to_string().into(),
                proof.failures.join(", ").into(),
            ]);
        }
        let heading = wrap_text(
            "Proofs that the user requested through the API; each bundle was verified offline:",
        );
        writeln!(f, "{heading}\n{rows}\n\n{}\n", wrap_text(&self.answer.to_string()))?;
        write!(
            f,
            "Every proof was verified. The chain ran in memory; {:.1} s.",
            self.elapsed.as_secs_f64()
        )
    }
}
