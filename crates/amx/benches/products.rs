//! Benchmark of matrix products: `cargo bench -p taonet-amx --bench products`.
//!
//! Compares this crate with rten-gemm, which uses AVX-512 VNNI for int8, at the sizes of Whisper
//! small. Rounds alternate, and the shortest CPU time of the thread counts. Packing of the
//! left-hand matrix is included.
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::indexing_slicing, reason = "the benchmark sets all sizes")]

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, QuantParams};
use rten_tensor::NdTensorView;
use rustix::time::{ClockId, clock_gettime};
use taonet_amx::{Amx, FloatMatrix, FloatRows, Int8Matrix, Int8Rows};

const ROUNDS: usize = 7;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(amx) = Amx::detect() else {
        println!("this machine has no AMX");
        return;
    };
    println!("int8: rows × inputs × outputs, GOP/s of rten-gemm and AMX, ratio");
    let encoder =
        [(1_500, 768, 768), (1_500, 768, 2_304), (1_500, 768, 3_072), (1_500, 3_072, 768)];
    let decoder =
        [5, 10, 20, 30].map(|rows| [(rows, 768, 768), (rows, 768, 3_072), (rows, 3_072, 768)]);
    let projections = [1, 5, 30].map(|rows| (rows, 768, 51_865));
    for (rows, inputs, outputs) in
        encoder.into_iter().chain(decoder.into_iter().flatten()).chain(projections)
    {
        let (theirs, ours) = int8(amx, rows, inputs, outputs);
        println!("{rows} × {inputs} × {outputs}: {theirs:.0}, {ours:.0}, {:.2}", ours / theirs);
    }
    println!("f32: rows × depth × columns, GFLOP/s of rten-gemm and AMX, ratio");
    let scores = [32, 64, 128].map(|rows| (rows, 64, 1_500));
    let values = [32, 64, 128].map(|rows| (rows, 1_500, 64));
    let convolutions = [(250, 240, 768), (250, 2_304, 768)];
    for (rows, depth, columns) in scores.into_iter().chain(values).chain(convolutions) {
        let (theirs, ours) = float(amx, rows, depth, columns);
        println!("{rows} × {depth} × {columns}: {theirs:.0}, {ours:.0}, {:.2}", ours / theirs);
    }
    for (depth, columns, by_columns) in [(64, 1_500, true), (1_500, 64, false)] {
        println!(
            "packing {depth} × {columns}: {:.1} µs",
            pack(amx, depth, columns, by_columns) * 1e6
        );
    }
}

/// Returns the time of packing a right-hand matrix from its columns or rows.
fn pack(amx: Amx, depth: usize, columns: usize, by_columns: bool) -> f64 {
    let values: Vec<f32> =
        (0..columns * depth).map(|i| (i * 37 % 255) as f32 / 255.0 - 0.5).collect();
    let mut matrix = FloatMatrix::new(amx);
    let mut shortest = f64::INFINITY;
    for _ in 0..10 * ROUNDS {
        let start = seconds();
        if by_columns {
            matrix.pack_columns(depth, columns, |column| &values[column * depth..][..depth]);
        } else {
            matrix.pack_rows(depth, columns, |row| &values[row * columns..][..columns]);
        }
        shortest = shortest.min(seconds() - start);
    }
    shortest
}

/// Returns the rates of rten-gemm and AMX in GFLOP/s. The right-hand matrix is packed in advance.
fn float(amx: Amx, rows: usize, depth: usize, columns: usize) -> (f64, f64) {
    let calls = 1 + 5_000_000_000 / (2 * rows * depth * columns);
    let x: Vec<f32> = (0..rows * depth).map(|i| (i * 31 % 255) as f32 / 255.0 - 0.5).collect();
    let right: Vec<f32> =
        (0..columns * depth).map(|i| (i * 37 % 255) as f32 / 255.0 - 0.5).collect();
    let gemm = GemmExecutor::<f32>::new();
    let theirs =
        gemm.prepack_b(NdTensorView::from_data([columns, depth], right.as_slice()).transposed());
    let (mut ours, mut packed) = (FloatMatrix::new(amx), FloatRows::new(amx));
    ours.pack_columns(depth, columns, |column| &right[column * depth..][..depth]);
    let stride = columns.next_multiple_of(32);
    let mut products = [vec![0.0; rows * columns], vec![0.0; rows * stride]];
    let mut shortest = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        let start = seconds();
        for _ in 0..calls {
            let rows = GemmInputA::Unpacked(NdTensorView::from_data([rows, depth], x.as_slice()));
            let _ = gemm.gemm(
                &mut products[0],
                rows,
                GemmInputB::Packed(&theirs),
                GemmOptions::default(),
            );
        }
        let middle = seconds();
        for _ in 0..calls {
            packed.pack(rows, depth, 1.0, |row| &x[row * depth..][..depth]);
            ours.multiply(&packed, &mut products[1], stride);
        }
        let end = seconds();
        shortest = [shortest[0].min(middle - start), shortest[1].min(end - middle)];
    }
    let operations = (2 * rows * depth * columns * calls) as f64 / 1e9;
    (operations / shortest[0], operations / shortest[1])
}

/// Returns the rates of rten-gemm and AMX in GOP/s. The calls alternate between copies of the
/// matrix, so that weights come from memory and not from the cache: a decoder reads all weights of
/// a model at each step.
fn int8(amx: Amx, rows: usize, inputs: usize, outputs: usize) -> (f64, f64) {
    let copies = (200_000_000 / (inputs * outputs)).clamp(1, 40);
    let calls = (20_000_000_000 / (2 * rows * inputs * outputs)).clamp(copies, 10 * copies);
    let x: Vec<u8> = (0..rows * inputs).map(|i| (i * 31 % 255) as u8).collect();
    let weights: Vec<i8> =
        (0..outputs * inputs).map(|i| ((i * 37 % 255) as u8).cast_signed()).collect();
    let gemm = GemmExecutor::<u8, i8, i32>::new();
    let view = NdTensorView::from_data([outputs, inputs], weights.as_slice());
    let theirs: Vec<_> = (0..copies).map(|_| gemm.prepack_b(view.transposed())).collect();
    let ours: Vec<_> = (0..copies).map(|_| Int8Matrix::pack(amx, &weights, inputs, 128)).collect();
    let zeros = vec![128; rows];
    let mut products = [vec![0; rows * outputs], vec![0; rows * outputs]];
    let mut packed = Int8Rows::default();
    let mut shortest = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        let start = seconds();
        for matrix in theirs.iter().cycle().take(calls) {
            let options = GemmOptions {
                a_quant: Some(QuantParams { zero_point: &zeros }),
                ..GemmOptions::default()
            };
            let rows = GemmInputA::Unpacked(NdTensorView::from_data([rows, inputs], x.as_slice()));
            let _ = gemm.gemm(&mut products[0], rows, GemmInputB::Packed(matrix), options);
        }
        let middle = seconds();
        for matrix in ours.iter().cycle().take(calls) {
            packed.pack(&x, inputs);
            matrix.multiply(&packed, 0..outputs, &mut products[1]);
        }
        let end = seconds();
        shortest = [shortest[0].min(middle - start), shortest[1].min(end - middle)];
    }
    assert_eq!(products[0], products[1]);
    let operations = (2 * rows * inputs * outputs * calls) as f64 / 1e9;
    (operations / shortest[0], operations / shortest[1])
}

/// Returns the CPU time of this thread in seconds.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
