//! Base 58 in Bitcoin's alphabet. Signed requests contain addresses, so several digits are
//! converted at a time.

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Number of digits that are converted at a time.
const GROUP_DIGITS: usize = 5;
/// Number of values of a group, which fits 32 bits.
const GROUP_VALUES: u64 = 58_u64.pow(5);

/// Encodes bytes. Each leading zero byte is a leading `1`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let to_word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    // The most significant word comes first, and the least significant digit.
    let mut words: Vec<u32> = bytes.rchunks(4).rev().map(to_word).collect();
    let (mut digits, mut start) = (Vec::with_capacity(2 * bytes.len()), 0);
    while let Some(remaining) = words.get_mut(start..).filter(|words| !words.is_empty()) {
        let mut group = 0;
        for word in &mut *remaining {
            let dividend = group << 32 | u64::from(*word);
            *word = (dividend / GROUP_VALUES) as u32;
            group = dividend % GROUP_VALUES;
        }
        start += usize::from(remaining.first() == Some(&0));
        for _ in 0..GROUP_DIGITS {
            digits.extend(ALPHABET.get((group % 58) as usize));
            group /= 58;
        }
    }
    let length = digits.iter().rposition(|digit| *digit != b'1').map_or(0, |last| last + 1);
    let zeros = bytes.iter().take_while(|byte| **byte == 0).map(|_| b'1');
    zeros.chain(digits.into_iter().take(length).rev()).map(char::from).collect()
}

/// Decodes a text; `None` if it has a character outside the alphabet.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    // The least significant word comes first.
    let mut words: Vec<u32> = Vec::new();
    for group in text.as_bytes().chunks(GROUP_DIGITS) {
        let (mut value, mut group_values) = (0, 1);
        for digit in group {
            value = value * 58 + digit_value(*digit)?;
            group_values *= 58;
        }
        for word in &mut words {
            let sum = u64::from(*word) * group_values + value;
            (*word, value) = (sum as u32, sum >> 32);
        }
        if value > 0 {
            words.push(value as u32);
        }
    }
    let bytes = words.iter().rev().flat_map(|word| word.to_be_bytes());
    let bytes = bytes.skip_while(|byte| *byte == 0);
    let zeros = text.bytes().take_while(|digit| *digit == b'1').map(|_| 0);
    Some(zeros.chain(bytes).collect())
}

/// Returns the value of a digit, by the ranges of the alphabet.
const fn digit_value(digit: u8) -> Option<u64> {
    let value = match digit {
        b'1'..=b'9' => digit - b'1',
        b'A'..=b'H' => digit - b'A' + 9,
        b'J'..=b'N' => digit - b'J' + 17,
        b'P'..=b'Z' => digit - b'P' + 22,
        b'a'..=b'k' => digit - b'a' + 33,
        b'm'..=b'z' => digit - b'm' + 44,
        _ => return None,
    };
    Some(value as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn encoding_matches_another_implementation(zeros in 0_usize..6, end: Vec<u8>) {
            let bytes = [vec![0; zeros], end].concat();
            let text = bs58::encode(&bytes).into_string();
            prop_assert_eq!(encode(&bytes), text.clone());
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn decoding_matches_another_implementation(text in "[0-9A-Za-z]{0,70}|.{0,9}") {
            prop_assert_eq!(decode(&text), bs58::decode(&text).into_vec().ok());
        }
    }
}
