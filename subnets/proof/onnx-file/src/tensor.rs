//! Constant tensors.

use std::borrow::Cow;

use half::{bf16, f16};

use super::proto::{DataType, NodeProto, TensorProto};
use super::{ElementType, MAX_PARAMETERS, MAX_RANK, OnnxError, dims, unsupported};

/// Value of `data_location` for a tensor in another file.
const EXTERNAL: i32 = 1;

/// A tensor whose values are stored in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Dimensions.
    pub dims: Vec<usize>,
    /// Elements, in order.
    pub data: ConstantData,
}

/// Elements of a [`Constant`].
#[derive(Clone, Debug, PartialEq)]
pub enum ConstantData {
    /// Numbers of any floating-point type.
    Floats(Vec<f32>),
    /// Integers and conditions.
    Integers(Vec<i64>),
}

impl NodeProto {
    /// Returns the type to which a Cast node converts.
    pub fn cast_type(&self) -> Result<DataType, OnnxError> {
        let target = self.int("to", 0);
        match i32::try_from(target).ok().and_then(|target| DataType::try_from(target).ok()) {
            None | Some(DataType::Undefined) => Err(unsupported(
                self,
                format!(
                    "a conversion to element type {target} is unsupported, only to numbers of 8 to 64 bits and bool"
                ),
            )),
            Some(kind) => Ok(kind),
        }
    }

    /// Parses the value of a Constant node.
    pub fn constant(&self) -> Result<Constant, OnnxError> {
        let [attribute] = &self.attribute[..] else {
            return Err(unsupported(
                self,
                format!("{} values, expected one", self.attribute.len()),
            ));
        };
        let scalar = |constant: Constant| Constant { dims: Vec::new(), ..constant };
        match (attribute.name.as_str(), &attribute.t) {
            ("value", Some(tensor)) => Constant::parse(tensor),
            ("value_float" | "value_floats", _)
                if !attribute.f.is_finite()
                    || !attribute.floats.iter().all(|value| value.is_finite()) =>
            {
                Err(unsupported(self, "values are not finite".to_owned()))
            }
            ("value_floats", _) => Ok(Constant::from_floats(&attribute.floats)),
            ("value_ints", _) => Ok(Constant::from_integers(&attribute.ints)),
            ("value_float", _) => Ok(scalar(Constant::from_floats(&[attribute.f]))),
            ("value_int", _) => Ok(scalar(Constant::from_integers(&[attribute.i]))),
            _ => Err(unsupported(self, "the constant has no tensor".to_owned())),
        }
    }
}

fn invalid_weight(tensor: &TensorProto, reason: String) -> OnnxError {
    OnnxError::Weight { name: tensor.name.clone(), reason }
}

impl Constant {
    /// Parses a tensor: floats or integers, as a list or as raw bytes.
    pub fn parse(tensor: &TensorProto) -> Result<Self, OnnxError> {
        let name = &tensor.name;
        if tensor.data_location == EXTERNAL || !tensor.external_data.is_empty() {
            return Err(OnnxError::External(name.clone()));
        }
        if tensor.dims.len() > MAX_RANK {
            return Err(OnnxError::Rank(name.clone()));
        }
        let dims: Option<Vec<usize>> =
            tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        let count = dims.as_deref().and_then(dims::elements);
        // More than a computed tensor may have: the file contains every weight.
        let count = count.filter(|&count| count as u64 <= MAX_PARAMETERS);
        let (Some(dims), Some(count)) = (dims, count) else {
            return Err(invalid_weight(
                tensor,
                format!("dimensions {:?} are negative or too large", tensor.dims),
            ));
        };
        let raw = &tensor.raw_data;
        let kind = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
        let mut data = match kind {
            DataType::Undefined => {
                return Err(invalid_weight(
                    tensor,
                    format!("unsupported element type {}", tensor.data_type),
                ));
            }
            DataType::Float if raw.is_empty() => ConstantData::Floats(tensor.float_data.clone()),
            DataType::Float => {
                ConstantData::Floats(elements(raw).map(f32::from_le_bytes).collect())
            }
            DataType::Double if raw.is_empty() => {
                ConstantData::Floats(tensor.double_data.iter().map(|&value| value as f32).collect())
            }
            DataType::Double => ConstantData::Floats(
                elements(raw).map(|bytes| f64::from_le_bytes(bytes) as f32).collect(),
            ),
            DataType::Float16 | DataType::Bfloat16 => {
                let convert = |bits| match kind {
                    DataType::Float16 => f16::from_bits(bits).to_f32(),
                    _ => bf16::from_bits(bits).to_f32(),
                };
                ConstantData::Floats(if raw.is_empty() {
                    // Each integer holds the bits of one number.
                    tensor.int32_data.iter().map(|&bits| convert(bits as u16)).collect()
                } else {
                    elements(raw).map(u16::from_le_bytes).map(convert).collect()
                })
            }
            DataType::Bool if !raw.is_empty() => {
                ConstantData::Integers(raw.iter().map(|&value| i64::from(value != 0)).collect())
            }
            DataType::Bool => ConstantData::Integers(
                tensor.int32_data.iter().map(|&value| i64::from(value != 0)).collect(),
            ),
            _ => ConstantData::Integers(integers(tensor, kind)),
        };
        if let (ConstantData::Integers(values), Some([low, high])) = (&data, kind.integer_range())
            && let Some(value) = values.iter().find(|value| !(low..=high).contains(*value))
        {
            return Err(invalid_weight(
                tensor,
                format!("{value} is no integer of {} bits", 8 * kind.size()),
            ));
        }
        if let ConstantData::Floats(values) = &mut data {
            // Minus infinity is the mask of a softmax, for which any very small number has the same
            // result.
            let infinite =
                values.iter_mut().filter(|value| value.is_infinite() && value.is_sign_negative());
            infinite.for_each(|value| *value = f32::MIN);
        }
        let (length, are_finite) = match &data {
            ConstantData::Floats(values) => {
                (values.len(), values.iter().all(|value| value.is_finite()))
            }
            ConstantData::Integers(values) => (values.len(), true),
        };
        if !raw.is_empty() && raw.len() != count * kind.size() {
            return Err(invalid_weight(
                tensor,
                format!("{} bytes do not match dimensions {dims:?}", raw.len()),
            ));
        }
        if length != count {
            return Err(invalid_weight(
                tensor,
                format!("{length} values do not match dimensions {dims:?}"),
            ));
        }
        if !are_finite {
            return Err(invalid_weight(tensor, "values are not finite".to_owned()));
        }
        Ok(Self { dims, data })
    }

    /// Returns the type of the elements: integers and conditions are integers.
    pub fn element_type(&self) -> ElementType {
        match self.data {
            ConstantData::Floats(_) => ElementType::Float,
            ConstantData::Integers(_) => ElementType::Integer,
        }
    }

    /// Creates a list of floats.
    pub fn from_floats(values: &[f32]) -> Self {
        Self { dims: vec![values.len()], data: ConstantData::Floats(values.to_vec()) }
    }

    /// Creates a list of integers.
    pub fn from_integers(values: &[i64]) -> Self {
        Self { dims: vec![values.len()], data: ConstantData::Integers(values.to_vec()) }
    }

    /// Returns the elements of a float tensor.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            ConstantData::Floats(values) => Some(values),
            ConstantData::Integers(_) => None,
        }
    }

    /// Returns the elements as floats; `None` if an integer has no equal one. The largest integers
    /// of their types have one: they stand for no limit.
    pub fn to_floats(&self) -> Option<Cow<'_, [f32]>> {
        let is_exact = |value: i64| value as f32 as i64 == value || value == i64::from(i32::MAX);
        match &self.data {
            ConstantData::Floats(values) => Some(Cow::Borrowed(values)),
            ConstantData::Integers(values) if !values.iter().all(|&value| is_exact(value)) => None,
            ConstantData::Integers(values) => {
                Some(values.iter().map(|&value| value as f32).collect())
            }
        }
    }

    /// Returns the elements of an integer tensor.
    pub fn integers(&self) -> Option<&[i64]> {
        match &self.data {
            ConstantData::Integers(values) => Some(values),
            ConstantData::Floats(_) => None,
        }
    }
}

/// Returns the integers that elements of a type of 8 bits can have; `None` for other types.
pub fn byte_range(data_type: i32) -> Option<[i64; 2]> {
    let kind = DataType::try_from(data_type).ok()?;
    kind.integer_range().filter(|_| kind.size() == 1)
}

/// Returns the elements of a tensor of integers. Those that exceed 64 bits with a sign are
/// negative.
fn integers(tensor: &TensorProto, kind: DataType) -> Vec<i64> {
    let raw = &tensor.raw_data;
    if raw.is_empty() {
        return match kind {
            DataType::Int64 => tensor.int64_data.clone(),
            DataType::Uint32 | DataType::Uint64 => {
                tensor.uint64_data.iter().map(|value| value.cast_signed()).collect()
            }
            _ => tensor.int32_data.iter().copied().map(i64::from).collect(),
        };
    }
    match kind {
        DataType::Int8 => raw.iter().map(|byte| i64::from(byte.cast_signed())).collect(),
        DataType::Uint8 => raw.iter().copied().map(i64::from).collect(),
        DataType::Int16 => elements(raw).map(i16::from_le_bytes).map(i64::from).collect(),
        DataType::Uint16 => elements(raw).map(u16::from_le_bytes).map(i64::from).collect(),
        DataType::Int32 => elements(raw).map(i32::from_le_bytes).map(i64::from).collect(),
        DataType::Uint32 => elements(raw).map(u32::from_le_bytes).map(i64::from).collect(),
        _ => elements(raw).map(i64::from_le_bytes).collect(),
    }
}

/// Splits raw bytes into elements.
fn elements<const N: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    raw.as_chunks().0.iter().copied()
}
