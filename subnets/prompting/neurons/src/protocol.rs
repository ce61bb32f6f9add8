use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_kit::{Protocol, QueryLimits, SynapseClass, SynapseError};
use taonet_lm::Message;

use crate::bounded::bounded_list;

/// Maximum number of messages of a conversation.
const MAX_MESSAGES: usize = 1_024;
/// Maximum size of the messages of a conversation in bytes.
const MAX_CONVERSATION_BYTES: usize = 64 << 10;
/// Maximum size of a response in bytes: it repeats the conversation, and both can be written with
/// escapes.
const MAX_RESPONSE_BYTES: usize = 512 << 10;

/// A conversation, and its completion. In Python:
///
/// ```python
/// class Prompting(bt.Synapse):
///     roles: List[str]
///     messages: List[str]
///     completion: str = ""
///     required_hash_fields: ClassVar[tuple[str, ...]] = ("messages",)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Prompting {
    /// Role of the author of each message: `system`, `user` or `assistant`.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_MESSAGES>")]
    pub roles: Vec<String>,
    /// Text of each message.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_MESSAGES>")]
    pub messages: Vec<String>,
    /// The completion: the assistant's next message. Empty in requests.
    #[serde(default)]
    pub completion: String,
}

impl Protocol for Prompting {
    fn class() -> SynapseClass {
        SynapseClass::new("Prompting")
            .hash(["messages"])
            .required("roles", json!([]))
            .required("messages", json!([]))
    }
}

/// A conversation whose completion arrives as a stream of text. In Python, a class with the fields
/// of `Prompting` that derives from `bt.StreamingSynapse`, whose response is the text alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamPrompting(pub Prompting);

impl Protocol for StreamPrompting {
    fn class() -> SynapseClass {
        SynapseClass::new("StreamPrompting")
            .hash(["messages"])
            .required("roles", json!([]))
            .required("messages", json!([]))
    }
}

impl Prompting {
    /// Creates the request to complete a conversation.
    pub fn new(conversation: &[Message]) -> Self {
        Self {
            roles: conversation.iter().map(|message| message.role.clone()).collect(),
            messages: conversation.iter().map(|message| message.content.clone()).collect(),
            completion: String::new(),
        }
    }

    /// Returns the messages with their roles.
    ///
    /// # Errors
    /// Status 400 for the caller when there is no message, or the numbers of roles and messages
    /// differ; status 413 when the messages have more than 64 KiB.
    pub fn conversation(&self) -> Result<Vec<Message>, SynapseError> {
        if self.messages.is_empty() {
            return Err(SynapseError::new(
                StatusCode::BAD_REQUEST,
                "the conversation has no message",
            ));
        }
        if self.roles.len() != self.messages.len() {
            return Err(SynapseError::new(
                StatusCode::BAD_REQUEST,
                "the conversation needs one role for each message",
            ));
        }
        if self.messages.iter().map(String::len).sum::<usize>() > MAX_CONVERSATION_BYTES {
            return Err(SynapseError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the conversation is longer than 64 KiB",
            ));
        }
        Ok(self.messages_with_roles())
    }

    /// Returns the messages with their roles, without checks; messages that lack a role are
    /// missing.
    pub(crate) fn messages_with_roles(&self) -> Vec<Message> {
        self.roles
            .iter()
            .zip(&self.messages)
            .map(|(role, content)| Message::new(role, content))
            .collect()
    }
}

/// Returns the text of a conversation's last message.
pub(crate) fn last_text(conversation: &[Message]) -> &str {
    conversation.last().map(|message| message.content.as_str()).unwrap_or_default()
}

/// Returns the limits of the subnet's requests with this timeout: 64 concurrent ones, and
/// responses of up to 512 KiB.
pub fn query_limits(timeout: Duration) -> QueryLimits {
    QueryLimits {
        deadline: timeout,
        max_response_bytes: MAX_RESPONSE_BYTES,
        ..QueryLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use taonet_wallet::Keypair;
    use taonet_wire::{DendriteScheme, Peer, Signer};

    use super::*;

    /// The body hash is SHA3-256 of the hexadecimal SHA3-256 of `str(messages)`, as the Python SDK
    /// computes it.
    #[test]
    fn headers_match_the_python_class() {
        let keypair = Keypair::from_uri("//Alice").unwrap();
        let peer = Peer::new(keypair.hotkey(), "10.0.0.1", 8091).unwrap();
        let signer =
            Signer::new(keypair, "10.0.0.2", DendriteScheme::new().class(Prompting::class()));
        let request = Prompting::new(&[
            Message::new("system", "Answer briefly."),
            Message::new("user", "What is 2 + 2?"),
        ]);
        let body = serde_json::to_vec(&request).unwrap();
        let timeout = Duration::from_secs(12);
        let headers = signer
            .headers(&peer, &Method::POST, "/Prompting", "Prompting", timeout, &body)
            .unwrap();
        for (name, value) in [
            ("name", "Prompting"),
            ("bt_header_input_obj_roles", "W10="),
            ("bt_header_input_obj_messages", "W10="),
            (
                "computed_body_hash",
                "440a59230544c68cf612ebc331cfda6834cfb9399f0463537bd972ee2ddacba5",
            ),
        ] {
            assert_eq!(
                headers.get(name).and_then(|value| value.to_str().ok()),
                Some(value),
                "{name}"
            );
        }
    }

    #[test]
    fn body_of_a_python_synapse_is_read() {
        let body = json!({
            "name": "Prompting", "timeout": 12.0, "total_size": 0, "header_size": 0, "computed_body_hash": "",
            "roles": ["user"], "messages": ["Hello"], "completion": "Hi!",
        });
        let read: Prompting = serde_json::from_value(body).unwrap();
        assert_eq!(
            read,
            Prompting {
                completion: "Hi!".to_owned(),
                ..Prompting::new(&[Message::new("user", "Hello")])
            }
        );
        let without = json!({"roles": ["user"], "messages": ["Hello"]});
        assert_eq!(serde_json::from_value::<Prompting>(without).unwrap().completion, "");
    }

    /// Columns: number of roles · number of messages · whether it is a conversation
    #[test]
    fn conversation_has_a_role_for_each_message() {
        for (roles, messages, is_valid) in
            [(1, 1, true), (3, 3, true), (0, 0, false), (1, 2, false), (2, 1, false)]
        {
            let texts = |count| vec!["user".to_owned(); count];
            let request = Prompting {
                roles: texts(roles),
                messages: texts(messages),
                completion: String::new(),
            };
            assert_eq!(request.conversation().is_ok(), is_valid, "{roles} {messages}");
        }
        let conversation = [Message::new("system", "Be brief."), Message::new("user", "Hello")];
        assert_eq!(Prompting::new(&conversation).conversation().unwrap(), conversation);
        let long = Prompting::new(&[Message::new("user", "x".repeat(MAX_CONVERSATION_BYTES + 1))])
            .conversation()
            .unwrap_err();
        assert_eq!(
            long,
            SynapseError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the conversation is longer than 64 KiB"
            )
        );
    }

    #[test]
    fn prompting_with_overlong_lists_is_refused() {
        let read = |roles: usize, messages: usize| {
            let body =
                json!({ "roles": vec![""; roles], "messages": vec![""; messages] }).to_string();
            serde_json::from_str::<Prompting>(&body)
        };
        assert_eq!(read(MAX_MESSAGES, MAX_MESSAGES).unwrap().roles.len(), MAX_MESSAGES);
        for (roles, messages) in [(MAX_MESSAGES + 1, 1), (1, MAX_MESSAGES + 1)] {
            let error = read(roles, messages).unwrap_err().to_string();
            assert!(
                error.starts_with("invalid length 1025, expected a list of at most 1024 items"),
                "{error}"
            );
        }
    }
}
