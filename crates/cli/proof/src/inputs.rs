//! Files with the inputs of a model: errors name the file, the row and the element, which count
//! from 0.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::Value;
use taonet_cli_base::printable::printable;
use taonet_primitives::{bytes_without_bom, counted};
use taonet_proof_circuits::{CircuitDirectory, ParsedModel, read_user_file};
use taonet_proof_core::metadata::TensorPart;
use taonet_proof_core::quantise::Sample;
use taonet_proof_core::query::{IntegersError, parse_integers};
use taonet_proof_core::{Range, messages};

/// Inputs that a model accepts.
pub(crate) struct InputFormat<'a> {
    /// Number of integers.
    count: usize,
    /// Interval of every integer.
    range: Range,
    /// The tensors of a model of several inputs.
    tensors: &'a [TensorPart],
    /// Remedy for an integer outside of the interval; empty if there is none.
    hint: &'static str,
}

impl<'a> InputFormat<'a> {
    /// Returns the inputs of a circuit, or of a sliced model by its first slice.
    pub(crate) fn of_circuit(directory: &'a CircuitDirectory) -> Self {
        let circuit = directory.circuit();
        let tensors = &directory.metadata().inputs;
        Self { count: circuit.inputs, range: circuit.input_range, tensors, hint: "" }
    }

    /// Returns the inputs of a model that is compiled for integers in an interval.
    pub(crate) fn of_model(model: &'a ParsedModel, range: Range) -> Self {
        let network = model.network();
        let hint = "; hint: --input-low and --input-high determine the interval";
        Self { count: network.input.elements(), range, tensors: &network.inputs, hint }
    }

    /// Reads the integers of an input file.
    pub(crate) fn read(&self, path: &Path) -> anyhow::Result<Vec<i64>> {
        let inputs = read_inputs(path, self.tensors)?;
        self.check(&path.display().to_string(), &inputs)?;
        Ok(inputs)
    }

    /// Reads a sample of inputs.
    pub(crate) fn read_sample(&self, path: &Path) -> anyhow::Result<Sample> {
        let sample = read_sample(path, self.tensors)?;
        for (row, inputs) in sample.inputs.iter().enumerate() {
            self.check(&format!("{}: row {row}", path.display()), inputs)?;
        }
        Ok(sample)
    }

    /// Checks the number and the range of the integers in a file, or in a row of it.
    fn check(&self, location: &str, inputs: &[i64]) -> anyhow::Result<()> {
        let Self { count, range, tensors, hint } = self;
        ensure!(
            inputs.len() == *count,
            "{location}: {}, expected {count}",
            counted(inputs.len(), "integer")
        );
        if let Some(index) = inputs.iter().position(|&input| !range.contains(input)) {
            let input = inputs.get(index).copied().unwrap_or_default();
            bail!(
                "{location}: element {index}{} is {input}, expected {}..={}{hint}",
                tensor_of(index, tensors),
                range.low,
                range.high
            );
        }
        Ok(())
    }
}

/// Reads the integers of an input file, without comparing them with a model. The tensors are those
/// of a model of several inputs, for errors.
pub(crate) fn read_inputs(path: &Path, tensors: &[TensorPart]) -> anyhow::Result<Vec<i64>> {
    let text = read_user_file(path)?;
    let query: Value = serde_json::from_slice(bytes_without_bom(&text))
        .with_context(|| format!("{} is not JSON", path.display()))?;
    let missing_list_error = || anyhow!("{} contains no list of integers", path.display());
    let list =
        messages::input_of(&query).filter(|list| list.is_array()).ok_or_else(missing_list_error)?;
    parse_integers(list)
        .map_err(|error| located_error(&path.display().to_string(), &error, tensors))
}

/// Reads a sample of inputs, without comparing it with a model.
fn read_sample(path: &Path, tensors: &[TensorPart]) -> anyhow::Result<Sample> {
    let invalid_sample_message = || format!("{} is not a sample of inputs", path.display());
    let text = read_user_file(path)?;
    let text = bytes_without_bom(&text);
    let sample: Sample = serde_json::from_slice(text)
        .map_err(|error| invalid_row(text, tensors).unwrap_or_else(|| error.into()))
        .with_context(invalid_sample_message)?;
    let rows = sample.inputs.len();
    for (field, values) in [("labels", sample.labels.len()), ("targets", sample.targets.len())] {
        ensure!(
            values == 0 || values == rows,
            "{}: \"{field}\" has {}, but \"inputs\" has {}",
            invalid_sample_message(),
            counted(values, "value"),
            counted(rows, "row")
        );
    }
    Ok(sample)
}

/// Returns an error with the position of the first value of a sample that is not an integer; `None`
/// if the sample is malformed in another way. The parser's error has only line and column, and most
/// samples have a single line.
fn invalid_row(text: &[u8], tensors: &[TensorPart]) -> Option<anyhow::Error> {
    let document: Value = serde_json::from_slice(text).ok()?;
    let mut rows = document.get("inputs")?.as_array()?.iter().enumerate();
    let (row, error) = rows.find_map(|(row, inputs)| Some((row, parse_integers(inputs).err()?)))?;
    Some(located_error(&format!("row {row}"), &error, tensors))
}

/// Adds the location of a list, and the tensor of an element, to an error.
fn located_error(location: &str, error: &IntegersError, tensors: &[TensorPart]) -> anyhow::Error {
    let tensor = match error {
        IntegersError::Element { index, .. } => tensor_of(*index, tensors),
        _ => String::new(),
    };
    anyhow!("{location}: {error}{tensor}")
}

/// Formats the tensor of an element of the inputs, and its position there; empty for a model of a
/// single input.
fn tensor_of(index: usize, tensors: &[TensorPart]) -> String {
    let tensor = tensors.iter().rev().find(|tensor| tensor.offset <= index);
    tensor.map_or_else(String::new, |tensor| {
        format!(" (element {} of tensor '{}')", index - tensor.offset, printable(&tensor.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tensors of two integers each.
    fn tensors() -> Vec<TensorPart> {
        TensorPart::consecutive([("ids", &[1, 2][..]), ("mask", &[1, 2][..])])
    }

    fn input_format(tensors: &[TensorPart]) -> InputFormat<'_> {
        InputFormat { count: 4, range: Range { low: 0, high: 9 }, tensors, hint: "; hint: x" }
    }

    /// Writes a file, and returns the error of reading it, with its causes and without its folder.
    fn refusal<T>(text: &str, read: impl Fn(&Path) -> anyhow::Result<T>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        let Err(error) = read(&path) else { panic!("{text} is accepted") };
        let folder = format!("{}/", folder.path().display());
        format!("{error:#}").replace(&folder, "")
    }

    #[test]
    fn invalid_inputs_have_their_positions() {
        let tensors = tensors();
        for (text, expected) in [
            ("{}", "a.json contains no list of integers"),
            ("{\"input\": 7}", "a.json contains no list of integers"),
            ("[1, 2, 3]", "a.json: 3 integers, expected 4"),
            (
                "[1, 2, 3, \"abc\"]",
                "a.json: element 3: \"abc\" is not an integer (element 1 of tensor 'mask')",
            ),
            (
                "{\"input_data\": [[1, 2], [null, 4]]}",
                "a.json: element [1][0]: null is not an integer (element 0 of tensor 'mask')",
            ),
            (
                "[1, 10, 3, 4]",
                "a.json: element 1 (element 1 of tensor 'ids') is 10, expected 0..=9; hint: x",
            ),
        ] {
            assert_eq!(refusal(text, |path| input_format(&tensors).read(path)), expected);
        }
        let error = refusal("{\n\"input\": [1,", |path| input_format(&tensors).read(path));
        assert!(error.starts_with("a.json is not JSON: "), "{error}");
        assert!(error.contains(" at line 2 column "), "{error}");
        let error = refusal("[1, 2, -1, 4]", |path| input_format(&[]).read(path));
        assert_eq!(error, "a.json: element 2 is -1, expected 0..=9; hint: x");
    }

    #[test]
    fn invalid_rows_of_a_sample_have_their_positions() {
        for (text, expected) in [
            (
                "{\"inputs\": [[1, 2, 3, 4], [1, 2, 3.5, 4]]}",
                "a.json is not a sample of inputs: row 1: element 2: 3.5 is not an integer",
            ),
            (
                "{\"inputs\": [[1, 2, 3, 4], 7]}",
                "a.json is not a sample of inputs: row 1: expected a list of integers",
            ),
            ("{\"inputs\": [[1, 2, 3, 4], []]}", "a.json: row 1: 0 integers, expected 4"),
            (
                "{\"inputs\": [[1, 2, 3, 4], [1, 2, 3, 10]]}",
                "a.json: row 1: element 3 is 10, expected 0..=9; hint: x",
            ),
        ] {
            assert_eq!(refusal(text, |path| input_format(&[]).read_sample(path)), expected);
        }
        for text in
            ["{\"inputs\": [[1, 2, 3, 4]], \"rows\": 1}", "{\"inputs\": [[[1, 2, 3, 4]]]}", "{"]
        {
            let error = refusal(text, |path| input_format(&[]).read_sample(path));
            assert!(error.starts_with("a.json is not a sample of inputs: "), "{error}");
            assert!(error.contains(" at line 1 column "), "{error}");
        }
    }

    #[test]
    fn sample_without_label_or_target_per_row_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_sample(&path, &[])
        };
        assert!(read(r#"{"inputs": [[1], [2]], "labels": [0, 1], "targets": [0.5, 1]}"#).is_ok());
        for field in ["labels", "targets"] {
            let error = read(&format!(r#"{{"inputs": [[1], [2]], "{field}": [0]}}"#)).unwrap_err();
            let expected = format!("\"{field}\" has 1 value, but \"inputs\" has 2 rows");
            assert!(error.to_string().ends_with(&expected), "{error}");
        }
    }
}
