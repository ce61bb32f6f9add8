use serde::{Deserialize, Serialize};

use super::{Precision, QuantiseError, QuantiseOptions, power};
use crate::float::FloatNetwork;
use crate::network::Network;

/// Sample inputs to evaluate a network, with labels or targets if known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Integer inputs.
    pub inputs: Vec<Vec<i64>>,
    /// The correct class of each input, for a classifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<usize>,
    /// The target value of each input, for a regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<f64>,
}

impl Sample {
    /// Splits the sample into inputs for calibration and a sample for tests, without common rows:
    /// of each pair of rows, the first is for tests and the second for calibration. A single row
    /// serves both.
    pub fn split(&self) -> (Vec<Vec<i64>>, Self) {
        if self.inputs.len() < 2 {
            return (self.inputs.clone(), self.clone());
        }
        let calibration = self.inputs.iter().skip(1).step_by(2).cloned().collect();
        let test = Self {
            inputs: self.inputs.iter().step_by(2).cloned().collect(),
            labels: self.labels.iter().step_by(2).copied().collect(),
            targets: self.targets.iter().step_by(2).copied().collect(),
        };
        (calibration, test)
    }
}

/// Quantisation error on a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantisationReport {
    /// Number of inputs that the error is measured on.
    pub samples: usize,
    /// Number of separate inputs that determined the scales; absent if the error is measured on the
    /// calibration inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_samples: Option<usize>,
    /// Largest absolute difference between a float output and its integer counterpart, in real
    /// units.
    pub largest_error: f64,
    /// Mean absolute difference between a float output and its integer counterpart, in real units.
    pub mean_error: f64,
    /// Fraction of inputs for which the largest output has the same index in both networks; absent
    /// for networks with one output.
    pub agreement: Option<f64>,
    /// Accuracy of the float network and of the integer network, in `0..=1`, if labels are known.
    pub accuracy: Option<[f64; 2]>,
    /// Root mean square error of the float network and of the integer network, if targets are
    /// known.
    pub root_mean_square: Option<[f64; 2]>,
    /// The bits of activations that keep a maximum error; absent without a maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

impl QuantisationReport {
    /// Runs both networks on a sample and compares their outputs.
    ///
    /// # Errors
    /// When the sample is empty, or the sample or the integer network is invalid.
    pub fn measure(
        float: &FloatNetwork,
        network: &Network,
        options: &QuantiseOptions,
        sample: &Sample,
    ) -> Result<Self, QuantiseError> {
        let circuit = network.lower()?;
        let mut tally = ErrorTally::default();
        for (index, values) in sample.inputs.iter().enumerate() {
            let expected =
                float.run(&options.dequantise_inputs(float, values))?.pop().unwrap_or_default();
            let execution = circuit
                .execute(values)
                .map_err(|source| QuantiseError::Sample { index, source })?;
            let scale = power(-network.output_scale());
            let actual: Vec<f64> =
                execution.outputs(&circuit).iter().map(|&value| value as f64 * scale).collect();
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            tally.add(
                &expected,
                &actual,
                sample.labels.get(index).copied(),
                sample.targets.get(index).copied(),
            );
        }
        tally.report().ok_or(QuantiseError::NoSample)
    }
}

/// Errors and matches of the inputs so far.
#[derive(Default)]
struct ErrorTally {
    samples: usize,
    outputs: usize,
    largest_error: f64,
    total_error: f64,
    agreeing: usize,
    labelled: usize,
    correct: [usize; 2],
    targeted: usize,
    squared_errors: [f64; 2],
}

impl ErrorTally {
    fn add(&mut self, expected: &[f64], actual: &[f64], label: Option<usize>, target: Option<f64>) {
        self.samples += 1;
        self.outputs += expected.len();
        for (a, b) in expected.iter().zip(actual) {
            self.largest_error = self.largest_error.max((a - b).abs());
            self.total_error += (a - b).abs();
        }
        let (classes, outputs_of_both) =
            ([index_of_largest(expected), index_of_largest(actual)], [expected, actual]);
        self.agreeing += usize::from(classes[0] == classes[1]);
        if let Some(label) = label {
            self.labelled += 1;
            for (correct, class) in self.correct.iter_mut().zip(classes) {
                *correct += usize::from(class == Some(label));
            }
        }
        if let Some(target) = target {
            self.targeted += 1;
            for (squares, outputs) in self.squared_errors.iter_mut().zip(outputs_of_both) {
                *squares += outputs.first().map_or(0.0, |output| (output - target).powi(2));
            }
        }
    }

    fn report(&self) -> Option<QuantisationReport> {
        let samples = self.samples as f64;
        (self.samples > 0).then(|| QuantisationReport {
            samples: self.samples,
            calibration_samples: None,
            largest_error: round_to_nine_digits(self.largest_error),
            mean_error: round_to_nine_digits(self.total_error / (self.outputs.max(1)) as f64),
            agreement: (self.outputs > self.samples)
                .then(|| round_to_nine_digits(self.agreeing as f64 / samples)),
            accuracy: (self.labelled > 0).then(|| {
                self.correct
                    .map(|correct| round_to_nine_digits(correct as f64 / self.labelled as f64))
            }),
            root_mean_square: (self.targeted > 0).then(|| {
                self.squared_errors
                    .map(|sum| round_to_nine_digits((sum / self.targeted as f64).sqrt()))
            }),
            precision: None,
        })
    }
}

/// Rounds to nine digits. All parsers agree on numbers with few digits, but not on those with 17,
/// and the circuit's identity is the hash of the text.
pub(super) fn round_to_nine_digits(number: f64) -> f64 {
    format!("{number:.8e}").parse().unwrap_or(number)
}

/// Returns the position of the largest value; the first one if several are equal.
fn index_of_largest(values: &[f64]) -> Option<usize> {
    let mut largest: Option<(usize, f64)> = None;
    for (index, &value) in values.iter().enumerate() {
        if largest.is_none_or(|(_, maximum)| value > maximum) {
            largest = Some((index, value));
        }
    }
    largest.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn report_numbers_round_trip_as_json(number in 0.0..1e9_f64) {
            let number = round_to_nine_digits(number);
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), number.to_bits());
        }
    }
}
