use std::borrow::Cow;

use subxt::ext::scale_value::{Composite, Value};

/// A pallet call with named arguments, not yet encoded: signing encodes it with the chain's
/// metadata.
///
/// The functions of [`calls`](crate::calls) build calls; [`Client::call`](crate::Client::call)
/// builds any other from JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pallet: Cow<'static, str>,
    name: Cow<'static, str>,
    pub(crate) args: Composite<()>,
}

impl Call {
    pub(crate) fn new(
        pallet: &'static str,
        name: &'static str,
        args: Vec<(&'static str, Value)>,
    ) -> Self {
        Self::from_parts(
            pallet.into(),
            name.into(),
            args.into_iter().map(|(name, arg)| (name.to_owned(), arg)).collect(),
        )
    }

    pub(crate) fn from_parts(
        pallet: Cow<'static, str>,
        name: Cow<'static, str>,
        args: Vec<(String, Value)>,
    ) -> Self {
        Self { pallet, name, args: Composite::Named(args) }
    }

    /// Returns the pallet's name.
    pub fn pallet(&self) -> &str {
        &self.pallet
    }

    /// Returns the call's name within its pallet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Converts the call into an argument of another call.
    pub(crate) fn into_value(self) -> Value {
        let call = Value::variant(self.name.into_owned(), self.args);
        Value::unnamed_variant(self.pallet.into_owned(), [call])
    }
}
