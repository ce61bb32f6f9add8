//! Hex text with the prefix `0x`, as in keyfiles.

use zeroize::Zeroizing;

/// Parses exactly `2 N` hex digits, with or without `0x`.
pub(crate) fn secret_from_hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

/// Formats bytes as `0x` and two hex digits per byte.
pub(crate) fn secret_to_hex(bytes: &[u8]) -> Zeroizing<String> {
    // Allocated at full length: a growing buffer leaves copies behind.
    let mut digits = Zeroizing::new(vec![0; bytes.len().saturating_mul(2)]);
    let mut text = Zeroizing::new(String::with_capacity(digits.len().saturating_add(2)));
    text.push_str("0x");
    if hex::encode_to_slice(bytes, &mut digits).is_ok() {
        text.extend(digits.iter().map(|digit| char::from(*digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips() {
        assert_eq!(*secret_to_hex(&[0, 0xab]), "0x00ab");
        for text in ["0x00ab", "00ab", "00AB"] {
            assert_eq!(secret_from_hex::<2>(text).as_deref(), Some(&[0, 0xab]), "{text}");
        }
        for text in ["", "0x", "0x00a", "0x00abcd", "0xzzzz", "0X00ab", "0x0x00ab"] {
            assert_eq!(secret_from_hex::<2>(text), None, "{text}");
        }
    }
}
