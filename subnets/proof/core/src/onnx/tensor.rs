use super::OnnxError;
use super::proto::{DataType, TensorProto};
use crate::MAX_ELEMENTS;

/// Value of `data_location` for a tensor in another file.
const EXTERNAL: i32 = 1;

/// A tensor whose values are stored in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

impl Constant {
    /// Parses a tensor: floats or integers, as a list or as raw bytes.
    pub(super) fn read(tensor: &TensorProto) -> Result<Self, OnnxError> {
        let name = &tensor.name;
        if tensor.data_location == EXTERNAL || !tensor.external_data.is_empty() {
            return Err(OnnxError::External(name.clone()));
        }
        let refuse = |reason: String| OnnxError::Weight { name: name.clone(), reason };
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        let count = dims.as_ref().and_then(|dims| dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim)));
        let (Some(dims), Some(count)) = (dims, count.filter(|&count| count <= MAX_ELEMENTS)) else {
            return Err(refuse(format!("dimensions {:?} are negative or too large", tensor.dims)));
        };
        let raw = &tensor.raw_data;
        if !raw.is_empty() && !raw.len().is_multiple_of(count.max(1)) {
            return Err(refuse(format!("{} bytes do not match dimensions {dims:?}", raw.len())));
        }
        let data = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) if raw.is_empty() => Data::Floats(tensor.float_data.clone()),
            Ok(DataType::Float) => Data::Floats(elements(raw).map(f32::from_le_bytes).collect()),
            Ok(DataType::Double) if raw.is_empty() => {
                Data::Floats(tensor.double_data.iter().map(|&value| value as f32).collect())
            }
            Ok(DataType::Double) => Data::Floats(elements(raw).map(|bytes| f64::from_le_bytes(bytes) as f32).collect()),
            Ok(DataType::Int64) if raw.is_empty() => Data::Integers(tensor.int64_data.clone()),
            Ok(DataType::Int64) => Data::Integers(elements(raw).map(i64::from_le_bytes).collect()),
            Ok(DataType::Int32) if raw.is_empty() => {
                Data::Integers(tensor.int32_data.iter().copied().map(i64::from).collect())
            }
            Ok(DataType::Int32) => {
                Data::Integers(elements(raw).map(|bytes| i64::from(i32::from_le_bytes(bytes))).collect())
            }
            _ => return Err(refuse(format!("unsupported element type {}", tensor.data_type))),
        };
        let (length, finite) = match &data {
            Data::Floats(values) => (values.len(), values.iter().all(|value| value.is_finite())),
            Data::Integers(values) => (values.len(), true),
        };
        if length != count {
            return Err(refuse(format!("{length} values do not match dimensions {dims:?}")));
        }
        if !finite {
            return Err(refuse("values are not finite".to_owned()));
        }
        Ok(Self { dims, data })
    }

    /// Returns the elements of a float tensor.
    pub(super) fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Floats(values) => Some(values),
            Data::Integers(_) => None,
        }
    }

    /// Returns the elements of an integer tensor.
    pub(super) fn integers(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Integers(values) => Some(values),
            Data::Floats(_) => None,
        }
    }
}

/// Splits raw bytes into elements.
fn elements<const N: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    raw.as_chunks().0.iter().copied()
}
