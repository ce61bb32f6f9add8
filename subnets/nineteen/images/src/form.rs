//! Forms of `/v1/images/edits`.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use multer::{Multipart, parse_boundary};
use serde_json::{Map, Number, Value};

/// Maximum number of fields; OpenAI's API has fewer than 20.
const MAX_FIELDS: usize = 64;
/// Fields with files.
const FILE_FIELDS: [&str; 2] = ["image", "mask"];
/// Fields with numbers; all others are texts or flags.
const NUMBER_FIELDS: [&str; 9] = [
    "n",
    "seed",
    "steps",
    "cfg_scale",
    "image_strength",
    "output_compression",
    "partial_images",
    "width",
    "height",
];
/// Fields with flags.
const FLAG_FIELDS: [&str; 1] = ["stream"];

/// Why a form is malformed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// The body is not a form of type `multipart/form-data`.
    #[error("the request body is not a multipart form: {0}")]
    Malformed(#[from] multer::Error),
    /// A field occurs twice.
    #[error("the form has more than one field {0}")]
    Duplicate(String),
    /// The form has too many fields.
    #[error("the form has more than {MAX_FIELDS} fields")]
    TooMany,
}

/// Parses a form into the JSON object that other routes receive: files in base64, numbers and flags
/// as such, all other fields as texts. `image[]` counts as `image`. Values that are no
/// numbers remain texts, so that the error about them names the field.
///
/// # Errors
/// [`FormError`] when the body is not such a form, or has a field twice.
pub async fn parse_edit_form(
    content_type: &str,
    body: Bytes,
) -> Result<Map<String, Value>, FormError> {
    let mut form = Multipart::new(
        stream::once(ready(Ok::<_, Infallible>(body))),
        parse_boundary(content_type)?,
    );
    let mut fields = Map::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default();
        let name = name.strip_suffix("[]").unwrap_or(name).to_owned();
        if fields.len() >= MAX_FIELDS {
            return Err(FormError::TooMany);
        }
        let value = if FILE_FIELDS.contains(&name.as_str()) {
            STANDARD.encode(field.bytes().await?).into()
        } else {
            parse_value(&name, field.text().await?)
        };
        if fields.insert(name.clone(), value).is_some() {
            return Err(FormError::Duplicate(name));
        }
    }
    Ok(fields)
}

fn parse_value(name: &str, text: String) -> Value {
    let number = || serde_json::from_str::<Number>(text.trim()).ok().map(Value::Number);
    let flag = || text.trim().parse::<bool>().ok().map(Value::Bool);
    let parsed = match name {
        _ if NUMBER_FIELDS.contains(&name) => number(),
        _ if FLAG_FIELDS.contains(&name) => flag(),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(name: &str, parameters: &str, value: &str) -> String {
        format!(
            "--b\r\ncontent-disposition: form-data; name=\"{name}\"{parameters}\r\n\r\n{value}\r\n"
        )
    }

    async fn parse(parts: &[String]) -> Result<Value, String> {
        let body = format!("{}--b--\r\n", parts.concat());
        let fields = parse_edit_form("multipart/form-data; boundary=b", body.into()).await;
        fields.map(Value::Object).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn edit_form_is_converted_to_json_fields() {
        let parts = [
            part("image[]", "; filename=\"a.png\"", "file"),
            part("mask", "", "mask"),
            part("prompt", "", "7"),
            part("n", "", "2"),
            part("cfg_scale", "", "2.5"),
            part("seed", "", "many"),
            part("stream", "", "false"),
        ];
        let expected = json!({
            "image": "ZmlsZQ==", "mask": "bWFzaw==", "prompt": "7", "n": 2, "cfg_scale": 2.5,
            "seed": "many", "stream": false,
        });
        assert_eq!(parse(&parts).await, Ok(expected));
        let duplicate_image =
            [part("image", "; filename=\"a\"", "a"), part("image[]", "; filename=\"b\"", "b")];
        assert_eq!(
            parse(&duplicate_image).await.unwrap_err(),
            "the form has more than one field image"
        );
        let too_many_parts: Vec<_> =
            (0..=MAX_FIELDS).map(|index| part(&format!("a{index}"), "", "1")).collect();
        assert_eq!(parse(&too_many_parts).await.unwrap_err(), "the form has more than 64 fields");
        for (kind, body) in [
            ("text/plain", ""),
            ("multipart/form-data", ""),
            ("multipart/form-data; boundary=b", "--b\r\n"),
        ] {
            let error = parse_edit_form(kind, body.into()).await.unwrap_err();
            assert!(matches!(error, FormError::Malformed(_)), "{kind}: {error}");
        }
    }
}
