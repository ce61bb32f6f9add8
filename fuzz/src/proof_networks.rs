//! Network files and verification keys of circuit catalogues: whatever is lowered stays within the
//! memory limit for its parameters, and its key is computed without a panic. `scripts/fuzz` also
//! limits the memory of the whole process.
//!
//! An input is a network file, optionally preceded by a byte 0, the length of a verification key in
//! one byte, and the key.

use taonet_proof_backends::{Backend as _, groth16, stark};
use taonet_proof_core::MemoryBudget;
use taonet_proof_core::circuit::{Cell, Circuit, Job, StageKind, Tap};
use taonet_proof_core::network::Network;

/// Largest circuit that is executed, in multiply-adds.
const MAX_EXECUTED_MULTIPLY_ADDS: u64 = 1 << 20;

/// Checks one input.
pub fn check(input: &[u8]) {
    let (key, file) = match input {
        [0, length, rest @ ..] => rest.split_at(usize::from(*length).min(rest.len())),
        _ => (&[][..], input),
    };
    let Ok(network) = Network::from_bytes(file) else { return };
    let Ok(circuit) = network.lower() else { return };
    let limit = MemoryBudget::new(network.parameters()).limit();
    assert!(size(&circuit) <= limit, "{} bytes, more than {limit}", size(&circuit));
    if circuit.multiply_adds() <= MAX_EXECUTED_MULTIPLY_ADDS {
        circuit.execute(&vec![0; circuit.inputs]).expect("0 is in the range of every input");
    }
    if key.is_empty() {
        let _ = stark::Stark.estimate(&circuit);
    } else {
        let _ = stark::Stark.check_key(&circuit, key);
        let _ = groth16::Groth16.check_key(&circuit, key);
    }
}

/// Returns the memory of a circuit's lists, in bytes.
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
    stages.sum()
}
