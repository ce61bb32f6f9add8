//! Embeddings and integer inputs: read, evaluated, quantised and compared.

use taonet_proof_core::Range;
use taonet_proof_core::network::{Network, Operation};
use taonet_proof_core::quantise::{QuantiseError, QuantiseOptions, quantise};

use super::reductions::test_values;
use super::*;

/// Gives the input of a graph integers.
pub(super) fn with_integers(mut graph: GraphProto) -> GraphProto {
    let kind = graph.input[0].kind.as_mut().unwrap();
    kind.tensor.as_mut().unwrap().element = DataType::Int64 as i32;
    graph
}

/// Options for inputs that are row indices from 0 to 4.
fn options() -> QuantiseOptions {
    QuantiseOptions { input_range: Range { low: 0, high: 4 }, ..QuantiseOptions::default() }
}

fn quantised(graph: GraphProto, options: &QuantiseOptions) -> Result<Network, QuantiseError> {
    let model = Model::decode(&model(with_integers(graph))).unwrap();
    let float = model.network().unwrap();
    let sample = vec![vec![0, 1, 2, 3], vec![4, 4, 0, 2]];
    let network = quantise(&float, options, &sample)?;
    compare(&model, &float, &network, options, &sample).unwrap();
    Ok(network)
}

#[test]
fn embeddings_are_rows_of_their_table() {
    let table: Vec<f32> = (0..15_u8).map(f32::from).collect();
    let nodes = vec![node("Gather", &["e", "x"], "y", &[])];
    let graph = with_integers(small(&[1, 4], nodes, vec![floats("e", &[5, 3], &table)]));
    assert_eq!(
        outputs(graph.clone(), &[1.0, 0.0, 4.0, 1.0]),
        [3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 12.0, 13.0, 14.0, 3.0, 4.0, 5.0]
    );
    // Of the transposed table, the columns: rows of the output, one for each element of the index.
    let transposed: Vec<f32> =
        (0..15_u8).map(|element| f32::from(element % 5 * 3 + element / 5)).collect();
    let by_column = with_int(node("Gather", &["e", "x"], "y", &[]), "axis", 1);
    let by_column =
        with_integers(small(&[1, 4], vec![by_column], vec![floats("e", &[3, 5], &transposed)]));
    assert_eq!(
        outputs(by_column, &[1.0, 0.0, 4.0, -5.0]),
        [3.0, 0.0, 12.0, 0.0, 4.0, 1.0, 13.0, 1.0, 5.0, 2.0, 14.0, 2.0]
    );
    // The three columns share one scale, so nothing but a move joins them.
    let network = quantised(graph, &options()).unwrap();
    let kinds: Vec<bool> = network
        .layers
        .iter()
        .map(|layer| matches!(layer.operation, Operation::Table { .. }))
        .collect();
    assert_eq!(kinds, [true, true, true, false]);
    let circuit = network.lower().unwrap();
    let unit = f64::from(-network.output_scale()).exp2();
    for row in 0..5_i64 {
        let outputs = circuit.execute(&[row, 0, 0, row]).unwrap().outputs(&circuit);
        for (column, output) in outputs[..3].iter().enumerate() {
            let expected = f64::from(table[row as usize * 3 + column]);
            assert!((*output as f64 * unit - expected).abs() < 0.05, "{row} {column}: {output}");
        }
    }
}

/// Tokens with an embedding, positions, a norm and a product of rows; integers are compared and
/// converted, too.
#[test]
fn models_with_integer_inputs_are_quantised() {
    let nodes = vec![
        node("Gather", &["e", "x"], "tokens", &[]),
        node("Add", &["tokens", "p"], "placed", &[]),
        node("LayerNormalization", &["placed", "s"], "n", &[]),
        node("MatMul", &["n", "w"], "h", &[]),
        node("Greater", &["x", "one"], "larger", &[]),
        cast("larger", "f", DataType::Float),
        node("Unsqueeze", &["f", "last"], "column", &[]),
        node("Mul", &["h", "column"], "y", &[]),
    ];
    let weights = || {
        vec![
            floats("e", &[5, 3], &test_values(15)),
            floats("p", &[4, 3], &test_values(12)),
            floats("s", &[3], &[1.0; 3]),
            floats("w", &[3, 2], &test_values(6)),
            TensorProto { dims: vec![], ..integers("one", &[1]) },
            integers("last", &[-1]),
        ]
    };
    let graph = small(&[1, 4], nodes, weights());
    quantised(graph.clone(), &options()).unwrap();
    let scaled_options = QuantiseOptions { input_scale: 1, ..options() };
    assert_eq!(quantised(graph.clone(), &scaled_options), Err(QuantiseError::IntegerInput(1)));
    let wide_options = QuantiseOptions { input_range: Range { low: 0, high: 5 }, ..options() };
    let error = quantised(graph, &wide_options).unwrap_err().to_string();
    assert!(error.contains("undefined for 5") && error.contains("rows of an embedding"), "{error}");
}

#[test]
fn unsupported_lookups_are_refused() {
    let table = || floats("e", &[5, 4], &[0.5; 20]);
    let float_index_nodes = vec![node("Gather", &["e", "x"], "y", &[])];
    let error =
        read(&model(small(&[1, 4], float_index_nodes, vec![table()]))).unwrap_err().to_string();
    assert!(error.contains("the indices are not integers"), "{error}");
    let lookup_nodes = vec![node("Gather", &["e", "x"], "y", &[])];
    let wide = floats("e", &[1, 5000], &vec![0.5; 5000]);
    let error = read(&model(with_integers(small(&[1, 1], lookup_nodes, vec![wide])))).unwrap_err();
    assert!(matches!(error, OnnxError::Nodes(_)), "{error}");
}

/// A vocabulary has more rows than a function of an activation has arguments, and the neighbour of
/// a row is another row.
#[test]
fn large_vocabularies_are_exact() {
    let rows = (0..5000_u16).flat_map(|row| [f32::from(row % 7), f32::from(row % 5) - 2.0]);
    let table: Vec<f32> = rows.collect();
    let graph = {
        let nodes = vec![
            node("Gather", &["e", "x"], "tokens", &[]),
            node("Equal", &["x", "padding"], "is_padding", &[]),
            cast("is_padding", "f", DataType::Float),
            node("Unsqueeze", &["f", "last"], "column", &[]),
            with_int(node("Concat", &["tokens", "column"], "y", &[]), "axis", 2),
        ];
        let padding = TensorProto { dims: vec![], ..integers("padding", &[1]) };
        let weights = vec![floats("e", &[5000, 2], &table), integers("last", &[-1]), padding];
        with_integers(small(&[1, 4], nodes, weights))
    };
    let options = QuantiseOptions { input_range: Range { low: 0, high: 4999 }, ..options() };
    let float = Model::decode(&model(graph)).unwrap().network().unwrap();
    let network = quantise(&float, &options, &[vec![0, 1, 2, 4999]]).unwrap();
    let circuit = network.lower().unwrap();
    let unit = f64::from(-network.output_scale()).exp2();
    for token in [0, 1, 2, 3, 2047, 2048, 2049, 4095, 4096, 4998, 4999] {
        let outputs = circuit.execute(&[token, 0, 0, 0]).unwrap().outputs(&circuit);
        let expected = [(token % 7) as f64, (token % 5) as f64 - 2.0, f64::from(token == 1)];
        for (output, expected) in outputs.iter().zip(expected) {
            assert!((*output as f64 * unit - expected).abs() < 0.05, "{token}: {outputs:?}");
        }
    }
    // Clamping indices in the graph does not correct indices that were rounded before.
    let nodes = vec![node("Min", &["x", "most"], "i", &[]), node("Gather", &["e", "i"], "y", &[])];
    let weights = vec![
        floats("e", &[2, 1], &[1.0, 2.0]),
        TensorProto { dims: vec![], ..integers("most", &[1]) },
    ];
    let float = Model::decode(&model(with_integers(small(&[1, 4], nodes, weights))))
        .unwrap()
        .network()
        .unwrap();
    let wide_options = QuantiseOptions { input_range: Range { low: 0, high: 1 << 20 }, ..options };
    let result = quantise(&float, &wide_options, &[vec![0; 4]]);
    assert!(matches!(result, Err(QuantiseError::Magnitude { .. })), "{result:?}");
}

/// Numbers of 16 bits that differ by one are not equal.
#[test]
fn comparisons_of_integers_are_exact() {
    let swapped = |operator: &str| {
        let nodes = vec![
            node("Slice", &["x", "start", "end", "axis", "step"], "turned", &[]),
            node(operator, &["x", "turned"], "y", &[]),
        ];
        let weights = vec![
            integers("start", &[-1]),
            integers("end", &[i64::MIN]),
            integers("axis", &[1]),
            integers("step", &[-1]),
        ];
        with_integers(small(&[1, 2], nodes, weights))
    };
    let options = QuantiseOptions { input_range: Range { low: 0, high: 65_535 }, ..options() };
    let sample = vec![vec![0, 65_535], vec![65_535, 65_534], vec![7, 7]];
    for (operator, expected) in [
        ("Equal", [0, 0, 0, 0, 1, 1]),
        ("Greater", [0, 1, 1, 0, 0, 0]),
        ("GreaterOrEqual", [0, 1, 1, 0, 1, 1]),
        ("Less", [1, 0, 0, 1, 0, 0]),
    ] {
        let model = Model::decode(&model(swapped(operator))).unwrap();
        let float = model.network().unwrap();
        let network = quantise(&float, &options, &sample).unwrap();
        compare(&model, &float, &network, &options, &sample).unwrap();
        let circuit = network.lower().unwrap();
        let outputs = sample.iter().flat_map(|row| circuit.execute(row).unwrap().outputs(&circuit));
        assert_eq!(outputs.collect::<Vec<i64>>(), expected, "{operator}");
    }
}

/// Returns the outputs of a graph whose input has integers, for the first of these rows; all of
/// them are the sample.
pub(super) fn quantised_outputs(
    graph: GraphProto,
    high: i64,
    sample: &[Vec<i64>],
    row: &[i64],
) -> Result<Vec<f64>, QuantiseError> {
    let options = QuantiseOptions { input_range: Range { low: 0, high }, ..options() };
    let model = Model::decode(&model(with_integers(graph))).unwrap();
    let float = model.network().unwrap();
    let network = quantise(&float, &options, sample)?;
    compare(&model, &float, &network, &options, sample).unwrap();
    let circuit = network.lower()?;
    let unit = f64::from(-network.output_scale()).exp2();
    let outputs = circuit.execute(row).unwrap().outputs(&circuit);
    Ok(outputs.into_iter().map(|output| output as f64 * unit).collect())
}

/// The sample has small numbers only: larger ones must neither saturate nor be rounded before they
/// choose a row.
#[test]
fn computed_integers_select_their_row() {
    let combine_parts = |operator: &str| {
        let mut split = with_int(node("Split", &["x"], "a", &[]), "axis", 1);
        split.output.push("b".to_owned());
        vec![split, node(operator, &["a", "b"], "i", &[]), node("Gather", &["e", "i"], "y", &[])]
    };
    let moved_nodes = vec![
        node("Add", &["x", "two"], "placed", &[]),
        node("Slice", &["placed", "start", "end", "axis"], "i", &[]),
        node("Gather", &["e", "i"], "y", &[]),
    ];
    let sums =
        vec![node("ReduceSum", &["x", "axis"], "i", &[]), node("Gather", &["e", "i"], "y", &[])];
    let graph = |nodes, rows: u16| {
        let table: Vec<f32> = (0..rows).map(|row| f32::from(row % 7)).collect();
        let weights = vec![
            floats("e", &[rows.into(), 1], &table),
            TensorProto { dims: vec![], ..integers("two", &[2]) },
            integers("start", &[1]),
            integers("end", &[2]),
            integers("axis", &[1]),
        ];
        small(&[1, 2], nodes, weights)
    };
    let sample = [vec![0, 1], vec![1, 3]];
    for (nodes, rows, high, row, chosen_row) in [
        (combine_parts("Add"), 10_001, 5000, [4999, 2348], 7347),
        (combine_parts("Mul"), 10_001, 100, [97, 99], 9603),
        (moved_nodes, 5003, 5000, [0, 4321], 4323),
        (sums, 10_001, 5000, [4999, 2350], 7349),
    ] {
        let outputs = quantised_outputs(graph(nodes, rows), high, &sample, &row).unwrap();
        assert_eq!(outputs.len(), 1);
        assert!((outputs[0] - f64::from(chosen_row % 7)).abs() < 0.01, "{chosen_row}: {outputs:?}");
    }
    // Sums of more integers than a table has values would be rounded.
    let result = quantised_outputs(graph(combine_parts("Add"), 10), 1 << 17, &sample, &[0, 1]);
    assert!(matches!(result, Err(QuantiseError::Rounded { .. })), "{result:?}");
}

/// Sums beyond the bits of an activation, which differ by one, are not equal.
#[test]
fn sums_of_integers_are_compared_exactly() {
    let mut split = with_int(node("Split", &["x"], "a", &[]), "axis", 1);
    split.output.extend(["b", "c", "d"].map(str::to_owned));
    let nodes = vec![
        split,
        node("Add", &["a", "b"], "one", &[]),
        node("Add", &["c", "d"], "other", &[]),
        node("Equal", &["one", "other"], "y", &[]),
    ];
    let sample = [vec![0, 1, 1, 0], vec![1, 3, 2, 0]];
    for (row, expected) in [([9000, 8000, 8000, 9000], 1.0), ([9000, 8000, 8000, 9001], 0.0)] {
        let outputs =
            quantised_outputs(small(&[1, 4], nodes.clone(), vec![]), 10_000, &sample, &row)
                .unwrap();
        assert_eq!(outputs, [expected], "{row:?}");
    }
}

/// Not of 2 would be -1.
#[test]
fn boolean_input_with_another_range_is_refused() {
    let mut graph = small(&[1, 2], vec![node("Not", &["x"], "y", &[])], vec![]);
    graph.input[0].kind.as_mut().unwrap().tensor.as_mut().unwrap().element = DataType::Bool as i32;
    let float = read(&model(graph)).unwrap();
    let network = |high| {
        let options = QuantiseOptions { input_range: Range { low: 0, high }, ..options() };
        quantise(&float, &options, &[vec![0, 1]])
    };
    assert_eq!(network(2), Err(QuantiseError::BooleanInput(Range { low: 0, high: 2 })));
    let circuit = network(1).unwrap().lower().unwrap();
    assert_eq!(circuit.execute(&[0, 1]).unwrap().outputs(&circuit), [1, 0]);
}

/// 2^24 + 1 would become 2^24.
#[test]
fn integers_beyond_single_precision_are_refused() {
    let nodes = |operator: &str| vec![node(operator, &["x", "c"], "y", &[])];
    let constant = |value| TensorProto { dims: vec![], ..integers("c", &[value]) };
    for operator in ["Add", "Equal", "Max"] {
        let graph = |value| with_integers(small(&[1, 2], nodes(operator), vec![constant(value)]));
        let error = read(&model(graph((1 << 24) + 1))).unwrap_err().to_string();
        assert!(error.contains("single precision"), "{operator}: {error}");
        assert!(
            read(&model(graph(1 << 24))).is_ok() && read(&model(graph(i64::MAX))).is_ok(),
            "{operator}"
        );
    }
    let table = vec![integers("c", &[0, (1 << 24) + 1])];
    let error = read(&model(with_integers(small(
        &[1, 2],
        vec![node("Gather", &["c", "x"], "y", &[])],
        table,
    ))));
    assert!(error.is_err_and(|error| error.to_string().contains("exceeds single precision")));
}
