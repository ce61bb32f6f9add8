//! The verification key: shapes, ranges, and the commitment to the fixed columns. It has some 100 bytes and is a
//! function of the network.

use p3_batch_stark::common::{GlobalPreprocessed, PreprocessedInstanceMeta};
use p3_batch_stark::config::Commitment;
use serde::{Deserialize, Serialize};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::{MAX_ELEMENTS, Range};

use super::air::{Kind, Table, Tile};
use super::config::{Common, Config, Prepared};
use super::plan::{MAX_MAGNITUDE, Plan};
use crate::BackendError;

/// The version of the file format.
const FORMAT: u32 = 1;
/// Maximum size of a verification key, in bytes.
const MAX_BYTES: usize = 4096;
/// Base-two logarithm of the maximum number of rows of a table.
const MAX_LOG_ROWS: usize = 24;

#[derive(Serialize, Deserialize)]
pub(super) struct VerificationKeyFile {
    format: u32,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
    pub(super) input_range: Range,
    pub(super) output_range: Range,
    /// Number of inputs and of outputs of a tile.
    tile: [u32; 2],
    pub(super) log_rows: Vec<usize>,
    commitment: Commitment<Config>,
}

impl VerificationKeyFile {
    pub(super) fn new(circuit: &Circuit, plan: &Plan, prepared: &Prepared) -> Result<Self, BackendError> {
        let fixed = prepared.common.preprocessed.as_ref();
        let fixed = fixed.ok_or_else(|| BackendError::Internal("no fixed columns".to_owned()))?;
        let output_range = circuit.stages.iter().fold(circuit.input_range, |range, stage| {
            let written = stage.first..stage.first + stage.count as u32;
            if circuit.outputs.iter().any(|cell| written.contains(cell)) { stage.range } else { range }
        });
        let file = Self {
            format: FORMAT,
            inputs: circuit.inputs as u32,
            outputs: circuit.outputs.len() as u32,
            input_range: circuit.input_range,
            output_range,
            tile: [plan.tile.inputs as u32, plan.tile.outputs as u32],
            log_rows: plan.log_rows.clone(),
            commitment: fixed.commitment.clone(),
        };
        file.check()?;
        Ok(file)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackendError> {
        postcard::to_allocvec(self).map_err(|error| refuse(&error.to_string()))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BackendError> {
        if bytes.len() > MAX_BYTES {
            return Err(refuse("the file is too large"));
        }
        let (file, rest): (Self, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| refuse(&error.to_string()))?;
        if file.format != FORMAT || !rest.is_empty() || file.to_bytes()? != bytes {
            return Err(refuse("unsupported format"));
        }
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), BackendError> {
        let elements = |count: u32| (1..=MAX_ELEMENTS).contains(&(count as usize));
        let range = |range: &Range| range.low <= range.high && range.magnitude() < MAX_MAGNITUDE;
        let rows = self.log_rows.iter().all(|&log| (1..=MAX_LOG_ROWS).contains(&log));
        let tables = (4..=5).contains(&self.log_rows.len());
        let tile = self.tile.iter().all(|&side| (1..=64).contains(&side));
        let public = self
            .log_rows
            .first()
            .is_some_and(|&log| log <= MAX_LOG_ROWS && (self.inputs as usize + self.outputs as usize) < 1 << log);
        let fits =
            elements(self.inputs) && elements(self.outputs) && range(&self.input_range) && range(&self.output_range);
        if fits && rows && tables && tile && public { Ok(()) } else { Err(refuse("sizes are out of bounds")) }
    }

    /// Returns the tables as a verifier knows them: without columns.
    pub(super) fn tables(&self) -> Vec<Table> {
        let [inputs, outputs] = self.tile.map(|side| side as usize);
        let kinds =
            [Kind::Public, Kind::Products(Tile { inputs, outputs }), Kind::Activations, Kind::Functions, Kind::Maxima];
        let kinds = kinds.into_iter().take(self.log_rows.len());
        kinds.map(|kind| Table { kind, fixed: None, public: Vec::new() }).collect()
    }

    /// Returns the common data that the proof system's verifier needs.
    pub(super) fn common(&self, config: &Config) -> Result<Common, BackendError> {
        let tables = self.tables();
        let prepared = Prepared::from_airs_and_degrees(config, &tables, &self.log_rows);
        let mut common = prepared.map_err(|error| BackendError::Internal(format!("{error:?}")))?.common;
        let instances = tables.iter().zip(&self.log_rows).enumerate().map(|(index, (table, &log))| {
            Some(PreprocessedInstanceMeta { matrix_index: index, width: table.kind.fixed_width(), degree_bits: log })
        });
        common.preprocessed = Some(GlobalPreprocessed {
            commitment: self.commitment.clone(),
            instances: instances.collect(),
            matrix_to_instance: (0..tables.len()).collect(),
        });
        Ok(common)
    }
}

fn refuse(reason: &str) -> BackendError {
    BackendError::Key { key: "verification key", reason: reason.to_owned() }
}
