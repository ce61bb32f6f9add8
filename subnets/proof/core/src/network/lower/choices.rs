//! Choices: cells of which at most one is not 0, such as the one-hot vector of a token.
//!
//! The interval of a sum over a choice is that of its largest product, not that of their sum. It is
//! deduced from the network alone: each cell of a choice is a function of the same cell, and the
//! functions are 0 for all arguments but a few, which no two of them share.

use std::collections::{HashMap, HashSet};

use crate::circuit::{Cell, Job, Linear, Stage, StageKind, Table, Tap};

/// Maximum number of arguments for which a function of a choice is not 0: a one-hot vector has a
/// position, and the same one counted from the end.
const MAX_ARGUMENTS: usize = 2;

/// Cells of the stages so far from which choices are deduced.
#[derive(Debug, Default)]
pub(super) struct Choices {
    shifted: HashMap<Cell, ShiftedCell>,
    /// Cells that are 0 unless a shifted cell has one of the arguments in [`Self::arguments`].
    indicators: HashMap<Cell, (ShiftedCell, usize)>,
    /// The arguments for which each function of indicators is not 0.
    arguments: Vec<Vec<i64>>,
}

/// A cell plus a constant.
#[derive(Clone, Copy, Debug)]
struct ShiftedCell {
    cell: Cell,
    offset: i64,
}

impl Choices {
    /// Records the cells of a stage that are shifted cells, or functions that are 0 for all but a
    /// few arguments.
    pub(super) fn record(&mut self, stage: &Stage) {
        match &stage.kind {
            StageKind::Linear(linear) if linear.rescale.is_none() => {
                self.record_shifted(stage.first, linear);
            }
            StageKind::Table(table) => self.record_indicators(stage.first, table),
            _ => {}
        }
    }

    fn record_shifted(&mut self, first: Cell, linear: &Linear) {
        for Job { kernel, taps, outputs } in &linear.jobs {
            let weights = linear.kernels.get(*kernel).map(|kernel| &kernel.weights[..]);
            let (&[tap], &[output], Some([1])) = (&taps[..], &outputs[..], weights) else {
                continue;
            };
            if let Some(&offset) = linear.bias.get(output as usize) {
                self.shifted.insert(first + output, ShiftedCell { cell: tap.cell, offset });
            }
        }
    }

    fn record_indicators(&mut self, first: Cell, table: &Table) {
        let arguments = (table.arguments.low..).zip(&table.values);
        let mut arguments = arguments.filter(|(_, value)| **value != 0).map(|(index, _)| index);
        let nonzero_arguments: Vec<i64> = arguments.by_ref().take(MAX_ARGUMENTS).collect();
        if arguments.next().is_some() {
            return;
        }
        for (indicator, &cell) in (first..).zip(&table.cells) {
            let shifted =
                self.shifted.get(&cell).copied().unwrap_or(ShiftedCell { cell, offset: 0 });
            self.indicators.insert(indicator, (shifted, self.arguments.len()));
        }
        self.arguments.push(nonzero_arguments);
    }

    /// Returns the cell on which an indicator depends, and the values for which it is not 0.
    fn nonzero_values(&self, indicator: Cell) -> Option<(Cell, impl Iterator<Item = i64>)> {
        let &(ShiftedCell { cell, offset }, function) = self.indicators.get(&indicator)?;
        let arguments = self.arguments.get(function)?;
        Some((cell, arguments.iter().map(move |argument| argument - offset)))
    }

    /// Returns whether at most one of the cells is not 0, and there are several.
    pub(super) fn is_choice(&self, taps: &[Tap]) -> bool {
        let [first, _, ..] = taps else { return false };
        let Some((cell, _)) = self.nonzero_values(first.cell) else { return false };
        let mut values = HashSet::new();
        taps.iter().all(|tap| {
            self.nonzero_values(tap.cell).is_some_and(|(other, mut nonzero_values)| {
                other == cell && nonzero_values.all(|value| values.insert(value))
            })
        })
    }
}
