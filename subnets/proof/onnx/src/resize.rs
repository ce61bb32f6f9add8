//! Conversion of Resize and Upsample by the nearest element: a move. Extents and coordinates are
//! computed in single precision, like those of the standard's shape inference and of runtimes: a
//! quotient that is rounded to an integer there must not be just below it here.

use std::borrow::Cow;

use taonet_proof_core::MAX_ELEMENTS;

use super::dims;
use super::proto::NodeProto;
use super::tensor::Constant;
use super::{OnnxError, Reader, unsupported};

/// Coordinates of the output as coordinates of the input.
#[derive(Clone, Copy)]
enum Coordinates {
    Asymmetric,
    AlignCorners,
    HalfPixel,
    /// As [`Self::HalfPixel`], with 0 for an output of one element.
    PytorchHalfPixel,
}

/// Rounding of coordinates between two elements to that of the nearest one.
#[derive(Clone, Copy)]
enum Nearest {
    Floor,
    Ceil,
    /// The smaller of two that are equally near.
    PreferFloor,
    /// The larger of two that are equally near.
    PreferCeil,
}

impl Reader {
    pub(super) fn convert_resize(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let (coordinates, nearest) = self.resize_modes(node)?;
        let mut positions = Vec::with_capacity(input.dims.len());
        for (&extent, (size, factor)) in
            input.dims.iter().zip(self.resize_factors(node, &input.dims)?)
        {
            let nearest_position = |position: usize| {
                nearest.nearest_element(
                    coordinates.original_coordinate(position, extent, size, factor),
                    extent,
                )
            };
            positions.push(
                (0..size)
                    .map(|position| Some(nearest_position(position)))
                    .collect::<Vec<Option<usize>>>(),
            );
        }
        self.define_selection(node, input.index, &input.dims, &positions, 0.0)
    }

    /// Returns how the coordinates of a node are transformed and rounded; before version 11, in one
    /// way only.
    fn resize_modes(&self, node: &NodeProto) -> Result<(Coordinates, Nearest), OnnxError> {
        let unsupported_error = |what: &str| unsupported(node, format!("{what} is unsupported"));
        if node.text("mode").unwrap_or(b"nearest") != b"nearest" {
            return Err(unsupported(
                node,
                "a mode other than nearest is unsupported; hint: use ConvTranspose".to_owned(),
            ));
        }
        if node.int("antialias", 0) != 0 || node.int("exclude_outside", 0) != 0 {
            return Err(unsupported_error("antialias or exclude_outside"));
        }
        if node.text("keep_aspect_ratio_policy").unwrap_or(b"stretch") != b"stretch" {
            return Err(unsupported_error("a keep_aspect_ratio_policy other than stretch"));
        }
        if self.opset < 11 || node.op_type == "Upsample" {
            return Ok((Coordinates::Asymmetric, Nearest::Floor));
        }
        let coordinates = match node.text("coordinate_transformation_mode").unwrap_or(b"half_pixel")
        {
            b"asymmetric" => Coordinates::Asymmetric,
            b"align_corners" => Coordinates::AlignCorners,
            b"half_pixel" => Coordinates::HalfPixel,
            b"pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            _ => return Err(unsupported_error("this coordinate_transformation_mode")),
        };
        let nearest = match node.text("nearest_mode").unwrap_or(b"round_prefer_floor") {
            b"floor" => Nearest::Floor,
            b"ceil" => Nearest::Ceil,
            b"round_prefer_floor" => Nearest::PreferFloor,
            b"round_prefer_ceil" => Nearest::PreferCeil,
            _ => return Err(unsupported_error("this nearest_mode")),
        };
        Ok((coordinates, nearest))
    }

    /// Returns the new extent of each axis, and its quotient by the old one.
    fn resize_factors(
        &self,
        node: &NodeProto,
        input_dims: &[usize],
    ) -> Result<Vec<(usize, f32)>, OnnxError> {
        let rank = input_dims.len();
        let is_upsample = node.op_type == "Upsample";
        // Before version 11, the scales come second, and before version 9, they are an attribute.
        let is_old = is_upsample || self.opset < 11;
        let axes = match node.ints("axes") {
            None => (0..rank).collect(),
            Some(axes) => axes
                .iter()
                .map(|&axis| dims::axis(node, axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let input = self.weights(node, if is_old { 1 } else { 2 })?.and_then(Constant::to_floats);
        let scales = node.floats("scales").map(<[f32]>::to_vec).or(input.map(Cow::into_owned));
        let scales = scales.filter(|scales| !scales.is_empty());
        let sizes =
            if is_old { None } else { self.integers(node, 3)?.filter(|sizes| !sizes.is_empty()) };
        let count = sizes.as_ref().map(Vec::len).or(scales.as_ref().map(Vec::len));
        if count != Some(axes.len()) {
            return Err(unsupported(
                node,
                "the scales or sizes are missing, or not those of all axes".to_owned(),
            ));
        }
        let mut factors: Vec<(usize, f32)> =
            input_dims.iter().map(|&extent| (extent, 1.0)).collect();
        for (index, &axis) in axes.iter().enumerate() {
            let (Some(slot), Some(&extent)) = (factors.get_mut(axis), input_dims.get(axis)) else {
                continue;
            };
            let size_input = sizes.as_ref().and_then(|sizes| sizes.get(index));
            let scale = scales.as_ref().and_then(|scales| scales.get(index)).copied();
            let (size, factor) = match (size_input, scale.unwrap_or(1.0)) {
                (Some(&size), _) => (size as f64, size as f32 / extent as f32),
                (None, scale) => (f64::from((extent as f32 * scale).floor()), scale),
            };
            if !(1.0..=MAX_ELEMENTS as f64).contains(&size) || (is_old && factor < 1.0) {
                return Err(unsupported(
                    node,
                    format!("an axis of {extent} elements cannot get {size}"),
                ));
            }
            *slot = (size as usize, factor);
        }
        let dims: Vec<usize> = factors.iter().map(|&(size, _)| size).collect();
        Self::check_elements(node, &dims)?;
        Ok(factors)
    }
}

impl Coordinates {
    /// Returns the coordinate in the input of a position in the output, where the axis has `extent`
    /// elements in the input and `size`, `factor` times as many, in the output.
    fn original_coordinate(self, position: usize, extent: usize, size: usize, factor: f32) -> f32 {
        let (output_coordinate, last) = (position as f32, extent as f32 - 1.0);
        match self {
            // The axis remains.
            _ if (factor - 1.0).abs() <= 0.0 => output_coordinate,
            Self::Asymmetric => output_coordinate / factor,
            Self::AlignCorners if size > 1 => output_coordinate * last / (size as f32 - 1.0),
            Self::PytorchHalfPixel if size > 1 => (output_coordinate + 0.5) / factor - 0.5,
            Self::AlignCorners | Self::PytorchHalfPixel => 0.0,
            Self::HalfPixel => (output_coordinate + 0.5) / factor - 0.5,
        }
    }
}

impl Nearest {
    /// Returns the element that is nearest to a coordinate.
    fn nearest_element(self, coordinate: f32, extent: usize) -> usize {
        // Exact, unlike a sum with 0.5 in single precision.
        let coordinate = f64::from(coordinate);
        let nearest = match self {
            Self::Floor => coordinate.floor(),
            Self::Ceil => coordinate.ceil(),
            Self::PreferFloor => (coordinate - 0.5).ceil(),
            Self::PreferCeil => (coordinate + 0.5).floor(),
        };
        nearest.clamp(0.0, extent as f64 - 1.0) as usize
    }
}
