//! Recurrent cells, by the equations of the standard. They share only the attribute check with the
//! converter.

use super::{Operands, Tensor};
use crate::OnnxError;
use crate::recurrent::RecurrentLayer;

/// Weights, and current output and cell, of one direction.
struct Direction<'a> {
    /// Weights of inputs and previous outputs, a row for each gate and hidden unit.
    weights: [&'a [f64]; 2],
    bias: [Vec<f64>; 2],
    peepholes: Vec<f64>,
    activations: &'a [String],
    output: Vec<f64>,
    cell: Vec<f64>,
}

impl Operands<'_> {
    /// Returns the outputs of all steps, and of the last step, and the last cells of an LSTM.
    pub(super) fn evaluate_recurrent(&self) -> Result<Vec<Tensor>, OnnxError> {
        let (input, weights, recurrent_weights) =
            (self.operand(0)?, self.operand(1)?, self.operand(2)?);
        let layer = RecurrentLayer::parse(self.node, &input.dims, &weights.dims)?;
        let (hidden, directions, rows) =
            (layer.hidden, layer.is_reverse.len(), layer.gates * layer.hidden);
        let is_lstm = layer.gates == 4;
        let length = self.integers(4).and_then(|lengths| lengths.first().copied());
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(layer.steps);
        let direction_operand = |position: usize, direction: usize, length: usize| {
            let Some(tensor) = self.optional_operand(position) else {
                return Ok(vec![0.0; length]);
            };
            let part = tensor
                .values
                .get(direction * length..(direction + 1) * length)
                .map(<[f64]>::to_vec);
            part.ok_or_else(|| self.evaluation_error("the operands do not fit each other"))
        };
        if recurrent_weights.values.len() != directions * rows * hidden
            || !(1..=layer.steps).contains(&length)
        {
            return Err(self.evaluation_error("the operands do not fit each other"));
        }
        let [sequence_dims, last_dims] = layer.output_dims();
        let mut sequence = vec![0.0; layer.steps * directions * hidden];
        let (mut last_outputs, mut cells) = (Vec::new(), Vec::new());
        for (index, &is_reverse) in layer.is_reverse.iter().enumerate() {
            let bias = direction_operand(3, index, 2 * rows)?;
            let mut direction = Direction {
                weights: [
                    &weights.values[index * rows * layer.inputs..][..rows * layer.inputs],
                    &recurrent_weights.values[index * rows * hidden..][..rows * hidden],
                ],
                bias: [bias[..rows].to_vec(), bias[rows..].to_vec()],
                peepholes: if is_lstm {
                    direction_operand(7, index, 3 * hidden)?
                } else {
                    Vec::new()
                },
                activations: &layer.activations[index],
                output: direction_operand(5, index, hidden)?,
                cell: if is_lstm { direction_operand(6, index, hidden)? } else { Vec::new() },
            };
            for step in 0..length {
                let step_position = if is_reverse { length - 1 - step } else { step };
                direction
                    .step(&input.values[step_position * layer.inputs..][..layer.inputs], &layer);
                sequence[(step_position * directions + index) * hidden..][..hidden]
                    .copy_from_slice(&direction.output);
            }
            last_outputs.extend(direction.output);
            cells.extend(direction.cell);
        }
        let mut outputs = vec![
            Tensor { dims: sequence_dims, values: sequence },
            Tensor { dims: last_dims.clone(), values: last_outputs },
        ];
        if is_lstm {
            outputs.push(Tensor { dims: last_dims, values: cells });
        }
        Ok(outputs)
    }
}

impl Direction<'_> {
    fn step(&mut self, input: &[f64], layer: &RecurrentLayer) {
        let hidden = layer.hidden;
        let [input_sums, output_sums] = [self.sums(0, input), self.sums(1, &self.output)];
        let sum = |row: usize| input_sums[row] + output_sums[row];
        let activate = |index: usize, value: f64| activation(&self.activations[index], value);
        match layer.gates {
            4 => {
                let peephole = |gate: usize, unit: usize, cell: f64| {
                    self.peepholes[gate * hidden + unit] * cell
                };
                let mut next_cell = Vec::with_capacity(hidden);
                let mut output = Vec::with_capacity(hidden);
                for unit in 0..hidden {
                    let cell = self.cell[unit];
                    let input_gate = activate(0, sum(unit) + peephole(0, unit, cell));
                    let forget_gate = activate(0, sum(2 * hidden + unit) + peephole(2, unit, cell));
                    let cell =
                        forget_gate * cell + input_gate * activate(1, sum(3 * hidden + unit));
                    let output_gate = activate(0, sum(hidden + unit) + peephole(1, unit, cell));
                    next_cell.push(cell);
                    output.push(output_gate * activate(2, cell));
                }
                (self.cell, self.output) = (next_cell, output);
            }
            3 => {
                let update: Vec<f64> = (0..hidden).map(|unit| activate(0, sum(unit))).collect();
                let reset: Vec<f64> =
                    (hidden..2 * hidden).map(|row| activate(0, sum(row))).collect();
                let reset_output: Vec<f64> =
                    self.output.iter().zip(&reset).map(|(output, reset)| output * reset).collect();
                let reset_sums = self.sums(1, &reset_output);
                let candidate = |unit: usize| {
                    let row = 2 * hidden + unit;
                    let inner = if layer.is_linear_before_reset {
                        reset[unit] * output_sums[row]
                    } else {
                        reset_sums[row]
                    };
                    activate(1, input_sums[row] + inner)
                };
                let mixed = |unit: usize| {
                    (1.0 - update[unit]) * candidate(unit) + update[unit] * self.output[unit]
                };
                self.output = (0..hidden).map(mixed).collect();
            }
            _ => self.output = (0..hidden).map(|unit| activate(0, sum(unit))).collect(),
        }
    }

    /// Returns the weighted sums of the input (operand 0) or of an output (operand 1), with their
    /// biases.
    fn sums(&self, operand: usize, values: &[f64]) -> Vec<f64> {
        let rows = self.weights[operand].chunks(values.len().max(1)).zip(&self.bias[operand]);
        rows.map(|(row, bias)| bias + row.iter().zip(values).map(|(a, b)| a * b).sum::<f64>())
            .collect()
    }
}

fn activation(operator: &str, x: f64) -> f64 {
    match operator {
        "Elu" => {
            if x < 0.0 {
                x.exp() - 1.0
            } else {
                x
            }
        }
        "HardSigmoid" => (0.2 * x + 0.5).clamp(0.0, 1.0),
        "Relu" => x.max(0.0),
        "Sigmoid" => 1.0 / (1.0 + (-x).exp()),
        "Softsign" => x / (1.0 + x.abs()),
        _ => x.tanh(),
    }
}
