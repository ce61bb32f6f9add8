//! Multiplication method of a circuit, and the format of its key.

use taonet_proof_core::circuit::{Circuit, StageKind};

use super::super::air::Tile;
use super::super::config::{
    BOUNDED, HIDING, HIDING_INPUTS, LARGE, MAX_LOG_ROWS, MAX_TILE_SIDE, POLYNOMIALS, Parameters,
    TILES,
};
use super::equations::polynomial_saving;
use super::polynomials::Polynomials;

/// Minimum number of multiply-adds for which a larger tile is cheaper.
const MIN_LARGE_TILE_MULTIPLY_ADDS: u64 = 1 << 21;
/// Maximum number of multiply-adds for which the smallest tile is cheaper, if all others are those
/// of products of polynomials. Each multiply-add takes a row then, but every query opens all
/// columns: besides those of the lookups, 106 of a tile of 8×8 and 8 of the smallest one.
const MAX_SMALLEST_TILE_MULTIPLY_ADDS: u64 = 1 << 14;
/// Minimum saving for which products of polynomials are cheaper: their tables make every proof
/// longer.
const MIN_SAVING: usize = 1 << 14;

/// Format of a verification key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum KeyFormat {
    /// The circuit multiplies in tiles only: format 3.
    Tiles,
    /// Stages are products of polynomials where that is cheaper than tiles: format 4.
    Polynomials,
    /// Proofs hide the value columns: format 5.
    Hiding {
        /// Whether stages are products of polynomials where that is cheaper than tiles.
        has_polynomials: bool,
    },
    /// Like [`Self::Polynomials`], but tables may have as many rows as those of [`LARGE`]: format
    /// 6, which no new key has.
    Large,
    /// Like [`Self::Large`], but a clamp has no entry for quotients far beyond its interval: format
    /// 8. Most circuits never compute such values, for which the worst weights would need the worst
    /// inputs, and the function table of a language model would have no room for them.
    Bounded,
    /// Proofs hide the value columns, the inputs among them: format 7.
    HidingInputs {
        /// Whether stages are products of polynomials where that is cheaper than tiles.
        has_polynomials: bool,
    },
}

impl KeyFormat {
    /// Whether stages are products of polynomials where that is cheaper than tiles.
    pub(in super::super) const fn has_polynomials(self) -> bool {
        match self {
            Self::Tiles => false,
            Self::Polynomials | Self::Large | Self::Bounded => true,
            Self::Hiding { has_polynomials } | Self::HidingInputs { has_polynomials } => {
                has_polynomials
            }
        }
    }

    /// Whether proofs hide the value columns.
    pub(in super::super) const fn hides_values(self) -> bool {
        matches!(self, Self::Hiding { .. } | Self::HidingInputs { .. })
    }

    /// Whether the inputs are among the hidden columns.
    pub(in super::super) const fn hides_inputs(self) -> bool {
        matches!(self, Self::HidingInputs { .. })
    }

    /// Whether tables may have as many rows as those of [`LARGE`].
    pub(in super::super) const fn is_large(self) -> bool {
        matches!(self, Self::Large | Self::Bounded)
    }

    /// Whether clamps have a limited interval of quotients.
    pub(super) const fn is_bounded(self) -> bool {
        matches!(self, Self::Bounded)
    }

    /// Returns the format of a finished layout. `has_polynomials` is whether any stage has become a
    /// product of polynomials.
    pub(super) const fn for_layout(self, has_polynomials: bool) -> Self {
        match self {
            Self::Hiding { .. } => Self::Hiding { has_polynomials },
            Self::HidingInputs { .. } => Self::HidingInputs { has_polynomials },
            _ if !has_polynomials => Self::Tiles,
            format => format,
        }
    }

    /// Returns the parameters of new keys.
    pub(in super::super) fn parameters(self) -> &'static Parameters {
        match self {
            Self::Tiles => &TILES,
            Self::Polynomials => &POLYNOMIALS,
            Self::Hiding { .. } => &HIDING,
            Self::Large => &LARGE,
            Self::Bounded => &BOUNDED,
            Self::HidingInputs { .. } => &HIDING_INPUTS,
        }
    }

    /// Returns those of the inputs that are public: all or none.
    pub(in super::super) fn public_inputs(self, inputs: &[i64]) -> &[i64] {
        if self.hides_inputs() { &[] } else { inputs }
    }

    /// Returns the minimum number of rows of a table.
    pub(super) fn min_rows(self) -> usize {
        let [log, _] = self.parameters().log_rows;
        1 << log
    }

    /// Returns the maximum number of rows of a table.
    pub(super) fn max_rows(self) -> usize {
        let [_, log] = self.parameters().log_rows;
        1 << log
    }
}

/// Multiplication method of a circuit, and the format of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Method {
    pub(in super::super) tile: Tile,
    pub(in super::super) format: KeyFormat,
}

impl Method {
    /// Chooses the method for a new key. Circuits with few multiply-adds in tiles get small tiles,
    /// since fewer columns make shorter proofs.
    pub(super) fn new(circuit: &Circuit) -> Self {
        let [smallest, small, large] =
            [1, MAX_TILE_SIDE / 2, MAX_TILE_SIDE].map(|side| Tile { inputs: side, outputs: side });
        let stages = circuit.stages.iter().filter_map(|stage| match &stage.kind {
            StageKind::Linear(linear) => Some((linear, polynomial_saving(linear, small))),
            _ => None,
        });
        let (mut total_saving, mut polynomial_multiply_adds) = (0, 0);
        for (linear, saving) in stages.filter_map(|(linear, saving)| Some((linear, saving?))) {
            total_saving += saving;
            polynomial_multiply_adds += linear.multiply_adds();
        }
        let matrix_multiply_adds = circuit.stages.iter().map(|stage| match &stage.kind {
            StageKind::MatrixProduct(product) => product.sizes.multiply_adds(),
            _ => 0,
        });
        let matrix_multiply_adds: u64 = matrix_multiply_adds.sum();
        let has_polynomials = total_saving >= MIN_SAVING || matrix_multiply_adds > 0;
        let tile_multiply_adds = circuit.multiply_adds()
            - matrix_multiply_adds
            - if has_polynomials { polynomial_multiply_adds } else { 0 };
        let default_tile =
            if tile_multiply_adds < MIN_LARGE_TILE_MULTIPLY_ADDS { small } else { large };
        if !has_polynomials {
            return Self { tile: default_tile, format: KeyFormat::Tiles };
        }
        let mut tile = smallest;
        let mut size = LinearSize::new(circuit, tile, KeyFormat::Polynomials);
        if size.multiply_adds_in_tiles >= MAX_SMALLEST_TILE_MULTIPLY_ADDS {
            // Other stages may be cheaper in these tiles, so choose the products of polynomials
            // again.
            tile = default_tile;
            size = LinearSize::new(circuit, tile, KeyFormat::Polynomials);
        }
        if size.kernel_rows <= 1 << MAX_LOG_ROWS {
            return Self { tile, format: KeyFormat::Polynomials };
        }
        let format = KeyFormat::Bounded;
        let tile_multiply_adds = LinearSize::new(circuit, large, format).multiply_adds_in_tiles;
        let tile = match tile_multiply_adds {
            0..MAX_SMALLEST_TILE_MULTIPLY_ADDS => smallest,
            MAX_SMALLEST_TILE_MULTIPLY_ADDS..MIN_LARGE_TILE_MULTIPLY_ADDS => small,
            MIN_LARGE_TILE_MULTIPLY_ADDS.. => large,
        };
        Self { tile, format }
    }

    /// Chooses the method for a new key whose proofs hide the value columns.
    pub(super) fn hiding(circuit: &Circuit) -> Self {
        let Self { tile, format } = Self::new(circuit);
        Self { tile, format: KeyFormat::Hiding { has_polynomials: format.has_polynomials() } }
    }

    /// Chooses the method for a new key whose proofs hide the value columns and the inputs.
    pub(super) fn hiding_inputs(circuit: &Circuit) -> Self {
        let Self { tile, format } = Self::new(circuit);
        Self { tile, format: KeyFormat::HidingInputs { has_polynomials: format.has_polynomials() } }
    }
}

/// Size of a circuit's linear stages, as products of polynomials where these are cheaper than
/// tiles.
struct LinearSize {
    /// Number of multiply-adds that are not those of products of polynomials.
    multiply_adds_in_tiles: u64,
    /// Number of rows of the kernels table.
    kernel_rows: usize,
}

impl LinearSize {
    /// Computes the size if tiles have the size `tile`.
    fn new(circuit: &Circuit, tile: Tile, format: KeyFormat) -> Self {
        let mut polynomials = Polynomials::new(format);
        let mut size = Self { multiply_adds_in_tiles: 0, kernel_rows: 0 };
        for stage in &circuit.stages {
            let StageKind::Linear(linear) = &stage.kind else { continue };
            match polynomials.choose_form(linear, tile) {
                Some(form) => size.kernel_rows += form.size(linear).kernels,
                None => size.multiply_adds_in_tiles += linear.multiply_adds(),
            }
        }
        size
    }
}
