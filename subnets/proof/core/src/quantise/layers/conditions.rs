//! Conditions: comparisons with constants, products with conditions, and weighted sums of
//! conditions.

use super::{Quantiser, Tensor};
use crate::network::Operation;
use crate::quantise::power;
use crate::{Clamp, Range, Rescale, Window};

/// Bits of the weights of conditions, including the sign: a condition has a single bit, so finer
/// weights cost nothing.
const WEIGHT_BITS: i32 = 16;
/// Maximum magnitude of a weighted sum of conditions: a quarter of what a field element of `stark`
/// represents with both signs, so that roundings fit, too.
const MAX_WEIGHTED_SUM: f64 = (1_u32 << 28) as f64;

impl Tensor {
    /// Returns whether the tensor's only values are 0 and 1.
    fn is_boolean(&self) -> bool {
        self.scale == 0 && self.range.low >= 0 && self.range.high <= 1
    }
}

impl Quantiser<'_> {
    /// Appends comparisons of a tensor's elements with constants. They are exact: each limit is
    /// rounded down to an integer, and the difference, saturated to one bit, is the
    /// condition.
    pub(super) fn push_comparisons(&mut self, input: Tensor, limits: &[f64], is_above: &[bool]) {
        let unit = power(input.scale);
        let conditions = limits.iter().zip(is_above).map(|(&limit, &is_above)| {
            // A negative limit stays negative if its product is too small for a float: 0 is above
            // it. The conversion of a number that is too large saturates.
            let scaled =
                if limit < 0.0 { (limit * unit).min(-f64::MIN_POSITIVE) } else { limit * unit };
            let last = (scaled.floor() as i64).clamp(input.range.low - 1, input.range.high);
            if is_above { (1, -last) } else { (-1, last + 1) }
        });
        let (weights, bias): (Vec<i32>, Vec<i64>) = conditions.unzip();
        let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
        let operation = Operation::Convolution { window, groups: limits.len(), weights, bias };
        let rescale = Rescale { shift: 0, clamp: Clamp::Unsigned(1) };
        self.push(&[input], operation, Some(rescale), 0, Range { low: 0, high: 1 });
        self.mark_exact(true);
    }

    /// Appends the product of two tensors if one of them is a condition: the product is the other
    /// tensor or 0, and nothing is rounded. Returns whether one of them is a condition.
    pub(super) fn push_masked(&mut self, inputs: &[Tensor]) -> bool {
        let (condition, masked) = match inputs {
            [condition, masked] if condition.is_boolean() => (condition, masked),
            [masked, condition] if condition.is_boolean() => (condition, masked),
            _ => return false,
        };
        let (scale, range) = (condition.scale + masked.scale, masked.range);
        self.push(inputs, Operation::Product, None, scale, range);
        self.mark_exact(inputs.iter().all(|input| input.is_exact));
        true
    }

    /// Returns the largest integer weight of a layer, whose largest weight before quantisation is
    /// `largest`.
    pub(super) fn max_weight(
        &self,
        input: Tensor,
        weights: &[f32],
        bias: &[f32],
        largest: f32,
    ) -> f64 {
        let default_weight = power(i32::from(self.options.weight_bits) - 1) - 1.0;
        if !input.is_boolean() {
            return default_weight;
        }
        let width = weights.len().checked_div(bias.len()).unwrap_or_default().max(1);
        let totals = weights.chunks(width).zip(bias).map(|(row, bias)| {
            row.iter().chain([bias]).map(|weight| f64::from(weight.abs())).sum::<f64>()
                / f64::from(largest)
        });
        let total = totals.fold(1.0, f64::max);
        (MAX_WEIGHTED_SUM / total).min(power(WEIGHT_BITS - 1) - 1.0).max(default_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::float::{FloatNetwork, FloatNode, FloatOperation};
    use crate::quantise::{QuantiseOptions, quantise};

    /// Whatever the scale, the smallest floats keep their signs, and limits beyond all inputs hold
    /// for all or none.
    #[test]
    fn comparisons_with_extreme_limits_are_exact() {
        let tiny = f64::from_bits(1);
        let limits = [
            -tiny,
            -0.0,
            0.0,
            tiny,
            4.0,
            4.0_f64.next_down(),
            -4.5,
            f64::MIN,
            f64::MAX,
            f64::INFINITY,
        ];
        let shape = Shape::vector(limits.len()).unwrap();
        let input_range = Range { low: -5, high: 5 };
        for (input_scale, is_above) in
            [-2, 0, 3].into_iter().flat_map(|scale| [(scale, false), (scale, true)])
        {
            let operation = FloatOperation::Compare {
                limits: limits.to_vec(),
                is_above: vec![is_above; limits.len()],
            };
            let nodes = vec![FloatNode { inputs: vec![0], shape, operation }];
            let network = FloatNetwork::new(shape, nodes);
            let options =
                QuantiseOptions { input_range, input_scale, ..QuantiseOptions::default() };
            let circuit =
                quantise(&network, &options, &[vec![1; limits.len()]]).unwrap().lower().unwrap();
            for value in -5..=5_i32 {
                let real = f64::from(value) * power(-input_scale);
                let expected = limits.map(|limit| i64::from((real > limit) == is_above));
                let inputs = vec![i64::from(value); limits.len()];
                let outputs = circuit.execute(&inputs).unwrap().outputs(&circuit);
                assert_eq!(outputs, expected, "{real} {is_above}");
            }
        }
    }
}
