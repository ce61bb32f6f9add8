//! Formatting of numbers, times and untrusted text.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use taonet_primitives::truncated;
use taonet_service::unix_time;

/// Maximum length of untrusted text in characters.
const MAX_TEXT: usize = 4_000;

/// Returns untrusted text with control characters escaped, truncated to 4 000 characters. maud
/// escapes the result.
pub fn printable(text: &str) -> String {
    let text = truncated(text, MAX_TEXT);
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' | '\n' | '\r' => printable.push(' '),
            _ if is_hidden(character) => {
                let _ = write!(printable, "\\u{{{:x}}}", u32::from(character));
            }
            _ => printable.push(character),
        }
    }
    printable
}

/// Returns whether a character is a control character, or reorders or hides the text around it.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Shortens an address or hash to its beginning and end, such as `5Grwva…utQY`.
pub fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= 14 {
        return text.to_owned();
    }
    let (start, end): (String, String) =
        (text.chars().take(6).collect(), text.chars().skip(count - 4).collect());
    format!("{start}…{end}")
}

/// Formats a number with `decimals` decimal places; a dash if missing or not finite.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.decimals$}"),
        None => "–".to_owned(),
    }
}

/// Formats a number without decimal places, with narrow spaces between groups of three digits; a
/// dash if not finite.
pub fn grouped(value: f64) -> String {
    let text = number(Some(value), 0);
    let mut remaining = text.bytes().filter(u8::is_ascii_digit).count();
    let mut grouped = String::with_capacity(2 * text.len());
    let mut is_first = true;
    for character in text.chars() {
        if character.is_ascii_digit() {
            if !is_first && remaining.is_multiple_of(3) {
                grouped.push('\u{202f}');
            }
            (is_first, remaining) = (false, remaining - 1);
        }
        grouped.push(character);
    }
    grouped
}

/// Formats a share as a percentage with one decimal place; a dash if missing or not finite.
pub fn percent(share: Option<f64>) -> String {
    match share.filter(|share| share.is_finite()) {
        Some(share) => format!("{:.1} %", share * 100.0),
        None => "–".to_owned(),
    }
}

/// Formats a duration in seconds with a suitable unit; a dash if missing or not finite.
pub fn duration(seconds: Option<f64>) -> String {
    match seconds.filter(|seconds| seconds.is_finite()) {
        Some(seconds) if seconds.abs() >= 120.0 => format!("{:.1} min", seconds / 60.0),
        Some(seconds) if seconds.abs() >= 0.1 || seconds == 0.0 => format!("{seconds:.2} s"),
        Some(seconds) => format!("{:.0} ms", seconds * 1000.0),
        None => "–".to_owned(),
    }
}

/// Returns the current time in seconds since the Unix epoch.
pub fn now_unix() -> i64 {
    i64::try_from(unix_time(SystemTime::now()).as_secs()).unwrap_or(i64::MAX)
}

/// Formats a time in seconds since the Unix epoch, in UTC.
pub fn timestamp(unix: i64) -> String {
    match Timestamp::from_second(unix) {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => "–".to_owned(),
    }
}

/// Formats the approximate time since `unix`, such as `5 min ago`. Both arguments are in seconds
/// since the Unix epoch.
pub fn ago(unix: i64, now_unix: i64) -> String {
    match now_unix.saturating_sub(unix) {
        seconds if seconds < 0 => "just now".to_owned(),
        seconds if seconds < 120 => format!("{seconds} s ago"),
        seconds if seconds < 7_200 => format!("{} min ago", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d\u{0}"), "a\\u{1b}[2Jb c\\u{202e}d\\u{0}");
        assert_eq!(printable("größer — 漢字"), "größer — 漢字");
        assert_eq!(printable(&"x".repeat(MAX_TEXT + 5)).chars().count(), MAX_TEXT + 1);
    }

    #[test]
    fn numbers_are_formatted_with_units_and_absent_ones_as_dash() {
        assert_eq!(number(Some(0.12345), 3), "0.123");
        assert_eq!(number(Some(f64::NAN), 3), "–");
        for (value, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.5, "1\u{202f}000"),
            (-123_456.0, "-123\u{202f}456"),
            (6e6, "6\u{202f}000\u{202f}000"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(grouped(value), text);
        }
        assert_eq!(percent(Some(0.5)), "50.0 %");
        for (seconds, text) in
            [(0.0, "0.00 s"), (0.02, "20 ms"), (1.5, "1.50 s"), (180.0, "3.0 min")]
        {
            assert_eq!(duration(Some(seconds)), text);
        }
        assert_eq!(timestamp(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(timestamp(i64::MAX), "–");
        for (unix, text) in [
            (200, "just now"),
            (100, "0 s ago"),
            (-7_100, "2 h ago"),
            (i64::MIN, "106751991167300 days ago"),
        ] {
            assert_eq!(ago(unix, 100), text);
        }
    }

    #[test]
    fn shortened_addresses_keep_both_ends() {
        assert_eq!(shortened("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), "5Grwva…utQY");
        assert_eq!(shortened("short"), "short");
    }
}
