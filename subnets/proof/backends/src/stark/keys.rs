//! The verification key: shapes, ranges, and the commitment to the fixed columns. The key has about
//! 60 bytes and is a function of the network. Circuits without products of polynomials have keys of
//! format 3, the others of format 4. Keys whose proofs hide the values between inputs and outputs
//! have format 5, those whose proofs hide the inputs, too, format 7. Keys of circuits with the most
//! weights have format 8, earlier ones format 6 ([`KeyFormat`]).

use std::sync::Arc;

use p3_air::BaseAir as _;
use p3_batch_stark::common::{GlobalPreprocessed, PreprocessedInstanceMeta};
use p3_uni_stark::StarkGenericConfig as _;
use serde::{Deserialize, Serialize};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::{MAX_ELEMENTS, Range};

use super::air::{Table, TableKind, Tile};
use super::config::{
    BOUNDED, Challenge, Common, Config, LARGE, MAX_TILE_SIDE, NEWEST_FORMAT, POLYNOMIALS,
    Parameters, Prepared, Root, Scheme,
};
use super::plan::{KeyFormat, MAX_MAGNITUDE, Method, Plan};
use super::projection::{MAX_DEGREE, MAX_GAPS, Powers};
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
    /// Base-two logarithm of each table's rows. In format 3, the list ends with the last table that
    /// the circuit has; since format 4, tables that it does not have are 0.
    log_rows: Vec<usize>,
    commitment: Root,
    /// Gaps between the taps of kernels: since format 4, after the fields above.
    #[serde(skip)]
    gaps: Vec<u32>,
}

impl VerificationKeyFile {
    /// Creates the key of a circuit, whose fixed columns are prepared with these parameters.
    pub(super) fn new<S: Scheme>(
        circuit: &Circuit,
        plan: &Plan,
        parameters: &Parameters,
        prepared: &Prepared<S>,
    ) -> Result<Self, BackendError> {
        let fixed = prepared.common.preprocessed.as_ref();
        let fixed = fixed.ok_or_else(|| BackendError::Internal("no fixed columns".to_owned()))?;
        let file = Self {
            format: parameters.format,
            inputs: circuit.inputs as u32,
            outputs: circuit.outputs.len() as u32,
            input_range: circuit.input_range,
            output_range: circuit.output_range(),
            tile: [plan.method.tile.inputs as u32, plan.method.tile.outputs as u32],
            log_rows: log_rows(plan),
            commitment: fixed.commitment.clone(),
            gaps: plan.polynomials.gaps.clone(),
        };
        file.check()?;
        Ok(file)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackendError> {
        let mut bytes =
            postcard::to_allocvec(self).map_err(|error| invalid_key(&error.to_string()))?;
        if self.lists_all_tables() {
            bytes.extend(
                postcard::to_allocvec(&self.gaps)
                    .map_err(|error| invalid_key(&error.to_string()))?,
            );
        }
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BackendError> {
        if bytes.len() > MAX_BYTES {
            return Err(invalid_key("the file is too large"));
        }
        // Other formats may have other fields.
        Self::parameters_of(bytes)?;
        let (mut file, mut trailing): (Self, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| invalid_key(&error.to_string()))?;
        if file.lists_all_tables() {
            (file.gaps, trailing) = postcard::take_from_bytes(trailing)
                .map_err(|error| invalid_key(&error.to_string()))?;
        }
        if !trailing.is_empty() || file.to_bytes()? != bytes {
            return Err(invalid_key("not the canonical encoding"));
        }
        file.check()?;
        Ok(file)
    }

    /// Returns the parameters of a key's format.
    pub(super) fn parameters_of(bytes: &[u8]) -> Result<&'static Parameters, BackendError> {
        let (format, _) = postcard::take_from_bytes::<u32>(bytes)
            .map_err(|error| invalid_key(&error.to_string()))?;
        parameters_of(format)
    }

    fn check(&self) -> Result<(), BackendError> {
        let is_valid_count = |count: u32| (1..=MAX_ELEMENTS).contains(&(count as usize));
        let is_valid_range =
            |range: &Range| range.low <= range.high && range.magnitude() < MAX_MAGNITUDE;
        let parameters = parameters_of(self.format)?;
        let [min, max] = parameters.log_rows;
        let has_table = |log: &usize| (min..=max).contains(log);
        let (has_valid_rows, has_valid_length) = match &self.log_rows[..] {
            [required @ .., maxima, products, polynomials, kernels, operands]
                if self.lists_all_tables() =>
            {
                let has_valid_optional_tables =
                    [maxima, products, operands].into_iter().all(|log| *log == 0 || has_table(log));
                // The tables of products of polynomials, which format 4 always has.
                let has_polynomial_tables = [polynomials, kernels].into_iter().all(has_table);
                let has_no_polynomial_tables = parameters.hides_values
                    && self.gaps.is_empty()
                    && [polynomials, kernels, operands].into_iter().all(|log| *log == 0);
                let has_all = required.iter().all(has_table)
                    && (has_polynomial_tables || has_no_polynomial_tables);
                (
                    has_valid_optional_tables && has_all,
                    required.len() == 4 + usize::from(parameters.hides_inputs),
                )
            }
            rows => (
                rows.iter().all(has_table),
                !self.lists_all_tables() && (4..=6).contains(&rows.len()),
            ),
        };
        let has_valid_gaps =
            self.gaps.len() <= MAX_GAPS && self.gaps.iter().all(|&gap| gap as usize <= MAX_DEGREE);
        let has_valid_tile =
            self.tile.iter().all(|&side| (1..=MAX_TILE_SIDE).contains(&(side as usize)));
        // The table of public values has a zero, too.
        let has_room = |table: usize, values: u32| {
            self.log_rows
                .get(table)
                .is_some_and(|&log| log <= max && u64::from(values) <= 1_u64 << log)
        };
        let values = self.public_inputs().saturating_add(self.outputs).saturating_add(1);
        let has_room_for_public = has_room(0, values)
            && (!parameters.hides_inputs || has_room(INPUTS_INDEX, self.inputs));
        let has_valid_counts = is_valid_count(self.inputs)
            && is_valid_count(self.outputs)
            && is_valid_range(&self.input_range)
            && is_valid_range(&self.output_range);
        if has_valid_counts
            && has_valid_rows
            && has_valid_length
            && has_valid_gaps
            && has_valid_tile
            && has_room_for_public
        {
            Ok(())
        } else {
            Err(invalid_key("sizes are out of bounds"))
        }
    }

    /// Returns whether the list of rows has all tables, and is followed by the gaps.
    fn lists_all_tables(&self) -> bool {
        self.format >= POLYNOMIALS.format
    }

    /// Returns whether proofs hide the value columns.
    fn hides_values(&self) -> bool {
        Parameters::of(self.format).is_some_and(|parameters| parameters.hides_values)
    }

    /// Returns whether the inputs are among the hidden columns.
    fn hides_inputs(&self) -> bool {
        Parameters::of(self.format).is_some_and(|parameters| parameters.hides_inputs)
    }

    /// Returns the number of inputs that a statement has: none if proofs hide them.
    pub(super) fn public_inputs(&self) -> u32 {
        if self.hides_inputs() { 0 } else { self.inputs }
    }

    /// Returns how the circuit multiplies, and the format of the key.
    pub(super) fn method(&self) -> Method {
        let [inputs, outputs] = self.tile.map(|side| side as usize);
        let has_polynomials =
            self.tables().iter().any(|table| table.kind == TableKind::Polynomials);
        let format = if self.hides_inputs() {
            KeyFormat::HidingInputs { has_polynomials }
        } else if self.hides_values() {
            KeyFormat::Hiding { has_polynomials }
        } else if self.format == LARGE.format {
            KeyFormat::Large
        } else if self.format == BOUNDED.format {
            KeyFormat::Bounded
        } else if has_polynomials {
            KeyFormat::Polynomials
        } else {
            KeyFormat::Tiles
        };
        Method { tile: Tile { inputs, outputs }, format }
    }

    /// Returns whether the tables have these numbers of rows.
    pub(super) fn has_rows_of(&self, plan: &Plan) -> bool {
        self.log_rows == log_rows(plan)
    }

    /// Returns the number of rows of the table of public values.
    pub(super) fn public_rows(&self) -> usize {
        self.log_rows.first().map_or(0, |&log| 1 << log)
    }

    /// Returns the powers of the challenges.
    pub(super) fn powers(&self, challenges: [Challenge; 2]) -> Powers {
        Powers::new(challenges, &self.gaps)
    }

    /// Returns the tables without their columns, which a verifier does not have, and without the
    /// powers of challenges.
    pub(super) fn tables(&self) -> Vec<Table> {
        let [inputs, outputs] = self.tile.map(|side| side as usize);
        let kinds = kinds(Tile { inputs, outputs }, self.gaps.len(), self.hides_inputs());
        let kinds = kinds.into_iter().zip(&self.log_rows).filter(|&(_, &log)| log > 0);
        let is_masked = self.hides_values();
        kinds.map(|(kind, _)| Table { is_masked, ..Table::new(kind, None) }).collect()
    }

    /// Returns the common data that the proof system's verifier needs.
    pub(super) fn common_data<S: Scheme>(
        &self,
        config: &Config<S>,
    ) -> Result<Common<S>, BackendError> {
        let mut tables = self.tables();
        let powers = Arc::new(Powers::placeholder(&self.gaps));
        for table in &mut tables {
            table.powers = Some(Arc::clone(&powers));
        }
        let log_rows = self.log_rows.iter().filter(|&&log| log > 0);
        let log_rows: Vec<usize> = log_rows.map(|log| log + config.is_zk()).collect();
        let prepared = Prepared::from_airs_and_degrees(config, &tables, &log_rows);
        let mut common =
            prepared.map_err(|error| BackendError::Internal(format!("{error:?}")))?.common;
        let instances = tables.iter().zip(&log_rows).enumerate().map(|(index, (table, &log))| {
            let width = table.preprocessed_width();
            Some(PreprocessedInstanceMeta { matrix_index: index, width, degree_bits: log })
        });
        common.preprocessed = Some(GlobalPreprocessed {
            commitment: self.commitment.clone(),
            instances: instances.collect(),
            matrix_to_instance: (0..tables.len()).collect(),
        });
        Ok(common)
    }
}

/// Position of [`TableKind::Inputs`] among the tables of a circuit that has it.
const INPUTS_INDEX: usize = 4;

/// Returns all kinds of tables, in their order. Keys of format 3 have those before
/// [`TableKind::Polynomials`].
pub(super) fn kinds(tile: Tile, gaps: usize, has_inputs: bool) -> Vec<TableKind> {
    let mut kinds = vec![
        TableKind::Public,
        TableKind::Products(tile),
        TableKind::Activations,
        TableKind::Functions,
        TableKind::Maxima,
        TableKind::Multiplications,
        TableKind::Polynomials,
        TableKind::Kernels { gaps },
        TableKind::Operands,
    ];
    if has_inputs {
        kinds.insert(INPUTS_INDEX, TableKind::Inputs);
    }
    kinds
}

/// Returns the numbers of rows of a plan's tables, as a key has them.
fn log_rows(plan: &Plan) -> Vec<usize> {
    let Method { tile, format } = plan.method;
    if format == KeyFormat::Tiles {
        return plan.log_rows.clone();
    }
    let kinds = kinds(tile, plan.polynomials.gaps.len(), format.hides_inputs());
    let tables = kinds
        .into_iter()
        .map(|kind| plan.tables.iter().zip(&plan.log_rows).find(|(table, _)| table.kind == kind));
    tables.map(|table| table.map_or(0, |(_, &log)| log)).collect()
}

/// Returns the parameters of a format.
fn parameters_of(format: u32) -> Result<&'static Parameters, BackendError> {
    Parameters::of(format).ok_or(BackendError::Format { format, newest: NEWEST_FORMAT })
}

fn invalid_key(reason: &str) -> BackendError {
    BackendError::Key { key: "verification key", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
