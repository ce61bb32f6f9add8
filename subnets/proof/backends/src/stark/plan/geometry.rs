//! Convolutions as products of polynomials: the power of each cell, weight and output.

use std::cmp::Reverse;
use std::ops::Range;

use taonet_proof_core::circuit::Convolution;

use super::super::projection::MAX_DEGREE;

/// A convolution as a product of polynomials in one variable.
///
/// The cells of a channel are the coefficients of a polynomial, row by row, with `pitch` powers for
/// each row: enough that the columns of one row, with the padding beside them, do not overlap with
/// the next. A window with a stride of `s` reads each of the `s * s` sublattices of the input with
/// a stride of one, so each sublattice is a separate channel.
///
/// The sublattices are listed on demand: the caller counts their memory before.
pub(super) struct Geometry {
    /// Number of coefficients of an output.
    pub(super) length: usize,
    /// Number of coefficients of an input.
    pub(super) input_length: usize,
    vertical: Vec<Residue>,
    horizontal: Vec<Residue>,
    /// Number of columns of the input.
    width: usize,
    /// Number of columns of the kernel.
    kernel_width: usize,
    stride: [usize; 2],
    /// Power of the first element of a sublattice.
    highest: i64,
    /// Power of a tap whose distance is zero.
    shift: i64,
    pitch: i64,
    /// Number of columns of the output.
    columns: usize,
}

/// A sublattice of the input with its part of the kernel.
#[derive(Clone, Copy)]
pub(super) struct Lattice<'a> {
    geometry: &'a Geometry,
    vertical: &'a Residue,
    horizontal: &'a Residue,
}

/// The elements of an axis that have one residue modulo the stride, and the taps of the kernel that
/// read them: one after each stride, at distances that increase by one.
struct Residue {
    /// The first element.
    first: usize,
    elements: usize,
    /// The elements that a window covers, of `0..elements`.
    covered: Range<usize>,
    /// Index of the first tap in the kernel.
    first_tap: usize,
    /// Number of taps, at least one.
    taps: usize,
    /// Distance from the output to the element that the first tap reads.
    first_distance: i64,
}

/// Returns an extent as a signed number.
fn to_signed(extent: usize) -> i64 {
    i64::try_from(extent).unwrap_or(i64::MAX)
}

/// Returns the residues of an axis that a kernel reads at `outputs` positions.
fn axis_residues(
    extent: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    outputs: usize,
) -> Vec<Residue> {
    let residues = (0..stride.min(extent)).filter_map(|first| {
        let first_tap = (first + padding) % stride;
        let taps = kernel.checked_sub(first_tap).filter(|&span| span > 0)?.div_ceil(stride);
        let elements = (extent - first).div_ceil(stride);
        let first_distance =
            (to_signed(first_tap) - to_signed(padding)).div_euclid(to_signed(stride));
        let end = (first_distance + to_signed(taps) - 1 + to_signed(outputs))
            .clamp(0, to_signed(elements));
        let covered = first_distance.max(0) as usize..end as usize;
        Some(Residue { first, elements, covered, first_tap, taps, first_distance })
    });
    residues.collect()
}

impl Residue {
    fn max_distance(&self) -> i64 {
        self.first_distance + to_signed(self.taps) - 1
    }

    /// Iterates over the taps: index in the kernel, and distance of the element from the output.
    fn taps(&self, stride: usize) -> impl Iterator<Item = (usize, i64)> {
        (0..self.taps)
            .map(move |tap| (self.first_tap + tap * stride, self.first_distance + to_signed(tap)))
    }
}

/// Returns the largest number of elements of a residue, and the smallest and the largest distance
/// of a tap.
fn extremes(axis: &[Residue]) -> Option<(i64, i64, i64)> {
    let maximum = axis.iter().map(|residue| to_signed(residue.elements)).max()?;
    let min_distance = axis.iter().map(|residue| residue.first_distance).min()?;
    Some((maximum, min_distance, axis.iter().map(Residue::max_distance).max()?))
}

impl Geometry {
    /// Returns the powers of a convolution; `None` if its polynomials are too long, or if it reads
    /// padding only.
    pub(super) fn new(convolution: &Convolution) -> Option<Self> {
        let Convolution { input, window, output: [rows, columns], .. } = convolution;
        let [top, left, ..] = window.padding;
        let vertical = axis_residues(input.height, window.kernel[0], window.stride[0], top, *rows);
        let horizontal =
            axis_residues(input.width, window.kernel[1], window.stride[1], left, *columns);
        let (max_rows, min_row_distance, max_row_distance) = extremes(&vertical)?;
        let (max_columns, min_distance, max_distance) = extremes(&horizontal)?;
        // Neither the padding on the left nor that on the right reaches into another row, and no
        // two outputs coincide.
        let pitch =
            (max_columns - min_distance.min(0)).max(to_signed(*columns) + max_distance.max(0));
        let highest = (max_rows - 1) * pitch + max_columns - 1;
        let (lowest_tap, highest_tap) =
            (min_row_distance * pitch + min_distance, max_row_distance * pitch + max_distance);
        let last = (to_signed(*rows) - 1) * pitch + to_signed(*columns) - 1;
        let shift = (-lowest_tap).max(last - highest).max(0);
        let length = highest + shift + highest_tap.max(0) + 1;
        (length <= to_signed(MAX_DEGREE)).then(|| Self {
            length: length as usize,
            input_length: highest as usize + 1,
            vertical,
            horizontal,
            width: input.width,
            kernel_width: window.kernel[1],
            stride: window.stride,
            highest,
            shift,
            pitch,
            columns: *columns,
        })
    }

    /// Returns the number of sublattices.
    pub(super) fn lattice_count(&self) -> usize {
        self.vertical.len() * self.horizontal.len()
    }

    /// Returns the number of taps of all sublattices.
    pub(super) fn tap_count(&self) -> usize {
        let count = |axis: &[Residue]| axis.iter().map(|residue| residue.taps).sum::<usize>();
        count(&self.vertical) * count(&self.horizontal)
    }

    /// Iterates over the sublattices, row by row.
    pub(super) fn lattices(&self) -> impl Iterator<Item = Lattice<'_>> {
        self.vertical.iter().flat_map(move |vertical| {
            self.horizontal.iter().map(move |horizontal| Lattice {
                geometry: self,
                vertical,
                horizontal,
            })
        })
    }

    /// Returns the power of an output, given its index in the channel.
    pub(super) fn output(&self, index: usize) -> usize {
        let (row, column) = (index / self.columns, index % self.columns);
        (self.highest + self.shift - to_signed(row) * self.pitch - to_signed(column)) as usize
    }
}

impl Lattice<'_> {
    /// Iterates over the elements that a window covers: index in the channel, and power. No output
    /// that the convolution has depends on the others, which no stage may have to keep in memory:
    /// they read as zero.
    pub(super) fn elements(self) -> impl Iterator<Item = (usize, usize)> {
        let Self { geometry, vertical, horizontal } = self;
        let [stride_rows, stride_columns] = geometry.stride;
        vertical.covered.clone().flat_map(move |row| {
            horizontal.covered.clone().map(move |column| {
                let from_row = row * stride_rows + vertical.first;
                let index = from_row * geometry.width + column * stride_columns + horizontal.first;
                (
                    index,
                    (geometry.highest - to_signed(row) * geometry.pitch - to_signed(column))
                        as usize,
                )
            })
        })
    }

    /// Returns the taps: index in the kernel, and power. They are in the order of format 4, from
    /// the highest power on and then by index: with padding on both sides of a narrow input, taps
    /// of different rows have the same power.
    pub(super) fn taps(self) -> Vec<(usize, usize)> {
        let Self { geometry, vertical, horizontal } = self;
        let [stride_rows, stride_columns] = geometry.stride;
        let taps = vertical.taps(stride_rows).flat_map(move |(row, down)| {
            horizontal.taps(stride_columns).map(move |(column, right)| {
                let power = down * geometry.pitch + right + geometry.shift;
                (row * geometry.kernel_width + column, power as usize)
            })
        });
        let mut taps: Vec<(usize, usize)> = taps.collect();
        taps.sort_by_key(|&(index, power)| (Reverse(power), index));
        taps
    }
}

#[cfg(test)]
mod tests {
    use taonet_proof_core::{Shape, Window};

    use super::*;

    fn geometry([height, width]: [usize; 2], window: Window) -> Geometry {
        let input = Shape::new(1, height, width).unwrap();
        let output = window.output(&input).unwrap();
        Geometry::new(&Convolution { input, cells: Vec::new(), window, output }).unwrap()
    }

    /// Looking for the taps of each residue in the whole kernel would take 2^40 steps.
    #[test]
    fn large_stride_takes_time_linear_in_kernel_size() {
        let window = Window { kernel: [1 << 20, 1], stride: [1 << 20, 1], padding: [0; 4] };
        let geometry = geometry([1 << 20, 1], window);
        assert_eq!((geometry.lattice_count(), geometry.tap_count()), (1 << 20, 1 << 20));
        let lattices = geometry.lattices().enumerate();
        lattices.for_each(|(index, lattice)| {
            assert_eq!(lattice.elements().collect::<Vec<_>>(), [(index, 0)]);
            assert_eq!(lattice.taps(), [(index, 0)]);
        });
    }

    /// Padding of two columns on both sides of a single one: a row has three powers, and the kernel
    /// five columns.
    #[test]
    fn taps_of_one_power_are_in_the_order_of_the_kernel() {
        let window = Window { kernel: [40, 5], stride: [1; 2], padding: [0, 2, 0, 2] };
        let geometry = geometry([64, 1], window);
        let lattices: Vec<Lattice<'_>> = geometry.lattices().collect();
        let [lattice] = &lattices[..] else { panic!("a stride of one") };
        let taps = lattice.taps();
        assert_eq!(taps.len(), 200);
        assert!(taps.windows(2).any(|taps| taps[0].1 == taps[1].1));
        assert!(taps.windows(2).all(|taps| (taps[0].1, taps[1].0) > (taps[1].1, taps[0].0)));
    }

    /// The elements of all sublattices are those that a window covers at any position, each of them
    /// once.
    #[test]
    fn lattices_cover_each_window_element_once() {
        for [kernel, stride, before, after] in
            [[3, 2, 0, 0], [2, 3, 0, 1], [2, 2, 3, 0], [3, 1, 1, 1], [1, 4, 0, 3]]
        {
            let window = Window {
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [before, 0, after, after],
            };
            let geometry = geometry([9, 8], window);
            let input = Shape::new(1, 9, 8).unwrap();
            let [rows, columns] = window.output(&input).unwrap();
            let positions = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let mut covered: Vec<usize> = positions
                .flat_map(|(row, column)| {
                    window.taps(&input, row, column).map(|(_, index)| index).collect::<Vec<_>>()
                })
                .collect();
            covered.sort_unstable();
            covered.dedup();
            let mut elements: Vec<usize> = geometry
                .lattices()
                .flat_map(|lattice| lattice.elements().map(|(index, _)| index))
                .collect();
            elements.sort_unstable();
            assert_eq!(elements, covered, "{window:?}");
        }
    }
}
