//! Comparison of two types, one of each runtime, by encoding and by the names of their fields and
//! variants.

use std::collections::BTreeMap;

use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, TypeDefVariant};

use crate::notation;

/// Enums that have a variant for each pallet; their contents are compared pallet by pallet.
pub(crate) const PALLET_ENUMS: [&str; 6] = [
    "RuntimeCall",
    "RuntimeEvent",
    "RuntimeError",
    "OriginCaller",
    "RuntimeHoldReason",
    "RuntimeFreezeReason",
];

/// Pairs of types that were compared.
pub(crate) struct Pairs<'a> {
    ours: &'a PortableRegistry,
    theirs: &'a PortableRegistry,
    /// The first difference of each compared pair of type IDs, if any.
    compared: BTreeMap<(u32, u32), Option<String>>,
}

impl<'a> Pairs<'a> {
    pub(crate) const fn new(ours: &'a PortableRegistry, theirs: &'a PortableRegistry) -> Self {
        Self { ours, theirs, compared: BTreeMap::new() }
    }

    /// Returns the recorded types that our runtime has: recorded type ID to our type ID.
    pub(crate) fn equal(&self) -> BTreeMap<u32, u32> {
        let equal = self.compared.iter().filter(|(_, difference)| difference.is_none());
        equal.map(|((ours, theirs), _)| (*theirs, *ours)).collect()
    }

    /// Returns the first difference of two types.
    pub(crate) fn difference(&mut self, ours: u32, theirs: u32) -> Option<String> {
        if let Some(result) = self.compared.get(&(ours, theirs)) {
            return result.clone();
        }
        // Types may contain themselves: while a pair is being compared it counts as equal.
        self.compared.insert((ours, theirs), None);
        let difference = self.compare(ours, theirs);
        self.compared.insert((ours, theirs), difference.clone());
        difference
    }

    fn compare(&mut self, ours: u32, theirs: u32) -> Option<String> {
        let (our_name, their_name) =
            (notation::name(self.ours, ours), notation::name(self.theirs, theirs));
        if our_name == their_name && PALLET_ENUMS.contains(&our_name.as_str()) {
            return None;
        }
        let (inner_ours, inner_theirs) =
            (newtype_inner(self.ours, ours), newtype_inner(self.theirs, theirs));
        if inner_ours.is_some() || inner_theirs.is_some() {
            return self.difference(inner_ours.unwrap_or(ours), inner_theirs.unwrap_or(theirs));
        }
        let (our_type, their_type) =
            (self.ours.resolve(ours).unwrap(), self.theirs.resolve(theirs).unwrap());
        let with_type_name = |difference: String| format!("{our_name}: {difference}");
        match (&our_type.type_def, &their_type.type_def) {
            (TypeDef::Composite(ours), TypeDef::Composite(theirs)) => {
                self.fields(&ours.fields, &theirs.fields).map(with_type_name)
            }
            (TypeDef::Variant(ours), TypeDef::Variant(theirs)) => {
                self.variants(ours, theirs).map(with_type_name)
            }
            (TypeDef::Sequence(ours), TypeDef::Sequence(theirs)) => {
                self.difference(ours.type_param.id, theirs.type_param.id)
            }
            (TypeDef::Compact(ours), TypeDef::Compact(theirs)) => {
                self.difference(ours.type_param.id, theirs.type_param.id)
            }
            (TypeDef::Array(ours), TypeDef::Array(theirs)) if ours.len == theirs.len => {
                self.difference(ours.type_param.id, theirs.type_param.id)
            }
            (TypeDef::Tuple(ours), TypeDef::Tuple(theirs))
                if ours.fields.len() == theirs.fields.len() =>
            {
                let pairs = ours.fields.iter().zip(&theirs.fields);
                pairs.into_iter().find_map(|(ours, theirs)| self.difference(ours.id, theirs.id))
            }
            (TypeDef::Primitive(ours), TypeDef::Primitive(theirs)) if ours == theirs => None,
            _ => Some(format!("{our_name} is not {their_name}")),
        }
    }

    fn fields(
        &mut self,
        ours: &[Field<PortableForm>],
        theirs: &[Field<PortableForm>],
    ) -> Option<String> {
        let names = |fields: &[Field<PortableForm>]| -> Vec<_> {
            fields.iter().map(|field| field.name.clone().unwrap_or_default()).collect()
        };
        if names(ours) != names(theirs) {
            return Some(format!("fields {:?} are not {:?}", names(ours), names(theirs)));
        }
        ours.iter().zip(theirs).find_map(|(ours, theirs)| self.difference(ours.ty.id, theirs.ty.id))
    }

    fn variants(
        &mut self,
        ours: &TypeDefVariant<PortableForm>,
        theirs: &TypeDefVariant<PortableForm>,
    ) -> Option<String> {
        for our in &ours.variants {
            let Some(their) = theirs.variants.iter().find(|their| their.index == our.index) else {
                return Some(format!("variant {} is not theirs", our.name));
            };
            if our.name != their.name {
                return Some(format!("variant {} is {} there", our.name, their.name));
            }
            if let Some(difference) = self.fields(&our.fields, &their.fields) {
                return Some(format!("{}: {difference}", our.name));
            }
        }
        let missing = theirs
            .variants
            .iter()
            .filter(|their| ours.variants.iter().all(|our| our.index != their.index));
        let missing: Vec<_> = missing.map(|variant| variant.name.as_str()).collect();
        (!missing.is_empty()).then(|| format!("without {}", missing.join(", ")))
    }
}

/// Returns the type inside a wrapper with a single unnamed field, which is encoded like that type.
fn newtype_inner(registry: &PortableRegistry, id: u32) -> Option<u32> {
    match &registry.resolve(id).unwrap().type_def {
        TypeDef::Composite(composite) => match composite.fields.as_slice() {
            [field] if field.name.is_none() => Some(field.ty.id),
            _ => None,
        },
        TypeDef::Tuple(tuple) => match tuple.fields.as_slice() {
            [field] => Some(field.id),
            _ => None,
        },
        _ => None,
    }
}
