//! Projections as the graph has them: fewer nodes than those of a decoder, with the same results.

use taonet_lm::{DecoderLayer, Matrix, Norm, Projection};

/// The projections of an attention.
pub(crate) struct AttentionProjections {
    /// Projection to the queries, the keys and the values of all heads, one after the other.
    pub(crate) inputs: Projection,
    /// Projection of the attended values.
    pub(crate) output: Projection,
}

impl AttentionProjections {
    /// Joins the projections of a layer after its norm, whose scale and shift become part of them.
    /// `factor` is that of the scores; a layer with norms of its heads has it in these norms.
    ///
    /// All outputs of a joined projection get one scale when they are quantised, so the queries,
    /// keys and values are made about equally large. This changes nothing: the scores are products
    /// of queries and keys, and the output projection undoes the factor of the values.
    pub(crate) fn of(layer: &DecoderLayer, factor: f32) -> Self {
        let mut parts = layer.qkv.each_ref().map(|part| fold_norm(part, &layer.attention_norm));
        let sizes = parts.each_ref().map(output_size);
        let factors = if layer.head_norms.is_some() {
            balancing_factors_with_norms(sizes)
        } else {
            balancing_factors(sizes, factor)
        };
        for (part, factor) in parts.iter_mut().zip(factors) {
            part.weights
                .values
                .iter_mut()
                .chain(part.bias.iter_mut().flatten())
                .for_each(|value| *value *= factor);
        }
        let [_, _, value_factor] = factors;
        let mut output = layer.output.clone();
        output.weights.values.iter_mut().for_each(|weight| *weight /= value_factor);
        Self { inputs: concatenate(&parts), output }
    }
}

/// Returns a projection of the outputs of a norm as one of its normalised values: scale and shift
/// of the norm are part of the weights and biases.
pub(crate) fn fold_norm(projection: &Projection, norm: &Norm) -> Projection {
    let Projection { weights, bias } = projection;
    let rows = || weights.values.chunks(weights.columns.max(1));
    let scaled =
        rows().flat_map(|row| row.iter().zip(&norm.scale).map(|(weight, scale)| weight * scale));
    let bias = match &norm.shift {
        None => bias.clone(),
        Some(shift) => {
            let shift_products = rows().map(|row| {
                let products = row
                    .iter()
                    .zip(shift)
                    .map(|(&weight, &shift)| f64::from(weight) * f64::from(shift));
                products.sum::<f64>() as f32
            });
            let bias = bias.iter().flatten().copied().chain(std::iter::repeat(0.0));
            Some(shift_products.zip(bias).map(|(product, bias)| product + bias).collect())
        }
    };
    Projection { weights: Matrix { values: scaled.collect(), ..*weights }, bias }
}

/// Returns the largest standard deviation of an output, with its bias, for inputs with a variance
/// of 1, as those after a norm have.
fn output_size(projection: &Projection) -> f32 {
    let rows = projection.weights.values.chunks(projection.weights.columns.max(1));
    let bias = projection.bias.iter().flatten().copied().chain(std::iter::repeat(0.0));
    let squares = rows
        .zip(bias)
        .map(|(row, bias)| row.iter().chain([&bias]).map(|value| value * value).sum::<f32>());
    squares.fold(0.0, f32::max).sqrt()
}

/// Returns factors that make queries, keys and values of these sizes equally large. The product of
/// the first two is `factor`.
fn balancing_factors(sizes: [f32; 3], factor: f32) -> [f32; 3] {
    let [queries, keys, _] = sizes;
    let size = (factor * queries * keys).sqrt();
    let factors = sizes.map(|other| size / other);
    // Of a projection to zeros, all factors would be zero or infinite.
    if factors.iter().all(|factor| factor.is_normal()) { factors } else { [factor, 1.0, 1.0] }
}

/// Returns factors for queries and keys with norms, whose epsilons do not permit any but 1.
fn balancing_factors_with_norms(sizes: [f32; 3]) -> [f32; 3] {
    let [queries, keys, values] = sizes;
    let factor = queries.max(keys) / values;
    [1.0, 1.0, if factor.is_normal() { factor } else { 1.0 }]
}

/// Returns a projection to the outputs of all parts.
fn concatenate(parts: &[Projection; 3]) -> Projection {
    let [first, ..] = parts;
    let values = parts.iter().flat_map(|part| &part.weights.values).copied();
    let has_bias = parts.iter().any(|part| part.bias.is_some());
    let bias =
        |part: &Projection| part.bias.clone().unwrap_or_else(|| vec![0.0; part.weights.rows]);
    Projection {
        weights: Matrix {
            rows: parts.iter().map(|part| part.weights.rows).sum(),
            columns: first.weights.columns,
            values: values.collect(),
        },
        bias: has_bias.then(|| parts.iter().flat_map(bias).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_balance_sizes_and_keep_the_product() {
        let [queries, keys, values] = balancing_factors([2.0, 8.0, 0.5], 0.25);
        for (size, factor) in [(2.0, queries), (8.0, keys), (0.5, values)] {
            assert!((size * factor - 2.0_f32).abs() < 1e-6, "{size} {factor}");
        }
        assert!((queries * keys - 0.25).abs() < 1e-6);
        assert_eq!(balancing_factors_with_norms([2.0, 8.0, 0.5]).to_vec(), vec![1.0, 1.0, 16.0]);
    }

    /// Such as a layer that training has switched off.
    #[test]
    fn projections_to_zeros_have_finite_factors() {
        for sizes in [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [f32::INFINITY, 1.0, 1.0]]
        {
            assert_eq!(balancing_factors(sizes, 0.25).to_vec(), vec![0.25, 1.0, 1.0], "{sizes:?}");
        }
        assert_eq!(balancing_factors_with_norms([1.0, 1.0, 0.0]).to_vec(), vec![1.0; 3]);
    }

    #[test]
    fn folded_projection_has_the_results_of_norm_and_projection() {
        let weights = Matrix { rows: 2, columns: 3, values: vec![1.0, 2.0, 3.0, -1.0, 0.5, 0.0] };
        let norm = Norm { scale: vec![2.0, 1.0, -1.0], shift: Some(vec![0.5, 0.0, 1.0]) };
        let folded_of = |bias| fold_norm(&Projection { weights: weights.clone(), bias }, &norm);
        assert_eq!(folded_of(None).weights.values, vec![2.0, 2.0, -3.0, -2.0, 0.5, 0.0]);
        assert_eq!(folded_of(None).bias, Some(vec![3.5, -0.5]));
        assert_eq!(folded_of(Some(vec![1.0, 2.0])).bias, Some(vec![4.5, 1.5]));
        let root_norm = Norm { shift: None, ..norm.clone() };
        assert_eq!(fold_norm(&Projection { weights, bias: None }, &root_norm).bias, None);
    }
}
