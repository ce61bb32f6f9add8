use proptest::prelude::*;

use super::super::{Input, MAX_TABLE, Matrices, Operation};
use super::*;
use crate::Rescale;

/// A published network file of 25 bytes: an input of 1×512×512 and a maximum over 128×128 values at
/// each position.
const OVERSIZED_NETWORK: [u8; 25] =
    [1, 1, 0x80, 4, 0x80, 4, 0, 2, 0, 1, 1, 0, 3, 0x80, 1, 0x80, 1, 1, 1, 0, 0, 0, 0, 0, 0];

fn network(shape: [usize; 3], operation: Operation) -> Network {
    let [channels, height, width] = shape;
    let input = Input {
        shape: Shape { channels, height, width },
        range: Range { low: 0, high: 1 },
        scale: 0,
    };
    Network {
        format: FORMAT,
        input,
        layers: vec![Layer { inputs: vec![0], operation, rescale: None, scale: 0 }],
    }
}

/// Returns the memory of a circuit in bytes, and that of its values when it is executed.
fn size(circuit: &Circuit) -> u64 {
    let list = |capacity: usize, bytes: usize| (capacity * bytes) as u64;
    let stages = circuit.stages.iter().map(|stage| match &stage.kind {
        StageKind::Linear(linear) => {
            let jobs = linear.jobs.iter().map(|job| {
                list(job.taps.capacity(), size_of::<Tap>())
                    + list(job.outputs.capacity(), size_of::<u32>())
            });
            let cells =
                linear.convolution.as_ref().map_or(0, |convolution| convolution.cells.capacity());
            list(linear.jobs.capacity(), size_of::<Job>())
                + list(linear.bias.capacity(), 8)
                + list(cells, size_of::<Cell>())
                + jobs.sum::<u64>()
        }
        StageKind::Max(max) => {
            let groups = max.groups.iter().map(|group| list(group.capacity(), size_of::<Cell>()));
            list(max.groups.capacity(), size_of::<Vec<Cell>>()) + groups.sum::<u64>()
        }
        StageKind::Table(table) => {
            list(table.cells.capacity() + table.values.capacity(), size_of::<u32>())
        }
        StageKind::Product(product) => list(product.pairs.capacity(), size_of::<[Cell; 2]>()),
        StageKind::MatrixProduct(product) => {
            list(product.a.capacity() + product.b.capacity(), size_of::<Cell>())
        }
    });
    stages.sum::<u64>()
        + list(circuit.outputs.capacity(), size_of::<Cell>())
        + list(circuit.cells(), 16)
}

#[test]
fn small_file_of_a_large_circuit_is_refused() {
    let oversized = Network::from_bytes(&OVERSIZED_NETWORK).unwrap();
    let Err(NetworkError::Memory(error)) = oversized.lower() else {
        panic!("expected a memory error")
    };
    assert!(error.needed > 1 << 30 && error.limit < 1 << 28, "{error}");
    assert!(
        error.to_string().contains(&format!("the limit of {} bytes for 0 parameters", error.limit)),
        "{error}"
    );
    let window = |side: usize| Window { kernel: [side; 2], stride: [1; 2], padding: [0; 4] };
    for (shape, operation) in [
        // A value of each layer takes a job, or a group, of its own.
        ([16, 1024, 1024], Operation::Sum { factors: vec![1] }),
        ([16, 1024, 1024], Operation::MaxPool { window: window(1) }),
        ([1, 4096, 4096], Operation::MaxPool { window: window(4096) }),
        (
            [1, 4096, 4096],
            Operation::Convolution {
                window: window(1),
                groups: 1,
                weights: vec![1],
                bias: vec![0],
            },
        ),
        (
            [1, 1, 1],
            Operation::MaxPool {
                window: Window {
                    kernel: [1 << 20; 2],
                    stride: [1 << 19; 2],
                    padding: [(1 << 20) - 1; 4],
                },
            },
        ),
    ] {
        let lowered = network(shape, operation.clone()).lower();
        assert!(
            matches!(lowered, Err(NetworkError::Memory(_) | NetworkError::Shape { .. })),
            "{operation:?}: {:?}",
            lowered.map(|_| ())
        );
    }
}

/// A file of 29 kB: a convolution with 28 561 weights, and a maximum over 22×22 values at each
/// position.
#[test]
fn few_parameters_give_a_small_memory_limit() {
    let side = 169;
    let convolution = Operation::Convolution {
        window: Window { kernel: [side; 2], stride: [512; 2], padding: [0; 4] },
        groups: 1,
        weights: vec![0; side * side],
        bias: vec![0],
    };
    let mut network = network([1, 512, 512], convolution);
    let window = Window { kernel: [22; 2], stride: [1; 2], padding: [0; 4] };
    let operation = Operation::MaxPool { window };
    network.layers.push(Layer { inputs: vec![0], operation, rescale: None, scale: 0 });
    let Err(NetworkError::Memory(error)) = network.lower() else {
        panic!("expected a memory error")
    };
    assert!(error.limit < 5 << 27 && error.needed > 3 * error.limit, "{error}");
}

#[test]
fn number_of_layers_is_checked_before_they_are_decoded() {
    let valid_bytes = Network::from_bytes(&OVERSIZED_NETWORK).unwrap().to_bytes().unwrap();
    // The number of layers is the tenth byte.
    let mut bytes = valid_bytes[..9].to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(Network::from_bytes(&bytes), Err(NetworkError::Layers(0x0fff_ffff)));
}

/// Creates a network of 1×2×2 inputs of 0 and 1 with these layers.
fn chain(layers: Vec<(Vec<u32>, Operation)>) -> Network {
    let layers = layers.into_iter().map(|(inputs, operation)| Layer {
        inputs,
        operation,
        rescale: None,
        scale: 0,
    });
    let mut network = network([1, 2, 2], Operation::Product);
    network.layers = layers.collect();
    network
}

#[test]
fn elements_are_looked_up_moved_and_multiplied() {
    let indices = vec![4, 0, 8, 7, 3, 3];
    let network = chain(vec![
        (vec![0], Operation::Table { low: -1, values: vec![99, 5, -6] }),
        (
            vec![1, 0],
            Operation::Move {
                shape: Shape { channels: 1, height: 2, width: 3 },
                indices,
                constant: 40,
            },
        ),
        (vec![2, 2], Operation::Product),
        (
            vec![2],
            Operation::MaxPool {
                window: Window { kernel: [2, 3], stride: [1; 2], padding: [0; 4] },
            },
        ),
    ]);
    let circuit = network.lower().unwrap();
    let execution = circuit.execute(&[1, 0, 0, 1]).unwrap();
    // Inputs, their values in the table, the constant, squares of the moved elements, and their
    // maximum.
    assert_eq!(execution.cells, [1, 0, 0, 1, -6, 5, 5, -6, 40, 1, 36, 1600, 1, 36, 36, 40]);
    let ranges: Vec<(i64, i64)> =
        circuit.stages.iter().map(|stage| (stage.range.low, stage.range.high)).collect();
    assert_eq!(ranges, [(-6, 5), (40, 40), (-240, 1600), (-6, 40)]);
    // Values for arguments that the inputs do not have are not part of the circuit.
    let StageKind::Table(table) = &circuit.stages[0].kind else { panic!("a table") };
    assert_eq!((table.arguments, &table.values[..]), (Range { low: 0, high: 1 }, &[5, -6][..]));
    assert_eq!(
        [-1, 0, 1, 2].map(|argument| table.value(argument)),
        [None, Some(5), Some(-6), None]
    );
    assert_eq!(circuit.magnitude(), 1600);
}

#[test]
fn output_elements_need_no_separate_stage() {
    let shape = Shape { channels: 3, height: 1, width: 1 };
    let move_operation = Operation::Move { shape, indices: vec![4, 7, 8], constant: -3 };
    let circuit = chain(vec![
        (vec![0], Operation::Table { low: 0, values: vec![9, 7] }),
        (vec![1, 0], move_operation),
    ]);
    let circuit = circuit.lower().unwrap();
    let execution = circuit.execute(&[0, 1, 0, 1]).unwrap();
    assert_eq!(execution.outputs(&circuit), [0, 1, -3]);
    assert_eq!(circuit.output_range(), Range { low: -3, high: 1 });
    // The stage of a move without a constant has no cells.
    let move_operation = Operation::Move { shape, indices: vec![3, 0, 0], constant: 0 };
    let circuit = chain(vec![
        (vec![0], move_operation),
        (vec![1], Operation::Table { low: 0, values: vec![9, 7] }),
    ]);
    assert_eq!(circuit.lower().unwrap().output_range(), Range { low: 0, high: 9 });
}

#[test]
fn invalid_layers_are_refused() {
    let table = |low: i64, values: usize| Operation::Table { low, values: vec![0; values] };
    let move_operation = |extent: usize, indices: Vec<u32>, constant: i64| Operation::Move {
        shape: Shape { channels: extent, height: 1, width: 1 },
        indices,
        constant,
    };
    let lower_error =
        |inputs: Vec<u32>, operation: Operation| chain(vec![(inputs, operation)]).lower().err();
    for (low, values) in
        [(1, 9), (0, 1), (-1, 2), (0, 0), (i64::MIN, 2), (i64::MAX, 2), (0, MAX_TABLE + 1)]
    {
        let error = lower_error(vec![0], table(low, values));
        assert!(matches!(error, Some(NetworkError::Table { .. })), "{low} {values}: {error:?}");
    }
    assert_eq!(lower_error(vec![0], table(0, MAX_TABLE)), None);
    for (extent, indices) in [(2, vec![0]), (2, vec![0, 5]), (1, vec![u32::MAX])] {
        assert_eq!(
            lower_error(vec![0], move_operation(extent, indices, 0)),
            Some(NetworkError::Move(0))
        );
    }
    assert_eq!(
        lower_error(vec![0], move_operation(1, vec![4], i64::MIN)),
        Some(NetworkError::Overflow(0))
    );
    assert!(matches!(
        lower_error(vec![0], move_operation(0, vec![], 0)),
        Some(NetworkError::Shape { .. })
    ));
    for (inputs, operation) in [
        (vec![0, 0], table(0, 2)),
        (vec![0], Operation::Product),
        (vec![], move_operation(1, vec![0], 0)),
    ] {
        let error = lower_error(inputs, operation);
        assert!(matches!(error, Some(NetworkError::Arity { .. })), "{error:?}");
    }
    let other_shape =
        vec![(vec![0], move_operation(4, vec![0, 1, 2, 3], 0)), (vec![0, 1], Operation::Product)];
    assert_eq!(chain(other_shape).lower().err(), Some(NetworkError::Shapes(1)));
    let mut rescaled = chain(vec![(vec![0], table(0, 2))]);
    rescaled.layers[0].rescale = Some(Rescale { shift: 0, clamp: crate::Clamp::Signed(8) });
    assert_eq!(rescaled.lower().err(), Some(NetworkError::Rescale(0)));
    let mut wide = chain(vec![(vec![0, 0], Operation::Product)]);
    wide.input.range = Range { low: 0, high: 1 << 29 };
    assert_eq!(wide.lower().err(), Some(NetworkError::Overflow(0)));
}

/// A file of few bytes that lists one large tensor many times is refused before its elements are
/// listed.
#[test]
fn move_of_many_large_tensors_is_refused() {
    let move_operation = Operation::Move {
        shape: Shape { channels: 1, height: 1, width: 1 },
        indices: vec![0],
        constant: 0,
    };
    let mut network = network([1, 1024, 1024], move_operation);
    network.layers[0].inputs = vec![0; 1000];
    assert!(matches!(network.lower(), Err(NetworkError::Memory(_))));
}

proptest! {
    /// Whatever is lowered takes no more memory than the limit for its parameters.
    #[test]
    fn lowered_circuit_stays_within_its_limit(
        (channels, height, width) in (1_usize..=8, 1_usize..=64, 1_usize..=64),
        (kernel, stride, padding) in (1_usize..=16, 1_usize..=4, 0_usize..=15),
        kind in 0..8,
        outputs in 1_usize..=8,
    ) {
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding.min(kernel - 1); 4] };
        let elements = channels * height * width;
        let operation = match kind {
            0 => Operation::Dense { weights: vec![1; elements * outputs], bias: vec![0; outputs] },
            1 => Operation::Sum { factors: vec![1] },
            2 => Operation::MaxPool { window },
            3 => Operation::Table { low: 0, values: vec![7; 2] },
            4 => Operation::Product,
            5 => {
                let indices = (0..=elements as u32).rev().take(elements).collect();
                Operation::Move { shape: Shape { channels, height, width }, indices, constant: 3 }
            }
            6 => Operation::MatrixProduct(Matrices { count: channels, rows: height, inner: width, columns: height }),
            _ => Operation::Convolution {
                window,
                groups: channels,
                weights: vec![1; channels * outputs * kernel * kernel],
                bias: vec![0; channels * outputs],
            },
        };
        let mut network = network([channels, height, width], operation);
        if kind == 4 || kind == 6 {
            network.layers[0].inputs.push(0);
        }
        network.layers[0].rescale = (kind == 1).then_some(Rescale { shift: 1, clamp: crate::Clamp::Unsigned(8) });
        if let Ok(circuit) = network.lower() {
            let (used, limit) = (circuit.memory.used(), MemoryBudget::new(network.parameters()).limit());
            prop_assert!(size(&circuit) <= used && used <= limit, "{} {used} {limit}", size(&circuit));
        }
    }
}

/// Returns a network that reads two numbers from 0 to 4 and computes sums over the values of
/// indicators: one for each number and each offset, 1 where the number minus the offset is 0.
fn indicators(offsets: [i64; 5], rows: &[[i32; 5]]) -> Network {
    let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
    let affine = Operation::Convolution {
        window,
        groups: 5,
        weights: vec![1; 5],
        bias: offsets.iter().map(|offset| -offset).collect(),
    };
    let sums = Operation::Convolution {
        window,
        groups: 1,
        weights: rows.concat(),
        bias: vec![1; rows.len()],
    };
    let repeated = Operation::Move {
        shape: Shape { channels: 5, height: 1, width: 2 },
        indices: [0, 1].repeat(5),
        constant: 0,
    };
    let values = (-4..=4).map(|distance| i32::from(distance == 0)).collect();
    let operations = [repeated, affine, Operation::Table { low: -4, values }, sums];
    let layers = (0..).zip(operations).map(|(input, operation)| Layer {
        inputs: vec![input],
        operation,
        rescale: None,
        scale: 0,
    });
    let input = Input {
        shape: Shape { channels: 1, height: 1, width: 2 },
        range: Range { low: 0, high: 4 },
        scale: 0,
    };
    Network { format: CHOICES_FORMAT, input, layers: layers.collect() }
}

fn last_sums(network: &Network) -> Range {
    let circuit = network.lower().unwrap();
    match &circuit.stages.last().unwrap().kind {
        StageKind::Linear(linear) => linear.sums,
        kind => panic!("{kind:?}"),
    }
}

#[test]
fn sum_over_a_choice_has_the_interval_of_its_largest_product() {
    let rows = [[3, -7, 100, 50, -20], [0, 0, 1, 2, 3]];
    let mut network = indicators([0, 1, 2, 3, 4], &rows);
    assert_eq!(last_sums(&network), Range { low: -19, high: 101 });
    assert_eq!(network.smallest_format().unwrap(), CHOICES_FORMAT);
    for number in 0..5 {
        let circuit = network.lower().unwrap();
        let outputs = circuit.execute(&[number, 4 - number]).unwrap().outputs(&circuit);
        let [first, second] =
            [number, 4 - number].map(|column| i64::from(rows[0][column as usize]) + 1);
        assert_eq!(outputs[..2], [first, second]);
    }
    // Networks of the previous format, and their keys, are unchanged.
    network.format = FORMAT;
    assert_eq!(last_sums(&network), Range { low: -26, high: 154 });
}

/// A cheat could choose two of them.
#[test]
fn indicators_of_the_same_value_are_not_a_choice() {
    let network = indicators([0, 1, 2, 3, 3], &[[3, -7, 100, 50, 20]]);
    assert_eq!(last_sums(&network), Range { low: -6, high: 174 });
    assert_eq!(network.smallest_format().unwrap(), FORMAT);
}

#[test]
fn indicators_of_different_cells_are_not_a_choice() {
    let mut network = indicators([0, 1, 2, 3, 4], &[[0; 5]]);
    let bias = vec![0];
    network.layers[3].operation = Operation::Dense { weights: vec![1; 10], bias };
    assert_eq!(last_sums(&network), Range { low: 0, high: 10 });
}

#[test]
fn function_with_many_values_is_not_an_indicator() {
    let mut network = indicators([0, 1, 2, 3, 4], &[[1; 5]]);
    network.layers[2].operation =
        Operation::Table { low: -4, values: vec![0, 0, 0, 1, 1, 1, 0, 0, 0] };
    assert_eq!(last_sums(&network), Range { low: 1, high: 6 });
}
