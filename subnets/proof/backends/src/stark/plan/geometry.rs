//! Convolutions as products of polynomials: the power of each cell, weight and output.

use taonet_proof_core::Window;
use taonet_proof_core::circuit::Convolution;

use super::super::projection::MAX_DEGREE;

/// A convolution as a product of polynomials in one variable.
///
/// The cells of a channel are the coefficients of a polynomial, row by row, with `pitch` powers for each row: enough that
/// the columns of one row, with the padding beside them, do not overlap with the next. A window with a stride of `s`
/// reads each of the `s * s` sublattices of the input with a stride of one, so each sublattice is a channel of its own.
pub(super) struct Geometry {
    /// Number of coefficients of an output.
    pub(super) length: usize,
    /// Number of coefficients of an input.
    pub(super) input_length: usize,
    pub(super) lattices: Vec<Lattice>,
    /// Power of the first output.
    first: usize,
    pitch: usize,
    columns: usize,
}

/// A sublattice of the input with its part of the kernel.
pub(super) struct Lattice {
    /// Index in the channel, and power, of each element.
    pub(super) elements: Vec<(usize, usize)>,
    /// Index in the kernel, and power, of each tap, from the highest power on.
    pub(super) taps: Vec<(usize, usize)>,
}

/// The elements of an axis that have one residue modulo the stride.
struct Residue {
    /// The first element.
    first: usize,
    elements: usize,
    /// Index in the kernel, and distance of the element from the output.
    taps: Vec<(usize, i64)>,
}

/// Returns an extent as a signed number.
fn signed(extent: usize) -> i64 {
    i64::try_from(extent).unwrap_or(i64::MAX)
}

/// Returns the residues of an axis that a window reads.
fn axis(extent: usize, kernel: usize, stride: usize, padding: usize) -> Vec<Residue> {
    let residues = (0..stride.min(extent)).map(|first| {
        let taps = (0..kernel).map(|index| (index, signed(index) - signed(padding)));
        let taps = taps.filter(|(_, offset)| offset.rem_euclid(signed(stride)) == signed(first));
        let taps = taps.map(|(index, offset)| (index, offset.div_euclid(signed(stride))));
        Residue { first, elements: (extent - first).div_ceil(stride), taps: taps.collect() }
    });
    residues.filter(|residue| !residue.taps.is_empty()).collect()
}

impl Geometry {
    /// Returns the powers of a convolution; `None` if its polynomials are too long, or if it reads padding only.
    pub(super) fn new(convolution: &Convolution) -> Option<Self> {
        let Convolution { input, window, output: [rows, columns], .. } = convolution;
        let vertical = axis(input.height, window.kernel[0], window.stride[0], window.padding[0]);
        let horizontal = axis(input.width, window.kernel[1], window.stride[1], window.padding[1]);
        let distances = || horizontal.iter().flat_map(|residue| residue.taps.iter().map(|&(_, distance)| distance));
        let (nearest, farthest) = (distances().min()?, distances().max()?);
        let widest = horizontal.iter().map(|residue| signed(residue.elements)).max()?;
        // Neither the padding on the left nor that on the right reaches into another row, and no two outputs coincide.
        let pitch = (widest - nearest.min(0)).max(signed(*columns) + farthest.max(0));
        let tallest = vertical.iter().map(|residue| signed(residue.elements)).max()?;
        let highest = (tallest - 1) * pitch + widest - 1;
        let offsets = |residue: &Residue| residue.taps.iter().map(|&(_, distance)| distance).collect::<Vec<_>>();
        let vertical_distances: Vec<i64> = vertical.iter().flat_map(offsets).collect();
        let lowest_tap = vertical_distances.iter().min()? * pitch + nearest;
        let highest_tap = vertical_distances.iter().max()? * pitch + farthest;
        let last = (signed(*rows) - 1) * pitch + signed(*columns) - 1;
        let shift = (-lowest_tap).max(last - highest).max(0);
        let length = highest + shift + highest_tap.max(0) + 1;
        if length > signed(MAX_DEGREE) {
            return None;
        }
        let mut lattices = Vec::new();
        for y in &vertical {
            for x in &horizontal {
                lattices.push(Lattice::new([y, x], input.width, window, pitch, highest, shift));
            }
        }
        Some(Self {
            length: length as usize,
            input_length: highest as usize + 1,
            lattices,
            first: (highest + shift) as usize,
            pitch: pitch as usize,
            columns: *columns,
        })
    }

    /// Returns the power of an output, given its index in the channel.
    pub(super) fn output(&self, index: usize) -> usize {
        let (row, column) = (index / self.columns, index % self.columns);
        self.first - row * self.pitch - column
    }
}

impl Lattice {
    fn new([y, x]: [&Residue; 2], width: usize, window: &Window, pitch: i64, highest: i64, shift: i64) -> Self {
        let [stride_rows, stride_columns] = window.stride;
        let elements = (0..y.elements).flat_map(|row| {
            (0..x.elements).map(move |column| {
                let index = (row * stride_rows + y.first) * width + column * stride_columns + x.first;
                (index, (highest - signed(row) * pitch - signed(column)) as usize)
            })
        });
        let taps = y.taps.iter().flat_map(|&(row, down)| {
            x.taps
                .iter()
                .map(move |&(column, right)| (row * window.kernel[1] + column, (down * pitch + right + shift) as usize))
        });
        let mut taps: Vec<(usize, usize)> = taps.collect();
        taps.sort_unstable_by_key(|&(_, power)| std::cmp::Reverse(power));
        Self { elements: elements.collect(), taps }
    }
}
