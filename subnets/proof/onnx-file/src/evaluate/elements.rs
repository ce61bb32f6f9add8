//! Element-wise operators and moves, by the formulas of the standard. They share no code with the
//! reader's functions and positions.

use std::cmp::Ordering;

use taonet_proof_core::MAX_ELEMENTS;

use super::{Operands, Tensor};
use crate::OnnxError;
use crate::dims::elements;

impl Operands<'_> {
    /// Returns the axis that the node names.
    pub(super) fn axis(&self, default: i64, dims: &[usize]) -> Result<usize, OnnxError> {
        let axis = existing_axis(self.node.int("axis", default), dims);
        axis.ok_or_else(|| self.evaluation_error("the axis does not exist"))
    }

    /// Compares two operands: 1 where the condition holds, else 0.
    pub(super) fn evaluate_comparison(&self) -> Result<Tensor, OnnxError> {
        let condition: fn(f64, f64) -> f64 = match self.node.op_type.as_str() {
            "And" => |a: f64, b: f64| a.min(b),
            "Equal" => |a: f64, b: f64| f64::from(a.partial_cmp(&b) == Some(Ordering::Equal)),
            "Greater" => |a: f64, b: f64| f64::from(a > b),
            "GreaterOrEqual" => |a: f64, b: f64| f64::from(a >= b),
            "Less" => |a: f64, b: f64| f64::from(a < b),
            "Xor" => |a: f64, b: f64| (a - b).abs(),
            _ => |a: f64, b: f64| f64::from(a <= b),
        };
        self.combine_pairwise(condition)
    }

    /// Chooses between the elements of two operands.
    pub(super) fn evaluate_where(&self) -> Result<Tensor, OnnxError> {
        let (condition, a, b) = (self.operand(0)?, self.operand(1)?, self.operand(2)?);
        let first =
            self.combine(&condition, &a, |holds, a| if holds > 0.0 { a } else { f64::NAN })?;
        self.combine(&first, &b, |first, b| if first.is_nan() { b } else { first })
    }

    /// Evaluates an operator that applies a function to each element; `None` if there is no such
    /// operator.
    pub(super) fn evaluate_element_wise(&self) -> Result<Option<Tensor>, OnnxError> {
        let parameter = |name: &str, default: f64| {
            self.node.attribute(name).map_or(default, |attribute| f64::from(attribute.f))
        };
        let alpha = |default: f64| parameter("alpha", default);
        let function: Box<dyn Fn(f64) -> f64> = match self.node.op_type.as_str() {
            "Celu" => {
                let alpha = alpha(1.0);
                Box::new(move |x: f64| x.max(0.0) + (alpha * ((x / alpha).exp() - 1.0)).min(0.0))
            }
            "Clip" => {
                let limit = |position, name, default| {
                    let input = self
                        .optional_operand(position)
                        .and_then(|limit| limit.values.first().copied());
                    input.unwrap_or_else(|| parameter(name, default))
                };
                let (low, high) =
                    (limit(1, "min", f64::NEG_INFINITY), limit(2, "max", f64::INFINITY));
                Box::new(move |x: f64| x.max(low).min(high))
            }
            "Elu" => {
                let alpha = alpha(1.0);
                Box::new(move |x: f64| if x < 0.0 { alpha * (x.exp() - 1.0) } else { x })
            }
            "Gelu"
                if self
                    .node
                    .attribute("approximate")
                    .is_some_and(|attribute| attribute.s == b"tanh") =>
            {
                let factor = (2.0 / std::f64::consts::PI).sqrt();
                Box::new(move |x: f64| {
                    0.5 * x * (1.0 + (factor * (x + 0.044_715 * x * x * x)).tanh())
                })
            }
            "HardSigmoid" => {
                let (alpha, beta) = (alpha(0.2), parameter("beta", 0.5));
                Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
            }
            "LeakyRelu" => {
                let alpha = alpha(0.01);
                Box::new(move |x| if x < 0.0 { alpha * x } else { x })
            }
            "PRelu" => {
                return self
                    .combine_pairwise(|x, slope| if x < 0.0 { slope * x } else { x })
                    .map(Some);
            }
            "Selu" => {
                let (alpha, gamma) =
                    (alpha(1.673_263_192_176_818_8), parameter("gamma", 1.050_701_022_148_132_3));
                Box::new(move |x: f64| gamma * if x > 0.0 { x } else { alpha * x.exp() - alpha })
            }
            "Shrink" => {
                let (limit, bias) = (parameter("lambd", 0.5), parameter("bias", 0.0));
                Box::new(move |x| {
                    if x < -limit {
                        x + bias
                    } else if x > limit {
                        x - bias
                    } else {
                        0.0
                    }
                })
            }
            "Swish" => {
                let alpha = alpha(1.0);
                Box::new(move |x| x * sigmoid(alpha * x))
            }
            "ThresholdedRelu" => {
                let alpha = alpha(1.0);
                Box::new(move |x| if x > alpha { x } else { 0.0 })
            }
            operator => match function_without_attributes(operator) {
                Some(function) => Box::new(function),
                None => return Ok(None),
            },
        };
        let mut tensor = self.operand(0)?.into_owned();
        tensor.values.iter_mut().for_each(|value| *value = function(*value));
        Ok(Some(tensor))
    }

    pub(super) fn evaluate_transpose(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let rank = input.dims.len();
        let order: Vec<usize> = match self.node.ints("perm") {
            None => (0..rank).rev().collect(),
            Some(order) => order.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect(),
        };
        if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
            return Err(self.evaluation_error("perm is malformed"));
        }
        let dims = order.iter().map(|&axis| input.dims[axis]).collect();
        Ok(tensor_from_fn(dims, |coordinates| {
            let mut source = vec![0; rank];
            for (&axis, &coordinate) in order.iter().zip(coordinates) {
                source[axis] = coordinate;
            }
            input.at(&source)
        }))
    }

    pub(super) fn evaluate_slice(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let (Some(starts), Some(ends)) =
            (self.attribute_or_input("starts", 1), self.attribute_or_input("ends", 2))
        else {
            return Err(self.evaluation_error("starts or ends are missing"));
        };
        let axes = self
            .attribute_or_input("axes", 3)
            .unwrap_or_else(|| (0..starts.len().cast_signed() as i64).collect());
        let steps = self.integers(4).unwrap_or_else(|| vec![1; starts.len()]);
        let mut selected: Vec<Vec<usize>> =
            input.dims.iter().map(|&extent| (0..extent).collect()).collect();
        for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let axis = existing_axis(axis, &input.dims).filter(|_| step != 0);
            let axis =
                axis.ok_or_else(|| self.evaluation_error("an axis or a step is malformed"))?;
            let extent = input.dims[axis].cast_signed() as i64;
            let resolve = |limit: i64| if limit < 0 { limit.saturating_add(extent) } else { limit };
            let last = if step > 0 { extent } else { extent - 1 };
            let mut coordinate = resolve(start).clamp(0, last.max(0));
            let end = resolve(end).max(-1);
            selected[axis].clear();
            while (0..extent).contains(&coordinate)
                && if step > 0 { coordinate < end } else { coordinate > end }
            {
                selected[axis].push(coordinate as usize);
                coordinate = coordinate.saturating_add(step);
            }
        }
        let dims = selected.iter().map(Vec::len).collect();
        Ok(tensor_from_fn(dims, |coordinates| {
            let source: Vec<usize> = coordinates
                .iter()
                .zip(&selected)
                .map(|(&coordinate, selected)| selected[coordinate])
                .collect();
            input.at(&source)
        }))
    }

    /// Returns the parts of a Split, one after the other along the axis.
    pub(super) fn evaluate_split(&self) -> Result<Vec<Tensor>, OnnxError> {
        let input = self.operand(0)?;
        let axis = self.axis(0, &input.dims)?;
        let (count, extent) = (self.node.output.len(), input.dims[axis]);
        let equal_size = extent.div_ceil(count.max(1)).cast_signed() as i64;
        let sizes = self.attribute_or_input("split", 1);
        let (mut start, mut parts) = (0, Vec::with_capacity(count));
        for index in 0..count {
            let size = sizes.as_ref().map_or(Some(equal_size), |sizes| sizes.get(index).copied());
            let size = size.and_then(|size| usize::try_from(size).ok());
            let size = size
                .ok_or_else(|| self.evaluation_error("the parts are malformed"))?
                .min(extent - start);
            let mut dims = input.dims.clone();
            dims[axis] = size;
            let first = start;
            parts.push(tensor_from_fn(dims, |coordinates| {
                let mut source = coordinates.to_vec();
                source[axis] += first;
                input.at(&source)
            }));
            start += size;
        }
        Ok(parts)
    }

    /// Repeats the elements to the dimensions that the second operand names.
    pub(super) fn evaluate_expand(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let target = self.integers(1).unwrap_or_default();
        let target: Option<Vec<usize>> =
            target.into_iter().map(|extent| usize::try_from(extent).ok()).collect();
        let dims = target.filter(|dims| elements(dims).is_some_and(|count| count <= MAX_ELEMENTS));
        let dims = dims.ok_or_else(|| self.evaluation_error("the dimensions are malformed"))?;
        let values = vec![0.0; elements(&dims).unwrap_or_default()];
        self.combine(&input, &Tensor { dims, values }, |value, _| value)
    }

    pub(super) fn evaluate_concat(&self) -> Result<Tensor, OnnxError> {
        let parts = (0..self.node.input.len())
            .map(|position| self.operand(position))
            .collect::<Result<Vec<_>, _>>()?;
        let mut dims = parts.first().map(|part| part.dims.clone()).unwrap_or_default();
        let axis = self.axis(0, &dims)?;
        dims[axis] = 0;
        for part in &parts {
            let mut others = part.dims.clone();
            let extent = others
                .get_mut(axis)
                .map(std::mem::take)
                .ok_or_else(|| self.evaluation_error("the ranks differ"))?;
            let total = dims[axis] + extent;
            dims[axis] = 0;
            if others != dims {
                return Err(self.evaluation_error("the operands do not fit each other"));
            }
            dims[axis] = total;
        }
        Ok(tensor_from_fn(dims, |coordinates| {
            let mut source = coordinates.to_vec();
            for part in &parts {
                if source[axis] < part.dims[axis] {
                    return part.at(&source);
                }
                source[axis] -= part.dims[axis];
            }
            f64::NAN
        }))
    }

    pub(super) fn evaluate_pad(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let rank = input.dims.len();
        let pads = self.attribute_or_input("pads", 1);
        let pads = pads.ok_or_else(|| self.evaluation_error("the pads are missing"))?;
        let constant = self.optional_operand(2).and_then(|value| value.values.first().copied());
        let constant = constant.unwrap_or_else(|| f64::from(self.node.float("value", 0.0)));
        let axes = self.integers(3).unwrap_or_else(|| (0..rank.cast_signed() as i64).collect());
        let mode =
            self.node.attribute("mode").map_or_else(|| b"constant".to_vec(), |mode| mode.s.clone());
        let (mut before, mut dims) = (vec![0; rank], input.dims.clone());
        for (index, &axis) in axes.iter().enumerate() {
            let ends = pads.get(index).zip(pads.get(index + axes.len()));
            let (Some(axis), Some((&first, &last))) = (existing_axis(axis, &input.dims), ends)
            else {
                return Err(self.evaluation_error("the pads are malformed"));
            };
            before[axis] = first;
            let extent = usize::try_from(
                (dims[axis].cast_signed() as i64).saturating_add(first).saturating_add(last),
            );
            dims[axis] =
                extent.map_err(|_| self.evaluation_error("the pads remove all elements"))?;
        }
        Ok(tensor_from_fn(dims, |coordinates| {
            let mut source = Vec::with_capacity(rank);
            for ((&coordinate, &before), &extent) in
                coordinates.iter().zip(&before).zip(&input.dims)
            {
                let (coordinate, last) =
                    (coordinate.cast_signed() as i64 - before, extent.cast_signed() as i64 - 1);
                source.push(match &mode[..] {
                    _ if (0..=last).contains(&coordinate) => coordinate as usize,
                    b"edge" => {
                        if coordinate < 0 {
                            0
                        } else {
                            extent - 1
                        }
                    }
                    b"reflect" => {
                        (if coordinate < 0 { -coordinate } else { last - (coordinate - last) })
                            as usize
                    }
                    _ => return constant,
                });
            }
            input.at(&source)
        }))
    }

    pub(super) fn evaluate_gather(&self) -> Result<Tensor, OnnxError> {
        let (input, indices) = (self.operand(0)?, self.operand(1)?);
        let axis = self.axis(0, &input.dims)?;
        let extent = input.dims[axis] as f64;
        let (outer, inner) = (&input.dims[..axis], &input.dims[axis + 1..]);
        let dims = [outer, &indices.dims, inner].concat();
        Ok(tensor_from_fn(dims, |coordinates| {
            let (outer, remaining) = coordinates.split_at(axis);
            let (middle, inner) = remaining.split_at(indices.dims.len());
            let index = indices.at(middle);
            // The reader refuses constant indices that do not exist; a computed one has no value.
            if !(-extent..extent).contains(&index) {
                return f64::NAN;
            }
            let index = if index < 0.0 { index + extent } else { index } as usize;
            input.at(&[outer, &[index], inner].concat())
        }))
    }
}

impl Tensor {
    /// Returns the element at these positions along the axes.
    pub(super) fn at(&self, coordinates: &[usize]) -> f64 {
        self.values.get(self.index(coordinates)).copied().unwrap_or(f64::NAN)
    }

    /// Returns the element at these positions along the axes, which must exist.
    pub(super) fn at_mut(&mut self, coordinates: &[usize]) -> &mut f64 {
        let index = self.index(coordinates);
        &mut self.values[index]
    }

    /// Returns the index of the element at these positions along the axes.
    fn index(&self, coordinates: &[usize]) -> usize {
        coordinates
            .iter()
            .zip(&self.dims)
            .fold(0, |index, (&coordinate, &extent)| index * extent + coordinate)
    }
}

/// Iterates over the positions along axes with these extents, the last axis first.
pub(super) fn all_coordinates(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let (dims, count) = (dims.to_vec(), dims.iter().product::<usize>());
    let mut next_coordinates = vec![0; dims.len()];
    (0..count).map(move |_| {
        let coordinates = next_coordinates.clone();
        for (coordinate, &extent) in next_coordinates.iter_mut().zip(&dims).rev() {
            *coordinate += 1;
            if *coordinate < extent {
                break;
            }
            *coordinate = 0;
        }
        coordinates
    })
}

/// Builds a tensor from a function of the positions along its axes.
pub(super) fn tensor_from_fn(dims: Vec<usize>, element: impl Fn(&[usize]) -> f64) -> Tensor {
    let values = all_coordinates(&dims).map(|coordinates| element(&coordinates)).collect();
    Tensor { dims, values }
}

/// Returns the axis with this number, which counts from the last axis if negative; `None` if there
/// is none.
pub(super) fn existing_axis(axis: i64, dims: &[usize]) -> Option<usize> {
    let axis = if axis < 0 { axis + dims.len().cast_signed() as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < dims.len())
}

/// Returns the function of an operator without attributes.
fn function_without_attributes(operator: &str) -> Option<fn(f64) -> f64> {
    Some(match operator {
        "Abs" => f64::abs,
        "Acos" => f64::acos,
        "Acosh" => f64::acosh,
        "Asin" => f64::asin,
        "Asinh" => f64::asinh,
        "Atan" => f64::atan,
        "Atanh" => f64::atanh,
        "Ceil" => f64::ceil,
        "Cos" => f64::cos,
        "Cosh" => f64::cosh,
        "Erf" => |x: f64| 1.0 - libm::erfc(x),
        "Exp" => f64::exp,
        "Floor" => f64::floor,
        "Gelu" => |x: f64| 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2),
        "HardSwish" => |x: f64| x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        "Log" => f64::ln,
        "Mish" => |x: f64| x * (1.0 + x.exp()).ln().tanh(),
        "Neg" => |x: f64| -x,
        "Not" => |x: f64| 1.0 - x,
        "Reciprocal" => |x: f64| 1.0 / x,
        "Relu" => |x: f64| x.max(0.0),
        "Round" => f64::round_ties_even,
        "Sigmoid" => sigmoid,
        "Sign" => |x: f64| if x.abs() > 0.0 { x.signum() } else { x },
        "Sin" => f64::sin,
        "Sinh" => f64::sinh,
        "Softplus" => |x: f64| if x > 40.0 { x } else { (1.0 + x.exp()).ln() },
        "Softsign" => |x: f64| x / (1.0 + x.abs()),
        "Sqrt" => f64::sqrt,
        "Tan" => f64::tan,
        "Tanh" => f64::tanh,
        _ => return None,
    })
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}
