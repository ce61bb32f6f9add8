//! Conditions, and choices between tensors: read, evaluated, quantised and compared.

use taonet_proof_core::network::Operation;
use taonet_proof_core::quantise::quantise;

use super::matrices::check;
use super::operators::{options, quantised, read_small};
use super::*;

pub(super) fn booleans(name: &str, dims: &[i64], values: &[bool]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: DataType::Bool as i32,
        name: name.to_owned(),
        raw_data: values.iter().copied().map(u8::from).collect(),
        ..TensorProto::default()
    }
}

/// A matrix that doubles a row of four elements and turns it around.
fn reversing_matrix() -> TensorProto {
    let mut matrix = [0.0; 16];
    for row in 0..4 {
        matrix[row * 4 + 3 - row] = 2.0;
    }
    floats("w", &[4, 4], &matrix)
}

#[test]
fn conditions_match_the_onnx_standard() {
    let compare = |operator: &str| vec![node(operator, &["x", "one"], "y", &[])];
    // The product of `x` with the matrix is 6, 2, -1, -2.
    let product = || node("MatMul", &["x", "w"], "h", &[]);
    let combine_conditions = |operator: &str| {
        vec![
            product(),
            node("Less", &["x", "zero"], "a", &[]),
            node("Less", &["h", "zero"], "b", &[]),
            node("Not", &["b"], "c", &[]),
            node(operator, &["a", "c"], "y", &[]),
        ]
    };
    let where_nodes = |condition: Vec<NodeProto>, operands: [&str; 3]| {
        [condition, vec![node("Where", &operands, "y", &[])]].concat()
    };
    let less = || node("Less", &["x", "zero"], "c", &[]);
    let greater = || vec![product(), node("Greater", &["h", "x"], "c", &[])];
    for (nodes, expected) in [
        (compare("Equal"), [0.0, 0.0, 1.0, 0.0]),
        (compare("Greater"), [0.0, 0.0, 0.0, 1.0]),
        (compare("GreaterOrEqual"), [0.0, 0.0, 1.0, 1.0]),
        (compare("Less"), [1.0, 1.0, 0.0, 0.0]),
        (compare("LessOrEqual"), [1.0, 1.0, 1.0, 0.0]),
        (combine_conditions("And"), [1.0, 1.0, 0.0, 0.0]),
        (combine_conditions("Or"), [1.0, 1.0, 0.0, 0.0]),
        (vec![cast("x", "y", DataType::Int64)], [-1.0, 0.0, 1.0, 3.0]),
        (vec![less(), cast("c", "y", DataType::Float)], [1.0, 1.0, 0.0, 0.0]),
        (vec![cast("x", "b", DataType::Bool), node("Not", &["b"], "y", &[])], [0.0; 4]),
        (vec![less(), node("Xor", &["c", "mask"], "y", &[])], [0.0, 1.0, 0.0, 1.0]),
        // Each element has its own limit, and its own value in place of those below it.
        (
            where_nodes(vec![node("Less", &["x", "four"], "c", &[])], ["c", "four", "x"]),
            [-1.0, 0.0, 1.0, 4.0],
        ),
        (
            vec![less(), cast("c", "i", DataType::Int32), cast("i", "y", DataType::Bool)],
            [1.0, 1.0, 0.0, 0.0],
        ),
        // A function of one tensor, a choice between two, and one between a tensor and a number.
        (
            where_nodes(vec![less(), node("Mul", &["x", "two"], "m", &[])], ["c", "m", "x"]),
            [-2.0, -1.0, 1.0, 3.0],
        ),
        (where_nodes(greater(), ["c", "h", "x"]), [6.0, 2.0, 1.0, 3.0]),
        (where_nodes(greater(), ["c", "x", "h"]), [-1.0, -0.5, -1.0, -2.0]),
        (where_nodes(greater(), ["c", "two", "x"]), [2.0, 2.0, 1.0, 3.0]),
        (where_nodes(greater(), ["c", "h", "two"]), [6.0, 2.0, 2.0, 2.0]),
        // A constant condition selects elements.
        (where_nodes(vec![product()], ["mask", "x", "h"]), [-1.0, 2.0, -1.0, 3.0]),
        (where_nodes(vec![], ["mask", "two", "x"]), [2.0, -0.5, 1.0, 2.0]),
        (where_nodes(vec![], ["mask", "x", "two"]), [-1.0, 2.0, 2.0, 3.0]),
    ] {
        let names: Vec<String> = nodes.iter().map(|node| node.op_type.clone()).collect();
        let weights = vec![
            reversing_matrix(),
            floats("zero", &[], &[0.0]),
            floats("one", &[1], &[1.0]),
            floats("two", &[1, 1], &[2.0]),
            floats("four", &[4], &[-2.0, 0.0, 1.0, 4.0]),
            booleans("mask", &[4], &[true, false, false, true]),
        ];
        assert_eq!(
            outputs(small(&[1, 4], nodes, weights), &[-1.0, -0.5, 1.0, 3.0]),
            expected,
            "{names:?}"
        );
    }
}

#[test]
fn nonzero_bytes_are_true() {
    let nodes = vec![cast("mask", "m", DataType::Float), node("Mul", &["x", "m"], "y", &[])];
    let mask = booleans("mask", &[3], &[true, false, true]);
    for mask in [
        TensorProto { raw_data: vec![2, 0, 255], ..mask.clone() },
        TensorProto { raw_data: vec![], int32_data: vec![-1, 0, 7], ..mask },
    ] {
        assert_eq!(
            outputs(small(&[1, 3], nodes.clone(), vec![mask]), &[4.0, 5.0, 6.0]),
            [4.0, 0.0, 6.0]
        );
    }
}

/// A constant condition can be repeated to more dimensions than the tensors have.
#[test]
fn where_operands_are_broadcast() {
    let nodes = vec![node("Where", &["mask", "x", "two"], "y", &[])];
    let weights = vec![booleans("mask", &[2, 1], &[true, false]), floats("two", &[], &[2.0])];
    assert_eq!(
        outputs(small(&[1, 3], nodes, weights), &[4.0, 5.0, 6.0]),
        [4.0, 5.0, 6.0, 2.0, 2.0, 2.0]
    );
}

#[test]
fn condition_tensors_are_exact_integers() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "h", &[]),
        node("Greater", &["h", "x"], "c", &[]),
        node("Where", &["c", "h", "x"], "m", &[]),
        node("MatMul", &["m", "w"], "y", &[]),
    ];
    let (_, network, error) = read_small(&[1, 4], nodes, vec![reversing_matrix()]);
    assert!(error < 0.02, "{error}");
    let tables = network.layers.iter().filter_map(|layer| match &layer.operation {
        Operation::Table { values, .. } => {
            Some((layer.scale, values.iter().all(|value| (0..=1).contains(value))))
        }
        _ => None,
    });
    assert_eq!(tables.collect::<Vec<_>>(), [(0, true), (0, true)]);
}

/// A quotient is a product with the reciprocal, which has the largest value for a divisor of 0.
#[test]
fn quotients_are_products_with_reciprocals() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "h", &[]),
        node("Sigmoid", &["h"], "s", &[]),
        node("Add", &["s", "half"], "d", &[]),
        node("Div", &["x", "d"], "y", &[]),
    ];
    let (_, _, error) =
        read_small(&[1, 4], nodes, vec![reversing_matrix(), floats("half", &[], &[0.5])]);
    assert!(error < 0.02, "{error}");
    let nodes = vec![
        node("MatMul", &["x", "w"], "h", &[]),
        node("Abs", &["h"], "d", &[]),
        node("Div", &["x", "d"], "y", &[]),
    ];
    let graph = small(&[1, 4], nodes, vec![reversing_matrix()]);
    let float = Model::decode(&model_of(20, graph)).unwrap().network().unwrap();
    let sample = vec![vec![100, 50, -50, -100], vec![-100, 100, 50, 25]];
    let circuit = quantise(&float, &options(), &sample).unwrap().lower().unwrap();
    let outputs = circuit.execute(&[100, 50, 0, 0]).unwrap().outputs(&circuit);
    assert!(outputs[0] > 0 && outputs[1] > 0 && outputs[2..] == [0, 0], "{outputs:?}");
}

#[test]
fn invalid_conditions_and_integer_operations_are_refused() {
    let mask_of_three = || booleans("mask", &[3], &[true; 3]);
    let numbers = || floats("two", &[4], &[1.0, 2.0, 3.0, 4.0]);
    for (nodes, weights, expected) in [
        (
            vec![node("Where", &["mask", "x", "x"], "y", &[])],
            vec![mask_of_three()],
            "the operands do not fit each other",
        ),
        (
            vec![node("Pow", &["x", "two"], "y", &[])],
            vec![numbers()],
            "the constant must be one number",
        ),
        (vec![node("Not", &["x"], "y", &[])], vec![], "a condition is not boolean"),
        (vec![node("Where", &["x", "x", "x"], "y", &[])], vec![], "a condition is not boolean"),
        (
            vec![cast("x", "i", DataType::Int64), node("Div", &["i", "none"], "y", &[])],
            vec![integers("none", &[0])],
            "the divisor of integers is 0",
        ),
        (
            vec![cast("x", "i", DataType::Int64), node("Div", &["i", "i"], "y", &[])],
            vec![],
            "input 1 must be a weight",
        ),
        (
            vec![node("Mod", &["x", "two"], "y", &[])],
            vec![floats("two", &[], &[2.0])],
            "needs fmod = 1",
        ),
        (vec![node("Xor", &["x", "x"], "y", &[])], vec![], "a condition is not boolean"),
        (
            vec![cast("x", "i", DataType::Int64), node("ReduceMean", &["i"], "y", &[])],
            vec![],
            "a mean, root or logarithm of integers",
        ),
    ] {
        let error = quantised(20, small(&[1, 4], nodes, weights)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// The ONNX standard rounds such a result.
#[test]
fn integer_power_with_fractional_result_is_refused() {
    let power = |exponent: TensorProto| {
        let nodes = vec![
            cast("x", "i", DataType::Int64),
            node("Pow", &["i", "e"], "p", &[]),
            cast("p", "y", DataType::Float),
        ];
        small(&[1, 3], nodes, vec![TensorProto { dims: vec![], name: "e".to_owned(), ..exponent }])
    };
    for exponent in [floats("e", &[1], &[2.0]), integers("e", &[2])] {
        assert_eq!(outputs(power(exponent), &[3.0, -2.0, 0.0]), [9.0, 4.0, 0.0]);
    }
    for exponent in [floats("e", &[1], &[0.5]), floats("e", &[1], &[-1.0]), integers("e", &[-1])] {
        let error = read(&model(power(exponent))).unwrap_err().to_string();
        assert!(error.contains("a power of integers that is no integer"), "{error}");
    }
    let nodes = vec![cast("x", "i", DataType::Int64), node("Pow", &["two", "i"], "y", &[])];
    let base = TensorProto { dims: vec![], ..integers("two", &[2]) };
    let error = read(&model(small(&[1, 3], nodes, vec![base]))).unwrap_err().to_string();
    assert!(error.contains("a power of integers that is no integer"), "{error}");
}

/// Each element has its own limit. The expected values are those of onnxruntime 1.32.
#[test]
fn comparisons_with_constant_tensors_match_the_onnx_standard() {
    let limits = [-0.75, 0.5, 0.0, 0.125];
    for (operator, operands, limits, expected) in [
        ("Less", ["x", "w"], limits, [0.0, 1.0, 1.0, 0.0]),
        ("Less", ["w", "x"], limits, [0.0, 0.0, 0.0, 1.0]),
        ("LessOrEqual", ["x", "w"], limits, [1.0, 1.0, 1.0, 0.0]),
        ("Greater", ["x", "w"], limits, [0.0, 0.0, 0.0, 1.0]),
        ("GreaterOrEqual", ["x", "w"], limits, [1.0, 0.0, 0.0, 1.0]),
        ("Equal", ["x", "w"], [-3.125, 0.125, 0.0, 0.5], [0.0, 1.0, 0.0, 0.0]),
    ] {
        let nodes = [node(operator, &operands, "c", &[]), cast("c", "y", DataType::Float)];
        check(17, &[4], &nodes, &[floats("w", &[4], &limits)], &expected, 0.05);
    }
}
