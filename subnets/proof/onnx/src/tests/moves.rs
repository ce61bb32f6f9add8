//! Moves with several outputs or repeated elements: read, evaluated and refused.

use super::operators::quantised;
use super::*;

/// Positions count from 0.
#[test]
fn tensors_are_split_and_expanded() {
    let split = |inputs: &[&str], ints: &[(&str, &[i64])], attributes: &[(&str, i64)]| {
        let mut split = node("Split", inputs, "a", ints);
        split.output.extend(["b", "c"].map(str::to_owned));
        let split =
            attributes.iter().fold(split, |split, &(name, value)| with_int(split, name, value));
        // The parts in another order.
        vec![split, with_int(node("Concat", &["c", "a", "b"], "y", &[]), "axis", 1)]
    };
    // For parts of two rows each, and of one, three and two.
    let turned: Vec<u8> = vec![8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7];
    let parts = || vec![integers("parts", &[1, 3, 2])];
    for (opset, dims, nodes, weights, expected) in [
        (17, [1, 6, 2], split(&["x"], &[], &[("axis", 1)]), vec![], turned.clone()),
        (
            12,
            [1, 6, 2],
            split(&["x"], &[("split", &[1, 3, 2])], &[("axis", -2)]),
            vec![],
            turned.clone(),
        ),
        (13, [1, 6, 2], split(&["x", "parts"], &[], &[("axis", 1)]), parts(), turned),
        (
            17,
            [1, 4, 3],
            split(&["x"], &[], &[("axis", 2)]),
            vec![],
            vec![2, 5, 8, 11, 0, 3, 6, 9, 1, 4, 7, 10],
        ),
        // The last part is smaller.
        (
            18,
            [1, 5, 2],
            split(&["x"], &[], &[("axis", 1), ("num_outputs", 3)]),
            vec![],
            vec![8, 9, 0, 1, 2, 3, 4, 5, 6, 7],
        ),
    ] {
        let input: Vec<f32> = (0..12_u8).map(f32::from).take(expected.len()).collect();
        let model = Model::decode(&model_of(opset, small(&dims, nodes, weights))).unwrap();
        let network = model.network().unwrap().run(&input).unwrap().pop().unwrap();
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_eq!(
            network.into_iter().map(f64::from).collect::<Vec<f64>>(),
            expected,
            "{opset} {dims:?}"
        );
        assert_eq!(model.evaluate(&input).unwrap().outputs, expected, "{opset} {dims:?}");
    }
    let nodes = vec![node("Expand", &["x", "target"], "y", &[])];
    let weights = vec![integers("target", &[2, 1, 3])];
    assert_eq!(
        outputs(small(&[1, 2, 1], nodes, weights), &[4.0, 5.0]),
        [4.0, 4.0, 4.0, 5.0, 5.0, 5.0].repeat(2)
    );
}

#[test]
fn parts_and_repetitions_that_do_not_fit_are_refused() {
    let nodes = vec![node("Expand", &["x", "target"], "y", &[])];
    let error = quantised(20, small(&[1, 2], nodes, vec![integers("target", &[3, 3])]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("[1, 2] cannot be repeated to [3, 3]"), "{error}");
    let split = |inputs: &[&str], attributes: &[(&str, &[i64])]| {
        let mut split = node("Split", inputs, "y", attributes);
        split.output.extend(["b", "c"].map(str::to_owned));
        vec![with_int(split, "axis", 1)]
    };
    let parts = || vec![integers("parts", &[1, 3, 3])];
    for (opset, extent, nodes, weights, expected) in [
        (17, 4, split(&["x"], &[]), vec![], "4 elements cannot be split into 3 parts"),
        (13, 6, split(&["x", "parts"], &[]), parts(), "6 elements cannot be split into 3 parts"),
        (12, 6, split(&["x", "parts"], &[]), parts(), "parts are misplaced for operator set 12"),
        (
            13,
            6,
            split(&["x"], &[("split", &[1, 3, 2])]),
            vec![],
            "parts are misplaced for operator set 13",
        ),
        // The third part would be empty.
        (18, 2, split(&["x"], &[]), vec![], "it is empty or too large"),
    ] {
        let error = quantised(opset, small(&[1, extent], nodes, weights)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
