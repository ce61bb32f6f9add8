//! Dimensions of tensors, batch included, as the ONNX standard defines them.

mod moved;

use super::proto::NodeProto;
use super::{MAX_RANK, OnnxError, unsupported};
pub use moved::{
    Span, concatenated_dims, index, interleaved_positions, padded_extent, padded_positions, pads,
    permutation, selected_positions, shape, spans, split_sizes, transposed_positions,
};

/// Returns the number of elements; `None` on overflow. Of a tensor without elements, the product of
/// the other dimensions must not overflow either: many operators multiply only some of them.
pub fn elements(dims: &[usize]) -> Option<usize> {
    let product = dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim.max(1)))?;
    Some(if dims.contains(&0) { 0 } else { product })
}

/// Returns the index of an axis, which may be negative, of a tensor with `rank` dimensions.
pub fn axis(node: &NodeProto, axis: i64, rank: usize) -> Result<usize, OnnxError> {
    index_from_either_end(axis, rank).ok_or_else(|| {
        unsupported(node, format!("axis {axis} does not exist in {rank} dimensions"))
    })
}

/// Returns the indices of axes in their order.
pub fn unique_axes(
    node: &NodeProto,
    declared: &[i64],
    rank: usize,
) -> Result<Vec<usize>, OnnxError> {
    let mut axes =
        declared.iter().map(|&index| axis(node, index, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(unsupported(node, format!("axes {declared:?} are not unique")));
    }
    Ok(axes)
}

/// Returns an index of `count` items that, if negative, counts from the end; `None` if it does not
/// exist.
fn index_from_either_end(index: i64, count: usize) -> Option<usize> {
    let count = count.cast_signed() as i64;
    let index = if index < 0 { index.checked_add(count)? } else { index };
    usize::try_from(index).ok().filter(|_| index < count)
}

/// Returns the dimensions after Flatten.
pub fn flattened_dims(node: &NodeProto, dims: &[usize]) -> Result<Vec<usize>, OnnxError> {
    let flatten_axis = node.int("axis", 1);
    // The axis after the last one is permitted.
    let split = if flatten_axis == dims.len().cast_signed() as i64 {
        dims.len()
    } else {
        axis(node, flatten_axis, dims.len())?
    };
    Ok(vec![dims.iter().take(split).product(), dims.iter().skip(split).product()])
}

/// Returns the dimensions after Reshape: 0 copies a dimension unless `allowzero` is set, -1 is the
/// remaining size.
pub fn reshaped_dims(
    node: &NodeProto,
    dims: &[usize],
    target: &[i64],
) -> Result<Vec<usize>, OnnxError> {
    let mismatch = || unsupported(node, format!("{dims:?} cannot be reshaped to {target:?}"));
    let copies_zeros = node.int("allowzero", 0) == 0;
    let mut result = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (index, &size) in target.iter().enumerate() {
        result.push(match size {
            0 if copies_zeros => *dims.get(index).ok_or_else(mismatch)?,
            -1 if inferred.is_none() => {
                inferred = Some(index);
                1
            }
            size => usize::try_from(size).map_err(|_| mismatch())?,
        });
    }
    let (total, product_without_inferred) =
        (elements(dims).ok_or_else(mismatch)?, elements(&result).ok_or_else(mismatch)?);
    if let Some(size) = inferred.and_then(|index| result.get_mut(index)) {
        *size = total.checked_div(product_without_inferred).ok_or_else(mismatch)?;
    }
    if elements(&result) == Some(total) { Ok(result) } else { Err(mismatch()) }
}

/// Returns the dimensions after Squeeze; without axes, all dimensions of size 1 are removed.
pub fn squeezed_dims(
    node: &NodeProto,
    dims: &[usize],
    axes: Option<&[i64]>,
) -> Result<Vec<usize>, OnnxError> {
    let Some(axes) = axes else {
        return Ok(dims.iter().copied().filter(|&dim| dim != 1).collect());
    };
    let removed_axes =
        axes.iter().map(|&index| axis(node, index, dims.len())).collect::<Result<Vec<_>, _>>()?;
    if removed_axes.iter().any(|&index| dims.get(index) != Some(&1)) {
        return Err(unsupported(node, format!("axes {axes:?} of {dims:?} are not 1")));
    }
    let remaining = dims.iter().enumerate().filter(|(index, _)| !removed_axes.contains(index));
    Ok(remaining.map(|(_, &dim)| dim).collect())
}

/// Returns the dimensions after Unsqueeze; axes count the new dimensions, too.
pub fn unsqueezed_dims(
    node: &NodeProto,
    dims: &[usize],
    axes: &[i64],
) -> Result<Vec<usize>, OnnxError> {
    // Every insertion moves the dimensions after it.
    if dims.len() + axes.len() > MAX_RANK {
        return Err(unsupported(node, format!("the output has more than {MAX_RANK} dimensions")));
    }
    let mut result = dims.to_vec();
    for index in unique_axes(node, axes, dims.len() + axes.len())? {
        result.insert(index, 1);
    }
    Ok(result)
}

/// Returns the dimensions to which all of these can be repeated; `None` if there are none.
pub fn common_dims(all_dims: &[&[usize]]) -> Option<Vec<usize>> {
    let rank = all_dims.iter().map(|dims| dims.len()).max()?;
    let mut common = vec![1; rank];
    for dims in all_dims {
        for (size, &dim) in common.iter_mut().rev().zip(dims.iter().rev()) {
            match (*size, dim) {
                (1, _) => *size = dim,
                (size, dim) if dim == 1 || dim == size => {}
                _ => return None,
            }
        }
    }
    Some(common)
}

/// Repeats values until they have the dimensions `target`, as ONNX broadcasts operands; `None` if
/// they cannot.
pub fn broadcast<T: Copy>(values: &[T], dims: &[usize], target: &[usize]) -> Option<Vec<T>> {
    let missing_axes = target.len().checked_sub(dims.len())?;
    let fits_target = dims
        .iter()
        .zip(target.iter().skip(missing_axes))
        .all(|(&dim, &size)| dim == 1 || dim == size);
    if !fits_target || elements(dims) != Some(values.len()) {
        return None;
    }
    // Distance between neighbours along each axis of the target; 0 where the values repeat.
    let mut strides = vec![0; target.len()];
    let mut stride = 1;
    for (slot, &dim) in strides.iter_mut().rev().zip(dims.iter().rev()) {
        *slot = if dim == 1 { 0 } else { stride };
        stride *= dim;
    }
    (0..elements(target)?)
        .map(|index| {
            let mut remaining = index;
            let mut source = 0;
            for (&size, &stride) in target.iter().zip(&strides).rev() {
                source += remaining % size * stride;
                remaining /= size;
            }
            values.get(source).copied()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ints: &[(&str, i64)]) -> NodeProto {
        let attribute = ints.iter().map(|&(name, value)| super::super::proto::AttributeProto {
            name: name.to_owned(),
            i: value,
            ..Default::default()
        });
        NodeProto { attribute: attribute.collect(), ..NodeProto::default() }
    }

    #[test]
    fn reshaped_dimensions_follow_the_onnx_standard() {
        let plain = node(&[]);
        assert_eq!(flattened_dims(&plain, &[1, 2, 3, 4]), Ok(vec![1, 24]));
        assert_eq!(flattened_dims(&node(&[("axis", -2)]), &[1, 2, 3, 4]), Ok(vec![2, 12]));
        assert_eq!(flattened_dims(&node(&[("axis", 4)]), &[1, 2, 3, 4]), Ok(vec![24, 1]));
        assert_eq!(reshaped_dims(&plain, &[1, 2, 3], &[0, -1]), Ok(vec![1, 6]));
        assert!(reshaped_dims(&node(&[("allowzero", 1)]), &[1, 2, 3], &[0, -1]).is_err());
        assert!(reshaped_dims(&plain, &[1, 2, 3], &[-1, -1]).is_err());
        assert!(reshaped_dims(&plain, &[1, 2, 3], &[4, -1]).is_err());
        assert_eq!(squeezed_dims(&plain, &[1, 2, 1], None), Ok(vec![2]));
        assert_eq!(squeezed_dims(&plain, &[1, 2, 1], Some(&[-1])), Ok(vec![1, 2]));
        assert!(squeezed_dims(&plain, &[1, 2, 1], Some(&[1])).is_err());
        assert_eq!(unsqueezed_dims(&plain, &[1, 4], &[1, 2]), Ok(vec![1, 1, 1, 4]));
        assert_eq!(unsqueezed_dims(&plain, &[1, 4], &[-1, 2]), Ok(vec![1, 4, 1, 1]));
        assert!(unsqueezed_dims(&plain, &[1, 4], &[1, 1]).is_err());
    }

    #[test]
    fn element_count_overflow_is_detected() {
        assert_eq!((elements(&[]), elements(&[2, 0, 3])), (Some(1), Some(0)));
        // Whatever the order.
        assert_eq!((elements(&[0, usize::MAX, 2]), elements(&[usize::MAX, 2, 0])), (None, None));
    }

    #[test]
    fn slice_positions_follow_the_onnx_standard() {
        let plain = node(&[]);
        let slice = |extent, start, end, step| {
            let spans = spans(&plain, &[extent], &[start], &[end], None, Some(&[step])).unwrap();
            spans[0].positions().collect::<Vec<_>>()
        };
        assert_eq!(slice(5, 1, 4, 1), [1, 2, 3]);
        assert_eq!(slice(5, -2, i64::MAX, 1), [3, 4]);
        assert_eq!(slice(5, 0, 5, 2), [0, 2, 4]);
        assert_eq!(slice(5, -1, i64::MIN, -1), [4, 3, 2, 1, 0]);
        assert_eq!(slice(5, 9, -9, -3), [4, 1]);
        assert_eq!(slice(5, 0, 5, i64::MAX), [0]);
        assert_eq!(slice(5, 4, 0, i64::MIN), [4]);
        // A start before the first element is the first element, and an end there is before it.
        assert_eq!(slice(5, -9, -9, -1), [0]);
        assert_eq!(slice(5, -9, 0, -1), Vec::<usize>::new());
        assert_eq!(slice(5, 3, 3, 1), Vec::<usize>::new());
        assert!(spans(&plain, &[5], &[0], &[5], None, Some(&[0])).is_err());
        assert!(spans(&plain, &[5], &[0, 0], &[5, 5], Some(&[0, -1]), None).is_err());
        assert!(spans(&plain, &[5], &[0], &[5], Some(&[1]), None).is_err());
    }

    #[test]
    fn moved_elements_have_the_expected_positions() {
        assert_eq!(transposed_positions(&[2, 3], &[1, 0]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(
            selected_positions(&[2, 2], &[vec![Some(1)], vec![None, Some(0), Some(1)]]),
            [4, 2, 3]
        );
        assert_eq!(interleaved_positions(&[&[2, 1], &[2, 2]], 1), [0, 2, 3, 1, 4, 5]);
        let plain = node(&[]);
        assert_eq!(
            padded_positions(&plain, 3, [2, 1], b"reflect").unwrap(),
            [2, 1, 0, 1, 2, 1].map(Some)
        );
        assert_eq!(padded_positions(&plain, 3, [1, -1], b"edge").unwrap(), [0, 0, 1].map(Some));
        assert!(
            padded_positions(&plain, 3, [3, 0], b"reflect").is_err()
                && padded_positions(&plain, 3, [1, 0], b"wrap").is_err()
        );
        assert_eq!(pads(&plain, 3, &[1, 2], Some(&[-1])).unwrap(), [[0, 0], [0, 0], [1, 2]]);
        assert!(
            pads(&plain, 3, &[1, 2, 3], None).is_err()
                && pads(&plain, 1, &[1, 1, 1, 1], Some(&[0, 0])).is_err()
        );
        assert!(permutation(&node(&[]), 2).is_ok_and(|order| order == [1, 0]));
        assert_eq!(
            shape(&[1, 2, 3, 4]).unwrap(),
            taonet_proof_core::Shape { channels: 2, height: 3, width: 4 }
        );
        assert_eq!(
            shape(&[2, 3]).unwrap(),
            taonet_proof_core::Shape { channels: 6, height: 1, width: 1 }
        );
        assert!(shape(&[usize::MAX, 2, 2]).is_err());
    }

    #[test]
    fn operands_are_broadcast() {
        assert_eq!(broadcast(&[7], &[1], &[1, 3]), Some(vec![7; 3]));
        assert_eq!(broadcast(&[7], &[], &[2]), Some(vec![7; 2]));
        assert_eq!(broadcast(&[1, 2], &[2, 1], &[2, 3]), Some(vec![1, 1, 1, 2, 2, 2]));
        assert_eq!(broadcast(&[1, 2, 3], &[3], &[2, 3]), Some(vec![1, 2, 3, 1, 2, 3]));
        assert_eq!(broadcast(&[1, 2], &[2], &[1, 3]), None);
        assert_eq!(broadcast(&[1, 2], &[1, 1, 2], &[1, 2]), None);
        assert_eq!(common_dims(&[&[2, 1], &[], &[1, 1, 3]]), Some(vec![1, 2, 3]));
        assert_eq!(common_dims(&[&[2, 3], &[3]]), Some(vec![2, 3]));
        assert_eq!(common_dims(&[&[2], &[3]]), None);
    }
}
