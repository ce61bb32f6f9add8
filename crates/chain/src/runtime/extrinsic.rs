use codec::{Compact, Decode as _};
use scale_info::Field;
use scale_info::form::PortableForm;
use serde_json::{Map, Value as Json};
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::config::substrate::{AccountId32, H256, MultiSignature, SubstrateConfig};
use subxt::ext::frame_decode::extrinsics::{
    ExtrinsicExtensionInfoArg, ExtrinsicInfoError, ExtrinsicTypeInfo as _,
};
use subxt::ext::scale_value::scale::DecodeError;
use subxt::ext::scale_value::{Composite, ValueDef};
use subxt::tx::Payload;
use taonet_primitives::{AccountId, BlockNumber, ExtrinsicHash, Rao, counted};
use taonet_scale_json::{fields_of, to_json};
use taonet_wallet::{CryptoType, Keypair};

use super::{Runtime, fee_of, first_doc_line};
use crate::hash::blake2_256;
use crate::{
    ArgumentInfo, Block, Call, CallInfo, ChainError, Decoded, DecodedCall, DecodedExtrinsic, Event,
    Extrinsic, Mortality, Phase, SignOptions, SignedExtrinsic,
};

/// First byte of an unsigned extrinsic in format 4.
const BARE_V4: u8 = 0b0000_0100;
/// First byte of an unsigned extrinsic in format 5.
const BARE_V5: u8 = 0b0000_0101;
/// First byte of a signed extrinsic in format 4.
const SIGNED_V4: u8 = 0b1000_0100;
/// First byte of an extrinsic in format 5 that transaction extensions authorize.
const GENERAL_V5: u8 = 0b0100_0101;

/// An extrinsic's parts, decoded.
struct ExtrinsicParts<'a> {
    signer: Option<AccountId>,
    /// Transaction extensions by name.
    extensions: Vec<(String, Json)>,
    call: CallParts<'a>,
}

/// A call, decoded, with its encoded bytes.
struct CallParts<'a> {
    pallet: String,
    name: String,
    args: Json,
    data: &'a [u8],
}

impl ExtrinsicParts<'_> {
    /// Returns the number that a transaction extension contains.
    fn extension_number(&self, extension: &str) -> Option<u64> {
        self.extension(extension)?.as_u64()
    }

    fn mortality(&self) -> Option<Mortality> {
        let (name, second) = self.extension("CheckMortality")?.as_object()?.iter().next()?;
        let first = name.strip_prefix("Mortal")?.parse().ok()?;
        Mortality::from_bytes([first, u8::try_from(second.as_u64()?).ok()?])
    }

    fn extension(&self, name: &str) -> Option<&Json> {
        self.extensions.iter().find(|(extension, _)| extension == name).map(|(_, value)| value)
    }
}

impl From<CallParts<'_>> for DecodedCall {
    fn from(call: CallParts<'_>) -> Self {
        Self { pallet: call.pallet, name: call.name, args: call.args, data: call.data.to_vec() }
    }
}

impl Payload for Call {
    type CallData = Composite<()>;

    fn pallet_name(&self) -> &str {
        self.pallet()
    }

    fn call_name(&self) -> &str {
        self.name()
    }

    fn call_data(&self) -> &Composite<()> {
        &self.args
    }
}

impl Runtime {
    /// Encodes a call.
    pub(crate) fn call_data(&self, call: &Call) -> Result<Vec<u8>, ChainError> {
        self.check_call(call)?;
        self.offline_client
            .tx()
            .call_data(call)
            .map_err(|error| ChainError::encode(describe(call), error))
    }

    /// Signs a call in an era that begins at `birth`, with `head` as the newest block.
    pub(crate) fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
        birth: Block,
        head: BlockNumber,
    ) -> Result<SignedExtrinsic, ChainError> {
        let last_block = options.era.check_last_block(birth.number, head)?;
        let account: AccountId = signer.public().coldkey().into();
        let (bytes, _) = self.build_signed(call, account, options, birth, |payload| {
            let signature = *signer.sign(payload).as_bytes();
            match signer.crypto_type() {
                CryptoType::Ed25519 => MultiSignature::Ed25519(signature),
                CryptoType::Sr25519 => MultiSignature::Sr25519(signature),
            }
        })?;
        let hash = ExtrinsicHash::from_bytes(blake2_256(&bytes));
        let spec_version = self.spec_version;
        Ok(SignedExtrinsic {
            bytes,
            hash,
            signer: account,
            nonce: options.nonce,
            birth,
            last_block,
            spec_version,
        })
    }

    /// Assembles a signed extrinsic, and returns its bytes and the signed payload.
    pub(crate) fn build_signed(
        &self,
        call: &Call,
        account: AccountId,
        options: SignOptions,
        birth: Block,
        sign: impl FnOnce(&[u8]) -> MultiSignature,
    ) -> Result<(Vec<u8>, Vec<u8>), ChainError> {
        self.check_call(call)?;
        let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
            .nonce(options.nonce.into())
            .tip(options.tip.get().into());
        let params = match options.era.period(birth.number) {
            None => params.immortal(),
            Some(period) => {
                let hash = H256(*birth.hash.as_bytes());
                params.mortal_from_unchecked(period.into(), birth.number.get().into(), hash)
            }
        };
        let mut signable = self
            .offline_client
            .tx()
            .create_signable_offline(call, params.build())
            .map_err(|error| ChainError::encode(describe(call), error))?;
        let payload =
            signable.signer_payload().map_err(|error| ChainError::encode(describe(call), error))?;
        let signature = sign(&payload);
        let account = AccountId32(*account.as_bytes());
        let extrinsic = signable
            .sign_with_account_and_signature(&account, &signature)
            .map_err(|error| ChainError::encode(describe(call), error))?;
        Ok((extrinsic.into_encoded(), payload))
    }

    /// Decodes an extrinsic of a block, with its length prefix. `events` are the events of the
    /// block, which contain the extrinsic's fee and result.
    pub(crate) fn extrinsic(
        &self,
        index: u32,
        bytes: &[u8],
        events: &[Event],
    ) -> Result<Extrinsic, ChainError> {
        let decoded = self.decode_extrinsic(bytes);
        let ExtrinsicParts { signer, call, .. } = decoded
            .map_err(|error| ChainError::decode(format!("extrinsic {index} of a block"), error))?;
        let extrinsic_events: Vec<Event> = events
            .iter()
            .filter(|event| event.phase == Phase::ApplyExtrinsic(index))
            .cloned()
            .collect();
        Ok(Extrinsic {
            index,
            hash: ExtrinsicHash::from_bytes(blake2_256(bytes)),
            signer,
            pallet: call.pallet,
            name: call.name,
            args: call.args,
            fee: fee_of(&extrinsic_events),
            result: self.dispatch_result(&extrinsic_events),
        })
    }

    /// Decodes an extrinsic with its length prefix, or a call.
    pub(crate) fn inspect(&self, bytes: &[u8]) -> Result<Decoded, ChainError> {
        let as_extrinsic = match self.decode_extrinsic(bytes) {
            Ok(parts) => {
                return Ok(Decoded::Extrinsic(DecodedExtrinsic {
                    hash: ExtrinsicHash::from_bytes(blake2_256(bytes)),
                    signer: parts.signer,
                    nonce: parts.extension_number("CheckNonce"),
                    tip: parts.extension_number("ChargeTransactionPayment").map(Rao::new),
                    era: parts.mortality(),
                    call: parts.call.into(),
                }));
            }
            Err(error) => error,
        };
        self.inspect_call(bytes).map(Decoded::Call).map_err(|as_call| ChainError::Undecodable {
            spec_version: self.spec_version,
            as_extrinsic: as_extrinsic.into(),
            as_call: as_call.into(),
        })
    }

    fn inspect_call(&self, bytes: &[u8]) -> Result<DecodedCall, ExtrinsicError> {
        let mut remaining = bytes;
        let call = self.decode_call(&mut remaining)?;
        if remaining.is_empty() {
            Ok(call.into())
        } else {
            Err(ExtrinsicError::TrailingData(remaining.len()))
        }
    }

    /// Decodes the call of an extrinsic that this client signed.
    pub(crate) fn decode_signed_call(
        &self,
        extrinsic: &SignedExtrinsic,
    ) -> Result<DecodedCall, ChainError> {
        let parts = self.decode_extrinsic(&extrinsic.bytes);
        let parts = parts
            .map_err(|error| ChainError::decode(format!("extrinsic {}", extrinsic.hash), error))?;
        Ok(parts.call.into())
    }

    /// Encodes a call and decodes it again.
    pub(crate) fn decoded(&self, call: &Call) -> Result<DecodedCall, ChainError> {
        let data = self.call_data(call)?;
        self.inspect_call(&data).map_err(|error| ChainError::decode(describe(call), error))
    }

    /// Returns the calls of all pallets.
    pub(crate) fn calls(&self) -> Vec<CallInfo> {
        let mut calls = Vec::new();
        for pallet in self.metadata().pallets() {
            calls.extend(pallet.call_variants().into_iter().flatten().map(|call| CallInfo {
                pallet: pallet.name().to_owned(),
                name: call.name.clone(),
                arguments: call.fields.iter().map(argument_info).collect(),
                summary: first_doc_line(&call.docs),
            }));
        }
        calls
    }

    fn decode_extrinsic<'a>(&self, bytes: &'a [u8]) -> Result<ExtrinsicParts<'a>, ExtrinsicError> {
        let mut remaining = bytes;
        let remaining = &mut remaining;
        let length = Compact::<u32>::decode(remaining)?.0;
        if usize::try_from(length) != Ok(remaining.len()) {
            return Err(ExtrinsicError::WrongLength { length, actual: remaining.len() });
        }
        // The upper two bits are the kind of the extrinsic, the lower six its format version.
        let (signer, extensions) = match u8::decode(remaining)? {
            BARE_V4 | BARE_V5 => (None, Vec::new()),
            SIGNED_V4 => {
                let types = self
                    .metadata()
                    .extrinsic_signature_info()
                    .map_err(ExtrinsicInfoError::into_owned)?;
                let signer = taonet_scale_json::decode(remaining, types.address_id, self.types())?;
                let signer =
                    to_json(&signer, self.types()).as_str().and_then(|text| text.parse().ok());
                self.skip_value(remaining, types.signature_id)?;
                let extensions = self.decode_extensions(remaining, None)?;
                (Some(signer.ok_or(ExtrinsicError::NotAnAccount)?), extensions)
            }
            GENERAL_V5 => {
                let version = u8::decode(remaining)?;
                (None, self.decode_extensions(remaining, Some(version))?)
            }
            other => return Err(ExtrinsicError::UnknownFormat(other)),
        };
        let call = self.decode_call(remaining)?;
        if remaining.is_empty() {
            Ok(ExtrinsicParts { signer, extensions, call })
        } else {
            Err(ExtrinsicError::TrailingData(remaining.len()))
        }
    }

    /// Decodes a call: a variant of the runtime's outer call enum, which contains a variant of the
    /// pallet's call enum.
    fn decode_call<'a>(&self, bytes: &mut &'a [u8]) -> Result<CallParts<'a>, ExtrinsicError> {
        let all_bytes = *bytes;
        let value = taonet_scale_json::decode(
            bytes,
            self.metadata().outer_enums().call_enum_ty(),
            self.types(),
        )?;
        let ValueDef::Variant(outer) = value.value else { return Err(ExtrinsicError::NotAnEnum) };
        let Some(ValueDef::Variant(inner)) =
            outer.values.into_values().next().map(|inner| inner.value)
        else {
            return Err(ExtrinsicError::NotAnEnum);
        };
        // Arguments always have names, so only a call without arguments has unnamed fields.
        let args = match &inner.values {
            Composite::Unnamed(fields) if fields.is_empty() => Json::Object(Map::new()),
            fields => fields_of(fields, self.types()),
        };
        let data = all_bytes.get(..all_bytes.len().saturating_sub(bytes.len())).unwrap_or_default();
        Ok(CallParts { pallet: outer.name, name: inner.name, args, data })
    }

    fn decode_extensions(
        &self,
        bytes: &mut &[u8],
        version: Option<u8>,
    ) -> Result<Vec<(String, Json)>, ExtrinsicError> {
        let extensions = self
            .metadata()
            .extrinsic_extension_info(version)
            .map_err(ExtrinsicInfoError::into_owned)?;
        extensions
            .extension_ids
            .iter()
            .map(|extension: &ExtrinsicExtensionInfoArg<'_, u32>| {
                let value = taonet_scale_json::decode(bytes, extension.id, self.types())?;
                Ok((extension.name.clone().into_owned(), to_json(&value, self.types())))
            })
            .collect()
    }

    fn skip_value(&self, bytes: &mut &[u8], type_id: u32) -> Result<(), ExtrinsicError> {
        let length = taonet_scale_json::encoded_len(bytes, type_id, self.types())?;
        *bytes = bytes.get(length..).unwrap_or_default();
        Ok(())
    }

    fn check_call(&self, call: &Call) -> Result<(), ChainError> {
        let pallet = self.metadata().pallet_by_name(call.pallet());
        match pallet.and_then(|pallet| pallet.call_variant_by_name(call.name())) {
            Some(_) => Ok(()),
            None => Err(self.missing_error(&describe(call))),
        }
    }
}

fn argument_info(field: &Field<PortableForm>) -> ArgumentInfo {
    ArgumentInfo {
        name: field.name.clone().unwrap_or_default(),
        type_name: field.type_name.clone().unwrap_or_default(),
    }
}

fn describe(call: &Call) -> String {
    format!("call {}.{}", call.pallet(), call.name())
}

/// Why bytes do not decode as an extrinsic.
#[derive(Debug, thiserror::Error)]
enum ExtrinsicError {
    #[error(transparent)]
    Bytes(#[from] codec::Error),
    #[error(transparent)]
    Value(#[from] DecodeError),
    #[error(transparent)]
    Type(#[from] ExtrinsicInfoError<'static>),
    #[error("the length prefix is {length}, but {} follow", counted(.actual, "byte"))]
    WrongLength { length: u32, actual: usize },
    #[error("unknown extrinsic format {0:#04x}")]
    UnknownFormat(u8),
    /// The signer is an address that no account lookup of the chain accepts.
    #[error("the signer is not an account")]
    NotAnAccount,
    /// The metadata's call type is not an enum of enums.
    #[error("the call type in the metadata is not an enum of pallet enums")]
    NotAnEnum,
    #[error("trailing data: {}", counted(.0, "byte"))]
    TrailingData(usize),
}
