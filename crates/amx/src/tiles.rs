//! Tiles in memory, and the kernels that multiply them.
//!
//! A tile has 16 rows of 64 bytes. The left-hand matrix is stored in pairs of tiles (32 rows), the
//! right-hand matrix in panels of two tiles (32 columns), so that a kernel needs four accumulators
//! and loads each tile for two products. Both are stored in the order in which the kernels read
//! them.
//!
//! A kernel configures the tiles, multiplies and releases them in one block of assembly, so that no
//! state of the tiles crosses Rust code.

use crate::Amx;

/// Rows of a tile, and its columns of 32 bits.
pub(crate) const TILE_SIZE: usize = 16;
/// Rows of a pair of tiles, and columns of a panel.
pub(crate) const PAIR_SIZE: usize = 2 * TILE_SIZE;

/// A row of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

impl Line {
    pub(crate) const ZERO: Self = Self([0; 64]);
}

/// The right-hand matrix of a product.
pub(crate) struct Panels {
    /// `[panel][step][line]`.
    pub(crate) lines: Vec<Line>,
    /// Initial values of a panel's columns: two lines of 32-bit values each.
    pub(crate) initial: Vec<Line>,
    pub(crate) columns: usize,
    pub(crate) steps: usize,
}

/// An element type of the result, with its kernels.
pub(crate) trait Element: Copy + Default {
    /// Lines of a pair of tiles, and of a panel, per step.
    const LINES: usize;

    /// Multiplies a pair of tiles, of which the second may be unused.
    ///
    /// # Safety
    /// The CPU has AMX, and the process may use it. All counts are above 0. For `lines` =
    /// [`Self::LINES`], `steps` and the fields of `arguments`: `left` has `pairs · steps · lines`
    /// lines, `right` has `panels · steps · lines` lines and `initial` has `2 · panels` lines.
    /// `out` is writable at `32 · panels` values in each row that the configuration covers, in each
    /// of `pairs` pairs; rows are `stride` bytes apart. A configuration without rows in the second
    /// tile requires `is_pair` to be false.
    unsafe fn run(configuration: &Configuration, arguments: &mut KernelArguments, is_pair: bool);
}

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
pub(crate) struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 accumulate, tiles 4 and 5 are from the left-hand matrix, tiles 6 and 7 from the
    /// right-hand one. The first of each pair has `first` rows, the second `second`.
    fn new(first: usize, second: usize) -> Self {
        let mut configuration = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_per_row: [0; 16],
            rows: [0; 16],
        };
        let rows = [first, first, second, second, first, second, TILE_SIZE, TILE_SIZE];
        for (tile, rows) in rows.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            configuration.bytes_per_row[tile] = 64;
            configuration.rows[tile] = rows as u8;
        }
        configuration
    }
}

/// Arguments of a kernel, in memory because they outnumber the registers.
#[repr(C)]
pub(crate) struct KernelArguments {
    left: *const Line,
    right: *const Line,
    out: *mut u8,
    initial: *const Line,
    steps: usize,
    pairs: usize,
    panels: usize,
    stride: usize,
}

/// Multiplies `rows` rows of `left`, `[pair][step][line]`, by the panels that begin at column
/// `first_column`, which is a multiple of 32. Writes rows of `columns` values to `out`, which are
/// `stride` values apart. If the stride has room for the columns of an incomplete panel beyond the
/// matrix, these are written, too.
#[allow(clippy::too_many_arguments)] // Two matrices with their dimensions, and the result with its own.
pub(crate) fn multiply<T: Element>(
    amx: Amx,
    left: &[Line],
    rows: usize,
    right: &Panels,
    first_column: usize,
    columns: usize,
    out: &mut [T],
    stride: usize,
) {
    assert!(
        first_column.is_multiple_of(PAIR_SIZE) && first_column + columns <= right.columns,
        "columns of the matrix"
    );
    assert!(stride >= columns, "values between rows");
    let has_room = stride >= columns.next_multiple_of(PAIR_SIZE);
    let full_panels = if has_room { columns.div_ceil(PAIR_SIZE) } else { columns / PAIR_SIZE };
    let width = columns.max(full_panels * PAIR_SIZE);
    assert!(rows == 0 || out.len() >= (rows - 1) * stride + width, "values for the result");
    let panel = first_column / PAIR_SIZE;
    let full_pairs = rows / PAIR_SIZE;
    let pair_lines = right.steps * T::LINES;
    let runs = [(0, full_pairs, PAIR_SIZE), (full_pairs, 1, rows % PAIR_SIZE)];
    for (pair, pairs, used_rows) in
        runs.into_iter().filter(|(_, pairs, used_rows)| pairs * used_rows > 0)
    {
        let left = &left[pair * pair_lines..(pair + pairs) * pair_lines];
        let out = &mut out[pair * PAIR_SIZE * stride..];
        multiply_pairs(amx, left, used_rows, right, panel..panel + full_panels, out, stride);
        if columns > full_panels * PAIR_SIZE {
            // The last panel is incomplete: its columns beyond the matrix must not be written to
            // `out`.
            let mut last_panel = vec![T::default(); pairs * PAIR_SIZE * PAIR_SIZE];
            multiply_pairs(
                amx,
                left,
                used_rows,
                right,
                panel + full_panels..panel + full_panels + 1,
                &mut last_panel,
                PAIR_SIZE,
            );
            let count = (pairs - 1) * PAIR_SIZE + used_rows;
            for (out, last_row) in
                out.chunks_mut(stride).zip(last_panel.chunks(PAIR_SIZE)).take(count)
            {
                out[full_panels * PAIR_SIZE..columns]
                    .copy_from_slice(&last_row[..columns - full_panels * PAIR_SIZE]);
            }
        }
    }
}

/// Multiplies pairs of tiles by a range of panels. The first `used_rows` rows of each pair are
/// computed; all pairs have 32, unless there is only one. Rows of `out` are `stride` values apart.
fn multiply_pairs<T: Element>(
    amx: Amx,
    left: &[Line],
    used_rows: usize,
    right: &Panels,
    range: std::ops::Range<usize>,
    out: &mut [T],
    stride: usize,
) {
    let (steps, panels) = (right.steps, range.len());
    if left.is_empty() || panels == 0 {
        return;
    }
    let pairs = left.len() / (steps * T::LINES);
    assert_eq!(left.len(), pairs * steps * T::LINES);
    assert!((1..=PAIR_SIZE).contains(&used_rows) && (pairs == 1 || used_rows == PAIR_SIZE));
    assert_eq!(size_of::<T>(), 4);
    let last_row = (pairs - 1) * PAIR_SIZE + used_rows - 1;
    assert!(stride >= panels * PAIR_SIZE && out.len() >= last_row * stride + panels * PAIR_SIZE);
    let initial = &right.initial[2 * range.start..2 * range.end];
    let right = &right.lines[range.start * steps * T::LINES..range.end * steps * T::LINES];
    let mut arguments = KernelArguments {
        left: left.as_ptr(),
        right: right.as_ptr(),
        out: out.as_mut_ptr().cast(),
        initial: initial.as_ptr(),
        steps,
        pairs,
        panels,
        stride: stride * 4,
    };
    let second = used_rows.saturating_sub(TILE_SIZE);
    let configuration = Configuration::new(used_rows.min(TILE_SIZE), second);
    let _proof = amx.permission();
    // SAFETY: `amx` proves that AMX is available. The slices above have the lengths that the kernel
    // requires, and the assertions ensure that `out` contains all rows and columns that it writes.
    unsafe { T::run(&configuration, &mut arguments, second > 0) }
}

/// Assembles a kernel: for each panel and pair of tiles, the accumulators are initialised, the
/// steps are added up, and the sums are stored. The instructions of a step read tiles at `{a}`
/// (left) and `{b}` (right).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
macro_rules! kernel {
    (
        $configuration:expr, $arguments:expr, bytes: $bytes:expr,
        initialize: [$($initialize:literal),*], step: [$($step:literal),*], store: [$($store:literal),*]
    ) => {
        std::arch::asm!(
            "ldtilecfg [{configuration}]",
            "2:",
            "mov {a}, [{arguments} + {left}]",
            "mov {c}, [{arguments} + {result}]",
            "mov {pairs}, [{arguments} + {all_pairs}]",
            "3:",
            "mov {b}, [{arguments} + {right}]",
            "mov {steps}, [{arguments} + {all_steps}]",
            "mov {t}, [{arguments} + {initial}]",
            $($initialize,)*
            "4:",
            $($step,)*
            "add {a}, {bytes}",
            "add {b}, {bytes}",
            "dec {steps}",
            "jnz 4b",
            "mov {t}, {stride}",
            "shl {t}, 4",
            $($store,)*
            "dec {pairs}",
            "jnz 3b",
            "mov [{arguments} + {right}], {b}",
            "add qword ptr [{arguments} + {result}], 128",
            "add qword ptr [{arguments} + {initial}], 128",
            "dec qword ptr [{arguments} + {panels}]",
            "jnz 2b",
            "tilerelease",
            configuration = in(reg) std::ptr::from_ref($configuration),
            arguments = in(reg) std::ptr::from_mut($arguments),
            stride = in(reg) $arguments.stride,
            line = in(reg) size_of::<Line>(),
            zero = in(reg) 0_usize,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            t = out(reg) _,
            steps = out(reg) _,
            pairs = out(reg) _,
            bytes = const $bytes,
            left = const std::mem::offset_of!(KernelArguments, left),
            right = const std::mem::offset_of!(KernelArguments, right),
            result = const std::mem::offset_of!(KernelArguments, out),
            initial = const std::mem::offset_of!(KernelArguments, initial),
            all_steps = const std::mem::offset_of!(KernelArguments, steps),
            all_pairs = const std::mem::offset_of!(KernelArguments, pairs),
            panels = const std::mem::offset_of!(KernelArguments, panels),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
impl Element for i32 {
    /// Two tiles of 64 bytes of depth.
    const LINES: usize = 2 * TILE_SIZE;

    unsafe fn run(configuration: &Configuration, arguments: &mut KernelArguments, is_pair: bool) {
        if is_pair {
            // SAFETY: The caller guarantees the lengths. The block accesses memory only within
            // them, and leaves the tiles in their initial state.
            unsafe {
                kernel!(
                    configuration, arguments, bytes: 2048,
                    initialize: [
                        "tileloadd tmm0, [{t} + {zero}*1]",
                        "tileloadd tmm1, [{t} + {zero}*1 + 64]",
                        "tileloadd tmm2, [{t} + {zero}*1]",
                        "tileloadd tmm3, [{t} + {zero}*1 + 64]"
                    ],
                    step: [
                        "tileloadd tmm4, [{a} + {line}*1]",
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tileloadd tmm5, [{a} + {line}*1 + 1024]",
                        "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                        "tdpbusd tmm0, tmm4, tmm6",
                        "tdpbusd tmm2, tmm5, tmm6",
                        "tdpbusd tmm1, tmm4, tmm7",
                        "tdpbusd tmm3, tmm5, tmm7"
                    ],
                    store: [
                        "tilestored [{c} + {stride}*1], tmm0",
                        "tilestored [{c} + {stride}*1 + 64], tmm1",
                        "add {c}, {t}",
                        "tilestored [{c} + {stride}*1], tmm2",
                        "tilestored [{c} + {stride}*1 + 64], tmm3",
                        "add {c}, {t}"
                    ]
                );
            }
        } else {
            // SAFETY: As above.
            unsafe {
                kernel!(
                    configuration, arguments, bytes: 2048,
                    initialize: [
                        "tileloadd tmm0, [{t} + {zero}*1]",
                        "tileloadd tmm1, [{t} + {zero}*1 + 64]"
                    ],
                    step: [
                        "tileloadd tmm4, [{a} + {line}*1]",
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                        "tdpbusd tmm0, tmm4, tmm6",
                        "tdpbusd tmm1, tmm4, tmm7"
                    ],
                    store: [
                        "tilestored [{c} + {stride}*1], tmm0",
                        "tilestored [{c} + {stride}*1 + 64], tmm1"
                    ]
                );
            }
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
impl Element for f32 {
    /// Two tiles of 32 values of depth, in three parts: from low to high for the left-hand matrix,
    /// and from high to low for the right-hand one.
    const LINES: usize = 6 * TILE_SIZE;

    unsafe fn run(configuration: &Configuration, arguments: &mut KernelArguments, is_pair: bool) {
        if is_pair {
            // SAFETY: As for `i32`.
            unsafe {
                kernel!(
                    configuration, arguments, bytes: 6144,
                    initialize: [
                        "tileloadd tmm0, [{t} + {zero}*1]",
                        "tileloadd tmm1, [{t} + {zero}*1 + 64]",
                        "tileloadd tmm2, [{t} + {zero}*1]",
                        "tileloadd tmm3, [{t} + {zero}*1 + 64]"
                    ],
                    step: [
                        // low · high
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tileloadd tmm4, [{a} + {line}*1]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{a} + {line}*1 + 1024]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        // middle · high
                        "tileloadd tmm4, [{a} + {line}*1 + 2048]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{a} + {line}*1 + 3072]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        // middle · middle
                        "tileloadd tmm6, [{b} + {line}*1 + 2048]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 3072]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        // high · middle
                        "tileloadd tmm4, [{a} + {line}*1 + 4096]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{a} + {line}*1 + 5120]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        // high · low
                        "tileloadd tmm6, [{b} + {line}*1 + 4096]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 5120]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        // high · high
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7"
                    ],
                    store: [
                        "tilestored [{c} + {stride}*1], tmm0",
                        "tilestored [{c} + {stride}*1 + 64], tmm1",
                        "add {c}, {t}",
                        "tilestored [{c} + {stride}*1], tmm2",
                        "tilestored [{c} + {stride}*1 + 64], tmm3",
                        "add {c}, {t}"
                    ]
                );
            }
        } else {
            // SAFETY: As for `i32`.
            unsafe {
                kernel!(
                    configuration, arguments, bytes: 6144,
                    initialize: [
                        "tileloadd tmm0, [{t} + {zero}*1]",
                        "tileloadd tmm1, [{t} + {zero}*1 + 64]"
                    ],
                    step: [
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tileloadd tmm4, [{a} + {line}*1]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm4, [{a} + {line}*1 + 2048]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm6, [{b} + {line}*1 + 2048]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 3072]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm4, [{a} + {line}*1 + 4096]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm6, [{b} + {line}*1 + 4096]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 5120]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                        "tdpbf16ps tmm1, tmm4, tmm7"
                    ],
                    store: [
                        "tilestored [{c} + {stride}*1], tmm0",
                        "tilestored [{c} + {stride}*1 + 64], tmm1"
                    ]
                );
            }
        }
    }
}

/// No values of [`Amx`] exist on these platforms, so the kernels are never called.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Element for i32 {
    const LINES: usize = 2 * TILE_SIZE;

    unsafe fn run(_: &Configuration, _: &mut KernelArguments, _: bool) {}
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Element for f32 {
    const LINES: usize = 6 * TILE_SIZE;

    unsafe fn run(_: &Configuration, _: &mut KernelArguments, _: bool) {}
}
