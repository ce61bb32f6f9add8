use subxt::ext::scale_value::ValueDef;
use subxt::ext::scale_value::scale::decode_as_type;
use taonet_primitives::Rao;

use super::Runtime;
use crate::json::fields_of;
use crate::{ChainError, DispatchError, Event, Phase};

impl Runtime {
    /// What a block recorded, from the bytes of `System.Events`.
    pub(crate) fn events(&self, bytes: &[u8]) -> Result<Vec<Event>, ChainError> {
        let events = self.offline.events().from_bytes(bytes.to_vec());
        let unreadable = |error| ChainError::decode("the block's events", error);
        let mut read = Vec::new();
        let mut end = 0_usize;
        for event in events.iter() {
            let event = event.map_err(unreadable)?;
            end = end.saturating_add(event.bytes().len());
            read.push(self.event(&event)?);
        }
        // The reader above stops quietly where the bytes do.
        let counted = usize::try_from(events.len()).unwrap_or(usize::MAX);
        if read.len() != counted {
            return Err(ChainError::decode("the block's events", Counted { said: counted, found: read.len() }));
        }
        Ok(read)
    }

    fn event(&self, event: &subxt::events::Event<'_, super::SubstrateConfig>) -> Result<Event, ChainError> {
        let (pallet, name) = (event.pallet_name().to_owned(), event.event_name().to_owned());
        // Pallet, event, fields: what the outer enum of all events has.
        let mut bytes = vec![event.pallet_index(), event.event_index()];
        bytes.extend_from_slice(event.field_bytes());
        let type_id = self.metadata().outer_enums().event_enum_ty();
        let value = decode_as_type(&mut bytes.as_slice(), type_id, self.types());
        let value = value.map_err(|error| ChainError::decode(format!("event {pallet}.{name}"), error))?;
        let ValueDef::Variant(outer) = &value.value else {
            return Err(ChainError::decode(format!("event {pallet}.{name}"), NotAnEnum));
        };
        let fields = match outer.values.values().next().map(|inner| &inner.value) {
            Some(ValueDef::Variant(inner)) => event_fields(&inner.values, self.types()),
            _ => return Err(ChainError::decode(format!("event {pallet}.{name}"), NotAnEnum)),
        };
        let phase = match event.phase() {
            subxt::events::Phase::ApplyExtrinsic(index) => Phase::ApplyExtrinsic(index),
            subxt::events::Phase::Finalization => Phase::Finalization,
            subxt::events::Phase::Initialization => Phase::Initialization,
        };
        Ok(Event { index: event.index(), phase, pallet, name, fields })
    }

    /// What became of an extrinsic, from the events of its own phase.
    pub(crate) fn verdict(&self, events: &[Event]) -> Option<Result<(), DispatchError>> {
        let last = events
            .iter()
            .rev()
            .find(|event| event.is("System", "ExtrinsicSuccess") || event.is("System", "ExtrinsicFailed"))?;
        // A call as root counts as made, whatever it came to.
        let as_root = events.iter().rev().find(|event| event.is("Sudo", "Sudid") || event.is("Sudo", "SudoAsDone"));
        let as_root = as_root.and_then(|event| event.fields.get("sudo_result")?.get("Err"));
        Some(match last.fields.get("dispatch_error").or(as_root) {
            None => Ok(()),
            Some(error) => Err(self.dispatch_error(error)),
        })
    }

    /// A dispatch error as an event has it, with its name and meaning.
    pub(crate) fn dispatch_error(&self, error: &serde_json::Value) -> DispatchError {
        self.module_error(error).unwrap_or_else(|| {
            DispatchError::Other(match error {
                serde_json::Value::String(name) => name.clone(),
                other => other.to_string(),
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

/// The fee of an extrinsic, from the events of its own phase; `None` where the chain recorded none.
pub(crate) fn fee_of(events: &[Event]) -> Option<Rao> {
    let paid = events.iter().rev().find(|event| event.is("TransactionPayment", "TransactionFeePaid"))?;
    paid.fields.get("actual_fee")?.as_u64().map(Rao::new)
}

/// The fields of an event: unlike those of a value, one field without a name stays in its array.
fn event_fields(
    fields: &subxt::ext::scale_value::Composite<u32>,
    types: &scale_info::PortableRegistry,
) -> serde_json::Value {
    use subxt::ext::scale_value::Composite;
    match fields {
        Composite::Unnamed(fields) => fields.iter().map(|field| crate::json::to_json(field, types)).collect(),
        named @ Composite::Named(_) => fields_of(named, types),
    }
}

/// The list says one length and has another.
#[derive(Debug, thiserror::Error)]
#[error("{said} were announced, {found} are there")]
struct Counted {
    said: usize,
    found: usize,
}

/// The metadata says that events are no enum of enums.
#[derive(Debug, thiserror::Error)]
#[error("it is no variant of its pallet's enum")]
struct NotAnEnum;
