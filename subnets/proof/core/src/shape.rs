use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Maximum extent of a dimension.
pub const MAX_EXTENT: usize = 1 << 20;
/// Maximum number of elements of a tensor.
pub const MAX_ELEMENTS: usize = 1 << 24;

/// Extents of a tensor without its batch dimension: channels, height, width. A vector of length n
/// has shape `n×1×1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Number of channels, or length of a vector.
    pub channels: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

/// Why a shape or a window is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// An extent is zero or exceeds [`MAX_EXTENT`], or the product exceeds [`MAX_ELEMENTS`].
    #[error(
        "shape {channels}×{height}×{width} is empty or too large (at most {MAX_ELEMENTS} elements)"
    )]
    Size {
        /// Number of channels.
        channels: usize,
        /// Number of rows.
        height: usize,
        /// Number of columns.
        width: usize,
    },
    /// A padding of a pool is not smaller than its kernel. A window that covers padding only has no
    /// maximum and no mean.
    #[error(
        "padding {padding:?} (top, left, bottom, right) is not smaller than the {kernel:?} kernel: a pool over padding only \
         has no value"
    )]
    Padding {
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Padding: top, left, bottom, right.
        padding: [usize; 4],
    },
    /// A kernel or stride is zero, a kernel, stride or padding is too large, or the kernel is
    /// larger than the padded input.
    #[error(
        "a {kernel:?} window with stride {stride:?} and padding {padding:?} does not fit a {height}×{width} input"
    )]
    Window {
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Rows and columns between positions.
        stride: [usize; 2],
        /// Padding: top, left, bottom, right.
        padding: [usize; 4],
        /// Rows of the input.
        height: usize,
        /// Columns of the input.
        width: usize,
    },
}

impl Shape {
    /// Creates a shape.
    ///
    /// # Errors
    /// When an extent is zero, or extents or elements exceed the limits of this module.
    pub fn new(channels: usize, height: usize, width: usize) -> Result<Self, ShapeError> {
        let error = ShapeError::Size { channels, height, width };
        let fits = |extent| (1..=MAX_EXTENT).contains(&extent);
        if !fits(channels) || !fits(height) || !fits(width) {
            return Err(error);
        }
        let elements = channels.checked_mul(height).and_then(|area| area.checked_mul(width));
        match elements {
            Some(count) if count <= MAX_ELEMENTS => Ok(Self { channels, height, width }),
            _ => Err(error),
        }
    }

    /// Creates the shape of a vector of `length` elements.
    ///
    /// # Errors
    /// When the length is zero or exceeds the limits of this module.
    pub fn vector(length: usize) -> Result<Self, ShapeError> {
        Self::new(length, 1, 1)
    }

    /// Returns the number of elements.
    pub fn elements(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Validates a deserialised shape.
    ///
    /// # Errors
    /// When an extent is zero, or extents or elements exceed the limits of this module.
    pub fn checked(self) -> Result<Self, ShapeError> {
        Self::new(self.channels, self.height, self.width)
    }
}

/// A sliding window over the rows and columns of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Rows and columns between two positions.
    pub stride: [usize; 2],
    /// Rows and columns added around the input: top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Window {
    /// Returns the rows and columns of a convolution's output for an input of this shape. Where the
    /// window covers padding only, the output is the bias.
    ///
    /// # Errors
    /// When a kernel or stride is zero, an extent is too large, or the kernel is larger than the
    /// padded input.
    pub fn output(&self, input: &Shape) -> Result<[usize; 2], ShapeError> {
        let error = ShapeError::Window {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            height: input.height,
            width: input.width,
        };
        let [top, left, bottom, right] = self.padding;
        let [kernel_rows, kernel_columns] = self.kernel;
        let output_extent =
            |extent: usize, kernel: usize, stride: usize, before: usize, after: usize| {
                let is_bounded =
                    [kernel, stride].iter().all(|&size| (1..=MAX_EXTENT).contains(&size));
                if !is_bounded || before.max(after) > MAX_EXTENT {
                    return None;
                }
                (extent + before + after).checked_sub(kernel).map(|span| span / stride + 1)
            };
        let [stride_rows, stride_columns] = self.stride;
        let rows = output_extent(input.height, kernel_rows, stride_rows, top, bottom);
        let columns = output_extent(input.width, kernel_columns, stride_columns, left, right);
        rows.zip(columns).map(|(rows, columns)| [rows, columns]).ok_or(error)
    }

    /// Returns the rows and columns of a pool's output for an input of this shape.
    ///
    /// # Errors
    /// As [`Self::output`], and when a padding is not smaller than its kernel: then some windows
    /// could cover padding only.
    pub fn pool_output(&self, input: &Shape) -> Result<[usize; 2], ShapeError> {
        let output = self.output(input)?;
        let ([rows, columns], [top, left, bottom, right]) = (self.kernel, self.padding);
        if top.max(bottom) >= rows || left.max(right) >= columns {
            return Err(ShapeError::Padding { kernel: self.kernel, padding: self.padding });
        }
        Ok(output)
    }

    /// Iterates over the elements of a channel that the window covers at an output position, as
    /// pairs of the index within the kernel and the index within the channel. Padding is omitted.
    pub fn taps(
        &self,
        input: &Shape,
        row: usize,
        column: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let [kernel_rows, kernel_columns] = self.kernel;
        let [top, left, ..] = self.padding;
        let (first_row, first_column) = (row * self.stride[0], column * self.stride[1]);
        let (height, width) = (input.height, input.width);
        (0..kernel_rows).flat_map(move |y| {
            (0..kernel_columns).filter_map(move |x| {
                let source_row =
                    (first_row + y).checked_sub(top).filter(|&coordinate| coordinate < height)?;
                let source_column = (first_column + x)
                    .checked_sub(left)
                    .filter(|&coordinate| coordinate < width)?;
                Some((y * kernel_columns + x, source_row * width + source_column))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: usize, stride: usize, padding: usize) -> Window {
        Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 4] }
    }

    #[test]
    fn output_extents_follow_the_usual_formula() {
        let input = Shape::new(3, 28, 28).unwrap();
        assert_eq!(window(5, 1, 0).output(&input), Ok([24, 24]));
        assert_eq!(window(3, 2, 1).output(&input), Ok([14, 14]));
        assert_eq!(window(2, 2, 0).output(&input), Ok([14, 14]));
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let input = Shape::new(1, 4, 4).unwrap();
        for bad in [
            window(5, 1, 0),
            window(0, 1, 0),
            window(2, 0, 0),
            window(usize::MAX, 1, 1),
            window(2, 1, usize::MAX),
        ] {
            assert!(bad.output(&input).is_err() && bad.pool_output(&input).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pool_window_over_padding_only_is_refused() {
        let input = Shape::new(1, 2, 2).unwrap();
        let wide = window(2, 1, 2);
        assert_eq!(wide.output(&input), Ok([5, 5]));
        assert_eq!(wide.taps(&input, 0, 0).count(), 0);
        assert_eq!(
            wide.pool_output(&input),
            Err(ShapeError::Padding { kernel: wide.kernel, padding: wide.padding })
        );
        assert_eq!(window(2, 1, 1).pool_output(&input), Ok([3, 3]));
    }

    #[test]
    fn window_taps_exclude_padding() {
        let input = Shape::new(1, 3, 3).unwrap();
        let corner: Vec<_> = window(3, 1, 1).taps(&input, 0, 0).collect();
        assert_eq!(corner, [(4, 0), (5, 1), (7, 3), (8, 4)]);
    }

    #[test]
    fn empty_and_huge_shapes_are_refused() {
        assert!(Shape::new(1 << 19, 1 << 19, 1).is_err());
        assert!(Shape::new(usize::MAX, 2, 2).is_err());
        assert!(Shape::new(0, 1, 1).is_err());
    }
}
