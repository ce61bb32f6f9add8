//! Chat templates in Jinja: the format of conversations for a trained model.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Deserialize;

use crate::checkpoint::json;
use crate::{LoadError, Message, ModelError};

const NAME: &str = "chat";

/// A model's chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

/// A template's source, and the texts of the tokens that it can use.
#[derive(Debug)]
pub(crate) struct TemplateSource {
    pub(crate) source: String,
    /// Text of the token that begins a prompt; empty if there is none.
    pub(crate) begin: String,
    /// Text of the token that ends a turn; empty if there is none.
    pub(crate) end: String,
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

impl ChatTemplate {
    /// Loads the template from a model's directory; `None` if there is no template.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, LoadError> {
        let path = directory.join("tokenizer_config.json");
        if !path.exists() {
            return Ok(None);
        }
        let config: TokenizerConfig = json(&path)?;
        let text = |token: Option<Token>| match token {
            None => String::new(),
            Some(Token::Text(text) | Token::Described { content: text }) => text,
        };
        let own = directory.join("chat_template.jinja");
        let (path, source) = if own.exists() {
            let bytes = crate::checkpoint::read(&own)?;
            (own, Some(String::from_utf8_lossy(&bytes).into_owned()))
        } else {
            let source = match config.chat_template {
                None => None,
                Some(Template::Only(source)) => Some(source),
                Some(Template::Named(named)) => {
                    named.into_iter().find(|named| named.name == "default").map(|named| named.template)
                }
            };
            (path, source)
        };
        let Some(source) = source else { return Ok(None) };
        let source = TemplateSource { source, begin: text(config.bos_token), end: text(config.eos_token) };
        Self::parse(source, &path).map(Some)
    }

    /// Parses a template; `path` is the file for errors.
    pub(crate) fn parse(source: TemplateSource, path: &Path) -> Result<Self, LoadError> {
        Self::new(source).map_err(|error| LoadError::Tokenizer {
            path: path.to_owned(),
            message: format!("chat template: {error:#}"),
        })
    }

    fn new(TemplateSource { source, begin, end }: TemplateSource) -> Result<Self, Error> {
        let mut environment = Environment::new();
        // Same settings as in Hugging Face's library.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let refuse =
            |message: String| -> Result<Value, Error> { Err(Error::new(ErrorKind::InvalidOperation, message)) };
        environment.add_function("raise_exception", refuse);
        environment.add_template_owned(NAME, source)?;
        Ok(Self { environment, begin, end })
    }

    /// Renders a conversation. With `continues`, the last message remains open, so that the model continues it.
    pub(crate) fn render(&self, messages: &[Message], continues: bool) -> Result<String, ModelError> {
        let failed = |error: &Error| ModelError::Template(error.detail().unwrap_or("rendering failed").to_owned());
        let template = self.environment.get_template(NAME).map_err(|error| failed(&error))?;
        let rows: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let rendered = template.render(context! {
            messages => rows,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
            add_generation_prompt => !continues,
        });
        let mut text = rendered.map_err(|error| failed(&error))?;
        if continues && let Some(last) = messages.last() {
            // Text that the template appends to the last message would end the turn.
            let content = last.content.trim();
            let end = text.rfind(content).map(|start| start + content.len());
            text.truncate(end.ok_or_else(|| ModelError::Template("it omits the last message".to_owned()))?);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}
<{{ message.role }}>{{ message['content'].strip() }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}<assistant>{% endif %}";

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    fn source(source: &str, begin: &str, end: &str) -> TemplateSource {
        TemplateSource { source: source.to_owned(), begin: begin.to_owned(), end: end.to_owned() }
    }

    #[test]
    fn conversations_are_written_as_the_template_says() {
        let template = ChatTemplate::new(source(SOURCE, "[", "]")).unwrap();
        let asked = [message("system", "Be brief. "), message("user", "hello")];
        assert_eq!(template.render(&asked, false).unwrap(), "[<system>Be brief.]\n<user>hello]\n<assistant>");
        let begun = [message("user", "hello"), message("assistant", "he")];
        assert_eq!(template.render(&begun, true).unwrap(), "[<user>hello]\n<assistant>he");
        let error = template.render(&[message("tool", "1")], false).unwrap_err();
        assert_eq!(error.to_string(), "cannot apply the chat template: no tools here");
        assert!(ChatTemplate::new(source("{% if %}", "", "")).is_err());
    }
}
