//! Functions of each element: read, evaluated, quantised and compared.

use std::f64::consts::LN_2;

use taonet_proof_core::network::Operation;

use super::operators::{quantised, read_small, unary, with_float};
use super::reductions::test_values;
use super::*;

/// Expected values are those of the standard's formulas, computed with Python's `math`, for -1.5,
/// -0.5, 0, 0.5, 1.5, 3.
#[test]
fn functions_match_the_onnx_standard() {
    let alpha = |operator, alpha| with_float(unary(operator), "alpha", alpha);
    let input = [-1.5, -0.5, 0.0, 0.5, 1.5, 3.0];
    for (node, expected) in [
        (unary("Abs"), [1.5, 0.5, 0.0, 0.5, 1.5, 3.0]),
        (alpha("Celu", 2.0), [-1.055_266_9, -0.442_398_4, 0.0, 0.5, 1.5, 3.0]),
        (alpha("Elu", 0.5), [-0.388_434_9, -0.196_734_7, 0.0, 0.5, 1.5, 3.0]),
        (unary("Erf"), [-0.966_105_1, -0.520_499_9, 0.0, 0.520_499_9, 0.966_105_1, 0.999_977_9]),
        (unary("Exp"), [0.223_130_2, 0.606_530_7, 1.0, 1.648_721_3, 4.481_689, 20.085_537]),
        (unary("Gelu"), [-0.100_210_8, -0.154_268_8, 0.0, 0.345_731_2, 1.399_789_2, 2.995_950_3]),
        (
            with_text(unary("Gelu"), "approximate", "tanh"),
            [-0.100_428_4, -0.154_286, 0.0, 0.345_714, 1.399_571_6, 2.996_362_7],
        ),
        (unary("HardSigmoid"), [0.2, 0.4, 0.5, 0.6, 0.8, 1.0]),
        (unary("HardSwish"), [-0.375, -0.208_333_3, 0.0, 0.291_666_7, 1.125, 3.0]),
        (unary("LeakyRelu"), [-0.015, -0.005, 0.0, 0.5, 1.5, 3.0]),
        (unary("Mish"), [-0.298_099_7, -0.220_743_8, 0.0, 0.375_245_2, 1.403_378_3, 2.986_535]),
        (unary("Neg"), [1.5, 0.5, 0.0, -0.5, -1.5, -3.0]),
        (unary("Selu"), [-1.365_814_4, -0.691_758_2, 0.0, 0.525_350_5, 1.576_051_5, 3.152_103_1]),
        (unary("Sigmoid"), [0.182_425_5, 0.377_540_7, 0.5, 0.622_459_3, 0.817_574_5, 0.952_574_1]),
        (unary("Softplus"), [0.201_413_3, 0.474_077, LN_2, 0.974_077, 1.701_413_3, 3.048_587_4]),
        (unary("Softsign"), [-0.6, -0.333_333_3, 0.0, 0.333_333_3, 0.6, 0.75]),
        (
            alpha("Swish", 1.0),
            [-0.273_638_3, -0.188_770_3, 0.0, 0.311_229_7, 1.226_361_7, 2.857_722_4],
        ),
        (unary("Tanh"), [-0.905_148_3, -0.462_117_2, 0.0, 0.462_117_2, 0.905_148_3, 0.995_054_8]),
    ] {
        let name = node.op_type.clone();
        let model = Model::decode(&model_of(24, small(&[1, 6], vec![node], vec![]))).unwrap();
        let network = model.network().unwrap().run(&input).unwrap().pop().unwrap();
        let evaluated = model.evaluate(&input).unwrap().outputs;
        for ((network, evaluated), expected) in network.iter().zip(&evaluated).zip(expected) {
            assert!((f64::from(*network) - expected).abs() < 1e-6, "{name}: {network} {expected}");
            assert!((evaluated - expected).abs() < 1e-6, "{name}: {evaluated} {expected}");
        }
    }
}

/// A function of the standard library.
type Function = fn(f64) -> f64;

/// For arguments within the functions' domains: between 0 and 1, or from 1 on.
#[test]
fn inverse_and_hyperbolic_functions_match_the_standard_library() {
    let below_one = || node("Sigmoid", &["x"], "s", &[]);
    let above_one = || vec![node("Exp", &["x"], "e", &[]), node("Add", &["e", "one"], "s", &[])];
    let functions: [(&str, Function); 10] = [
        ("Acos", f64::acos),
        ("Acosh", f64::acosh),
        ("Asin", f64::asin),
        ("Asinh", f64::asinh),
        ("Atan", f64::atan),
        ("Atanh", f64::atanh),
        ("Cosh", f64::cosh),
        ("Sinh", f64::sinh),
        ("Tan", f64::tan),
        ("Sqrt", f64::sqrt),
    ];
    for (operator, function) in functions {
        let is_acosh = operator == "Acosh";
        let input_nodes = if is_acosh { above_one() } else { vec![below_one()] };
        let nodes = [input_nodes, vec![node(operator, &["s"], "y", &[])]].concat();
        let graph = small(&[1, 6], nodes, vec![floats("one", &[], &[1.0])]);
        let input = [-1.5_f32, -0.5, 0.0, 0.5, 1.5, 3.0];
        let argument = |x: f64| if is_acosh { x.exp() + 1.0 } else { 1.0 / (1.0 + (-x).exp()) };
        for (value, x) in outputs_of(&graph, &input).into_iter().zip(input) {
            let expected = function(argument(f64::from(x)));
            assert!((value - expected).abs() < 1e-5, "{operator}: {value} {expected}");
        }
        let (_, network, error) = quantised(20, graph).unwrap();
        assert!(network.layers.len() == 1 && error < 0.01, "{operator}: {error}");
    }
}

/// Returns the outputs of the network, which are close to those of the evaluation.
fn outputs_of(graph: &GraphProto, input: &[f32]) -> Vec<f64> {
    let model = Model::decode(&model_of(20, graph.clone())).unwrap();
    let network = model.network().unwrap().run(input).unwrap().pop().unwrap();
    let evaluation = model.evaluate(input).unwrap().outputs;
    let pairs = network.into_iter().map(f64::from).zip(evaluation);
    pairs
        .inspect(|(network, file)| assert!((network - file).abs() < 1e-5, "{network} {file}"))
        .map(|(value, _)| value)
        .collect()
}

/// Every function becomes one table, whose error is that of an activation.
#[test]
fn functions_are_quantised() {
    let in_range = |low: f32, high: f32| {
        (
            node("Clip", &["x", "low", "high"], "y", &[]),
            vec![floats("low", &[], &[low]), floats("high", &[], &[high])],
        )
    };
    let plain = |operator| (unary(operator), vec![]);
    let slope = vec![floats("slope", &[1], &[0.25])];
    for (node, weights) in [
        plain("Abs"),
        plain("Celu"),
        in_range(0.0, 6.0),
        in_range(-1.0, 1.0),
        plain("Cos"),
        plain("Elu"),
        plain("Erf"),
        plain("Exp"),
        plain("Gelu"),
        plain("HardSigmoid"),
        plain("HardSwish"),
        plain("LeakyRelu"),
        plain("Mish"),
        plain("Neg"),
        (super::node("PRelu", &["x", "slope"], "y", &[]), slope),
        plain("Selu"),
        plain("Sigmoid"),
        plain("Sin"),
        plain("Softplus"),
        plain("Softsign"),
        plain("Swish"),
        plain("Tanh"),
    ] {
        let name = node.op_type.clone();
        let (float, network, error) = read_small(&[1, 6], vec![node], weights);
        assert_eq!((float.nodes.len(), network.layers.len()), (1, 1), "{name}");
        assert!(
            matches!(&network.layers[0].operation, Operation::Table { low: -100, values } if values.len() == 201)
        );
        assert!(error < 0.000_1, "{name}: the last table has 16 bits, the error is {error}");
    }
}

/// A function between layers has the bits of an activation, and its argument has a few more.
#[test]
fn functions_between_layers_are_quantised() {
    let weights =
        || vec![floats("v", &[6, 5], &test_values(30)), floats("w", &[5, 4], &test_values(20))];
    for operator in ["Sigmoid", "Tanh", "Gelu", "Elu", "HardSwish", "Softplus", "LeakyRelu", "Abs"]
    {
        let nodes = vec![
            node("MatMul", &["x", "v"], "h", &[]),
            node(operator, &["h"], "a", &[]),
            node("MatMul", &["a", "w"], "y", &[]),
        ];
        let (_, network, error) = read_small(&[1, 6], nodes, weights());
        assert_eq!(network.layers.len(), 3, "{operator}");
        let clamp = network.layers[0].rescale.map(|rescale| rescale.clamp);
        assert_eq!(clamp, Some(taonet_proof_core::Clamp::Signed(11)), "{operator}");
        assert!(error < 0.02, "{operator}: {error}");
    }
}

/// The nodes that exporters write for Gelu, Swish, Mish and HardSwish become one table, and their
/// intermediate values are not computed.
#[test]
fn chains_of_functions_become_one_table() {
    let scalar = |name: &str, value: f32| floats(name, &[], &[value]);
    let gelu = vec![
        node("Div", &["x", "root"], "d", &[]),
        node("Erf", &["d"], "e", &[]),
        node("Add", &["e", "one"], "a", &[]),
        node("Mul", &["x", "a"], "m", &[]),
        node("Mul", &["m", "half"], "y", &[]),
    ];
    let constants =
        || vec![scalar("root", std::f32::consts::SQRT_2), scalar("one", 1.0), scalar("half", 0.5)];
    let swish = vec![node("Sigmoid", &["x"], "s", &[]), node("Mul", &["s", "x"], "y", &[])];
    let mish = vec![
        node("Softplus", &["x"], "p", &[]),
        node("Tanh", &["p"], "t", &[]),
        node("Mul", &["x", "t"], "y", &[]),
    ];
    let hard_swish = vec![
        node("Add", &["x", "three"], "a", &[]),
        node("Clip", &["a", "zero", "six"], "c", &[]),
        node("Mul", &["x", "c"], "m", &[]),
        node("Div", &["m", "six"], "y", &[]),
    ];
    let limits = || vec![scalar("zero", 0.0), scalar("three", 3.0), scalar("six", 6.0)];
    let square_root = vec![
        node("Pow", &["x", "two"], "p", &[]),
        node("Add", &["p", "one"], "a", &[]),
        node("Sqrt", &["a"], "s", &[]),
        node("Reciprocal", &["s"], "r", &[]),
        node("Sub", &["one", "r"], "y", &[]),
    ];
    let two = integers("two", &[2]);
    for (nodes, weights) in [
        (gelu, constants()),
        (swish, vec![]),
        (mish, vec![]),
        (hard_swish, limits()),
        (square_root, vec![two, scalar("one", 1.0)]),
    ] {
        let first = nodes[0].op_type.clone();
        let (float, network, error) = read_small(&[1, 6], nodes, weights);
        assert_eq!((float.nodes.len(), network.layers.len()), (1, 1), "{first}");
        assert!(error < 0.000_1, "{first}: {error}");
    }
    // A chain longer than one function is split.
    let long_chain = (0..100).map(|index| {
        let (source, target) = (format!("t{index}"), format!("t{}", index + 1));
        node(
            "Neg",
            &[if index == 0 { "x" } else { &source }],
            if index == 99 { "y" } else { &target },
            &[],
        )
    });
    let (float, _, error) = read_small(&[1, 3], long_chain.collect(), vec![]);
    assert!((2..5).contains(&float.nodes.len()) && error < 0.01, "{} {error}", float.nodes.len());
}

#[test]
fn functions_with_undefined_values_are_refused() {
    let error_of = |nodes: Vec<NodeProto>| {
        quantised(20, small(&[1, 3], nodes, vec![])).unwrap_err().to_string()
    };
    for operator in ["Sqrt", "Log", "Reciprocal"] {
        let error = error_of(vec![unary(operator)]);
        assert!(
            error.contains("undefined for") && error.contains("hint: restrict its input"),
            "{operator}: {error}"
        );
    }
    // After an Abs, every argument has a root.
    let nodes = vec![unary("Abs"), node("Sqrt", &["y"], "z", &[])];
    let mut graph = small(&[1, 3], nodes, vec![]);
    graph.output = vec![value("z", &[])];
    assert!(quantised(20, graph).unwrap().2 < 0.01);
    // So it has after a ReLU, which is a separate layer.
    let nodes = vec![
        node("MatMul", &["x", "w"], "h", &[]),
        node("Relu", &["h"], "r", &[]),
        node("Sqrt", &["r"], "y", &[]),
    ];
    let weights = floats("w", &[3, 2], &[0.5, -0.5, 1.0, 1.0, -1.0, 0.25]);
    let (_, network, error) = quantised(20, small(&[1, 3], nodes, vec![weights])).unwrap();
    assert!(network.layers.len() == 2 && error < 0.05, "{error}");
}
