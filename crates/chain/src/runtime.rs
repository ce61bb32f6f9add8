//! A runtime version's metadata: encodes and decodes calls, keys and values. No networking.

mod events;
mod extrinsic;
mod storage;

use std::sync::Arc;

use codec::Decode as _;
use scale_info::PortableRegistry;
use serde_json::Value as Json;
use subxt::config::substrate::{H256, SpecVersionForRange, SubstrateConfig};
use subxt::ext::frame_decode::constants::ConstantTypeInfo;
use subxt::ext::frame_decode::runtime_apis::{RuntimeApiTypeInfo, encode_runtime_api_inputs};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use subxt::{Metadata, OfflineClient, OfflineClientAtBlock};
use taonet_primitives::{BlockHash, counted};
use taonet_scale_json::{JsonError, check_recursion, is_option, to_json, to_value};

use crate::{Call, ChainError};

pub(crate) use events::fee_of;
pub(crate) use storage::{LastKey, StorageKeys};

/// The metadata of one runtime version.
#[derive(Clone)]
pub(crate) struct Runtime {
    pub(crate) spec_version: u32,
    offline_client: OfflineClientAtBlock<SubstrateConfig>,
}

impl Runtime {
    /// Parses SCALE-encoded metadata, which begins with `meta`.
    pub(crate) fn new(
        metadata: &[u8],
        genesis: BlockHash,
        spec_version: u32,
        transaction_version: u32,
    ) -> Result<Self, ChainError> {
        let subject = format!("the metadata of runtime version {spec_version}");
        // Not `decode_from`: it also tries other encodings, and loops forever on bytes that begin
        // with their own length.
        let metadata = Metadata::decode(&mut &*metadata)
            .map_err(|error| ChainError::decode(subject.as_str(), error))?;
        check_recursion(metadata.types())
            .map_err(|error| ChainError::decode(subject.as_str(), error))?;
        let all_blocks =
            SpecVersionForRange { block_range: 0..u64::MAX, spec_version, transaction_version };
        let config = SubstrateConfig::builder()
            .set_genesis_hash(H256(*genesis.as_bytes()))
            .set_metadata_for_spec_versions([(spec_version, Arc::new(metadata))])
            .set_spec_version_for_block_ranges([all_blocks])
            .build();
        let offline_client = OfflineClient::new_with_config(config).at_block(0_u32);
        let offline_client =
            offline_client.map_err(|error| ChainError::decode(subject.as_str(), error))?;
        Ok(Self { spec_version, offline_client })
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        self.offline_client.metadata_ref()
    }

    pub(crate) fn types(&self) -> &PortableRegistry {
        self.metadata().types()
    }

    /// Builds any call from its arguments as a JSON object.
    pub(crate) fn call(&self, pallet: &str, name: &str, args: &Json) -> Result<Call, ChainError> {
        let subject = format!("call {pallet}.{name}");
        let variant = self
            .metadata()
            .pallet_by_name(pallet)
            .and_then(|pallet| pallet.call_variant_by_name(name));
        let fields = &variant.ok_or_else(|| self.missing_error(&subject))?.fields;
        let empty = serde_json::Map::new();
        let args = if args.is_null() { &empty } else { args.as_object().unwrap_or(&empty) };
        let names: Vec<&str> = fields.iter().filter_map(|field| field.name.as_deref()).collect();
        if let Some(name) = args.keys().find(|name| !names.contains(&name.as_str())) {
            let error = JsonError::Unknown {
                at: subject.clone(),
                name: name.clone(),
                expected: names.join(", "),
            };
            return Err(ChainError::encode(subject, error));
        }
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let field_name = field.name.as_deref().unwrap_or_default();
            let json = match args.get(field_name) {
                Some(json) => json,
                None if is_option(field.ty.id, self.types()) => &Json::Null,
                None => {
                    let error =
                        JsonError::Missing { at: subject.clone(), field: field_name.to_owned() };
                    return Err(ChainError::encode(subject, error));
                }
            };
            let value = to_value(json, field.ty.id, self.types(), field_name)
                .map_err(|error| ChainError::encode(&subject, error))?;
            values.push((field_name.to_owned(), value));
        }
        Ok(Call::from_parts(pallet.to_owned().into(), name.to_owned().into(), values))
    }

    /// Returns the names of a call's arguments; `None` for an unknown call.
    pub(crate) fn call_fields(&self, pallet: &str, name: &str) -> Option<Vec<String>> {
        let call = self.metadata().pallet_by_name(pallet)?.call_variant_by_name(name)?;
        Some(call.fields.iter().filter_map(|field| field.name.clone()).collect())
    }

    /// Encodes the arguments of a runtime API's method.
    pub(crate) fn api_args(
        &self,
        api: &str,
        method: &str,
        args: &[Value],
    ) -> Result<Vec<u8>, ChainError> {
        let subject = format!("runtime API {api}.{method}");
        self.metadata().runtime_api_info(api, method).map_err(|_| self.missing_error(&subject))?;
        encode_runtime_api_inputs(api, method, args.to_vec(), self.metadata(), self.types())
            .map_err(|error| ChainError::encode(subject, error))
    }

    /// Encodes the arguments of a runtime API's method from JSON.
    pub(crate) fn api_args_of_json(
        &self,
        api: &str,
        method: &str,
        args: &[Json],
    ) -> Result<Vec<u8>, ChainError> {
        let subject = format!("runtime API {api}.{method}");
        let inputs = self
            .metadata()
            .runtime_api_info(api, method)
            .map_err(|_| self.missing_error(&subject))?
            .inputs;
        let values: Result<Vec<Value>, JsonError> = inputs
            .iter()
            .zip(args.iter().chain(std::iter::repeat(&Json::Null)))
            .map(|(input, json)| to_value(json, input.id, self.types(), &input.name))
            .collect();
        self.api_args(api, method, &values.map_err(|error| ChainError::encode(subject, error))?)
    }

    /// Decodes the result of a runtime API's method to a Rust type, matching fields by name.
    pub(crate) fn api_result<T: DecodeAsType>(
        &self,
        api: &str,
        method: &str,
        bytes: &[u8],
    ) -> Result<T, ChainError> {
        let subject = format!("runtime API {api}.{method}");
        let output = self
            .metadata()
            .runtime_api_info(api, method)
            .map_err(|_| self.missing_error(&subject))?
            .output_id;
        self.decode(&subject, bytes, output)
    }

    /// Decodes the result of a runtime API's method to JSON.
    pub(crate) fn api_result_json(
        &self,
        api: &str,
        method: &str,
        bytes: &[u8],
    ) -> Result<Json, ChainError> {
        let subject = format!("runtime API {api}.{method}");
        let output = self
            .metadata()
            .runtime_api_info(api, method)
            .map_err(|_| self.missing_error(&subject))?
            .output_id;
        self.decode_json(&subject, bytes, output)
    }

    /// Decodes a constant of a pallet to a Rust type.
    pub(crate) fn constant<T: DecodeAsType>(
        &self,
        pallet: &str,
        name: &str,
    ) -> Result<T, ChainError> {
        let subject = format!("constant {pallet}.{name}");
        let info = self
            .metadata()
            .constant_info(pallet, name)
            .map_err(|_| self.missing_error(&subject))?;
        self.decode(&subject, info.bytes, info.type_id)
    }

    /// Decodes a constant of a pallet to JSON.
    pub(crate) fn constant_json(&self, pallet: &str, name: &str) -> Result<Json, ChainError> {
        let subject = format!("constant {pallet}.{name}");
        let info = self
            .metadata()
            .constant_info(pallet, name)
            .map_err(|_| self.missing_error(&subject))?;
        self.decode_json(&subject, info.bytes, info.type_id)
    }

    fn decode<T: DecodeAsType>(
        &self,
        subject: &str,
        mut bytes: &[u8],
        type_id: u32,
    ) -> Result<T, ChainError> {
        taonet_scale_json::encoded_len(bytes, type_id, self.types())
            .map_err(|error| ChainError::decode(subject, error))?;
        let value = T::decode_as_type(&mut bytes, type_id, self.types());
        let value = value.map_err(|error| ChainError::decode(subject, error))?;
        check_consumed(subject, bytes)?;
        Ok(value)
    }

    fn decode_json(
        &self,
        subject: &str,
        mut bytes: &[u8],
        type_id: u32,
    ) -> Result<Json, ChainError> {
        let value = taonet_scale_json::decode(&mut bytes, type_id, self.types());
        let value = value.map_err(|error| ChainError::decode(subject, error))?;
        check_consumed(subject, bytes)?;
        Ok(to_json(&value, self.types()))
    }

    fn missing_error(&self, subject: &str) -> ChainError {
        ChainError::NotInRuntime { subject: subject.to_owned(), spec_version: self.spec_version }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runtime({})", self.spec_version)
    }
}

/// Bytes remained after decoding the value.
#[derive(Debug, thiserror::Error)]
#[error("trailing data: {}", counted(.0, "byte"))]
struct TrailingBytes(usize);

/// Returns the first line of an item's documentation.
fn first_doc_line(docs: &[String]) -> String {
    docs.iter().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

fn check_consumed(subject: &str, remaining: &[u8]) -> Result<(), ChainError> {
    if remaining.is_empty() {
        Ok(())
    } else {
        Err(ChainError::decode(subject, TrailingBytes(remaining.len())))
    }
}

#[cfg(test)]
mod tests;
