use proptest::prelude::*;

use super::*;
use crate::network::{FORMAT, Layer};
use crate::{Clamp, Range, Rescale, Shape};

/// Returns a chain of dense layers with these widths; every `residual`th layer's output is added to
/// its input.
fn chain(widths: &[usize], residual: Option<usize>) -> Network {
    let rescale = Some(Rescale { shift: 4, clamp: Clamp::Unsigned(6) });
    let mut layers = Vec::new();
    for (index, pair) in (0_i32..).zip(widths.windows(2)) {
        let [input_width, output_width] = [pair[0], pair[1]];
        let weights = (0_i32..)
            .take(input_width * output_width)
            .map(|weight| weight * 37 % 41 - 20)
            .collect();
        let previous = layers.len() as u32;
        let operation = Operation::Dense { weights, bias: vec![3; output_width] };
        layers.push(Layer { inputs: vec![previous], operation, rescale, scale: index });
        if usize::try_from(index).ok() == residual && input_width == output_width {
            let operation = Operation::Sum { factors: vec![1, 2] };
            layers.push(Layer {
                inputs: vec![previous, previous + 1],
                operation,
                rescale,
                scale: index,
            });
        }
    }
    if let Some(last) = layers.last_mut() {
        last.rescale = None;
    }
    let shape = Shape::vector(widths[0]).unwrap();
    Network {
        format: FORMAT,
        input: Input { shape, range: Range { low: 0, high: 255 }, scale: 0 },
        layers,
    }
}

fn run(network: &Network, inputs: &[i64]) -> Vec<i64> {
    let circuit = network.lower().unwrap();
    circuit.execute(inputs).unwrap().outputs(&circuit)
}

#[test]
fn slices_do_not_cut_a_shortcut() {
    // Layers: 0 dense, 1 dense, 2 sum of tensors 1 and 2, 3 dense.
    let network = chain(&[4, 4, 4, 2], Some(1));
    assert_eq!(network.layers.len(), 4);
    assert_eq!(network.boundaries(), [1, 3]);
    assert!(matches!(network.slices(4), Err(SliceError::Boundaries { boundaries: 2, slices: 4 })));
    assert!(matches!(network.slices(0), Err(SliceError::Count(0))));
}

#[test]
fn slices_have_about_the_same_work() {
    let network = chain(&[8, 8, 8, 8, 8, 8, 8], None);
    let lengths: Vec<usize> =
        network.slices(3).unwrap().iter().map(|slice| slice.layers.len()).collect();
    assert_eq!(lengths, [2, 2, 2]);
    assert_eq!(network.slices(1).unwrap(), [network]);
}

#[test]
fn nonce_depends_on_all_fields() {
    let tensor = TensorDescription {
        shape: Shape::vector(1).unwrap(),
        range: Range { low: 0, high: 1 },
        scale: 0,
    };
    let model = SlicedModel {
        version: VERSION,
        name: "m".to_owned(),
        input: tensor.clone(),
        output: tensor,
        slices: vec![Digest::of(b"0"), Digest::of(b"1")],
    };
    assert_eq!(SlicedModel::from_json(&model.to_json().unwrap()).unwrap(), model);
    let other = SlicedModel { slices: vec![Digest::of(b"1"), Digest::of(b"0")], ..model.clone() };
    let run = Digest::of(b"run");
    let nonce = model.nonce(&run, 1, &[1], &[2]).unwrap();
    for changed in [
        other.nonce(&run, 1, &[1], &[2]),
        model.nonce(&Digest::of(b"other"), 1, &[1], &[2]),
        model.nonce(&run, 0, &[1], &[2]),
        model.nonce(&run, 1, &[2], &[2]),
        model.nonce(&run, 1, &[1], &[1]),
    ] {
        assert_ne!(changed.unwrap(), nonce);
    }
    for bad in
        [SlicedModel { version: 9, ..model.clone() }, SlicedModel { slices: vec![], ..model }]
    {
        assert!(SlicedModel::from_json(&bad.to_json().unwrap()).is_err());
    }
}

proptest! {
    #[test]
    fn slices_compute_the_output_of_the_model(
        widths in prop::collection::vec(1_usize..6, 3..8),
        residual in prop::option::of(0_usize..6),
        count in 1_usize..7,
        seed in 0_i64..1000,
    ) {
        let network = chain(&widths, residual);
        let inputs: Vec<i64> = (0_i64..).take(widths[0]).map(|index| (index * 91 + seed) % 256).collect();
        match network.slices(count) {
            Ok(slices) => {
                prop_assert_eq!(slices.len(), count);
                let outputs_of_slices =
                    slices.iter().fold(inputs.clone(), |values, slice| run(slice, &values));
                prop_assert_eq!(outputs_of_slices, run(&network, &inputs));
            }
            Err(SliceError::Boundaries { boundaries, .. }) => prop_assert!(boundaries + 1 < count),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
