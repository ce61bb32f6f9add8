//! Tables of a proof and their constraints (AIR).
//!
//! Memory is a multiset of `(address, value)`. Writing a cell inserts it as often as it is read,
//! each read removes it once, and the sum over all tables is zero. Addresses and read counts are
//! fixed columns, so each address has exactly one value. Functions (rescaling, range checks, the
//! positive part, element-wise functions) are looked up in a table of `(function, argument,
//! value)`. Tables whose columns a proof hides also exchange [masks](super::masks).

mod polynomials;

use std::borrow::Cow;
use std::sync::Arc;

use p3_air::{Air, AirBuilder, BaseAir, ExtensionBuilder, WindowAccess as _};
use p3_field::PrimeCharacteristicRing as _;
use p3_lookup::{Count, InteractionBuilder};
use p3_matrix::dense::RowMajorMatrix;

use super::config::{Challenge, Val};
use super::projection::{COEFFICIENTS_PER_ROW, Powers, WEIGHTS_PER_ROW};

/// Names of the lookup buses.
const MEMORY_BUS: &str = "memory";
const FUNCTION_BUS: &str = "function";
const MASK_BUS: &str = "mask";

/// The function that maps 0 to 0.
pub(super) const ZERO_FUNCTION: u32 = 0;
/// The function that returns its argument's positive part.
pub(super) const POSITIVE_FUNCTION: u32 = 1;
/// The first function that depends on the circuit.
pub(super) const FIRST_FUNCTION: u32 = 2;

/// Number of activations in one row.
pub(super) const ACTIVATION_LANES: usize = 4;
/// Number of maxima in one row.
pub(super) const MAX_LANES: usize = 4;

/// Fixed columns of an activation: address of the sum, addend, divisor, functions of quotient and
/// remainder, address of the activation, and its read count.
pub(super) const ACTIVATION_FIXED: usize = 7;
/// Fixed columns of a maximum: addresses of both operands and of the result, and the read count of
/// the result.
pub(super) const MAX_FIXED: usize = 4;

/// Fixed columns of a hidden input: address, the function that checks its range, and its read
/// count.
pub(super) const INPUT_FIXED: usize = 3;

/// Fixed columns of a multiplication: addresses of both factors and of the product, and the read
/// count of the product.
pub(super) const MULTIPLICATION_FIXED: usize = 4;

/// Fixed columns of the polynomials table: address and count of each coefficient, whether the
/// polynomial continues in the next row, whether it ends as an output or as an input, whether a
/// product starts, and the kernel.
pub(super) const POLYNOMIAL_FIXED: usize = 2 * COEFFICIENTS_PER_ROW + 5;
/// Value columns of the polynomials table, besides the coefficients: the polynomial's value before
/// the row, the value of its kernel, and the product's balance before the row.
pub(super) const POLYNOMIAL_WIDTH: usize = 3 * EXTENSION_DEGREE;
/// Fixed columns of the kernels table besides the selectors of gaps: weights, whether the same tap
/// continues in the next row, whether the row reports the kernel that ended before it, and that
/// kernel.
pub(super) const KERNEL_FIXED: usize = WEIGHTS_PER_ROW + 3;
/// Value columns of the kernels table: the values of the tap and of the kernel before the row.
pub(super) const KERNEL_WIDTH: usize = 2 * EXTENSION_DEGREE;
/// Fixed columns of the operands table: address and count of each weight, whether a kernel starts,
/// whether the row reports the kernel that ended before it, and that kernel.
pub(super) const OPERAND_FIXED: usize = 2 * COEFFICIENTS_PER_ROW + 3;
/// Number of columns of a value in the extension field.
pub(super) const EXTENSION_DEGREE: usize = 4;
/// Number of value columns of a mask, which come before all others: as many as the challenges have
/// dimensions, so that every combination of them by a challenge is as random as a challenge.
pub(super) const MASK_WIDTH: usize = EXTENSION_DEGREE;
/// Number of fixed columns of a mask, which come before all others: how often each row sends it.
pub(super) const MASK_FIXED: usize = 1;

/// Numbers of values read and of sums computed in one row of the products table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Tile {
    /// Returns the number of fixed columns: addresses, weights (output by output for each input),
    /// the first sum's address, the read count of each sum, and whether the sums continue in the
    /// next row.
    pub(super) fn fixed_width(&self) -> usize {
        self.inputs + self.inputs * self.outputs + 1 + self.outputs + 1
    }

    /// Returns the number of rows that multiply `cells` with weights and add the products to
    /// `sums`.
    pub(super) fn rows(&self, cells: usize, sums: usize) -> usize {
        cells.div_ceil(self.inputs).max(1) * sums.div_ceil(self.outputs)
    }

    /// Returns the number of value columns: values read, and each sum before and after the row.
    pub(super) fn width(&self) -> usize {
        self.inputs + 2 * self.outputs
    }
}

/// Kind of a table in a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableKind {
    /// Public values (outputs, and inputs unless they are hidden), and a zero.
    Public,
    /// Multiplications and additions.
    Products(Tile),
    /// Rescales of sums to activations.
    Activations,
    /// Maxima of two values.
    Maxima,
    /// Products of two values, one in each row: more of them in a row would reduce the security of
    /// the lookups.
    Multiplications,
    /// Entries of the function table.
    Functions,
    /// Hidden inputs, one in each row.
    Inputs,
    /// Polynomials with cells as coefficients, their values at a challenge, and the balance of each
    /// product.
    Polynomials,
    /// Kernels as polynomials, and their values at the challenges.
    Kernels {
        /// Number of different gaps between the weights of a kernel.
        gaps: usize,
    },
    /// Kernels whose weights are cells: the rows of a product's second matrix.
    Operands,
}

/// A table. A verifier's table has no fixed columns, only their commitment.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) kind: TableKind,
    pub(super) fixed: Option<Arc<RowMajorMatrix<Val>>>,
    /// Whether the table has the columns of a mask.
    pub(super) is_masked: bool,
    /// The public column of [`TableKind::Public`].
    pub(super) public: Vec<Vec<Val>>,
    /// Powers of the challenges, for the products of polynomials. Without them, no columns satisfy
    /// the constraints of the tables of these products.
    pub(super) powers: Option<Arc<Powers>>,
}

impl Table {
    pub(super) const fn new(kind: TableKind, fixed: Option<Arc<RowMajorMatrix<Val>>>) -> Self {
        Self { kind, fixed, is_masked: false, public: Vec::new(), powers: None }
    }

    /// Returns the number of fixed columns, without the early ones.
    pub(super) fn fixed_width(&self) -> usize {
        self.kind.fixed_width() + if self.is_masked { MASK_FIXED } else { 0 }
    }

    /// Returns the number of value columns of the mask.
    fn mask_width(&self) -> usize {
        if self.is_masked { MASK_WIDTH } else { 0 }
    }
}

/// Number of limbs of 24 bits in the digests that the transcript absorbs.
pub(super) const PUBLIC_LIMBS: usize = 22;

impl TableKind {
    pub(super) fn fixed_width(self) -> usize {
        match self {
            Self::Public | Self::Functions => 3,
            Self::Inputs => INPUT_FIXED,
            Self::Products(tile) => tile.fixed_width(),
            Self::Activations => ACTIVATION_LANES * ACTIVATION_FIXED,
            Self::Maxima => MAX_LANES * MAX_FIXED,
            Self::Multiplications => MULTIPLICATION_FIXED,
            Self::Polynomials => POLYNOMIAL_FIXED,
            Self::Kernels { gaps } => KERNEL_FIXED + gaps,
            Self::Operands => OPERAND_FIXED,
        }
    }

    /// Returns the number of value columns that are committed before all others. The proof system
    /// treats them as fixed.
    pub(super) fn early_width(self) -> usize {
        if matches!(self, Self::Polynomials | Self::Operands) { COEFFICIENTS_PER_ROW } else { 0 }
    }

    pub(super) fn width(self) -> usize {
        match self {
            Self::Public | Self::Functions | Self::Inputs => 1,
            Self::Products(tile) => tile.width(),
            Self::Activations => ACTIVATION_LANES * 3,
            Self::Maxima => MAX_LANES * 3,
            Self::Multiplications => 3,
            Self::Polynomials => POLYNOMIAL_WIDTH,
            Self::Kernels { .. } => KERNEL_WIDTH,
            Self::Operands => EXTENSION_DEGREE,
        }
    }
}

impl BaseAir<Val> for Table {
    fn width(&self) -> usize {
        self.mask_width() + self.kind.width()
    }

    fn preprocessed_trace(&self) -> Option<RowMajorMatrix<Val>> {
        self.fixed.as_deref().cloned()
    }

    fn preprocessed_width(&self) -> usize {
        self.fixed_width() + self.kind.early_width()
    }

    fn preprocessed_next_row_columns(&self) -> Vec<usize> {
        Vec::new()
    }

    fn main_next_row_columns(&self) -> Vec<usize> {
        let columns = match self.kind {
            TableKind::Products(tile) => tile.inputs..tile.inputs + tile.outputs,
            TableKind::Polynomials | TableKind::Kernels { .. } | TableKind::Operands => {
                0..self.kind.width()
            }
            _ => 0..0,
        };
        columns.map(|column| self.mask_width() + column).collect()
    }

    fn num_periodic_columns(&self) -> usize {
        usize::from(self.kind == TableKind::Public)
    }

    fn periodic_columns(&self) -> Cow<'_, [Vec<Val>]> {
        Cow::Borrowed(&self.public)
    }

    fn num_public_values(&self) -> usize {
        if self.kind == TableKind::Public { PUBLIC_LIMBS } else { 0 }
    }
}

impl<AB> Air<AB> for Table
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    fn eval(&self, builder: &mut AB) {
        if self.constrain(builder).is_none() {
            // No columns satisfy this, so a missing constraint never makes a proof valid.
            builder.assert_zero(AB::Expr::ONE);
        }
    }
}

impl Table {
    /// Constrains a row and the next one; `None` if columns or the powers of the challenges are
    /// missing.
    fn constrain<AB>(&self, builder: &mut AB) -> Option<()>
    where
        AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
    {
        let main = builder.main();
        let fixed = builder.preprocessed().clone();
        let mut rows = (main.current_slice(), main.next_slice(), fixed.current_slice());
        if self.is_masked {
            let (mask, local) = rows.0.split_at_checked(MASK_WIDTH)?;
            let (_, next) = rows.1.split_at_checked(MASK_WIDTH)?;
            let (&count, fixed) = rows.2.split_first()?;
            builder.push_interaction(
                MASK_BUS,
                mask.iter().copied(),
                Count::bounded(count.into(), 1),
            );
            rows = (local, next, fixed);
        }
        let (local, next, fixed) = rows;
        match self.kind {
            TableKind::Public => constrain_public(builder, local, fixed),
            TableKind::Products(tile) => constrain_products(builder, tile, local, next, fixed),
            TableKind::Activations => {
                let local: &[[AB::Var; 3]; ACTIVATION_LANES] = split_lanes(local)?;
                let fixed: &[[AB::Var; ACTIVATION_FIXED]; ACTIVATION_LANES] = split_lanes(fixed)?;
                for (lane, fixed) in local.iter().zip(fixed) {
                    constrain_activation(builder, lane, fixed);
                }
                Some(())
            }
            TableKind::Maxima => {
                let local: &[[AB::Var; 3]; MAX_LANES] = split_lanes(local)?;
                let fixed: &[[AB::Var; MAX_FIXED]; MAX_LANES] = split_lanes(fixed)?;
                for (lane, fixed) in local.iter().zip(fixed) {
                    constrain_maximum(builder, lane, fixed);
                }
                Some(())
            }
            TableKind::Multiplications => {
                constrain_multiplication(builder, local.try_into().ok()?, fixed.try_into().ok()?);
                Some(())
            }
            TableKind::Functions => {
                let (&[count], &[function, argument, value]) = (local, fixed) else { return None };
                let entry: [AB::Expr; 3] = [function.into(), argument.into(), value.into()];
                builder.push_interaction(FUNCTION_BUS, entry, Count::provided(-count.into()));
                Some(())
            }
            TableKind::Inputs => {
                let (&[value], &[address, range, reads]) = (local, fixed) else { return None };
                constrain_input(builder, value, [address, range, reads]);
                Some(())
            }
            TableKind::Polynomials | TableKind::Kernels { .. } | TableKind::Operands => {
                let powers = self.powers.as_deref()?;
                let rows = polynomials::Rows { local, next, fixed, powers };
                match self.kind {
                    TableKind::Polynomials => polynomials::constrain_polynomials(builder, rows),
                    TableKind::Operands => polynomials::constrain_operands(builder, rows),
                    _ => polynomials::constrain_kernels(builder, rows),
                }
            }
        }
    }
}

/// Splits columns into lanes of equal width; `None` if there are more or fewer than `N`.
fn split_lanes<V, const WIDTH: usize, const N: usize>(columns: &[V]) -> Option<&[[V; WIDTH]; N]> {
    let (lanes, []) = columns.as_chunks::<WIDTH>() else { return None };
    <&[[V; WIDTH]; N]>::try_from(lanes).ok()
}

/// Removes a value from memory.
fn read<AB: AirBuilder + InteractionBuilder>(builder: &mut AB, address: AB::Var, value: AB::Expr) {
    builder.push_interaction(MEMORY_BUS, [address.into(), value], Count::bounded(AB::Expr::ONE, 1));
}

/// Inserts a value into memory as often as it is read.
fn write<AB: AirBuilder + InteractionBuilder>(
    builder: &mut AB,
    address: AB::Expr,
    value: AB::Expr,
    reads: AB::Var,
) {
    builder.push_interaction(MEMORY_BUS, [address, value], Count::provided(-reads.into()));
}

fn look_up<AB: AirBuilder + InteractionBuilder>(
    builder: &mut AB,
    function: AB::Expr,
    argument: AB::Expr,
    value: AB::Expr,
) {
    builder.push_interaction(
        FUNCTION_BUS,
        [function, argument, value],
        Count::bounded(AB::Expr::ONE, 1),
    );
}

/// Constrains a public value. The fixed columns are address, bias and count. An input is written to
/// memory (negative count), an output is read once (count 1). The value of an output in memory
/// excludes its bias. As in the table of polynomials, the bound is that of reads: counts are fixed,
/// and an input is written as often as the key's rows read it.
fn constrain_public<AB>(builder: &mut AB, local: &[AB::Var], fixed: &[AB::Var]) -> Option<()>
where
    AB: AirBuilder<F = Val> + InteractionBuilder,
{
    let statement_value = builder.periodic_values().first().copied()?;
    let (&[value], &[address, bias, count]) = (local, fixed) else { return None };
    builder.assert_eq(value, statement_value);
    let value_in_memory: AB::Expr = value - bias;
    builder.push_interaction(
        MEMORY_BUS,
        [address.into(), value_in_memory],
        Count::bounded(count.into(), 1),
    );
    Some(())
}

/// Constrains a hidden input. A verifier who does not see it cannot check that it is in the range
/// for which the network's sums stay below half of the field, so a lookup does.
fn constrain_input<AB: AirBuilder<F = Val> + InteractionBuilder>(
    builder: &mut AB,
    value: AB::Var,
    [address, range, reads]: [AB::Var; INPUT_FIXED],
) {
    look_up(builder, range.into(), value.into(), AB::Expr::ZERO);
    write(builder, address.into(), value.into(), reads);
}

/// Constrains a row of multiply-adds: the sums after the row, and whether they continue in the next
/// one.
fn constrain_products<AB: AirBuilder<F = Val> + InteractionBuilder>(
    builder: &mut AB,
    tile: Tile,
    local: &[AB::Var],
    next: &[AB::Var],
    fixed: &[AB::Var],
) -> Option<()> {
    let (values, sums) = local.split_at(tile.inputs);
    let (before, after) = sums.split_at(tile.outputs);
    let (_, next_sums) = next.split_at(tile.inputs);
    let (addresses, fixed) = fixed.split_at(tile.inputs);
    let (weights, fixed) = fixed.split_at(tile.inputs * tile.outputs);
    let (&first_address, fixed) = fixed.split_first()?;
    let (reads, carry) = fixed.split_at(tile.outputs);
    let &[carry] = carry else { return None };
    for (&address, &value) in addresses.iter().zip(values) {
        read(builder, address, value.into());
    }
    let sums = before.iter().zip(after).zip(next_sums).zip(reads);
    for (output, (((&before, &after), &next), &reads)) in sums.enumerate() {
        let mut sum: AB::Expr = before.into();
        for (row, &value) in weights.chunks(tile.outputs).zip(values) {
            if let Some(&weight) = row.get(output) {
                sum += weight * value;
            }
        }
        builder.assert_eq(after, sum);
        // Without a carry, the next row starts at zero. So does the first, since the last row has
        // no carry.
        builder.assert_eq(next, carry * after);
        let address: AB::Expr = first_address + AB::Expr::from_usize(output);
        write(builder, address, after.into(), reads);
    }
    Some(())
}

/// Constrains `sum + addend = quotient * divisor + remainder`. One lookup covers the quotient and
/// the activation, a separate one the remainder.
fn constrain_activation<AB: AirBuilder<F = Val> + InteractionBuilder>(
    builder: &mut AB,
    &[quotient, remainder, value]: &[AB::Var; 3],
    &[sum, addend, divisor, quotient_table, remainder_table, address, reads]: &[AB::Var;
         ACTIVATION_FIXED],
) {
    let value_in_memory: AB::Expr = quotient * divisor + remainder - addend;
    read(builder, sum, value_in_memory);
    look_up(builder, quotient_table.into(), quotient.into(), value.into());
    look_up(builder, remainder_table.into(), remainder.into(), AB::Expr::ZERO);
    write(builder, address.into(), value.into(), reads);
}

/// Constrains the larger of `a` and `b` as `b` plus the positive part of `a - b`.
fn constrain_maximum<AB: AirBuilder<F = Val> + InteractionBuilder>(
    builder: &mut AB,
    &[a, b, positive]: &[AB::Var; 3],
    &[address_a, address_b, address, reads]: &[AB::Var; MAX_FIXED],
) {
    read(builder, address_a, a.into());
    read(builder, address_b, b.into());
    look_up(builder, AB::Expr::from_u32(POSITIVE_FUNCTION), a - b, positive.into());
    write(builder, address.into(), b + positive, reads);
}

/// Constrains the product of `a` and `b`.
fn constrain_multiplication<AB: AirBuilder<F = Val> + InteractionBuilder>(
    builder: &mut AB,
    &[a, b, product]: &[AB::Var; 3],
    &[address_a, address_b, address, reads]: &[AB::Var; MULTIPLICATION_FIXED],
) {
    read(builder, address_a, a.into());
    read(builder, address_b, b.into());
    builder.assert_eq(product, a * b);
    write(builder, address.into(), product.into(), reads);
}
