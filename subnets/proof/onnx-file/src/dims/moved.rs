//! Positions of moved elements. Lists of them are as long as the output, whose size is checked
//! first.

use taonet_proof_core::{MAX_ELEMENTS, Shape, ShapeError};

use super::{NodeProto, OnnxError, axis, elements, index_from_either_end, unsupported};

/// The positions along an axis that a Slice keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: i64,
    step: i64,
    count: i64,
}

impl Span {
    /// Returns the positions, which lie within the axis.
    pub fn positions(self) -> impl Iterator<Item = usize> {
        (0..self.count)
            .filter_map(move |index| usize::try_from(self.start + index * self.step).ok())
    }
}

/// Returns the shape of a computed tensor: channels, rows and columns if it has these, with a batch
/// of 1.
pub fn shape(dims: &[usize]) -> Result<Shape, ShapeError> {
    match *dims {
        [1, channels, height, width] => Shape::new(channels, height, width),
        [1, channels, length] => Shape::new(channels, length, 1),
        _ => Shape::vector(elements(dims).unwrap_or(usize::MAX)),
    }
}

/// Returns an index, which may be negative, of an axis with this extent.
pub fn index(node: &NodeProto, index: i64, extent: usize) -> Result<usize, OnnxError> {
    index_from_either_end(index, extent).ok_or_else(|| {
        unsupported(node, format!("index {index} does not exist in {extent} elements"))
    })
}

/// Returns the order of the axes of a Transpose.
pub fn permutation(node: &NodeProto, rank: usize) -> Result<Vec<usize>, OnnxError> {
    let Some(perm) = node.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let order = perm.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<Vec<usize>>>();
    let is_permutation =
        |order: &Vec<usize>| order.len() == rank && (0..rank).all(|axis| order.contains(&axis));
    order
        .filter(is_permutation)
        .ok_or_else(|| unsupported(node, format!("perm {perm:?} is no order of {rank} dimensions")))
}

/// Returns the position of each element after the axes are reordered.
pub fn transposed_positions(dims: &[usize], order: &[usize]) -> Vec<u32> {
    let mut positions = vec![0];
    for &axis in order {
        let (extent, stride) = match dims.get(axis..) {
            Some([extent, inner @ ..]) => (*extent, inner.iter().product::<usize>()),
            _ => continue,
        };
        let axis_positions =
            |&start: &u32| (0..extent).map(move |index| start + (index * stride) as u32);
        positions = positions.iter().flat_map(axis_positions).collect();
    }
    positions
}

/// Returns the positions of the elements at all combinations of positions along each axis. Where
/// one is `None`, the position after the last element stands for the constant.
pub fn selected_positions(dims: &[usize], positions: &[Vec<Option<usize>>]) -> Vec<u32> {
    let mut selected = vec![Some(0)];
    for (&extent, axis_positions) in dims.iter().zip(positions) {
        let step = |&start: &Option<usize>| {
            axis_positions
                .iter()
                .map(move |index| start.zip(*index).map(|(start, index)| start * extent + index))
        };
        selected = selected.iter().flat_map(step).collect();
    }
    let constant = elements(dims).unwrap_or_default();
    selected.into_iter().map(|position| position.unwrap_or(constant) as u32).collect()
}

/// Returns the positions along each axis that a Slice keeps.
pub fn spans(
    node: &NodeProto,
    dims: &[usize],
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Vec<Span>, OnnxError> {
    let mut spans: Vec<Span> = dims
        .iter()
        .map(|&extent| Span { start: 0, step: 1, count: extent.cast_signed() as i64 })
        .collect();
    let lengths = [Some(ends.len()), axes.map(<[i64]>::len), steps.map(<[i64]>::len)];
    if lengths.into_iter().flatten().any(|length| length != starts.len()) {
        return Err(unsupported(node, "starts, ends, axes and steps differ in length".to_owned()));
    }
    let mut is_sliced = vec![false; dims.len()];
    for (position, (&start, &end)) in starts.iter().zip(ends).enumerate() {
        let index =
            axes.map_or(Some(position.cast_signed() as i64), |axes| axes.get(position).copied());
        let axis_index = axis(node, index.unwrap_or_default(), dims.len())?;
        let step =
            steps.map_or(Some(1), |steps| steps.get(position).copied()).filter(|&step| step != 0);
        let step = step.ok_or_else(|| unsupported(node, "a step is 0".to_owned()))?;
        let (Some(span), Some(is_cut)) = (spans.get_mut(axis_index), is_sliced.get_mut(axis_index))
        else {
            continue;
        };
        if std::mem::replace(is_cut, true) {
            return Err(unsupported(node, format!("axis {axis_index} is cut twice")));
        }
        *span = span_of(span.count, start, end, step);
    }
    Ok(spans)
}

/// Cuts an axis as the standard defines it: negative limits count from the end, and limits beyond
/// an end stop there.
fn span_of(extent: i64, start: i64, end: i64, step: i64) -> Span {
    let resolve = |limit: i64| if limit < 0 { limit.saturating_add(extent) } else { limit };
    let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
    let (start, end) = (resolve(start).clamp(low, high), resolve(end).clamp(low, high));
    let start = if step < 0 { start.max(0) } else { start };
    // Rounded up: the last step need not be complete. The divisor of a long step is never reached.
    let (distance, size) =
        if step > 0 { (end - start, step) } else { (start - end, step.saturating_neg()) };
    let count = if distance <= 0 { 0 } else { (distance - 1) / size + 1 };
    Span { start, step, count }
}

/// Returns the extents of the parts of a Split. Without given ones, all parts are equal; since
/// version 18, the last part can be smaller.
pub fn split_sizes(
    node: &NodeProto,
    extent: usize,
    sizes: Option<&[i64]>,
    opset: i64,
) -> Result<Vec<usize>, OnnxError> {
    let count = node.output.len();
    let mismatch =
        || unsupported(node, format!("{extent} elements cannot be split into {count} parts"));
    if let Some(sizes) = sizes {
        let parts =
            sizes.iter().map(|&part| usize::try_from(part).ok()).collect::<Option<Vec<usize>>>();
        let total = |parts: &Vec<usize>| {
            parts.iter().try_fold(0_usize, |total, &part| total.checked_add(part))
        };
        return parts
            .filter(|parts| parts.len() == count && total(parts) == Some(extent))
            .ok_or_else(mismatch);
    }
    let declared = node.int("num_outputs", count.cast_signed() as i64);
    if declared != count.cast_signed() as i64
        || count == 0
        || (opset < 18 && !extent.is_multiple_of(count))
    {
        return Err(mismatch());
    }
    let part = extent.div_ceil(count);
    Ok((0..count).map(|index| extent.saturating_sub(index * part).min(part)).collect())
}

/// Returns the axis along which tensors are joined, and the dimensions of the result.
pub fn concatenated_dims(
    node: &NodeProto,
    all_dims: &[&[usize]],
) -> Result<(usize, Vec<usize>), OnnxError> {
    let first =
        all_dims.first().ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
    let joined_axis =
        axis(node, node.attribute("axis").map_or(i64::MAX, |attribute| attribute.i), first.len())?;
    let mut dims = first.to_vec();
    for other in all_dims.iter().skip(1) {
        let fits = other.len() == first.len()
            && other
                .iter()
                .zip(*first)
                .enumerate()
                .all(|(axis, (a, b))| axis == joined_axis || a == b);
        let (Some(total), Some(&added)) =
            (dims.get_mut(joined_axis).filter(|_| fits), other.get(joined_axis))
        else {
            return Err(unsupported(
                node,
                format!("inputs of {first:?} and {other:?} cannot be joined along {joined_axis}"),
            ));
        };
        *total = total.saturating_add(added);
    }
    Ok((joined_axis, dims))
}

/// Returns the positions of joined elements, counted through all tensors one after the other.
pub fn interleaved_positions(all_dims: &[&[usize]], axis: usize) -> Vec<u32> {
    let outer: usize = all_dims.first().map_or(0, |dims| dims.iter().take(axis).product());
    let widths: Vec<usize> = all_dims.iter().map(|dims| dims.iter().skip(axis).product()).collect();
    let starts = widths.iter().scan(0, |next, &width| {
        let start = *next;
        *next += width * outer;
        Some(start)
    });
    let parts: Vec<(usize, usize)> = starts.zip(widths.iter().copied()).collect();
    let row = |row: usize| {
        parts.iter().flat_map(move |&(start, width)| start + row * width..start + (row + 1) * width)
    };
    (0..outer).flat_map(row).map(|position| position as u32).collect()
}

/// Returns the number of elements that a Pad adds before and after each axis; negative ones are
/// removed.
pub fn pads(
    node: &NodeProto,
    rank: usize,
    declared: &[i64],
    axes: Option<&[i64]>,
) -> Result<Vec<[i64; 2]>, OnnxError> {
    let all_axes: Vec<i64> = (0..rank.cast_signed() as i64).collect();
    let axes = axes.unwrap_or(&all_axes);
    let mismatch = || unsupported(node, format!("pads {declared:?} do not fit {rank} dimensions"));
    let mut pads = vec![[0; 2]; rank];
    if declared.len() != 2 * axes.len() {
        return Err(mismatch());
    }
    let (before, after) = declared.split_at(axes.len());
    for ((&index, &before), &after) in axes.iter().zip(before).zip(after) {
        let axis_index = axis(node, index, rank)?;
        *pads.get_mut(axis_index).filter(|pads| **pads == [0; 2]).ok_or_else(mismatch)? =
            [before, after];
    }
    Ok(pads)
}

/// Returns the extent of a padded axis; `None` if it is negative, or a pad is too large for any
/// tensor.
pub fn padded_extent(extent: usize, [before, after]: [i64; 2]) -> Option<usize> {
    let fits = |pad: i64| pad.unsigned_abs() <= MAX_ELEMENTS as u64;
    let sum = (fits(before) && fits(after))
        .then(|| (extent.cast_signed() as i64).checked_add(before + after))?;
    usize::try_from(sum?).ok()
}

/// Returns the positions along a padded axis, `None` for the constant.
pub fn padded_positions(
    node: &NodeProto,
    extent: usize,
    [before, after]: [i64; 2],
    mode: &[u8],
) -> Result<Vec<Option<usize>>, OnnxError> {
    let extent = extent.cast_signed() as i64;
    let positions = (-before..extent.saturating_add(after)).map(|position| {
        let source = match mode {
            _ if (0..extent).contains(&position) => Some(position),
            b"constant" => None,
            b"edge" => Some(position.clamp(0, extent - 1)),
            b"reflect" => {
                let reflected = if position < 0 { -position } else { 2 * (extent - 1) - position };
                if !(0..extent).contains(&reflected) {
                    return Err(unsupported(
                        node,
                        format!("a reflection of {extent} elements is shorter than the pads"),
                    ));
                }
                Some(reflected)
            }
            _ => {
                return Err(unsupported(
                    node,
                    "the mode is neither constant, edge nor reflect".to_owned(),
                ));
            }
        };
        Ok(source.and_then(|source| usize::try_from(source).ok()))
    });
    positions.collect()
}
