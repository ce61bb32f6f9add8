//! Limits on the size of requests to miners, which are larger than buyers' bodies: encryption
//! encodes them in base64, and characters other than ASCII are escaped.

use serde_json::{Map, Value};
use taonet_nineteen_core::payload::{TextInput, TextPayload};
use taonet_nineteen_query::{MAX_REQUEST_BYTES, sealed_size};

use crate::GatewayError;
use crate::request::TextRequest;
use crate::vision::largest_image;

/// Maximum size in bytes of the encrypted requests for all choices together. One miner may get all
/// of them, and reserves this much memory for large requests.
const MAX_CHOICES_BYTES: usize = 4 * MAX_REQUEST_BYTES;
/// Maximum encrypted size in bytes of the fields of a text request beside its input and the buyer's
/// options.
const OTHER_FIELDS_BYTES: usize = 1_024;
/// Maximum size of a character in JSON, relative to that in UTF-8: control characters are escaped.
const MAX_ESCAPE_LENGTH: usize = 6;
/// Maximum size in bytes of a JSON number, of `true`, `false` and `null`.
const MAX_SCALAR_LENGTH: usize = 32;
/// Maximum size in bytes of the quotes, brackets and separators around a JSON value.
const MAX_PUNCTUATION_BYTES: usize = 6;

/// Checks that miners accept a text request of this size, for each of its answers.
///
/// # Errors
/// [`GatewayError::TooLarge`], which names the largest image, or the number of answers.
pub(crate) fn check_text(request: &TextRequest) -> Result<(), GatewayError> {
    let TextRequest { payload, extra_prompts, image_fields, answers_per_prompt, .. } = request;
    // For most requests, an upper bound suffices, which needs no pass over their texts. Encryption
    // adds less than half.
    let upper_bound = 2 * (max_size(payload) + OTHER_FIELDS_BYTES);
    if extra_prompts.is_empty()
        && upper_bound <= MAX_REQUEST_BYTES
        && upper_bound.saturating_mul(*answers_per_prompt) <= MAX_CHOICES_BYTES
    {
        return Ok(());
    }
    let prompt_size = |prompt: &String| sealed_size(&(prompt, &payload.extra_fields));
    let first = match &payload.input {
        TextInput::Messages(messages) => sealed_size(&(messages, &payload.extra_fields)),
        TextInput::Prompt(prompt) => prompt_size(prompt),
    };
    let mut total = 0_usize;
    for size in std::iter::once(first).chain(extra_prompts.iter().map(prompt_size)) {
        let size = size + OTHER_FIELDS_BYTES;
        check_size(size, || largest_image(payload, image_fields))?;
        // Stop at the limit: computing each size takes as long as encoding the request.
        total = total.saturating_add(size.saturating_mul(*answers_per_prompt));
        check_choices(total, request.answer_count(), request.count_field())?;
    }
    Ok(())
}

/// Returns an upper bound of the size in bytes of a request's input and the buyer's options, before
/// encryption.
fn max_size(payload: &TextPayload) -> usize {
    let input: usize = match &payload.input {
        TextInput::Messages(messages) => messages.iter().map(max_size_of_value).sum(),
        TextInput::Prompt(prompt) => max_size_of_text(prompt),
    };
    input + max_size_of_fields(&payload.extra_fields)
}

fn max_size_of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => max_size_of_text(text),
        Value::Array(values) => {
            values.iter().map(max_size_of_value).sum::<usize>() + MAX_PUNCTUATION_BYTES
        }
        Value::Object(fields) => max_size_of_fields(fields),
        _ => MAX_SCALAR_LENGTH,
    }
}

fn max_size_of_fields(fields: &Map<String, Value>) -> usize {
    let sizes =
        fields.iter().map(|(name, value)| max_size_of_text(name) + max_size_of_value(value));
    sizes.sum::<usize>() + MAX_PUNCTUATION_BYTES
}

const fn max_size_of_text(text: &str) -> usize {
    MAX_ESCAPE_LENGTH * text.len() + MAX_PUNCTUATION_BYTES
}

/// Checks that miners accept a number of requests for images. `size` is that of the fields with
/// images, encrypted; `param` is the buyer's field with an image.
///
/// # Errors
/// [`GatewayError::TooLarge`], which names the image or the number.
pub(crate) fn check_image(size: usize, count: usize, param: &str) -> Result<(), GatewayError> {
    check_size(size, || Some(param))?;
    check_choices(size.saturating_mul(count), count, "n")
}

/// Checks the size of the requests for a number of choices together, which depends on the buyer's
/// field `field`.
fn check_choices(size: usize, choices: usize, field: &str) -> Result<(), GatewayError> {
    if size <= MAX_CHOICES_BYTES {
        return Ok(());
    }
    let message = format!(
        "{field}: the requests for {choices} choices have {size} bytes or more together, but may have {MAX_CHOICES_BYTES}; \
         hint: request fewer choices"
    );
    Err(GatewayError::TooLarge { param: Some(field.to_owned()), message })
}

/// Checks that miners accept a request of `size` bytes, encrypted. `param` returns the field to
/// shorten.
///
/// # Errors
/// [`GatewayError::TooLarge`].
pub(crate) fn check_size<'a>(
    size: usize,
    param: impl FnOnce() -> Option<&'a str>,
) -> Result<(), GatewayError> {
    if size <= MAX_REQUEST_BYTES {
        return Ok(());
    }
    let param = param();
    let field_name = param.unwrap_or("the request");
    let message = format!(
        "{field_name} is too large: the encrypted request would have {size} bytes, but miners accept \
         {MAX_REQUEST_BYTES}; hint: send less text, or smaller or fewer images"
    );
    Err(GatewayError::TooLarge { param: param.map(str::to_owned), message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::vision::image_part;

    /// Returns a chat with images of these sizes, in bytes of base64.
    fn chat(sizes: &[usize]) -> TextRequest {
        let image =
            |size: &usize| image_part(&format!("data:image/jpeg;base64,/9j/{}", "A".repeat(*size)));
        let images: Vec<Value> = sizes.iter().map(image).collect();
        let body = json!({"model": "m", "messages": [{"role": "user", "content": images}]});
        TextRequest::parse_chat(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn oversized_request_error_names_the_field() {
        for (sizes, choices, param) in [
            (vec![8 << 20], 1, None),
            (vec![1 << 20, 10 << 20], 1, None),
            (vec![1 << 20, 8 << 20, 4 << 20], 1, Some("messages[0].content[1]")),
            (vec![1 << 20], 8, None),
            (vec![7 << 20], 8, Some("n")),
        ] {
            let request = TextRequest {
                choices_per_prompt: choices,
                answers_per_prompt: choices,
                ..chat(&sizes)
            };
            let checked = check_text(&request);
            let is_accepted = sealed_size(&request.payload.clone().into_map()) <= MAX_REQUEST_BYTES;
            match param {
                None => assert!(checked.is_ok() && is_accepted, "{sizes:?}: {checked:?}"),
                Some(param) => {
                    let Err(GatewayError::TooLarge { param: named, .. }) = &checked else {
                        panic!("{checked:?}")
                    };
                    assert_eq!((named.as_deref(), is_accepted), (Some(param), param == "n"));
                }
            }
        }
    }

    #[test]
    fn size_bound_is_at_least_the_encrypted_size() {
        for length in 0..200 {
            for character in ["a", "\u{e9}", "\u{65e5}", "\u{1f600}", "\n", "\u{1}", "\u{7f}"] {
                let text = character.repeat(length);
                let tools =
                    json!([{(text.as_str()): [text, [], {}, null, true, f64::MIN, u64::MAX]}]);
                let body = json!({"model": "m", "messages": [{"role": "user", "content": text}], "stop": "x",
                    "tools": [{"type": "function", "function": {"parameters": tools}}]});
                let request = TextRequest::parse_chat(body.to_string().as_bytes()).unwrap();
                let size = sealed_size(&request.payload.clone().into_map());
                let upper_bound = 2 * (max_size(&request.payload) + OTHER_FIELDS_BYTES);
                assert!(size <= upper_bound, "{size} {upper_bound}: {body}");
            }
        }
    }

    /// The payload has more fields than those whose size is computed.
    #[test]
    fn size_estimate_is_at_least_the_payload_size() {
        let request = chat(&[16]);
        let TextInput::Messages(messages) = &request.payload.input else {
            panic!("a chat has messages")
        };
        let size = sealed_size(&(messages, &request.payload.extra_fields)) + OTHER_FIELDS_BYTES;
        let payload =
            TextPayload { model: "m".repeat(128), max_tokens: 32_768, ..request.payload.clone() };
        assert!(size >= sealed_size(&payload.into_map()));
    }
}
