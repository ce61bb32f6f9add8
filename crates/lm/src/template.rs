//! Chat templates in Jinja: the format of conversations for a trained model.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Deserialize;

use crate::checkpoint::read_json;
use crate::{LoadError, Message, ModelError};

const TEMPLATE_NAME: &str = "chat";

/// A model's chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos_text: String,
    eos_text: String,
}

/// A template's source, and the texts of the tokens that it can use.
#[derive(Debug)]
pub(crate) struct TemplateSource {
    pub(crate) source: String,
    /// Text of the BOS token; empty if there is none.
    pub(crate) bos_text: String,
    /// Text of the EOS token; empty if there is none.
    pub(crate) eos_text: String,
}

/// The turn at the end of a chat prompt, in which the model writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A new turn of the assistant.
    Answer,
    /// A new turn of the assistant, in which a reasoning model answers without thinking first.
    Direct,
    /// The last message, which is unfinished.
    Continued,
}

/// Rejects a conversation, as templates do with `raise_exception`.
fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Fields of `tokenizer_config.json` used for chats.
#[derive(Debug, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<Template>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Template {
    Only(String),
    Named(Vec<Named>),
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    template: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Described { content: String },
}

impl Token {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Described { content: text } => text,
        }
    }
}

impl ChatTemplate {
    /// Loads the template from a model's directory; `None` if there is no template.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, LoadError> {
        let path = directory.join("tokenizer_config.json");
        if !path.exists() {
            return Ok(None);
        }
        let config: TokenizerConfig = read_json(&path)?;
        let template_path = directory.join("chat_template.jinja");
        let (path, source) = if template_path.exists() {
            let bytes = crate::checkpoint::read_limited(&template_path)?;
            (template_path, Some(String::from_utf8_lossy(&bytes).into_owned()))
        } else {
            let source = match config.chat_template {
                None => None,
                Some(Template::Only(source)) => Some(source),
                Some(Template::Named(templates)) => templates
                    .into_iter()
                    .find(|template| template.name == "default")
                    .map(|template| template.template),
            };
            (path, source)
        };
        let Some(source) = source else { return Ok(None) };
        let [bos_text, eos_text] = [config.bos_token, config.eos_token]
            .map(|token| token.map(Token::into_text).unwrap_or_default());
        let source = TemplateSource { source, bos_text, eos_text };
        Self::parse(source, &path).map(Some)
    }

    /// Parses a template; `path` is the file for errors.
    pub(crate) fn parse(source: TemplateSource, path: &Path) -> Result<Self, LoadError> {
        Self::new(source).map_err(|error| LoadError::Tokenizer {
            path: path.to_owned(),
            message: format!("chat template: {error:#}"),
        })
    }

    fn new(TemplateSource { source, bos_text, eos_text }: TemplateSource) -> Result<Self, Error> {
        let mut environment = Environment::new();
        // Same settings as in Hugging Face's library.
        environment
            .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(TEMPLATE_NAME, source)?;
        Ok(Self { environment, bos_text, eos_text })
    }

    /// Renders a conversation.
    pub(crate) fn render(&self, messages: &[Message], turn: Turn) -> Result<String, ModelError> {
        let continues = turn == Turn::Continued;
        let template = self
            .environment
            .get_template(TEMPLATE_NAME)
            .map_err(|error| rendering_failed(&error))?;
        let message_values: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        // Templates of reasoning models let the model think first, unless this variable is defined
        // and false.
        let enable_thinking =
            if turn == Turn::Direct { Value::from(false) } else { Value::UNDEFINED };
        let rendered = template.render(context! {
            messages => message_values,
            bos_token => self.bos_text.as_str(),
            eos_token => self.eos_text.as_str(),
            add_generation_prompt => !continues,
            enable_thinking => enable_thinking,
        });
        let mut text = rendered.map_err(|error| rendering_failed(&error))?;
        if continues && let Some(last) = messages.last() {
            // Text that the template appends to the last message would end the turn.
            let content = last.content.trim();
            let end = text.rfind(content).map(|start| start + content.len());
            text.truncate(
                end.ok_or_else(|| ModelError::Template("it omits the last message".to_owned()))?,
            );
        }
        Ok(text)
    }
}

fn rendering_failed(error: &Error) -> ModelError {
    ModelError::Template(error.detail().unwrap_or("rendering failed").to_owned())
}

#[cfg(test)]
mod tests;
