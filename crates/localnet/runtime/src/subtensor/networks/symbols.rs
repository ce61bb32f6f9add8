//! Symbols of the subnets' alpha.

use crate::types::NetUid;

/// Returns the symbol of a subnet's alpha: τ for root, then the lowercase letters of Greek and the letters of Hebrew
/// and Arabic; a default for all later netuids. Subnet 19 has a Latin t, because tau is root's.
pub(super) fn symbol(netuid: NetUid) -> String {
    const DEFAULT: &str = "\u{1d70f}";
    let at = |first: u32, offset: u16| char::from_u32(first.saturating_add(u32::from(offset)));
    let letter = match netuid.0 {
        0 => Some('τ'),
        19 => Some('t'),
        // The small letters of Greek, without the final sigma.
        number @ 1..=17 => at(u32::from('α'), number.saturating_sub(1)),
        number @ 18..=24 => at(u32::from('σ'), number.saturating_sub(18)),
        number @ 25..=51 => at(u32::from('א'), number.saturating_sub(25)),
        // The letters of Arabic, without the marks and the letters of other languages among them.
        number @ 52..=80 => "ابتثجحخدذرزسشصضطظعغفقكلمنهويى".chars().nth(usize::from(number.saturating_sub(52))),
        _ => None,
    };
    letter.map_or_else(|| DEFAULT.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_has_the_letter_of_its_number() {
        for (netuid, letter) in [
            (0, "τ"),
            (1, "α"),
            (2, "β"),
            (16, "π"),
            (17, "ρ"),
            (18, "σ"),
            (19, "t"),
            (20, "υ"),
            (24, "ω"),
            (25, "א"),
            (51, "ת"),
            (52, "ا"),
            (59, "د"),
            (64, "ش"),
            (80, "ى"),
            (81, "\u{1d70f}"),
            (u16::MAX, "\u{1d70f}"),
        ] {
            assert_eq!(symbol(NetUid(netuid)), letter, "{netuid}");
        }
    }
}
