use proptest::prelude::*;

use super::super::{Input, Operation};
use super::*;
use crate::Rescale;

/// A published network file of 25 bytes: an input of 1×512×512 and a maximum over 128×128 values at each position.
const BOMB: [u8; 25] = [1, 1, 0x80, 4, 0x80, 4, 0, 2, 0, 1, 1, 0, 3, 0x80, 1, 0x80, 1, 1, 1, 0, 0, 0, 0, 0, 0];

fn network(shape: [usize; 3], operation: Operation) -> Network {
    let [channels, height, width] = shape;
    let input = Input { shape: Shape { channels, height, width }, range: Range { low: 0, high: 1 }, scale: 0 };
    Network { format: FORMAT, input, layers: vec![Layer { inputs: vec![0], operation, rescale: None, scale: 0 }] }
}

/// Returns the memory of a circuit in bytes, and that of its values when it is executed.
fn size(circuit: &Circuit) -> u64 {
    let list = |capacity: usize, bytes: usize| (capacity * bytes) as u64;
    let stages = circuit.stages.iter().map(|stage| match &stage.kind {
        StageKind::Linear(linear) => {
            let jobs = linear.jobs.iter().map(|job| {
                list(job.taps.capacity(), size_of::<Tap>()) + list(job.outputs.capacity(), size_of::<u32>())
            });
            list(linear.jobs.capacity(), size_of::<Job>()) + list(linear.bias.capacity(), 8) + jobs.sum::<u64>()
        }
        StageKind::Max(max) => {
            let groups = max.groups.iter().map(|group| list(group.capacity(), size_of::<Cell>()));
            list(max.groups.capacity(), size_of::<Vec<Cell>>()) + groups.sum::<u64>()
        }
    });
    stages.sum::<u64>() + list(circuit.outputs.capacity(), size_of::<Cell>()) + list(circuit.cells(), 16)
}

#[test]
fn small_file_of_a_large_circuit_is_refused() {
    let bomb = Network::from_bytes(&BOMB).unwrap();
    let Err(NetworkError::Memory(error)) = bomb.lower() else { panic!("refused") };
    assert!(error.needed > 1 << 30 && error.limit < 1 << 28, "{error}");
    assert!(error.to_string().contains(&format!("the limit of {} bytes for 0 parameters", error.limit)), "{error}");
    let window = |side: usize| Window { kernel: [side; 2], stride: [1; 2], padding: [0; 4] };
    for (shape, operation) in [
        // A value of each layer takes a job, or a group, of its own.
        ([16, 1024, 1024], Operation::Sum { factors: vec![1] }),
        ([16, 1024, 1024], Operation::MaxPool { window: window(1) }),
        ([1, 4096, 4096], Operation::MaxPool { window: window(4096) }),
        ([1, 4096, 4096], Operation::Convolution { window: window(1), groups: 1, weights: vec![1], bias: vec![0] }),
        (
            [1, 1, 1],
            Operation::MaxPool {
                window: Window { kernel: [1 << 20; 2], stride: [1 << 19; 2], padding: [(1 << 20) - 1; 4] },
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

/// A file of 29 kB: a convolution with 28 561 weights, and a maximum over 22×22 values at each position.
#[test]
fn file_with_few_parameters_takes_little_memory() {
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
    let Err(NetworkError::Memory(error)) = network.lower() else { panic!("refused") };
    assert!(error.limit < 5 << 27 && error.needed > 3 * error.limit, "{error}");
}

#[test]
fn number_of_layers_is_checked_before_they_are_decoded() {
    let good = Network::from_bytes(&BOMB).unwrap().to_bytes().unwrap();
    // The number of layers is the tenth byte.
    let mut bytes = good[..9].to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(Network::from_bytes(&bytes), Err(NetworkError::Layers(0x0fff_ffff)));
}

proptest! {
    /// Whatever is lowered takes no more memory than the limit for its parameters.
    #[test]
    fn lowered_circuit_stays_within_its_limit(
        (channels, height, width) in (1_usize..=8, 1_usize..=64, 1_usize..=64),
        (kernel, stride, padding) in (1_usize..=16, 1_usize..=4, 0_usize..=15),
        kind in 0..4,
        outputs in 1_usize..=8,
    ) {
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding.min(kernel - 1); 4] };
        let elements = channels * height * width;
        let operation = match kind {
            0 => Operation::Dense { weights: vec![1; elements * outputs], bias: vec![0; outputs] },
            1 => Operation::Sum { factors: vec![1] },
            2 => Operation::MaxPool { window },
            _ => Operation::Convolution {
                window,
                groups: channels,
                weights: vec![1; channels * outputs * kernel * kernel],
                bias: vec![0; channels * outputs],
            },
        };
        let mut network = network([channels, height, width], operation);
        network.layers[0].rescale = (kind == 1).then_some(Rescale { shift: 1, clamp: crate::Clamp::Unsigned(8) });
        if let Ok(circuit) = network.lower() {
            let (used, limit) = (circuit.memory.used(), MemoryBudget::new(network.parameters()).limit());
            prop_assert!(size(&circuit) <= used && used <= limit, "{} {used} {limit}", size(&circuit));
        }
    }
}
