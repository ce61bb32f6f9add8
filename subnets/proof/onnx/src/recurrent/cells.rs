//! The cells of recurrent nodes, by the equations of the standard.

use super::{DirectionOutputs, RecurrentLayer};
use crate::expansion::{Expansion, int_attribute};
use crate::proto::NodeProto;
use crate::{OnnxError, Reader, Value, unsupported};

/// Weights and initial state of one direction.
pub(super) struct Direction {
    is_reverse: bool,
    activations: Vec<String>,
    /// Weights of the input: a row for each input, a column for each gate and hidden unit.
    input_weights: Vec<f32>,
    /// Weights of the previous output: a row for each hidden unit, a column for each gate and
    /// hidden unit.
    recurrent_weights: Vec<f32>,
    /// Biases of the gates with the input, and with the previous output.
    bias: [Vec<f32>; 2],
    /// Weights of the cell for the input, output and forget gates.
    peepholes: Option<Vec<f32>>,
    initial_output: State,
    initial_cell: State,
    /// Number of hidden units.
    hidden: usize,
}

/// A value from the step before.
#[derive(Clone)]
enum State {
    Zero,
    Constant(Vec<f32>),
    /// A tensor, and the first of its elements.
    Tensor(String, usize),
}

impl Direction {
    /// Reads the operands of one direction.
    pub(super) fn read(
        reader: &Reader,
        node: &NodeProto,
        layer: &RecurrentLayer,
        index: usize,
    ) -> Result<Self, OnnxError> {
        let (directions, hidden, rows) =
            (layer.is_reverse.len(), layer.hidden, layer.gates * layer.hidden);
        let part = |position: usize, dims: [usize; 2]| {
            let tensor = reader.floats(node, position, &[directions, dims[0], dims[1]])?;
            Ok(nth_chunk(&tensor, index, dims[0] * dims[1]))
        };
        let (input_weights, recurrent_weights) =
            (part(1, [rows, layer.inputs])?, part(2, [rows, hidden])?);
        let bias = match reader.weights(node, 3)? {
            Some(_) => {
                nth_chunk(&reader.floats(node, 3, &[directions, 2 * rows])?, index, 2 * rows)
            }
            None => vec![0.0; 2 * rows],
        };
        let (input_bias, output_bias) = bias.split_at(rows);
        let is_lstm = node.op_type == "LSTM";
        let peepholes = match reader.weights(node, 7)?.filter(|_| is_lstm) {
            Some(_) => Some(nth_chunk(
                &reader.floats(node, 7, &[directions, 3 * hidden])?,
                index,
                3 * hidden,
            )),
            None => None,
        };
        let state = |position: usize| State::read(reader, node, position, layer, index);
        Ok(Self {
            is_reverse: layer.is_reverse.get(index).copied().unwrap_or_default(),
            activations: layer.activations.get(index).cloned().unwrap_or_default(),
            input_weights: transposed(&input_weights, layer.inputs),
            recurrent_weights: transposed(&recurrent_weights, hidden),
            bias: [input_bias.to_vec(), output_bias.to_vec()],
            peepholes,
            initial_output: state(5)?,
            initial_cell: if is_lstm { state(6)? } else { State::Zero },
            hidden,
        })
    }

    /// Appends all steps of a row with one input for each step.
    pub(super) fn unroll(
        mut self,
        expansion: &mut Expansion<'_>,
        layer: &RecurrentLayer,
        row: &str,
        length: usize,
    ) -> Result<DirectionOutputs, OnnxError> {
        let columns = layer.gates * layer.hidden;
        let weights =
            expansion.floats(&[layer.inputs, columns], std::mem::take(&mut self.input_weights))?;
        // The bias of the previous output is added here, too, unless a GRU multiplies it with its
        // reset gate.
        let biased_columns = if layer.gates == 3 && layer.is_linear_before_reset {
            2 * layer.hidden
        } else {
            columns
        };
        let [input_bias, output_bias] = &self.bias;
        let bias_to_add = output_bias
            .iter()
            .enumerate()
            .map(|(index, &bias)| if index < biased_columns { bias } else { 0.0 });
        let bias =
            input_bias.iter().zip(bias_to_add).map(|(input, output)| input + output).collect();
        let bias = expansion.floats(&[columns], bias)?;
        let products = expansion.node("MatMul", &[row, &weights]);
        let input_sums = expansion.node("Add", &[&products, &bias]);
        let split_column = if layer.gates == 3 { 2 * layer.hidden } else { columns };
        let recurrent_weights = [
            self.define_weights(expansion, 0..split_column)?,
            self.define_weights(expansion, split_column..columns)?,
        ];
        let mut outputs = vec![String::new(); length];
        let (mut state, mut cell) = (
            self.initial_output.extract_row(expansion, layer.hidden)?,
            self.initial_cell.extract_row(expansion, layer.hidden)?,
        );
        let mut last_output = String::new();
        for step in 0..length {
            let step_index = if self.is_reverse { length - 1 - step } else { step };
            let position = expansion.integers(&[step_index.cast_signed() as i64])?;
            let input = expansion.node_with(
                "Gather",
                &[&input_sums, &position],
                vec![int_attribute("axis", 1)],
            );
            let input = expansion.reshape(&input, &[1, columns])?;
            let (output, next_cell) = match layer.gates {
                4 => self.append_lstm_step(
                    expansion,
                    layer,
                    &input,
                    &recurrent_weights,
                    &state,
                    &cell,
                )?,
                3 => (
                    self.append_gru_step(expansion, layer, &input, &recurrent_weights, &state)?,
                    State::Zero,
                ),
                _ => {
                    let sum = self.add_recurrent_product(
                        expansion,
                        &input,
                        &recurrent_weights,
                        &state,
                        0..layer.hidden,
                    )?;
                    (self.activate(expansion, 0, &sum), State::Zero)
                }
            };
            if let Some(slot) = outputs.get_mut(step_index) {
                slot.clone_from(&output);
            }
            last_output.clone_from(&output);
            (state, cell) = (State::Tensor(output, 0), next_cell);
        }
        let last_cell = match cell {
            State::Tensor(name, _) => Some(name),
            _ => None,
        };
        Ok(DirectionOutputs { outputs, last_output, last_cell })
    }

    /// Appends a step of an LSTM; returns its output and its cell.
    fn append_lstm_step(
        &self,
        expansion: &mut Expansion<'_>,
        layer: &RecurrentLayer,
        input: &str,
        recurrent_weights: &[String; 2],
        state: &State,
        cell: &State,
    ) -> Result<(String, State), OnnxError> {
        let hidden = layer.hidden;
        let sum =
            self.add_recurrent_product(expansion, input, recurrent_weights, state, 0..4 * hidden)?;
        // The order of the gates is input, output, forget, cell.
        let gate = |expansion: &mut Expansion<'_>, index: usize, cell: &State| {
            let part = expansion.gather_columns(&sum, index * hidden..(index + 1) * hidden)?;
            let part = match self.peepholes.as_ref().filter(|_| index < 3) {
                Some(peepholes) => {
                    let weights = nth_chunk(peepholes, index, hidden);
                    match cell.times(expansion, &weights)? {
                        Some(product) => expansion.node("Add", &[&part, &product]),
                        None => part,
                    }
                }
                None => part,
            };
            Ok::<String, OnnxError>(self.activate(expansion, usize::from(index == 3), &part))
        };
        let (input_gate, candidate) = (gate(expansion, 0, cell)?, gate(expansion, 3, cell)?);
        let mut next_cell = expansion.node("Mul", &[&input_gate, &candidate]);
        if let Some(cell_name) = cell.define_name(expansion, hidden)? {
            let forget_gate = gate(expansion, 2, cell)?;
            let retained_cell = expansion.node("Mul", &[&forget_gate, &cell_name]);
            next_cell = expansion.node("Add", &[&retained_cell, &next_cell]);
        }
        let next_state = State::Tensor(next_cell.clone(), 0);
        let output_gate = gate(expansion, 1, &next_state)?;
        let activated_cell = self.activate(expansion, 2, &next_cell);
        Ok((expansion.node("Mul", &[&output_gate, &activated_cell]), next_state))
    }

    /// Appends a step of a GRU; returns its output.
    fn append_gru_step(
        &self,
        expansion: &mut Expansion<'_>,
        layer: &RecurrentLayer,
        input: &str,
        recurrent_weights: &[String; 2],
        state: &State,
    ) -> Result<String, OnnxError> {
        let hidden = layer.hidden;
        // The order of the gates is update, reset, candidate.
        let gates = expansion.gather_columns(input, 0..2 * hidden)?;
        let gates =
            self.add_recurrent_product(expansion, &gates, recurrent_weights, state, 0..2 * hidden)?;
        let [update, reset] = {
            let mut gate = |index: usize| {
                let part =
                    expansion.gather_columns(&gates, index * hidden..(index + 1) * hidden)?;
                Ok::<String, OnnxError>(self.activate(expansion, 0, &part))
            };
            [gate(0)?, gate(1)?]
        };
        let candidate = expansion.gather_columns(input, 2 * hidden..3 * hidden)?;
        let range = 2 * hidden..3 * hidden;
        let sum = if layer.is_linear_before_reset {
            let mut bias = nth_chunk(&self.bias[1], 2, hidden);
            let inner = match state {
                State::Tensor(..) => {
                    let bias = expansion.floats(&[hidden], bias)?;
                    self.add_recurrent_product(expansion, &bias, recurrent_weights, state, range)?
                }
                State::Constant(values) => {
                    bias.iter_mut()
                        .zip(self.constant_products(values, range))
                        .for_each(|(bias, product)| *bias += product);
                    expansion.floats(&[hidden], bias)?
                }
                State::Zero => expansion.floats(&[hidden], bias)?,
            };
            let scaled = expansion.node("Mul", &[&reset, &inner]);
            expansion.node("Add", &[&candidate, &scaled])
        } else {
            match state.define_name(expansion, hidden)? {
                None => candidate,
                Some(name) => {
                    let reset_state = expansion.node("Mul", &[&reset, &name]);
                    let state = State::Tensor(reset_state, 0);
                    self.add_recurrent_product(
                        expansion,
                        &candidate,
                        recurrent_weights,
                        &state,
                        range,
                    )?
                }
            }
        };
        let candidate = self.activate(expansion, 1, &sum);
        let one = expansion.number(1.0)?;
        let complement = expansion.node("Sub", &[&one, &update]);
        let candidate_part = expansion.node("Mul", &[&complement, &candidate]);
        Ok(match state.define_name(expansion, hidden)? {
            None => candidate_part,
            Some(name) => {
                let previous_part = expansion.node("Mul", &[&update, &name]);
                expansion.node("Add", &[&candidate_part, &previous_part])
            }
        })
    }

    fn activate(&self, expansion: &mut Expansion<'_>, index: usize, input: &str) -> String {
        let operator = self.activations.get(index).map_or("Tanh", String::as_str);
        expansion.node(operator, &[input])
    }

    /// Adds the product of the previous output with some columns of the recurrent weights, if it is
    /// not 0.
    fn add_recurrent_product(
        &self,
        expansion: &mut Expansion<'_>,
        input: &str,
        recurrent_weights: &[String; 2],
        state: &State,
        columns: std::ops::Range<usize>,
    ) -> Result<String, OnnxError> {
        Ok(match self.recurrent_product(expansion, recurrent_weights, state, columns)? {
            Some(product) => expansion.node("Add", &[input, &product]),
            None => input.to_owned(),
        })
    }

    /// Multiplies the previous output with some columns of the recurrent weights; `None` if it is
    /// 0.
    fn recurrent_product(
        &self,
        expansion: &mut Expansion<'_>,
        recurrent_weights: &[String; 2],
        state: &State,
        columns: std::ops::Range<usize>,
    ) -> Result<Option<String>, OnnxError> {
        match state {
            State::Zero => Ok(None),
            State::Constant(values) => expansion
                .floats(&[columns.len()], self.constant_products(values, columns))
                .map(Some),
            State::Tensor(name, _) => {
                let [first, second] = recurrent_weights;
                let weights = if columns.start == 0 { first } else { second };
                Ok(Some(expansion.node("MatMul", &[name, weights])))
            }
        }
    }

    /// Returns the products of constant values with some columns of the recurrent weights.
    fn constant_products(&self, values: &[f32], columns: std::ops::Range<usize>) -> Vec<f32> {
        let mut sums = vec![0.0; columns.len()];
        let width =
            self.recurrent_weights.len().checked_div(self.hidden).unwrap_or_default().max(1);
        for (value, row) in values.iter().zip(self.recurrent_weights.chunks(width)) {
            for (sum, weight) in sums.iter_mut().zip(row.get(columns.clone()).unwrap_or_default()) {
                *sum += value * weight;
            }
        }
        sums
    }

    /// Defines some columns of the recurrent weights: all steps read the same constants.
    fn define_weights(
        &self,
        expansion: &mut Expansion<'_>,
        columns: std::ops::Range<usize>,
    ) -> Result<String, OnnxError> {
        let width =
            self.recurrent_weights.len().checked_div(self.hidden).unwrap_or_default().max(1);
        let rows = self.recurrent_weights.chunks(width);
        let weights =
            rows.flat_map(|row| row.get(columns.clone()).unwrap_or_default().to_vec()).collect();
        expansion.floats(&[self.hidden, columns.len()], weights)
    }
}

impl State {
    /// Reads the initial state of a direction.
    fn read(
        reader: &Reader,
        node: &NodeProto,
        position: usize,
        layer: &RecurrentLayer,
        direction: usize,
    ) -> Result<Self, OnnxError> {
        let [_, expected] = layer.output_dims();
        let Some(name) = node.input.get(position).filter(|name| !name.is_empty()) else {
            return Ok(Self::Zero);
        };
        match reader.values.get(name) {
            Some(Value::Tensor(_, dims)) if *dims == expected => {
                Ok(Self::Tensor(name.clone(), direction * layer.hidden))
            }
            Some(Value::Tensor(_, dims)) => Err(unsupported(
                node,
                format!("an initial state has dimensions {dims:?}, expected {expected:?}"),
            )),
            _ => {
                let values =
                    nth_chunk(&reader.floats(node, position, &expected)?, direction, layer.hidden);
                let is_zero = values.iter().all(|value| value.abs() <= 0.0);
                Ok(if is_zero { Self::Zero } else { Self::Constant(values) })
            }
        }
    }

    /// Returns the state as a separate row.
    fn extract_row(&self, expansion: &mut Expansion<'_>, hidden: usize) -> Result<Self, OnnxError> {
        let Self::Tensor(name, start) = self else { return Ok(self.clone()) };
        let target = expansion.integers(&[1, -1])?;
        let row = expansion.node("Reshape", &[name, &target]);
        let part = expansion.gather_columns(&row, *start..start + hidden)?;
        Ok(Self::Tensor(part, 0))
    }

    /// Returns the name of the state, which is defined if it is constant; `None` if it is 0.
    fn define_name(
        &self,
        expansion: &mut Expansion<'_>,
        hidden: usize,
    ) -> Result<Option<String>, OnnxError> {
        match self {
            Self::Zero => Ok(None),
            Self::Constant(values) => expansion.floats(&[hidden], values.clone()).map(Some),
            Self::Tensor(name, _) => Ok(Some(name.clone())),
        }
    }

    /// Multiplies the state with weights; `None` if it is 0.
    fn times(
        &self,
        expansion: &mut Expansion<'_>,
        weights: &[f32],
    ) -> Result<Option<String>, OnnxError> {
        match self {
            Self::Zero => Ok(None),
            Self::Constant(values) => {
                let products =
                    values.iter().zip(weights).map(|(value, weight)| value * weight).collect();
                expansion.floats(&[weights.len()], products).map(Some)
            }
            Self::Tensor(name, _) => {
                let weights = expansion.floats(&[weights.len()], weights.to_vec())?;
                Ok(Some(expansion.node("Mul", &[name, &weights])))
            }
        }
    }
}

/// Returns a part of a list that consists of parts of this length.
fn nth_chunk(values: &[f32], index: usize, length: usize) -> Vec<f32> {
    values.get(index * length..(index + 1) * length).unwrap_or_default().to_vec()
}

/// Transposes a matrix with rows of this width.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    (0..width)
        .flat_map(|column| values.iter().skip(column).step_by(width.max(1)).copied())
        .collect()
}
