//! Layers that treat every element on its own: tables, products, and moves.

use std::rc::Rc;

use super::super::{MAX_SUM, MAX_TABLE, Matrices, NetworkError};
use super::{PlacedTensor, rescaled_range};
use crate::circuit::{Cell, Job, Kernel, Linear, MatrixProduct, Product, StageKind, Table};
use crate::{Range, Rescale};

/// Lowers a table, cut to the interval of its input: it has a value for every argument that an
/// execution can read, and no value for any other.
pub(super) fn lower_table(
    index: usize,
    low: i64,
    values: &[i32],
    input: &PlacedTensor,
) -> Result<(StageKind, Range), NetworkError> {
    let table_error =
        || NetworkError::Table { layer: index, low, values: values.len(), input: input.range };
    let offset = |argument: i64| usize::try_from(argument.checked_sub(low)?).ok();
    let (first, last) =
        offset(input.range.low).zip(offset(input.range.high)).ok_or_else(table_error)?;
    let values =
        values.get(first..=last).filter(|_| values.len() <= MAX_TABLE).ok_or_else(table_error)?;
    let range = values
        .iter()
        .map(|&value| Range::only(i64::from(value)))
        .fold(Range::only(0), |a, b| a.union(&b));
    let cells = (0..input.shape.elements()).map(|element| input.cell(element)).collect();
    Ok((StageKind::Table(Table { cells, arguments: input.range, values: values.to_vec() }), range))
}

/// Lowers an element-wise product.
pub(super) fn lower_product(
    index: usize,
    rescale: Option<Rescale>,
    a: &PlacedTensor,
    b: &PlacedTensor,
) -> Result<(StageKind, Range), NetworkError> {
    let sums = product_sum_range(a, b, 1).ok_or(NetworkError::Overflow(index))?;
    let pairs = (0..a.shape.elements()).map(|element| [a.cell(element), b.cell(element)]).collect();
    Ok((StageKind::Product(Product { pairs, rescale, sums }), rescaled_range(rescale, sums)))
}

/// Lowers products of matrices.
pub(super) fn lower_matrix_product(
    index: usize,
    rescale: Option<Rescale>,
    sizes: Matrices,
    a: &PlacedTensor,
    b: &PlacedTensor,
) -> Result<(StageKind, Range), NetworkError> {
    let sums = product_sum_range(a, b, sizes.inner).ok_or(NetworkError::Overflow(index))?;
    let [a, b] = [a, b]
        .map(|tensor| (0..tensor.shape.elements()).map(|element| tensor.cell(element)).collect());
    Ok((
        StageKind::MatrixProduct(MatrixProduct { a, b, sizes, rescale, sums }),
        rescaled_range(rescale, sums),
    ))
}

/// Returns the interval of sums of `count` products; `None` if a sum could overflow.
fn product_sum_range(a: &PlacedTensor, b: &PlacedTensor, count: usize) -> Option<Range> {
    let [at_low, at_high] = [b.range.low, b.range.high].map(|factor| a.range.times(factor));
    let sums = at_low?.union(&at_high?).times(i64::try_from(count).ok()?)?;
    (sums.magnitude() <= MAX_SUM).then_some(sums)
}

/// A tensor of moved elements.
pub(super) struct MovedTensor {
    pub(super) cells: Rc<[Cell]>,
    pub(super) range: Range,
    /// Stage of the constant: without any sum if no output is the constant.
    pub(super) constant: Linear,
}

/// Lowers a move. Its outputs are cells of the inputs, or `constant_cell`, which holds the
/// constant.
pub(super) fn lower_move(
    index: usize,
    indices: &[u32],
    constant: i64,
    inputs: &[PlacedTensor],
    constant_cell: Cell,
) -> Result<MovedTensor, NetworkError> {
    let elements: Vec<Cell> = inputs
        .iter()
        .flat_map(|input| (0..input.shape.elements()).map(|element| input.cell(element)))
        .collect();
    let mut is_padded = false;
    let cells = indices.iter().map(|&position| match elements.get(position as usize) {
        None if position as usize == elements.len() => {
            is_padded = true;
            Ok(constant_cell)
        }
        None => Err(NetworkError::Move(index)),
        Some(&cell) => Ok(cell),
    });
    let cells = cells.collect::<Result<Rc<[Cell]>, _>>()?;
    if constant.unsigned_abs() > MAX_SUM {
        return Err(NetworkError::Overflow(index));
    }
    let constant_range = Range::only(if is_padded { constant } else { 0 });
    let range =
        inputs.iter().fold(constant_range, |range, input| range.union(&input.range)).with_zero();
    let (kernels, jobs, bias) = if is_padded {
        let job = Job { kernel: 0, taps: Vec::new(), outputs: vec![0] };
        (vec![Kernel { slots: 0, weights: Vec::new() }], vec![job], vec![constant])
    } else {
        (Vec::new(), Vec::new(), Vec::new())
    };
    Ok(MovedTensor {
        cells,
        range,
        constant: Linear {
            kernels,
            jobs,
            bias,
            rescale: None,
            sums: constant_range,
            convolution: None,
        },
    })
}
