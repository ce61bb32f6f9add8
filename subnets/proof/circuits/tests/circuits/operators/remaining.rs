//! Models with the operators that no block of a usual model has.

use super::file::{Attribute, Graph};
use super::{TestModel, test_weights};

/// Comparisons, and conditions of several of them.
pub(crate) fn logic() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("half", &[], &[0.5])
        .floats("v", &[4, 4], &test_weights(16, 0.125))
        .node("Mul", "x unit", "s")
        .node("MatMul", "s v", "h")
        .node("GreaterOrEqual", "h s", "a")
        .node("LessOrEqual", "s half", "b")
        .node("Equal", "s half", "c")
        .node("Less", "h half", "l")
        .node("And", "a b", "d")
        .node("Or", "d c", "e")
        .node("And", "e l", "m")
        .node("Xor", "m b", "f")
        .node("Not", "f", "g")
        .node("Where", "g h s", "y");
    TestModel::new("logic", &[1, 4], &graph)
}

/// Functions with steps, of numbers above 1, and of newer versions of the operator set.
pub(crate) fn steps() -> TestModel {
    let graph = Graph::default()
        .version(24)
        .floats("unit", &[], &[0.031_25])
        .floats("limit", &[], &[1.25])
        .floats("three_quarters", &[], &[0.75])
        .floats("w", &[54, 3], &test_weights(162, 0.062_5))
        .node("Mul", "x unit", "s")
        .node("Abs", "s", "m")
        .node("Add", "m limit", "p")
        .node("Acosh", "p", "a")
        .node("Log", "p", "b")
        .node("Ceil", "s", "c")
        .node("Floor", "s", "d")
        .node("Round", "s", "e")
        .node("Sign", "s", "f")
        .node_with("Swish", "s", "g", &[("alpha", Attribute::Float(1.5))])
        .node_with("ThresholdedRelu", "s", "h", &[("alpha", Attribute::Float(0.5))])
        .node_with("Mod", "s three_quarters", "i", &[("fmod", Attribute::Int(1))])
        .node_with("Concat", "a b c d e f g h i", "j", &[("axis", Attribute::Int(1))])
        .node("MatMul", "j w", "y");
    TestModel::new("steps", &[1, 6], &graph)
}

/// Reductions of functions, and positions of the smallest and the largest element.
pub(crate) fn reductions() -> TestModel {
    let last = || [("axis", Attribute::Int(-1))];
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("half", &[], &[0.5])
        .floats("v", &[4, 4], &test_weights(16, 0.125))
        .floats("w", &[13, 2], &test_weights(26, 0.062_5))
        .integers("last", &[1], &[-1])
        .node("Mul", "x unit", "s")
        .node("MatMul", "s v", "h")
        .node("ReduceL1", "h last", "a")
        .node("ReduceSumSquare", "h last", "b")
        .node("ReduceProd", "h last", "c")
        .node("Abs", "h", "m")
        .node("Add", "m half", "p")
        .node("ReduceLogSum", "p last", "d")
        .node("Mean", "h s", "e")
        .node_with("ArgMin", "s", "i", &last())
        .node_with("Cast", "i", "f", &[("to", Attribute::Int(1))])
        .node_with("Hardmax", "s", "g", &last())
        .node_with("Concat", "a b c d e f g", "j", &last())
        .node("MatMul", "j w", "y");
    TestModel::new("reductions", &[1, 3, 4], &graph)
}

/// Moves, a norm with constant parameters, and an operator that inference omits.
pub(crate) fn layout() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("g", &[16], &test_weights(16, 0.25))
        .floats("b", &[16], &test_weights(16, 0.125))
        .floats("mean", &[16], &test_weights(16, -0.062_5))
        .floats("variance", &[16], &[0.75; 16])
        .floats("w", &[16, 3], &test_weights(48, 0.125))
        .integers("plane", &[2], &[2, 3])
        .integers("parts", &[2], &[8, 8])
        .integers("repeats", &[2], &[1, 2])
        .integers("pair", &[2], &[2, 8])
        .integers("rows", &[2, 1], &[1, 0])
        .integers("place", &[1, 1], &[0])
        .integers("flat", &[2], &[1, -1])
        .node("Mul", "x unit", "s")
        .node_with("SpaceToDepth", "s", "blocks", &[("blocksize", Attribute::Int(2))])
        .node("BatchNormalization", "blocks g b mean variance", "n")
        .node("Dropout", "n", "d")
        .node("GlobalMaxPool", "d", "p")
        .node("Squeeze", "p plane", "q")
        .node_with("Split", "q parts", "one two", &[("axis", Attribute::Int(1))])
        .node("Tile", "one repeats", "t")
        .node("Expand", "two pair", "e")
        .node("GatherND", "e rows", "z")
        .node("ScatterND", "z place one", "scattered")
        .node("Reshape", "scattered flat", "r")
        .node("Add", "r t", "a")
        .node("MatMul", "a w", "y");
    TestModel::new("layout", &[1, 4, 2, 4], &graph)
}

/// The operator that is called Resize since version 10.
pub(crate) fn upsampled() -> TestModel {
    let graph = Graph::default()
        .version(9)
        .floats("unit", &[], &[0.031_25])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .floats("w", &[48, 3], &test_weights(144, 0.062_5))
        .node("Mul", "x unit", "s")
        .node_with("Upsample", "s scales", "u", &[("mode", Attribute::String("nearest"))])
        .node("Flatten", "u", "f")
        .node("MatMul", "f w", "y");
    TestModel::new("upsampled", &[1, 2, 2, 3], &graph)
}

/// Norms of groups of channels, and of root mean squares.
pub(crate) fn groups() -> TestModel {
    let graph = Graph::default()
        .version(24)
        .floats("unit", &[], &[0.031_25])
        .floats("g", &[4], &[1.0, 0.5, -1.0, 2.0])
        .floats("b", &[4], &[0.5, 0.0, 0.25, -0.5])
        .floats("r", &[3], &[1.0, -0.5, 0.75])
        .floats("v", &[3, 2], &test_weights(6, 0.25))
        .node("Mul", "x unit", "s")
        .node_with(
            "GroupNormalization",
            "s g b",
            "n",
            &[("num_groups", Attribute::Int(2)), ("epsilon", Attribute::Float(0.01))],
        )
        .node_with(
            "RMSNormalization",
            "n r",
            "m",
            &[("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(0.01))],
        )
        .node("MatMul", "m v", "y");
    TestModel::new("groups", &[1, 4, 3], &graph)
}

/// A model with nodes that are computed when it is read: positions, shapes, and the branch of a
/// constant condition.
pub(crate) fn folded() -> TestModel {
    let branch = |operator: &str| Attribute::Branch(Graph::default().node(operator, "k", "b"));
    let graph = Graph::default()
        .integers("zero", &[], &[0])
        .integers("two", &[], &[2])
        .integers("first", &[1], &[0])
        .booleans("holds", &[], &[true])
        .node("Size", "x", "size")
        .node("Range", "zero size two", "even")
        .node("NonZero", "even", "places")
        .node("Squeeze", "places first", "row")
        .node_with("Gather", "x row", "g", &[("axis", Attribute::Int(1))])
        .node("Shape", "g", "shape")
        .node("ConstantOfShape", "shape", "zeros")
        .node_with("Constant", "", "half", &[("value_float", Attribute::Float(0.5))])
        .node("Mul", "g half", "m")
        .node("Add", "m zeros", "k")
        .node_with(
            "If",
            "holds",
            "y",
            &[("then_branch", branch("Neg")), ("else_branch", branch("Abs"))],
        );
    TestModel::new("folded", &[1, 5], &graph)
}

/// A recurrent cell over four steps, between a scale and two products of rows.
pub(crate) fn recurrent(operator: &str, gates: i64) -> TestModel {
    let rows = gates * 3;
    let matrix = |factor: f32| test_weights(rows as usize * 3, factor);
    let graph = Graph::default()
        .floats("unit", &[], &[0.031_25])
        .floats("w", &[1, rows, 3], &matrix(0.125))
        .floats("r", &[1, rows, 3], &matrix(-0.062_5))
        .floats("u", &[12, 5], &test_weights(60, 0.125))
        .floats("v", &[5, 2], &test_weights(10, 0.25))
        .integers("flat", &[2], &[1, 12])
        .node("Mul", "x unit", "s")
        .node_with("Transpose", "s", "steps", &[("perm", Attribute::Ints(&[1, 0, 2]))])
        .node_with(operator, "steps w r", "states", &[("hidden_size", Attribute::Int(3))])
        .node("Reshape", "states flat", "row")
        .node("MatMul", "row u", "h")
        .node("Tanh", "h", "t")
        .node("MatMul", "t v", "y");
    TestModel::new(operator, &[1, 4, 3], &graph)
}
