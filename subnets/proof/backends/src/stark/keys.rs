//! The verification key: shapes, ranges, and the commitment to the fixed columns. The key has about 50 bytes and is a
//! function of the network.

use p3_batch_stark::common::{GlobalPreprocessed, PreprocessedInstanceMeta};
use p3_batch_stark::config::Commitment;
use serde::{Deserialize, Serialize};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::{MAX_ELEMENTS, Range};

use super::air::{Kind, Table, Tile};
use super::config::{CURRENT, Common, Config, MAX_LOG_ROWS, MAX_TILE_SIDE, MIN_LOG_ROWS, Parameters, Prepared};
use super::plan::{MAX_MAGNITUDE, Plan};
use crate::BackendError;

/// Maximum size of a verification key, in bytes.
const MAX_BYTES: usize = 4096;

#[derive(Serialize, Deserialize)]
pub(super) struct VerificationKeyFile {
    /// The version of the file format, which selects the [`Parameters`] of the proof system.
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
    /// Creates the key of a circuit, whose fixed columns are prepared with these parameters.
    pub(super) fn new(
        circuit: &Circuit,
        plan: &Plan,
        parameters: &Parameters,
        prepared: &Prepared,
    ) -> Result<Self, BackendError> {
        let fixed = prepared.common.preprocessed.as_ref();
        let fixed = fixed.ok_or_else(|| BackendError::Internal("no fixed columns".to_owned()))?;
        let file = Self {
            format: parameters.format,
            inputs: circuit.inputs as u32,
            outputs: circuit.outputs.len() as u32,
            input_range: circuit.input_range,
            output_range: circuit.output_range(),
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
        // Other formats may have other fields.
        Self::parameters_of(bytes)?;
        let (file, rest): (Self, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| refuse(&error.to_string()))?;
        if !rest.is_empty() || file.to_bytes()? != bytes {
            return Err(refuse("not the canonical encoding"));
        }
        file.check()?;
        Ok(file)
    }

    /// Returns the parameters of a key's format.
    pub(super) fn parameters_of(bytes: &[u8]) -> Result<&'static Parameters, BackendError> {
        let (format, _) = postcard::take_from_bytes::<u32>(bytes).map_err(|error| refuse(&error.to_string()))?;
        Parameters::of(format).ok_or(BackendError::Format { format, newest: CURRENT.format })
    }

    fn check(&self) -> Result<(), BackendError> {
        let elements = |count: u32| (1..=MAX_ELEMENTS).contains(&(count as usize));
        let range = |range: &Range| range.low <= range.high && range.magnitude() < MAX_MAGNITUDE;
        let rows = self.log_rows.iter().all(|&log| (MIN_LOG_ROWS..=MAX_LOG_ROWS).contains(&log));
        let tables = (4..=6).contains(&self.log_rows.len());
        let sides = self.tile.iter().all(|&side| (1..=MAX_TILE_SIDE).contains(&(side as usize)));
        let public = self
            .log_rows
            .first()
            .is_some_and(|&log| log <= MAX_LOG_ROWS && (self.inputs as usize + self.outputs as usize) < 1 << log);
        let fits =
            elements(self.inputs) && elements(self.outputs) && range(&self.input_range) && range(&self.output_range);
        if fits && rows && tables && sides && public { Ok(()) } else { Err(refuse("sizes are out of bounds")) }
    }

    /// Returns the size of the products table's tile.
    pub(super) fn tile(&self) -> Tile {
        let [inputs, outputs] = self.tile.map(|side| side as usize);
        Tile { inputs, outputs }
    }

    /// Returns the tables without their columns, which a verifier does not have.
    pub(super) fn tables(&self) -> Vec<Table> {
        let kinds = [
            Kind::Public,
            Kind::Products(self.tile()),
            Kind::Activations,
            Kind::Functions,
            Kind::Maxima,
            Kind::Multiplications,
        ];
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
