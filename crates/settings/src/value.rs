//! Parsers of single values. Errors state the expected form.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::Secret;

/// The expected form of a value, as error messages show it.
pub type Expected = &'static str;

/// Parses a boolean: `1`, `true`, `yes`, `on`, `y` and their opposites, case-insensitively.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn flag(text: &str) -> Result<bool, Expected> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" => Ok(true),
        "0" | "false" | "no" | "off" | "n" => Ok(false),
        _ => Err("1 or 0"),
    }
}

/// Parses a duration in seconds, possibly fractional, of at most one day.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn seconds(text: &str) -> Result<Duration, Expected> {
    const EXPECTED: Expected = "a number of seconds from 0 to 86400";
    let seconds: f64 = text.parse().map_err(|_| EXPECTED)?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(EXPECTED)
    }
}

/// Parses a finite number.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn number(text: &str) -> Result<f64, Expected> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or("a number")
}

/// Parses any text into a `String` or a `PathBuf`.
///
/// # Errors
/// Never.
pub fn any<T: FromStr<Err = Infallible>>(text: &str) -> Result<T, Expected> {
    text.parse().map_err(|never| match never {})
}

/// An integer type of settings.
pub trait Integer: FromStr {
    /// Expected form of a value: an integer in the type's range.
    const EXPECTED: Expected;
}

macro_rules! impl_integer {
    ($($kind:ty: $range:literal),*) => {
        $(impl Integer for $kind {
            const EXPECTED: Expected = concat!("an integer ", $range);
        })*
    };
}
impl_integer!(u16: "from 0 to 65535", u32: "from 0 to 4294967295", u64: "of at least 0");
impl_integer!(NonZeroU16: "from 1 to 65535", NonZeroU32: "from 1 to 4294967295");
// The upper bounds depend on the platform.
impl_integer!(usize: "of at least 0", NonZeroUsize: "of at least 1");

/// Parses an integer in the range of `T`.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn integer<T: Integer>(text: &str) -> Result<T, Expected> {
    text.parse().map_err(|_| T::EXPECTED)
}

/// Parses an IP address or `localhost`.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn address(text: &str) -> Result<IpAddr, Expected> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| "an IP address, e.g. 127.0.0.1 or 0.0.0.0")
}

/// Parses an `http` or `https` URL.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn http_url(text: &str) -> Result<Url, Expected> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or("an http or https URL")
}

/// Wraps any text in a [`Secret`].
///
/// # Errors
/// Never.
pub fn secret(text: &str) -> Result<Option<Secret>, Expected> {
    Ok(Some(Secret::new(text)))
}
