//! Messages of a chat.

use serde_json::Value;

use super::functions::translate_messages;
use super::{Fields, MAX_MESSAGES};
use crate::GatewayError;
use crate::vision::{check_image, is_image};

impl Fields {
    /// Takes the messages of a chat. Returns them, and the names of the fields with images.
    pub(super) fn take_messages(&mut self) -> Result<(Vec<Value>, Vec<String>), GatewayError> {
        let mut messages = match self.take("messages") {
            Some(Value::Array(messages)) if (1..=MAX_MESSAGES).contains(&messages.len()) => {
                messages
            }
            _ => {
                return Err(GatewayError::field(
                    "messages",
                    "messages must be an array of 1..=1024 messages",
                ));
            }
        };
        translate_messages(&mut messages)?;
        let mut images = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
            if !matches!(role, "system" | "developer" | "user" | "assistant" | "tool") {
                let param = format!("messages[{index}].role");
                let message =
                    format!("{param} must be system, developer, user, assistant, tool or function");
                return Err(GatewayError::field(param, message));
            }
            let content = message.get("content").unwrap_or(&Value::Null);
            let has_calls = message.get("tool_calls").is_some_and(Value::is_array);
            match content {
                Value::Array(parts) => check_parts(parts, (index, role), &mut images)?,
                Value::String(_) => {}
                Value::Null if has_calls => {}
                _ => {
                    let param = format!("messages[{index}].content");
                    let message = format!("{param} must be a string or an array of parts");
                    return Err(GatewayError::field(param, message));
                }
            }
        }
        Ok((messages, images))
    }
}

/// Checks the parts of a message: texts and, in a user's message, images, whose fields are appended
/// to `images`. The tasks' models process no audio or files.
fn check_parts(
    parts: &[Value],
    (message, role): (usize, &str),
    images: &mut Vec<String>,
) -> Result<(), GatewayError> {
    let is_text = |part: &Value| {
        part.get("type").and_then(Value::as_str) == Some("text")
            && part.get("text").is_some_and(Value::is_string)
    };
    for (index, part) in parts.iter().enumerate() {
        if is_text(part) {
            continue;
        }
        let param = format!("messages[{message}].content[{index}]");
        let result = if is_image(part) && role == "user" {
            check_image(part)
        } else {
            Err(
                "must have the type text and a string text, or be an image in a user's message; other parts are not \
                 supported",
            )
        };
        result
            .map_err(|problem| GatewayError::field(param.clone(), format!("{param} {problem}")))?;
        images.push(param);
    }
    Ok(())
}
