//! Attributes of windows that slide over the axes after batch and channels: convolutions and pools.

use super::attributes::sizes;
use super::proto::NodeProto;
use super::{OnnxError, unsupported};

/// A window over some axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Number of positions of the kernel along each axis.
    pub kernel: Vec<usize>,
    /// Distance between two positions of the window along each axis.
    pub stride: Vec<usize>,
    /// Distance between two positions of the kernel along each axis.
    pub dilation: Vec<usize>,
    /// Padding before the first element of each axis.
    pub before: Vec<usize>,
    /// Padding after the last element of each axis.
    pub after: Vec<usize>,
    /// Number of further elements that the last window of each axis covers after the padding, with
    /// `ceil_mode`.
    pub excess: Vec<usize>,
    /// Number of positions of the window along each axis.
    pub positions: Vec<usize>,
}

impl SlidingWindow {
    /// Reads the window of a node with this kernel, over axes with these extents.
    pub fn parse(node: &NodeProto, kernel: &[usize], extents: &[usize]) -> Result<Self, OnnxError> {
        let rank = extents.len();
        if node.ints("kernel_shape").is_some() && sizes(node, "kernel_shape", rank, 1)? != kernel {
            return Err(unsupported(node, "kernel_shape does not match the weights".to_owned()));
        }
        let (stride, dilation) =
            (sizes(node, "strides", rank, 1)?, sizes(node, "dilations", rank, 1)?);
        if kernel.len() != rank
            || [kernel, &stride, &dilation].iter().any(|sizes| sizes.contains(&0))
        {
            return Err(unsupported(
                node,
                "kernel, strides or dilations are 0, or not those of all axes".to_owned(),
            ));
        }
        let mut pads = sizes(node, "pads", 2 * rank, 0)?;
        let spans = spans(kernel, &dilation);
        let auto_pad = node.text("auto_pad").unwrap_or(b"NOTSET");
        if !matches!(auto_pad, b"NOTSET" | b"") && pads.iter().any(|&pad| pad != 0) {
            let mode = String::from_utf8_lossy(auto_pad);
            return Err(unsupported(node, format!("auto_pad {mode} and pads exclude each other")));
        }
        match auto_pad {
            b"NOTSET" | b"" | b"VALID" => {}
            b"SAME_UPPER" | b"SAME_LOWER" => {
                for (axis, (&extent, (&span, &axis_stride))) in
                    extents.iter().zip(spans.iter().zip(&stride)).enumerate()
                {
                    let covered_extent = (extent.div_ceil(axis_stride).saturating_sub(1)
                        * axis_stride)
                        .saturating_add(span);
                    let total = covered_extent.saturating_sub(extent);
                    let before =
                        if auto_pad == b"SAME_UPPER" { total / 2 } else { total.div_ceil(2) };
                    for (position, pad) in [(axis, before), (axis + rank, total - before)] {
                        if let Some(slot) = pads.get_mut(position) {
                            *slot = pad;
                        }
                    }
                }
            }
            _ => return Err(unsupported(node, "auto_pad is unknown".to_owned())),
        }
        let (before, after) = pads.split_at(rank);
        let rounds_up = node.int("ceil_mode", 0) != 0;
        let (mut positions, mut excess) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
        let axes = extents.iter().zip(before.iter().zip(after)).zip(spans.iter().zip(&stride));
        for ((&extent, (&before, &after)), (&span, &axis_stride)) in axes {
            let padded_extent = extent + before + after;
            let Some(last) = padded_extent.checked_sub(span) else {
                let size = format!("{extent} elements with {before} and {after} of padding");
                return Err(unsupported(
                    node,
                    format!("a window of {span} elements does not fit {size}"),
                ));
            };
            let mut count = last / axis_stride + 1;
            // With `ceil_mode`, a last window that begins within the elements counts although it is
            // cut.
            if rounds_up
                && !last.is_multiple_of(axis_stride)
                && count * axis_stride < extent + before
            {
                count += 1;
            }
            positions.push(count);
            excess.push(((count - 1) * axis_stride + span).saturating_sub(padded_extent));
        }
        let (before, after) = (before.to_vec(), after.to_vec());
        Ok(Self { kernel: kernel.to_vec(), stride, dilation, before, after, excess, positions })
    }

    /// Returns the number of elements from the first to the last position of the kernel along each
    /// axis.
    pub fn spans(&self) -> Vec<usize> {
        spans(&self.kernel, &self.dilation)
    }

    /// Returns whether the kernel's positions are neighbours along all axes.
    pub fn is_dense(&self) -> bool {
        self.dilation.iter().all(|&spacing| spacing == 1)
    }
}

/// Returns the number of elements from the first to the last position of a kernel along each axis.
fn spans(kernel: &[usize], dilation: &[usize]) -> Vec<usize> {
    kernel.iter().zip(dilation).map(|(&size, &spacing)| (size - 1) * spacing + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::AttributeProto;

    fn node(ints: &[(&str, &[i64])], mode: &str, rounds_up: bool) -> NodeProto {
        let list = |&(name, values): &(&str, &[i64])| AttributeProto {
            name: name.to_owned(),
            ints: values.to_vec(),
            ..AttributeProto::default()
        };
        let mut attribute: Vec<AttributeProto> = ints.iter().map(list).collect();
        let (s, i) = (mode.as_bytes().to_vec(), i64::from(rounds_up));
        attribute.push(AttributeProto {
            name: "auto_pad".to_owned(),
            s,
            ..AttributeProto::default()
        });
        attribute.push(AttributeProto {
            name: "ceil_mode".to_owned(),
            i,
            ..AttributeProto::default()
        });
        NodeProto { attribute, ..NodeProto::default() }
    }

    #[test]
    fn window_positions_follow_the_onnx_standard() {
        let parse =
            |ints: &[(&str, &[i64])], mode: &str, rounds_up, kernel: usize, extent: usize| {
                let window =
                    SlidingWindow::parse(&node(ints, mode, rounds_up), &[kernel], &[extent])
                        .unwrap();
                (window.positions[0], window.before[0], window.after[0], window.excess[0])
            };
        assert_eq!(parse(&[], "", false, 3, 7), (5, 0, 0, 0));
        assert_eq!(
            parse(&[("strides", &[2]), ("pads", &[1, 0])], "NOTSET", false, 3, 7),
            (3, 1, 0, 0)
        );
        assert_eq!(parse(&[("dilations", &[2])], "", false, 3, 7), (3, 0, 0, 0));
        assert_eq!(parse(&[("strides", &[2])], "SAME_UPPER", false, 2, 5), (3, 0, 1, 0));
        assert_eq!(parse(&[("strides", &[2])], "SAME_LOWER", false, 2, 5), (3, 1, 0, 0));
        assert_eq!(parse(&[], "VALID", false, 2, 5), (4, 0, 0, 0));
        assert_eq!(parse(&[("strides", &[2])], "", true, 2, 5), (3, 0, 0, 1));
        // The third window would begin in the padding.
        assert_eq!(parse(&[("strides", &[3]), ("pads", &[0, 1])], "", true, 2, 6), (2, 0, 1, 0));
        let is_refused = |ints: &[(&str, &[i64])], mode: &str| {
            SlidingWindow::parse(&node(ints, mode, false), &[2], &[4]).is_err()
        };
        assert!(
            is_refused(&[("pads", &[1, 1])], "VALID")
                && is_refused(&[("strides", &[0])], "")
                && is_refused(&[], "SAME")
        );
        assert!(is_refused(&[("strides", &[1, 1])], ""));
        assert!(is_refused(&[("pads", &[i64::MAX, 0])], ""));
        assert!(SlidingWindow::parse(&node(&[], "", false), &[5], &[4]).is_err());
    }
}
