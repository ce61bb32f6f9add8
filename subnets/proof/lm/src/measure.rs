//! Precision of a language model's integer network relative to the model, without keys.

use std::path::Path;

use taonet_lm::greedy_token;
use taonet_proof_circuits::CircuitError;
use taonet_proof_core::quantise::{
    QuantiseError, QuantiseOptions, TensorError, power, quantise_measured,
};

use crate::compile::PreparedModel;
use crate::{LmError, LmOptions};

/// Number of texts on which the errors of all tensors are measured.
const MEASURED_TEXTS: usize = 2;

/// Precision of an integer network relative to its language model.
#[derive(Clone, Debug, PartialEq)]
pub struct LmPrecision {
    /// Number of positions at which both choose a token.
    pub positions: usize,
    /// Number of positions at which both choose the same token.
    pub same: usize,
    /// Perplexities of the model and of the integer network.
    pub perplexities: [f64; 2],
    /// Errors of the tensors, in the order of the nodes.
    pub tensors: Vec<TensorError>,
}

/// Quantises a language model like [`compile`](crate::compile), and compares the integer network
/// with the model on the lines of a text, each up to the tokens of the circuit. Without a text, on
/// those texts of the sample that do not determine the scales.
///
/// # Errors
/// As [`compile`](crate::compile), but no keys are created.
pub fn measure(
    path: &Path,
    options: &QuantiseOptions,
    lm: LmOptions<'_>,
    text: Option<&str>,
) -> Result<LmPrecision, LmError> {
    let prepared = PreparedModel::new(path, options, lm)?;
    let (calibration, test) = prepared.sample.split();
    let rows: Vec<Vec<i64>> = test.inputs.iter().take(MEASURED_TEXTS).cloned().collect();
    let network = prepared.parsed.network();
    let (quantised, tensors) = quantise_measured(network, &prepared.options, &calibration, &rows)
        .map_err(CircuitError::from)?;
    let circuit = quantised.lower().map_err(CircuitError::from)?;
    let unit = power(-quantised.output_scale());
    drop(quantised);
    let description = &prepared.description;
    let texts = match text {
        Some(text) => prepared.encode_lines(text)?,
        None => test.inputs,
    };
    let mut precision = LmPrecision { positions: 0, same: 0, perplexities: [0.0; 2], tensors };
    let mut predicted_tokens = 0;
    for text in texts {
        let outputs = circuit.execute(&text)?.outputs(&circuit);
        let inputs: Vec<f32> = text.iter().map(|&token| token as f32).collect();
        let tensors = network.run(&inputs);
        let tensors = tensors.map_err(|source| CircuitError::from(QuantiseError::from(source)))?;
        let model_logits = tensors.last().map(Vec::as_slice).unwrap_or_default();
        let length = text.iter().rposition(|&token| token != 0).map_or(0, |last| last + 1);
        let rows =
            model_logits.chunks(description.vocabulary).zip(outputs.chunks(description.vocabulary));
        for (position, (logits, network_logits)) in rows.take(length).enumerate() {
            precision.positions += 1;
            let next_token = description.likeliest_token(&outputs, position);
            precision.same += usize::from(next_token == Some(i64::from(greedy_token(logits))));
            let Some(next) = text.get(position + 1).filter(|_| position + 1 < length) else {
                continue;
            };
            let next = usize::try_from(*next).unwrap_or_default();
            let [model_loss, network_loss] = &mut precision.perplexities;
            *model_loss += loss(logits.iter().map(|&logit| f64::from(logit)), next);
            *network_loss += loss(network_logits.iter().map(|&logit| logit as f64 * unit), next);
            predicted_tokens += 1;
        }
    }
    precision.perplexities =
        precision.perplexities.map(|loss| (loss / f64::from(predicted_tokens.max(1))).exp());
    Ok(precision)
}

/// Returns the negative logarithm of a token's probability.
fn loss(logits: impl Iterator<Item = f64>, token: usize) -> f64 {
    let logits: Vec<f64> = logits.collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    total.ln() + largest - logits.get(token).copied().unwrap_or(f64::NEG_INFINITY)
}
