use codec::{Compact, Decode as _};
use subxt::ext::scale_value::ValueDef;
use subxt::ext::scale_value::scale::DecodeError;
use taonet_primitives::Rao;
use taonet_scale_json::{fields_of, to_json};

use super::{Runtime, check_consumed};
use crate::{ChainError, DispatchError, Event, Phase};

/// Events with the result of a call within a call: pallet, event and field.
const INNER_RESULTS: [(&str, &str, &str); 4] = [
    ("Sudo", "Sudid", "sudo_result"),
    ("Sudo", "SudoAsDone", "sudo_result"),
    ("Proxy", "ProxyExecuted", "result"),
    ("Multisig", "MultisigExecuted", "result"),
];

impl Runtime {
    /// Decodes the bytes of `System.Events`.
    pub(crate) fn decode_events(&self, bytes: &[u8]) -> Result<Vec<Event>, ChainError> {
        let subject = "the block's events";
        let mut remaining = bytes;
        let count = Compact::<u32>::decode(&mut remaining)
            .map_err(|error| ChainError::decode(subject, error))?
            .0;
        let mut events = Vec::new();
        for index in 0..count {
            let event = self.decode_event(index, &mut remaining);
            events.push(
                event.map_err(|error| {
                    ChainError::decode(format!("event {index} of a block"), error)
                })?,
            );
        }
        check_consumed(subject, remaining)?;
        Ok(events)
    }

    /// Decodes an event record: phase, event and topics. The event is a variant of the runtime's
    /// outer event enum, which contains a variant of the pallet's event enum.
    fn decode_event(&self, index: u32, bytes: &mut &[u8]) -> Result<Event, EventError> {
        let phase = match u8::decode(bytes)? {
            0 => Phase::ApplyExtrinsic(u32::decode(bytes)?),
            1 => Phase::Finalization,
            2 => Phase::Initialization,
            other => return Err(EventError::UnknownPhase(other)),
        };
        let value = taonet_scale_json::decode(
            bytes,
            self.metadata().outer_enums().event_enum_ty(),
            self.types(),
        )?;
        Vec::<[u8; 32]>::decode(bytes)?;
        let ValueDef::Variant(outer) = value.value else { return Err(EventError::NotAnEnum) };
        let Some(ValueDef::Variant(inner)) =
            outer.values.into_values().next().map(|inner| inner.value)
        else {
            return Err(EventError::NotAnEnum);
        };
        let fields = event_fields(&inner.values, self.types());
        Ok(Event { index, phase, pallet: outer.name, name: inner.name, fields })
    }

    /// Returns the result of an extrinsic, from the events of its phase.
    pub(crate) fn dispatch_result(&self, events: &[Event]) -> Option<Result<(), DispatchError>> {
        let result_event = events.iter().rev().find(|event| {
            event.is("System", "ExtrinsicSuccess") || event.is("System", "ExtrinsicFailed")
        })?;
        // The outer call succeeds even if the inner call fails; these events have the inner call's
        // result.
        let inner = events.iter().rev().find_map(|event| {
            let (.., field) =
                INNER_RESULTS.iter().find(|(pallet, name, _)| event.is(pallet, name))?;
            event.fields.get(*field)?.get("Err")
        });
        Some(match result_event.fields.get("dispatch_error").or(inner) {
            None => Ok(()),
            Some(error) => Err(self.dispatch_error(error)),
        })
    }

    /// Resolves a dispatch error of an event to its name and documentation.
    pub(crate) fn dispatch_error(&self, error: &serde_json::Value) -> DispatchError {
        self.module_error(error).unwrap_or_else(|| {
            DispatchError::Other(match error {
                serde_json::Value::String(name) => name.clone(),
                other => name_and_reason(other).unwrap_or_else(|| other.to_string()),
            })
        })
    }

    fn module_error(&self, error: &serde_json::Value) -> Option<DispatchError> {
        let module = error.get("Module")?;
        let pallet = u8::try_from(module.get("index")?.as_u64()?).ok()?;
        let index = hex::decode(module.get("error")?.as_str()?.strip_prefix("0x")?).ok()?;
        let pallet = self.metadata().pallet_by_error_index(pallet)?;
        let error = pallet.error_variant_by_index(*index.first()?)?;
        Some(DispatchError::Module {
            pallet: pallet.name().to_owned(),
            name: error.name.clone(),
            docs: error.docs.join(" ").trim().to_owned(),
        })
    }
}

/// Returns an error that has a reason in Rust's notation, such as `Token(FundsUnavailable)`.
fn name_and_reason(error: &serde_json::Value) -> Option<String> {
    let fields = error.as_object().filter(|fields| fields.len() == 1)?;
    let (name, reason) = fields.iter().next()?;
    Some(format!("{name}({})", reason.as_str()?))
}

/// Returns the fee of an extrinsic, from the events of its phase; `None` if the chain recorded
/// none.
pub(crate) fn fee_of(events: &[Event]) -> Option<Rao> {
    let fee_event =
        events.iter().rev().find(|event| event.is("TransactionPayment", "TransactionFeePaid"))?;
    fee_event.fields.get("actual_fee")?.as_u64().map(Rao::new)
}

/// Converts the fields of an event to JSON. Unlike in [`fields_of`], a single unnamed field stays
/// in an array.
fn event_fields(
    fields: &subxt::ext::scale_value::Composite<u32>,
    types: &scale_info::PortableRegistry,
) -> serde_json::Value {
    use subxt::ext::scale_value::Composite;
    match fields {
        Composite::Unnamed(fields) => fields.iter().map(|field| to_json(field, types)).collect(),
        named @ Composite::Named(_) => fields_of(named, types),
    }
}

/// Why bytes do not decode as an event.
#[derive(Debug, thiserror::Error)]
enum EventError {
    #[error(transparent)]
    Bytes(#[from] codec::Error),
    #[error(transparent)]
    Value(#[from] DecodeError),
    #[error("unknown event phase {0}")]
    UnknownPhase(u8),
    /// The metadata's event type is not an enum of enums.
    #[error("the event type in the metadata is not an enum of pallet enums")]
    NotAnEnum,
}
