use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of decimals of TAO and alpha: one TAO or alpha has 10⁹ smallest units.
const DECIMALS: usize = 9;
const UNITS_PER_TOKEN: u64 = 1_000_000_000;

/// Why a text does not parse as an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// The text does not have the form `12` or `12.345`.
    #[error(
        "malformed amount; hint: use digits with at most one decimal point between them, such as 12.5"
    )]
    Syntax,
    /// The text has more than nine decimals.
    #[error("more than nine decimals; hint: the smallest amount is 0.000000001")]
    TooFine,
    /// The amount does not fit in 64 bits, the size of amounts on the chain.
    #[error("amount too large; hint: the largest amount is 18446744073.709551615")]
    TooLarge,
}

/// Defines an amount with nine decimals, stored in its smallest unit. Text is in units of TAO or
/// alpha, parsed and formatted exactly; serde uses the integer, as on the chain.
macro_rules! amount {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The amount zero.
            pub const ZERO: Self = Self(0);

            /// Creates an amount from a number of smallest units.
            pub const fn new(units: u64) -> Self {
                Self(units)
            }

            /// Returns the amount as a number of smallest units.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns the sum, or `None` on overflow.
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Returns the difference, or `None` if negative.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }
        }

        impl FromStr for $name {
            type Err = AmountError;

            fn from_str(text: &str) -> Result<Self, AmountError> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format_units(self.0))
            }
        }
    };
}

amount! {
    /// An amount of TAO in rao (10⁻⁹ TAO). Text is in TAO: `"1.5"` is 1 500 000 000 rao.
    Rao
}

amount! {
    /// An amount of a subnet's alpha in its smallest unit (10⁻⁹). The subnet is known from context;
    /// on the root network (netuid 0) the amount is TAO.
    Alpha
}

fn parse(text: &str) -> Result<u64, AmountError> {
    let (integer, decimals) = match text.split_once('.') {
        Some((_, "")) => return Err(AmountError::Syntax),
        Some(parts) => parts,
        None => (text, ""),
    };
    if integer.is_empty()
        || !integer.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return Err(AmountError::Syntax);
    }
    if decimals.len() > DECIMALS {
        return Err(AmountError::TooFine);
    }
    let units =
        if decimals.is_empty() { 0 } else { parse_digits(&format!("{decimals:0<DECIMALS$}"))? };
    parse_digits(integer)?
        .checked_mul(UNITS_PER_TOKEN)
        .and_then(|integer| integer.checked_add(units))
        .ok_or(AmountError::TooLarge)
}

/// Parses digits; the only possible error is overflow.
fn parse_digits(digits: &str) -> Result<u64, AmountError> {
    digits.parse().map_err(|_| AmountError::TooLarge)
}

fn format_units(units: u64) -> String {
    let (integer, decimals) = (units / UNITS_PER_TOKEN, units % UNITS_PER_TOKEN);
    if decimals == 0 {
        return integer.to_string();
    }
    format!("{integer}.{decimals:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_text_is_parsed_exactly() {
        for (text, rao) in [
            ("0", 0),
            ("1", UNITS_PER_TOKEN),
            ("1.000000001", 1_000_000_001),
            ("0.1", 100_000_000),
            ("0.10", 100_000_000),
            ("007", 7 * UNITS_PER_TOKEN),
            ("18446744073.709551615", u64::MAX),
            // A float would give 0.30000000000000004.
            ("0.3", 300_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Rao::new(rao)), "{text}");
        }
    }

    #[test]
    fn malformed_amounts_have_distinct_errors() {
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "1 ", "0x1", "1.2.3", "١", "NaN"]
        {
            assert_eq!(text.parse::<Rao>(), Err(AmountError::Syntax), "{text:?}");
        }
        assert_eq!("0.0000000001".parse::<Rao>(), Err(AmountError::TooFine));
        for text in ["18446744073.709551616", "18446744074", "99999999999999999999999"] {
            assert_eq!(text.parse::<Alpha>(), Err(AmountError::TooLarge), "{text}");
        }
    }

    #[test]
    fn checked_arithmetic_returns_none_on_overflow() {
        assert_eq!(Rao::new(3).checked_sub(Rao::new(4)), None);
        assert_eq!(Rao::new(u64::MAX).checked_add(Rao::new(1)), None);
        assert_eq!(Rao::new(3).checked_add(Rao::new(4)), Some(Rao::new(7)));
    }

    #[test]
    fn amount_displays_padded_and_serialises_as_integer() {
        assert_eq!(format!("{:>8}|", Rao::new(1_500_000_000)), "     1.5|");
        assert_eq!(serde_json::to_string(&Rao::new(7)).unwrap(), "7");
    }

    proptest! {
        #[test]
        fn every_amount_round_trips(rao: u64) {
            let amount = Rao::new(rao);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }

        #[test]
        fn random_text_never_panics_and_parsed_text_round_trips(text in "[0-9.]{0,25}|.{0,30}") {
            if let Ok(amount) = text.parse::<Rao>() {
                prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            }
        }
    }
}
