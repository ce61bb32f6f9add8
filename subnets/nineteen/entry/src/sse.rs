//! Text of server-sent events.

use serde_json::Value;

/// Line separators that JSON texts may contain.
const SEPARATORS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Returns an event with a name, which is also the `type` in its JSON object.
pub(crate) fn named_event(name: &str, mut data: Value) -> String {
    if let Some(data) = data.as_object_mut() {
        data.insert("type".to_owned(), name.into());
    }
    let mut event = format!("event: {name}\ndata: {data}\n\n");
    escape_separators(&mut event, 0);
    event
}

/// Escapes Unicode's line separators in the JSON after position `start`: clients such as Python's
/// httpx end a line of an event stream at each of them.
pub(crate) fn escape_separators(events: &mut String, start: usize) {
    let json = events.get(start..).unwrap_or_default();
    if json.is_ascii() || !json.contains(SEPARATORS) {
        return;
    }
    let escape = |character: char| match character {
        character if SEPARATORS.contains(&character) => format!("\\u{:04x}", u32::from(character)),
        character => character.to_string(),
    };
    let escaped: String = json.chars().map(escape).collect();
    events.truncate(start);
    events.push_str(&escaped);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn line_separators_are_escaped_in_events() {
        let mut events = "data: \u{2028}\n\n".to_owned();
        let start = events.len();
        events.push_str("data: {\"a\":\"h\u{e9}\u{85}\u{2028}\u{2029}\"}\n\n");
        escape_separators(&mut events, start);
        assert_eq!(events, "data: \u{2028}\n\ndata: {\"a\":\"h\u{e9}\\u0085\\u2028\\u2029\"}\n\n");
    }

    #[test]
    fn event_has_its_name_as_type() {
        let event = named_event("ping", json!({"a": "\u{2028}"}));
        assert_eq!(event, "event: ping\ndata: {\"a\":\"\\u2028\",\"type\":\"ping\"}\n\n");
    }
}
