use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_primitives::{Hotkey, Uid};
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::scoring::Tally;

use super::market::Made;
use crate::commands::proof::table::{mean_bytes, mean_seconds, reasons};
use crate::commands::proof::validator::tally_document;
use crate::demo_chain::OnChain;
use crate::table::{decimals, judged, table};
use crate::tables::PROOF_STANDINGS;

/// Results of a miner.
pub(super) struct Standing {
    pub(super) name: &'static str,
    pub(super) uid: Uid,
    pub(super) hotkey: Hotkey,
    pub(super) tally: Tally,
    /// Seconds of proven work at unit prices.
    pub(super) score: f64,
    /// Weight computed by the validator.
    pub(super) weight: f64,
    pub(super) chain: OnChain,
    /// Last verified proof of the miner.
    pub(super) bundle: Option<PathBuf>,
}

/// Report of the demonstration.
pub(super) struct DemoReport {
    circuits: Vec<(String, CircuitMetadata, f64)>,
    /// Miners by descending score.
    standings: Vec<Standing>,
    wall: Duration,
}

impl DemoReport {
    pub(super) fn new(circuits: &[Made], mut standings: Vec<Standing>, wall: Duration) -> Self {
        standings.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
        let circuit = |made: &Made| (made.directory.id().to_string(), made.directory.metadata().clone(), made.seconds);
        Self { circuits: circuits.iter().map(circuit).collect(), standings, wall }
    }

    /// The document that `--json` prints.
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
            "wall_seconds": self.wall.as_secs_f64(),
            "circuits": circuits.collect::<Vec<_>>(),
            "miners": self.standings.iter().map(Standing::document).collect::<Vec<_>>(),
        })
    }
}

impl Standing {
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
            fields.insert("bundle".to_owned(), self.bundle.as_ref().map(|path| path.display().to_string()).into());
        }
        document
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, metadata, seconds) in &self.circuits {
            let (name, backend, constraints) = (&metadata.name, &metadata.backend, metadata.constraints);
            writeln!(f, "{name} {backend}: {constraints} constraints, compiled in {seconds:.1} s, {id:.16}…")?;
        }
        writeln!(f)?;
        let mut rows = table(&PROOF_STANDINGS);
        for standing in &self.standings {
            let tally = &standing.tally;
            rows.add_row([
                judged(standing.name, standing.score > 0.0),
                standing.uid.to_string().into(),
                tally.verified.to_string().into(),
                (tally.answers() - tally.verified).to_string().into(),
                mean_seconds(tally).into(),
                mean_bytes(tally).into(),
                decimals(Some(standing.weight), 3).into(),
                format!("{} α", decimals(Some(standing.chain.emission as f64 / 1e9), 3)).into(),
                reasons(tally).into(),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        write!(f, "Every proof was verified. The chain ran in memory; {:.1} s.", self.wall.as_secs_f64())
    }
}
