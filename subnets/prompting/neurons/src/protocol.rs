use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_kit::{Protocol, SynapseClass, SynapseError};
use taonet_lm::Message;

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
    pub roles: Vec<String>,
    /// Text of each message.
    pub messages: Vec<String>,
    /// The completion: the assistant's next message. Empty in requests.
    #[serde(default)]
    pub completion: String,
}

impl Protocol for Prompting {
    fn class() -> SynapseClass {
        SynapseClass::new("Prompting").hash(["messages"]).required("roles", json!([])).required("messages", json!([]))
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
    /// Status 400 for the caller when there is no message, or the numbers of roles and messages differ.
    pub fn conversation(&self) -> Result<Vec<Message>, SynapseError> {
        let refuse = |message| Err(SynapseError::new(StatusCode::BAD_REQUEST, message));
        if self.messages.is_empty() {
            return refuse("the conversation has no message");
        }
        if self.roles.len() != self.messages.len() {
            return refuse("the conversation needs one role for each message");
        }
        let pairs = self.roles.iter().zip(&self.messages);
        Ok(pairs.map(|(role, content)| Message { role: role.clone(), content: content.clone() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use taonet_wallet::Keypair;
    use taonet_wire::{DendriteScheme, Peer, Signer};

    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    /// The body hash is SHA3-256 of the hexadecimal SHA3-256 of `str(messages)`, as the Python SDK computes it.
    #[test]
    fn headers_are_those_of_the_python_class() {
        let keypair = Keypair::from_uri("//Alice").unwrap();
        let peer = Peer::new(keypair.hotkey(), "10.0.0.1", 8091).unwrap();
        let signer = Signer::new(keypair, "10.0.0.2", DendriteScheme::new().class(Prompting::class()));
        let request = Prompting::new(&[message("system", "Answer briefly."), message("user", "What is 2 + 2?")]);
        let body = serde_json::to_vec(&request).unwrap();
        let timeout = Duration::from_secs(12);
        let headers = signer.headers(&peer, &Method::POST, "/Prompting", "Prompting", timeout, &body).unwrap();
        for (name, value) in [
            ("name", "Prompting"),
            ("bt_header_input_obj_roles", "W10="),
            ("bt_header_input_obj_messages", "W10="),
            ("computed_body_hash", "440a59230544c68cf612ebc331cfda6834cfb9399f0463537bd972ee2ddacba5"),
        ] {
            assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(value), "{name}");
        }
    }

    #[test]
    fn body_of_a_python_synapse_is_read() {
        let body = json!({
            "name": "Prompting", "timeout": 12.0, "total_size": 0, "header_size": 0, "computed_body_hash": "",
            "roles": ["user"], "messages": ["Hello"], "completion": "Hi!",
        });
        let read: Prompting = serde_json::from_value(body).unwrap();
        assert_eq!(read, Prompting { completion: "Hi!".to_owned(), ..Prompting::new(&[message("user", "Hello")]) });
        let without = json!({"roles": ["user"], "messages": ["Hello"]});
        assert_eq!(serde_json::from_value::<Prompting>(without).unwrap().completion, "");
    }

    /// Columns: number of roles · number of messages · whether it is a conversation
    #[test]
    fn conversation_has_a_role_for_each_message() {
        for (roles, messages, is_valid) in [(1, 1, true), (3, 3, true), (0, 0, false), (1, 2, false), (2, 1, false)] {
            let texts = |count| vec!["user".to_owned(); count];
            let request = Prompting { roles: texts(roles), messages: texts(messages), completion: String::new() };
            assert_eq!(request.conversation().is_ok(), is_valid, "{roles} {messages}");
        }
        let conversation = [message("system", "Be brief."), message("user", "Hello")];
        assert_eq!(Prompting::new(&conversation).conversation().unwrap(), conversation);
    }
}
