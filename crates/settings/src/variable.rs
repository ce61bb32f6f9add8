use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use taonet_primitives::{NetUid, Uid};
use url::Url;

use crate::network::without_credentials;
use crate::value::Expected;
use crate::{Network, Secret};

/// Parses the value of a variable into a configuration `C`; the error is the expected form.
pub type Apply<C> = fn(&mut C, &str) -> Result<(), Expected>;

/// A known environment variable of a configuration `C`.
pub struct Variable<C> {
    /// The variable's name.
    pub name: &'static str,
    /// One-line description; for a variable without effect, the replacement, if any.
    pub help: &'static str,
    /// Writes the value into the configuration; `None` if the variable has no effect in this
    /// version.
    pub apply: Option<Apply<C>>,
    /// Renders the configured value as text.
    pub show: fn(&C) -> String,
}

/// Values that can be rendered in the syntax of their environment variable.
pub trait DisplayValue {
    /// Returns the value as text; for a secret, only whether it is set.
    fn display_value(&self) -> String;
}

macro_rules! impl_display_value {
    ($($kind:ty),*) => {
        $(impl DisplayValue for $kind {
            fn display_value(&self) -> String {
                self.to_string()
            }
        })*
    };
}
impl_display_value!(f64, usize, u64, u32, u16, NonZeroUsize, NonZeroU32, NonZeroU16);
impl_display_value!(String, NetUid, Uid, Network, std::net::IpAddr);

impl DisplayValue for Url {
    fn display_value(&self) -> String {
        without_credentials(self.as_str())
    }
}

impl DisplayValue for bool {
    fn display_value(&self) -> String {
        u8::from(*self).to_string()
    }
}

impl DisplayValue for Duration {
    fn display_value(&self) -> String {
        self.as_secs_f64().to_string()
    }
}

impl DisplayValue for std::path::PathBuf {
    fn display_value(&self) -> String {
        Path::display(self).to_string()
    }
}

impl<T: DisplayValue> DisplayValue for Option<T> {
    fn display_value(&self) -> String {
        self.as_ref().map(DisplayValue::display_value).unwrap_or_default()
    }
}

impl DisplayValue for Secret {
    fn display_value(&self) -> String {
        "(set)".to_owned()
    }
}

/// Defines the [`Variable`] of a field: `variable!("NAME", "Help", field.of.config = parser)`.
#[macro_export]
macro_rules! variable {
    ($name:literal, $help:literal, $($field:ident).+ = $parse:expr) => {
        $crate::Variable {
            name: $name,
            help: $help,
            apply: Some(|config, text| {
                config.$($field).+ = $parse(text)?;
                Ok(())
            }),
            show: |config| $crate::DisplayValue::display_value(&config.$($field).+),
        }
    };
}

/// Creates a variable of the reference system that has no effect in this program.
pub const fn unused<C>(name: &'static str) -> Variable<C> {
    replaced(name, "")
}

/// Creates a variable without effect whose `help` names the replacement.
pub const fn replaced<C>(name: &'static str, help: &'static str) -> Variable<C> {
    Variable { name, help, apply: None, show: |_| String::new() }
}
