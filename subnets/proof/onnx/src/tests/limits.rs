//! Small files that describe large networks, long axes, or much work for the reader.

use super::*;

fn read_error(dims: &[i64], nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> OnnxError {
    read(&model_of(20, small(dims, nodes, weights))).unwrap_err()
}

/// Chains nodes with these inputs after the first one, from "x" to "y".
fn chain(operator: &str, others: &[&str], count: usize) -> Vec<NodeProto> {
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        last if last == count => "y".to_owned(),
        index => format!("t{index}"),
    };
    let inputs = |from: String| {
        [vec![from], others.iter().map(|&other| other.to_owned()).collect()].concat()
    };
    let node_of = |index: usize| NodeProto {
        input: inputs(name(index)),
        ..node(operator, &[], &name(index + 1), &[])
    };
    (0..count).map(node_of).collect()
}

#[test]
fn elements_of_all_nodes_are_limited() {
    let large = [1, 16, 1024, 1024];
    assert_eq!(read_error(&large, chain("Relu", &[], 5), vec![]), OnnxError::Elements(5 << 24));
    // Additions that become part of the layer before take time, too.
    let convolution = node("Conv", &["x", "k"], "t0", &[]);
    let mut nodes = [vec![convolution], chain("Add", &["b"], 70)].concat();
    nodes[1].input[0] = "t0".to_owned();
    let weights = vec![floats("k", &[1, 1, 1, 1], &[1.0]), floats("b", &[1, 1, 1, 1], &[1.0])];
    assert_eq!(read_error(&[1, 1, 1024, 1024], nodes, weights), OnnxError::Elements(65 << 20));
}

/// The projection to the logits of a language model has more weights than a tensor may have
/// elements.
#[test]
fn weights_may_exceed_the_element_limit_of_tensors() {
    let (rows, columns) = (1 << 12, (1 << 12) + 1);
    let weights = floats("w", &[rows, columns], &vec![0.5; (rows * columns) as usize]);
    let product = node("MatMul", &["x", "w"], "y", &[]);
    let network = read(&model_of(20, small(&[2, rows], vec![product], vec![weights]))).unwrap();
    let weights = network.nodes.iter().filter_map(|node| match &node.operation {
        FloatOperation::Convolution { weights, .. } => Some(weights.len()),
        _ => None,
    });
    assert_eq!(weights.collect::<Vec<_>>(), [(1 << 24) + (1 << 12)]);
    // What is computed from them is not a weight of the file.
    let transposed = node("Transpose", &["w"], "t", &[]);
    let weights = floats("w", &[columns, rows], &vec![0.5; (rows * columns) as usize]);
    let product = node("MatMul", &["x", "t"], "y", &[]);
    let error = read_error(&[2, rows], vec![transposed, product], vec![weights]).to_string();
    assert!(error.contains("do not fit, or are too large"), "{error}");
}

#[test]
fn tensors_of_many_dimensions_are_refused() {
    let ones = |count: usize| integers("many", &vec![1; count]);
    let rank = |name: &str| OnnxError::Rank(name.to_owned());
    let reshape = || vec![node("Reshape", &["x", "many"], "y", &[])];
    assert_eq!(read_error(&[1, 1], reshape(), vec![ones(33)]), rank("y"));
    assert_eq!(
        read_error(
            &[1, 4],
            vec![node("Relu", &["x"], "y", &[])],
            vec![floats("w", &[1; 33], &[1.0])]
        ),
        rank("w")
    );
    assert_eq!(read_error(&[1; 33], vec![node("Relu", &["x"], "y", &[])], vec![]), rank("x"));
    // Of a tensor, and of a constant.
    for input in ["x", "c"] {
        let weights =
            vec![integers("axes", &(0..32).collect::<Vec<i64>>()), floats("c", &[1], &[1.0])];
        let nodes =
            vec![node("Unsqueeze", &[input, "axes"], "u", &[]), node("Add", &["x", "u"], "y", &[])];
        let error = read_error(&[1, 4], nodes, weights).to_string();
        assert!(error.contains("the output has more than 32 dimensions"), "{input}: {error}");
    }
    let error = read_error(&[1, 1], vec![node("Expand", &["x", "many"], "y", &[])], vec![ones(33)])
        .to_string();
    assert!(error.contains("the output has more than 32 dimensions"), "{error}");
}

/// Messages quote lists of axes and dimensions.
#[test]
fn long_lists_are_refused_with_short_messages() {
    let ones = vec![1; 1 << 20];
    for node in [
        node("Reshape", &["x", "many"], "y", &[]),
        node("Expand", &["x", "many"], "y", &[]),
        node("ReduceSum", &["x", "many"], "y", &[]),
        node("Transpose", &["x"], "y", &[("perm", &ones)]),
    ] {
        let error = read_error(&[1, 4], vec![node], vec![integers("many", &ones)]).to_string();
        assert!(error.contains("has 1048576 integers") && error.len() < 100, "{}", error.len());
    }
}

#[test]
fn expand_beyond_the_size_limit_is_refused() {
    let target = integers("target", &[1 << 13, 1 << 13]);
    let error = read_error(&[1, 1], vec![node("Expand", &["x", "target"], "y", &[])], vec![target])
        .to_string();
    assert!(error.contains("it is empty or too large"), "{error}");
    let huge = integers("target", &[i64::MAX, i64::MAX, 1]);
    let error = read_error(&[1, 1], vec![node("Expand", &["x", "target"], "y", &[])], vec![huge])
        .to_string();
    assert!(error.contains("it is empty or too large"), "{error}");
    // Each has 2^23 elements, all together more than 2^25.
    let nodes =
        ["a", "b", "c", "d", "e"].map(|name| node("Expand", &["x", "target"], name, &[])).to_vec();
    let nodes = [nodes, vec![node("Max", &["a", "b", "c", "d", "e"], "y", &[])]].concat();
    let error =
        read_error(&[1, 1], nodes, vec![integers("target", &[1, 8, 1024, 1024])]).to_string();
    assert!(error.contains("elements are moved by all nodes together"), "{error}");
}

#[test]
fn split_outputs_have_a_limit() {
    let mut split = with_int(node("Split", &["x"], "p0", &[]), "axis", 1);
    split.output.extend((1..5000).map(|index| format!("p{index}")));
    let nodes = vec![split, node("Relu", &["p0"], "y", &[])];
    assert!(matches!(read_error(&[1, 5000], nodes, vec![]), OnnxError::Nodes(_)));
    let mut split = with_int(node("Split", &["x", "parts"], "y", &[]), "axis", 1);
    split.output.push("z".to_owned());
    let error = read_error(&[1, 4], vec![split], vec![integers("parts", &[i64::MAX, i64::MAX])])
        .to_string();
    assert!(error.contains("4 elements cannot be split into 2 parts"), "{error}");
}

/// Two constants of 2^15 elements have a sum of 2^30, and one of 2^20 is read again and again.
#[test]
fn constants_that_are_computed_have_a_limit() {
    let long_weight =
        |name: &str, dims: &[i64], count: usize| floats(name, dims, &vec![1.0; count]);
    let multiply_by_constant =
        |constant: NodeProto| vec![constant, node("Mul", &["x", "c"], "y", &[])];
    for (first, second) in [([1 << 15, 1], [1, 1 << 15]), ([1 << 15, 1], [3, 1 << 14])] {
        let count = |dims: [i64; 2]| dims.iter().product::<i64>() as usize;
        let weights =
            vec![long_weight("a", &first, count(first)), long_weight("b", &second, count(second))];
        let error =
            read_error(&[1, 3], multiply_by_constant(node("Add", &["a", "b"], "c", &[])), weights)
                .to_string();
        assert!(error.contains("do not fit, or are too large"), "{error}");
    }
    let table = || {
        vec![
            long_weight("a", &[1, 1 << 20], 1 << 20),
            TensorProto { dims: vec![100], ..integers("b", &[0; 100]) },
        ]
    };
    let error =
        read_error(&[1, 3], multiply_by_constant(node("Gather", &["a", "b"], "c", &[])), table())
            .to_string();
    assert!(error.contains("do not fit, or are too large"), "{error}");
    let slice = |index: usize| node("Slice", &["a", "zero", "one"], &format!("s{index}"), &[]);
    let nodes = [(0..40).map(slice).collect(), vec![node("Relu", &["x"], "y", &[])]].concat();
    let weights =
        vec![long_weight("a", &[1 << 20], 1 << 20), integers("zero", &[0]), integers("one", &[1])];
    let error = read_error(&[1, 3], nodes, weights).to_string();
    assert!(error.contains("elements of constants are computed"), "{error}");
}

/// Computations of exporters are folded although the operands are long: the rows of positions, and
/// a mask.
#[test]
fn long_constants_are_folded() {
    let nodes = vec![
        node("Gather", &["table", "places"], "rows", &[]),
        node("Where", &["kept", "rows", "zeros"], "chosen", &[]),
        node("Mul", &["x", "chosen"], "y", &[]),
    ];
    let kept = integers("kept", &vec![1; 128 * 128]);
    let weights = vec![
        floats("table", &[4096, 128], &vec![2.0; 4096 * 128]),
        integers("places", &(0..128).collect::<Vec<i64>>()),
        TensorProto { dims: vec![128, 128], ..kept },
        floats("zeros", &[128, 128], &vec![0.0; 128 * 128]),
    ];
    assert_eq!(
        outputs(small(&[1, 128, 128], nodes, weights), &vec![1.5; 128 * 128]),
        vec![3.0; 128 * 128]
    );
}

/// A sum of all earlier elements for each one would take 2^43 steps.
#[test]
fn cumulative_sums_of_long_constants_are_folded() {
    let nodes = vec![
        node("CumSum", &["ones", "axis"], "sums", &[]),
        node("Gather", &["sums", "last"], "sum", &[]),
        node("Mul", &["x", "sum"], "y", &[]),
    ];
    let weights = vec![
        floats("ones", &[1 << 22], &vec![1.0; 1 << 22]),
        TensorProto { dims: vec![], ..integers("axis", &[0]) },
        integers("last", &[-1]),
    ];
    assert_eq!(outputs(small(&[1, 1], nodes, weights), &[0.5]), [2_097_152.0]);
}

/// Ranks of a long axis are not weights of the file, which would justify more memory.
#[test]
fn long_axes_have_a_limit() {
    let long_dims = [1, 1 << 20];
    let position = with_int(node("ArgMax", &["x"], "y", &[]), "axis", 1);
    assert!(matches!(read_error(&long_dims, vec![position], vec![]), OnnxError::Memory(_)));
    let softmax = vec![node("Softmax", &["x"], "s", &[]), node("Neg", &["s"], "y", &[])];
    assert!(matches!(read_error(&long_dims, softmax, vec![]), OnnxError::Memory(_)));
    let norm = vec![node("LayerNormalization", &["x", "s"], "y", &[])];
    assert!(matches!(
        read_error(&long_dims, norm, vec![floats("s", &[1], &[1.0])]),
        OnnxError::Memory(_)
    ));
    let error = read_error(&[1, 1 << 21], vec![node("ReduceSum", &["x"], "y", &[])], vec![]);
    assert!(matches!(error, OnnxError::Shape { .. }), "{error}");
    // Chains of reductions over one long axis, whose positions are listed for each.
    let nodes = (0..40).map(|index| node("ReduceMax", &["x"], &format!("m{index}"), &[]));
    let nodes = [nodes.collect(), vec![node("Relu", &["x"], "y", &[])]].concat();
    let error = read_error(&long_dims, nodes, vec![]).to_string();
    assert!(error.contains("elements are moved by all nodes together"), "{error}");
}

/// The sum over an axis without elements has as many zeros as the other axis is long.
#[test]
fn long_axes_of_empty_constants_are_refused() {
    for operator in ["ReduceSum", "ReduceMax"] {
        let nodes =
            vec![node(operator, &["e", "zero"], "s", &[]), node("Mul", &["x", "s"], "y", &[])];
        let weights = vec![floats("e", &[0, 1 << 40], &[]), integers("zero", &[0])];
        let error = read_error(&[1, 3], nodes, weights).to_string();
        assert!(error.contains("do not fit, or are too large"), "{operator}: {error}");
    }
}
