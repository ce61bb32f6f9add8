//! Dynamic time warping.

/// Finds the path through a matrix `[row][column]` with the greatest sum of values. Returns pairs
/// of row and column from the first to the last; each step advances the row, the column or both.
/// Ties advance the column, as in CTranslate2.
pub(crate) fn shortest_path(values: &[f32], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    const DIAGONAL: u8 = 0;
    const ROW: u8 = 1;
    const COLUMN: u8 = 2;
    let mut steps = vec![COLUMN; (rows + 1) * (columns + 1)];
    let mut before = vec![f32::INFINITY; columns + 1];
    before[0] = 0.0;
    let mut costs = vec![f32::INFINITY; columns + 1];
    for i in 1..=rows {
        costs[0] = f32::INFINITY;
        let values = &values[(i - 1) * columns..i * columns];
        let steps = &mut steps[i * (columns + 1)..];
        steps[0] = ROW;
        for j in 1..=columns {
            let (both, row, column) = (before[j - 1], before[j], costs[j - 1]);
            let (cost, step) = if both < row && both < column {
                (both, DIAGONAL)
            } else if row < both && row < column {
                (row, ROW)
            } else {
                (column, COLUMN)
            };
            costs[j] = cost - values[j - 1];
            steps[j] = step;
        }
        std::mem::swap(&mut before, &mut costs);
    }
    let (mut i, mut j) = (rows, columns);
    let mut path = Vec::with_capacity(rows + columns);
    while i > 0 && j > 0 {
        path.push((i - 1, j - 1));
        match steps[i * (columns + 1) + j] {
            DIAGONAL => (i, j) = (i - 1, j - 1),
            ROW => i -= 1,
            _ => j -= 1,
        }
    }
    path.reverse();
    path
}
