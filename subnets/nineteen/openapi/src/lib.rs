//! OpenAPI document of Nineteen's gateway: its routes, with the schemas of requests, answers and
//! errors.
//!
//! [`document`] returns the document as JSON, which the gateway serves at `/openapi.json`:
//!
//! ```
//! use serde_json::Value;
//!
//! let document: Value = serde_json::from_str(taonet_nineteen_openapi::document())?;
//! let chat = &document["paths"]["/v1/chat/completions"]["post"];
//! assert_eq!(chat["operationId"], "chat_completions");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! Schemas of requests list exactly the fields that the gateway accepts, and their values: a test
//! of the gateway sends random requests with schemathesis, and checks that the gateway accepts
//! those that match. A few conditions between fields are missing, which a schema cannot express, or
//! which would make it too large for programs. The constants are values that both the gateway's
//! parsers and the schemas list.
//!
//! The crate describes the routes only; the gateway has the handlers, the parsers, and all limits
//! that do not depend on a field alone. Responses are described in outline: clients know their
//! format from OpenAI's and Anthropic's own documents.
//!
//! Uses no other crate of the workspace. Used by `taonet-nineteen-entry`.

mod paths;
mod schemas;

use std::sync::LazyLock;

/// Values of `reasoning_effort`, and of `reasoning.effort` in `/v1/responses`.
pub const REASONING_EFFORTS: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];
/// Values of `verbosity`, and of `text.verbosity` in `/v1/responses`.
pub const VERBOSITIES: [&str; 3] = ["low", "medium", "high"];
/// Values of `reasoning.summary` in `/v1/responses`, and of its former name, `generate_summary`.
pub const SUMMARIES: [&str; 3] = ["auto", "concise", "detailed"];
/// Value of `include` in `/v1/responses` for the log-probabilities of the answer's tokens.
pub const INCLUDED_LOGPROBS: &str = "message.output_text.logprobs";
/// Values of `include` in `/v1/responses`. The output has the reasoning as text, so the encrypted
/// form has no effect.
pub const INCLUDE_VALUES: [&str; 2] = ["reasoning.encrypted_content", INCLUDED_LOGPROBS];
/// Sampling parameters of vLLM that are true or false.
pub const VLLM_FLAGS: [&str; 4] = [
    "ignore_eos",
    "include_stop_str_in_output",
    "skip_special_tokens",
    "spaces_between_special_tokens",
];
/// Options of a chat template (`chat_template_kwargs`) with which vLLM replaces the template or its
/// output. The gateway rejects them: miners use the model's own template.
pub const TEMPLATE_OVERRIDES: [&str; 2] = ["chat_template", "tokenize"];

/// Returns the OpenAPI document as JSON.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> =
        LazyLock::new(|| paths::build_document().to_json().unwrap_or_default());
    DOCUMENT.as_str()
}

/// Returns whether a path is that of a route of Anthropic's API, whose errors have another format.
pub fn is_message_route(path: &str) -> bool {
    path.strip_prefix("/v1/messages").is_some_and(|path| path.is_empty() || path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_message_routes_have_the_anthropic_format() {
        for (path, expected) in [
            ("/v1/messages", true),
            ("/v1/messages/count_tokens", true),
            ("/v1/messages/batches", true),
            ("/v1/messagesx", false),
            ("/v1/chat/completions", false),
        ] {
            assert_eq!(is_message_route(path), expected, "{path}");
        }
    }
}
