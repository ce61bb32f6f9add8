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
pub trait Shown {
    /// Returns the value as text; for a secret, only whether it is set.
    fn shown(&self) -> String;
}

macro_rules! shown_by_display {
    ($($kind:ty),*) => { $(impl Shown for $kind { fn shown(&self) -> String { self.to_string() } })* };
}
shown_by_display!(f64, usize, u64, u32, u16, NonZeroUsize, NonZeroU32, NonZeroU16);
shown_by_display!(String, NetUid, Uid, Network, std::net::IpAddr);

impl Shown for Url {
    fn shown(&self) -> String {
        without_credentials(self.as_str())
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        u8::from(*self).to_string()
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        self.as_secs_f64().to_string()
    }
}

impl Shown for std::path::PathBuf {
    fn shown(&self) -> String {
        Path::display(self).to_string()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map(Shown::shown).unwrap_or_default()
    }
}

impl Shown for Secret {
    fn shown(&self) -> String {
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
            show: |config| $crate::Shown::shown(&config.$($field).+),
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
