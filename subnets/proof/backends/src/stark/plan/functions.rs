use std::collections::BTreeMap;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use taonet_proof_core::circuit::{Circuit, Execution, StageKind, Table};
use taonet_proof_core::{Clamp, Range, Rescale};

use super::super::air::{FIRST_FUNCTION, POSITIVE_FUNCTION, ZERO_FUNCTION};
use super::super::config::{MAX_LOG_ROWS, Val};
use super::KeyFormat;
use crate::BackendError;

/// Maximum number of entries of the function table.
const MAX_ENTRIES: u64 = 1 << 21;
/// The same for large circuits: a language model of many layers has tables for each of them, and
/// that of its embeddings has an entry for each value that their sum could have if several tokens
/// were chosen at once. As many as a table has rows.
const MAX_LARGE_ENTRIES: u64 = 1 << (MAX_LOG_ROWS + 1);

/// Largest bounded quotient of a clamp, divided by the largest value that the clamp keeps. Values
/// beyond the sample saturate, so quotients somewhat beyond the clamp are usual.
const MAX_QUOTIENT_FACTOR: i64 = 8;

/// A function of one argument in the function table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Function {
    /// Maps 0 to 0.
    Zero,
    /// Keeps positive arguments and maps others to 0.
    Positive,
    /// Saturates quotients. Those of different divisors have different intervals, so each divisor
    /// has its own function. Bounded ones of small divisors share that of the divisor 1.
    Clamp { shift: u8, unsigned: bool, bits: u8 },
    /// Keeps a sum that is not rescaled.
    Identity,
    /// Range check of a remainder: maps any number below the divisor to 0.
    Remainder { shift: u8 },
    /// Range check of a hidden input: maps any number of the inputs' range to 0.
    Input,
    /// Looks up the value in the table with this index. Arguments outside of the table have no
    /// entry, so nothing can be proven about them.
    Table(usize),
}

impl Function {
    /// Returns the value for the argument at this position of the function's interval.
    fn apply(self, argument: i64, position: usize, tables: &[Vec<i32>]) -> i64 {
        match self {
            Self::Table(table) => {
                let value = tables.get(table).and_then(|values| values.get(position));
                value.copied().map(i64::from).unwrap_or_default()
            }
            Self::Zero | Self::Remainder { .. } | Self::Input => 0,
            Self::Positive => argument.max(0),
            Self::Clamp { unsigned: true, bits, .. } => Clamp::Unsigned(bits).apply(argument),
            Self::Clamp { unsigned: false, bits, .. } => Clamp::Signed(bits).apply(argument),
            Self::Identity => argument,
        }
    }
}

/// Functions of a circuit with the interval of their arguments.
pub(super) struct Functions {
    by_function: BTreeMap<Function, (u32, Range)>,
    /// Index and number of each table; equal ones share their entries.
    tables: BTreeMap<(i64, Vec<i32>), (usize, u32)>,
    max_entries: u64,
    /// Whether clamps have a limited interval of quotients.
    is_bounded: bool,
}

/// All entries of all functions, one row each.
#[derive(Debug)]
pub(in super::super) struct FunctionTable {
    /// First row and first argument of each function, by its number.
    starts: Vec<(usize, i64)>,
    /// Function, argument, value.
    entries: Vec<[i64; 3]>,
}

impl Functions {
    pub(super) fn new(circuit: &Circuit, format: KeyFormat) -> Result<Self, BackendError> {
        let spans = circuit.stages.iter().map(|stage| match &stage.kind {
            StageKind::Max(max) => max.operands.high - max.operands.low,
            StageKind::Linear(_)
            | StageKind::Table(_)
            | StageKind::Product(_)
            | StageKind::MatrixProduct(_) => 0,
        });
        let span = spans.max().unwrap_or_default();
        let zero = Range { low: 0, high: 0 };
        let by_function = BTreeMap::from([
            (Function::Zero, (ZERO_FUNCTION, zero)),
            (Function::Positive, (POSITIVE_FUNCTION, Range { low: -span, high: span })),
        ]);
        let max_entries = if format.is_large() { MAX_LARGE_ENTRIES } else { MAX_ENTRIES };
        let is_bounded = format.is_bounded();
        let functions = Self { by_function, tables: BTreeMap::new(), max_entries, is_bounded };
        functions.check_size()?;
        Ok(functions)
    }

    /// Adds the functions of a rescale. Returns those of quotient and remainder by number, the
    /// divisor, and half of it.
    pub(super) fn rescale_functions(
        &mut self,
        rescale: Option<&Rescale>,
        sums: &Range,
    ) -> Result<(u32, u32, i64, i64), BackendError> {
        let Some(rescale) = rescale else {
            let (identity, _) = self.add(Function::Identity, *sums)?;
            return Ok((identity, ZERO_FUNCTION, 1, 0));
        };
        let (unsigned, bits) = match rescale.clamp {
            Clamp::Unsigned(bits) => (true, bits),
            Clamp::Signed(bits) => (false, bits),
        };
        let shift = rescale.shift;
        let mut quotients = rescale.quotients(sums);
        let mut clamp = Function::Clamp { shift, unsigned, bits };
        if self.is_bounded {
            // A sum with another quotient has no proof.
            let bound = MAX_QUOTIENT_FACTOR << bits;
            let bounded = |quotient: i64| quotient.clamp(-bound, bound - 1);
            // `check_quotients` finds these sums without the table.
            quotients = Range { low: bounded(quotients.low), high: bounded(quotients.high) };
            // All bounded quotients with all remainders of this divisor are distinct field
            // elements, so the interval may be that of any other divisor. They are sums below half
            // of the field, like all sums, so one beyond the interval equals none of them. The
            // quotients of larger divisors are all within the bound.
            if 2 * bound <= i64::from(Val::ORDER_U32) >> shift {
                clamp = Function::Clamp { shift: 0, unsigned, bits };
            }
        }
        let (quotient, quotients) = self.add(clamp, quotients)?;
        let divisor = 1_i64 << shift;
        // All pairs of quotient and remainder give distinct field elements, so a sum has only one.
        // This follows from the limit on the sums' magnitude and the order of the field; soundness
        // depends on it.
        let pairs = (quotients.high.abs_diff(quotients.low) + 1).saturating_mul(1 << shift);
        if pairs > u64::from(Val::ORDER_U32) {
            return Err(BackendError::Internal(format!(
                "{pairs} quotients and remainders of a rescale"
            )));
        }
        let remainder = match shift {
            0 => ZERO_FUNCTION,
            _ => self.add(Function::Remainder { shift }, Range { low: 0, high: divisor - 1 })?.0,
        };
        Ok((quotient, remainder, divisor, rescale.half()))
    }

    /// Adds the function that checks the range of hidden inputs, and returns its number.
    pub(super) fn add_input_check(&mut self, range: Range) -> Result<u32, BackendError> {
        let values = range.high.abs_diff(range.low).saturating_add(1);
        if values > self.max_entries {
            let quantity = "values of a hidden input (hint: narrow --input-low and --input-high, or \
                        do not hide the inputs)";
            return Err(BackendError::Size { quantity, actual: values, limit: self.max_entries });
        }
        Ok(self.add(Function::Input, range)?.0)
    }

    /// Adds a table's function, unless it has been added before, and returns its number.
    pub(super) fn add_table(&mut self, table: &Table) -> Result<u32, BackendError> {
        let (index, key) = (self.tables.len(), (table.arguments.low, table.values.clone()));
        if let Some(&(_, number)) = self.tables.get(&key) {
            return Ok(number);
        }
        let (number, _) = self.add(Function::Table(index), table.arguments)?;
        self.tables.insert(key, (index, number));
        Ok(number)
    }

    /// Adds arguments to a function; returns its number, and the interval of all its arguments so
    /// far.
    fn add(&mut self, function: Function, arguments: Range) -> Result<(u32, Range), BackendError> {
        let next = (self.by_function.len() as u32).max(FIRST_FUNCTION);
        let (number, range) = self.by_function.entry(function).or_insert((next, arguments));
        *range = range.union(&arguments);
        let entry = (*number, *range);
        self.check_size()?;
        Ok(entry)
    }

    fn check_size(&self) -> Result<(), BackendError> {
        let entries =
            self.by_function.values().map(|(_, range)| range.high.abs_diff(range.low) + 1);
        let entries = entries.fold(0_u64, u64::saturating_add);
        if entries > self.max_entries {
            let quantity = "values of activations, maxima and functions (hint: use a larger shift or fewer bits)";
            return Err(BackendError::Size { quantity, actual: entries, limit: self.max_entries });
        }
        Ok(())
    }

    /// Returns the table with at least the given number of rows.
    pub(super) fn finish(self, min_rows: usize) -> FunctionTable {
        let mut functions: Vec<(u32, Function, Range)> = self
            .by_function
            .into_iter()
            .map(|(function, (number, range))| (number, function, range))
            .collect();
        functions.sort_unstable_by_key(|&(number, ..)| number);
        let mut tables: Vec<(usize, Vec<i32>)> =
            self.tables.into_iter().map(|((_, values), (index, _))| (index, values)).collect();
        tables.sort_unstable_by_key(|&(index, _)| index);
        let tables: Vec<Vec<i32>> = tables.into_iter().map(|(_, values)| values).collect();
        let mut table = FunctionTable { starts: Vec::new(), entries: Vec::new() };
        for (number, function, range) in functions {
            table.starts.push((table.entries.len(), range.low));
            let arguments = (range.low..=range.high).enumerate();
            let entries = arguments.map(|(position, argument)| {
                [i64::from(number), argument, function.apply(argument, position, &tables)]
            });
            table.entries.extend(entries);
        }
        // Padding rows repeat the entry of `ZERO_FUNCTION`; their lookup count is 0.
        let rows = super::padded_rows(table.entries.len(), min_rows);
        table.entries.resize(rows, [0; 3]);
        table
    }
}

/// Checks that all quotients of an execution have entries in the function table of a key with this
/// format.
pub(in super::super) fn check_quotients(
    format: KeyFormat,
    circuit: &Circuit,
    execution: &Execution,
) -> Result<(), BackendError> {
    if !format.is_bounded() {
        return Ok(());
    }
    for (layer, (stage, sums)) in circuit.stages.iter().zip(&execution.sums).enumerate() {
        let Some(rescale) = stage.kind.rescale() else { continue };
        let bound = MAX_QUOTIENT_FACTOR << rescale.clamp.bits();
        let mut quotients = sums.iter().map(|&sum| rescale.split(sum).0);
        if let Some(value) = quotients.find(|quotient| !(-bound..bound).contains(quotient)) {
            return Err(BackendError::Unprovable { layer, value });
        }
    }
    Ok(())
}

impl FunctionTable {
    pub(in super::super) fn rows(&self) -> usize {
        self.entries.len()
    }

    /// Returns the row that holds a function's value.
    pub(in super::super) fn row(&self, function: u32, argument: i64) -> Option<usize> {
        let &(row, low) = self.starts.get(function as usize)?;
        let offset = usize::try_from(argument - low).ok()?;
        let entry = self.entries.get(row + offset)?;
        (entry[0] == i64::from(function) && entry[1] == argument).then_some(row + offset)
    }

    /// Returns the number of entries without padding.
    #[cfg(test)]
    pub(in super::super) fn used_entries(&self) -> usize {
        self.entries.iter().rposition(|entry| *entry != [0; 3]).map_or(0, |last| last + 1)
    }

    pub(super) fn columns(&self) -> Vec<Val> {
        self.entries.iter().flatten().map(|&value| Val::from_i64(value)).collect()
    }
}
