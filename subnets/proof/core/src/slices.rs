//! Sliced models: models split at layer boundaries into separate circuits, which different miners
//! prove in parallel.
//!
//! A boundary is one tensor: the layers after it read no tensor before it. The dispatcher runs the
//! integer network, so it knows the values at all boundaries in advance. The proofs of both
//! adjacent slices commit to a boundary: it is the public output of one proof and the public input
//! of the next, and the nonce that a slice's proof is bound to ([`SlicedModel::nonce`]) covers the
//! boundaries on both sides. A chain of proofs with equal boundaries therefore proves the whole
//! model.

use serde::{Deserialize, Serialize};
use taonet_primitives::bytes_without_bom;
use thiserror::Error;

use crate::Digest;
use crate::circuit::StageKind;
use crate::metadata::TensorDescription;
use crate::network::{Input, Network, NetworkError, Operation};

/// The file name of a sliced model's description in its directory.
pub const FILE: &str = "sliced_model.json";
/// The supported version of the description.
pub const VERSION: u32 = 1;
/// Maximum number of slices of a model.
pub const MAX_SLICES: usize = 1024;
/// Domain separator of the nonces.
const DOMAIN: &[u8] = b"taonet proof of inference, slice, 1";

/// Description of a sliced model: its circuits in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicedModel {
    /// The version of this file: [`VERSION`].
    pub version: u32,
    /// Human-readable name of the model.
    pub name: String,
    /// Input of the first slice.
    pub input: TensorDescription,
    /// Output of the last slice.
    pub output: TensorDescription,
    /// Identity of each slice's circuit.
    pub slices: Vec<Digest>,
}

/// Why a model cannot be sliced or its description is invalid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SliceError {
    /// The text is not the description of a sliced model.
    #[error("malformed sliced model: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The version is unsupported.
    #[error(
        "unsupported sliced model version {0}, expected {VERSION}; hint: compile the model again"
    )]
    Version(u32),
    /// There are no slices, or more than [`MAX_SLICES`].
    #[error("unsupported number of slices {0}, expected 1 to {MAX_SLICES}")]
    Count(usize),
    /// The model has too few boundaries.
    #[error("the model has too few layer boundaries ({boundaries}) for {slices} slices")]
    Boundaries {
        /// Number of layer boundaries of the model.
        boundaries: usize,
        /// Requested number of slices.
        slices: usize,
    },
    /// The network is invalid.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl SlicedModel {
    /// Parses a description.
    ///
    /// # Errors
    /// When the text is malformed, has an unsupported version, or has no slices or too many.
    pub fn from_json(text: &[u8]) -> Result<Self, SliceError> {
        let model: Self = serde_json::from_slice(bytes_without_bom(text))?;
        if model.version != VERSION {
            return Err(SliceError::Version(model.version));
        }
        if !(1..=MAX_SLICES).contains(&model.slices.len()) {
            return Err(SliceError::Count(model.slices.len()));
        }
        Ok(model)
    }

    /// Serialises the description.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn to_json(&self) -> Result<Vec<u8>, SliceError> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Returns the model's identity: the SHA-256 of the description's text, which covers every
    /// slice.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn id(&self) -> Result<Digest, SliceError> {
        Ok(Digest::of(&self.to_json()?))
    }

    /// Returns the nonce of one slice's request in the run `run`: a commitment to model, position
    /// and both boundaries.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn nonce(
        &self,
        run: &Digest,
        slice: usize,
        before: &[i64],
        after: &[i64],
    ) -> Result<Digest, SliceError> {
        Ok(Digest::of_parts(&[
            DOMAIN,
            run.as_bytes(),
            self.id()?.as_bytes(),
            &(slice as u64).to_le_bytes(),
            Digest::of_values(before).as_bytes(),
            Digest::of_values(after).as_bytes(),
        ]))
    }
}

impl Network {
    /// Returns the indices of layers before which the network can be split. There, the previous
    /// tensor holds activations, not sums, and no later layer reads a tensor before it.
    pub fn boundaries(&self) -> Vec<usize> {
        let is_after_activation = |cut: usize| match self.layers.get(cut.wrapping_sub(1)) {
            Some(layer) => {
                let is_activation =
                    matches!(layer.operation, Operation::MaxPool { .. } | Operation::Table { .. });
                layer.rescale.is_some() || is_activation
            }
            None => false,
        };
        let is_separable = |cut: usize| {
            let later = self.layers.get(cut..).unwrap_or_default();
            later.iter().flat_map(|layer| &layer.inputs).all(|&tensor| tensor as usize >= cut)
        };
        (1..self.layers.len())
            .filter(|&cut| is_after_activation(cut) && is_separable(cut))
            .collect()
    }

    /// Splits the network into `count` slices, so that the slice with the most multiply-adds has as
    /// few as possible.
    ///
    /// # Errors
    /// When the network is invalid or has too few boundaries.
    pub fn slices(&self, count: usize) -> Result<Vec<Self>, SliceError> {
        if !(1..=MAX_SLICES).contains(&count) {
            return Err(SliceError::Count(count));
        }
        let circuit = self.lower()?;
        let shapes = self.shapes()?;
        let boundaries = self.boundaries();
        if boundaries.len() + 1 < count {
            return Err(SliceError::Boundaries { boundaries: boundaries.len(), slices: count });
        }
        let work = circuit.stages.iter().map(|stage| match &stage.kind {
            StageKind::Linear(linear) => {
                linear.jobs.iter().map(|job| job.taps.len() * job.outputs.len()).sum()
            }
            StageKind::Max(max) => max.groups.iter().map(Vec::len).sum::<usize>(),
            StageKind::Table(table) => table.cells.len(),
            StageKind::Product(product) => product.pairs.len(),
            StageKind::MatrixProduct(product) => product.sizes.multiply_adds() as usize,
        });
        let mut ends = boundaries;
        ends.push(self.layers.len());
        let (mut starts, work) = (vec![0], work.collect::<Vec<usize>>());
        starts.extend(balanced_ends(&work, &ends, count));
        let pairs = starts.iter().zip(starts.iter().skip(1));
        let slice = |(&start, &end): (&usize, &usize)| {
            let boundary = start.checked_sub(1).and_then(|previous| {
                let (layer, stage) = (self.layers.get(previous)?, circuit.stages.get(previous)?);
                Some(Input {
                    shape: *shapes.get(start)?,
                    range: stage.range.with_zero(),
                    scale: layer.scale,
                })
            });
            let mut layers = self.layers.get(start..end).unwrap_or_default().to_vec();
            for tensor in layers.iter_mut().flat_map(|layer| &mut layer.inputs) {
                *tensor -= start as u32;
            }
            Self {
                format: self.format,
                input: boundary.unwrap_or_else(|| self.input.clone()),
                layers,
            }
        };
        Ok(pairs.map(slice).collect())
    }
}

/// Divides the layers into `count` consecutive runs, so that the run with the most work has as
/// little as possible. Returns where each run ends: positions from `ends`, whose last element is
/// the end of the network.
fn balanced_ends(work: &[usize], ends: &[usize], count: usize) -> Vec<usize> {
    let total =
        |start: usize, end: usize| work.get(start..end).unwrap_or_default().iter().sum::<usize>();
    // best[i]: the best division of the layers before ends[i] into the current number of runs, as
    // the work of its largest run and the ends of all runs.
    let mut best: Vec<Option<(usize, Vec<usize>)>> =
        ends.iter().map(|&end| Some((total(0, end), vec![end]))).collect();
    for _ in 1..count {
        let next = ends.iter().enumerate().map(|(index, &end)| {
            let earlier = best.iter().zip(ends).take(index);
            let cuts = earlier.filter_map(|(cut, &middle)| {
                let (largest, cuts) = cut.as_ref()?;
                Some((total(middle, end).max(*largest), cuts))
            });
            let (largest, cuts) = cuts.min_by_key(|(largest, _)| *largest)?;
            Some((largest, cuts.iter().copied().chain([end]).collect()))
        });
        best = next.collect();
    }
    best.pop().flatten().map(|(_, cuts)| cuts).unwrap_or_default()
}

#[cfg(test)]
mod tests;
