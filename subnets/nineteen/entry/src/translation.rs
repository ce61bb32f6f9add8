//! Parts of chat completion requests that the translations from other protocols share.

use serde_json::{Map, Value, json};

/// Returns the text of a message's content: a string, or the joined texts of an array whose parts
/// all have one of these types.
pub(crate) fn joined_text(content: &Value, types: &[&str], separator: &str) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Option<Vec<&str>> = parts.iter().map(|part| text_of(part, types)).collect();
            Some(texts?.join(separator))
        }
        _ => None,
    }
}

/// Returns the text of a part if it has one of these types.
pub(crate) fn text_of<'a>(part: &'a Value, types: &[&str]) -> Option<&'a str> {
    part.get("type")?.as_str().filter(|kind| types.contains(kind))?;
    part.get("text")?.as_str()
}

/// Returns a tool of a chat: a function with its name, description and parameters.
pub(crate) fn function_tool(function: &Map<String, Value>) -> Value {
    json!({"type": "function", "function": function})
}

/// Returns the choice of a tool by its name.
pub(crate) fn function_choice(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

/// Returns a tool call of an assistant's message.
pub(crate) fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// Returns the message with the result of a tool call.
pub(crate) fn tool_message(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}
