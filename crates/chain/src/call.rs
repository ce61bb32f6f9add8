use std::borrow::Cow;

use subxt::ext::scale_value::{Composite, Value};

/// A call of a pallet with its arguments by name, not yet encoded: which bytes it has, the chain's metadata says at the
/// time of signing.
///
/// The functions of [`calls`](crate::calls) make them; [`Client::call`](crate::Client::call) makes any other from JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pallet: Cow<'static, str>,
    name: Cow<'static, str>,
    pub(crate) args: Composite<()>,
}

impl Call {
    pub(crate) fn new(pallet: &'static str, name: &'static str, args: Vec<(&'static str, Value)>) -> Self {
        Self::of_parts(pallet.into(), name.into(), args.into_iter().map(|(name, arg)| (name.to_owned(), arg)).collect())
    }

    pub(crate) fn of_parts(pallet: Cow<'static, str>, name: Cow<'static, str>, args: Vec<(String, Value)>) -> Self {
        Self { pallet, name, args: Composite::Named(args) }
    }

    /// The pallet's name.
    pub fn pallet(&self) -> &str {
        &self.pallet
    }

    /// The call's name within its pallet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The call as an argument of another one.
    pub(crate) fn into_value(self) -> Value {
        let call = Value::variant(self.name.into_owned(), self.args);
        Value::unnamed_variant(self.pallet.into_owned(), [call])
    }
}
