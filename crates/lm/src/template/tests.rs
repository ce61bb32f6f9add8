use super::*;

const SOURCE: &str = "{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}
<{{ message.role }}>{{ message['content'].strip() }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}<assistant>{% endif %}";

/// Templates with the statements of those that the models have for conversations without tools.
const SMOLLM2: &str = include_str!("tests/smollm2.jinja");
const QWEN_2: &str = include_str!("tests/qwen2.jinja");
const QWEN_3: &str = include_str!("tests/qwen3.jinja");
const GEMMA_3: &str = include_str!("tests/gemma3.jinja");

fn source(source: &str, bos_text: &str, eos_text: &str) -> TemplateSource {
    TemplateSource {
        source: source.to_owned(),
        bos_text: bos_text.to_owned(),
        eos_text: eos_text.to_owned(),
    }
}

#[test]
fn chat_template_renders_conversations() {
    let template = ChatTemplate::new(source(SOURCE, "[", "]")).unwrap();
    let messages = [Message::new("system", "Be brief. "), Message::new("user", "hello")];
    assert_eq!(
        template.render(&messages, Turn::Answer).unwrap(),
        "[<system>Be brief.]\n<user>hello]\n<assistant>"
    );
    let unfinished = [Message::new("user", "hello"), Message::new("assistant", "he")];
    assert_eq!(
        template.render(&unfinished, Turn::Continued).unwrap(),
        "[<user>hello]\n<assistant>he"
    );
    let error = template.render(&[Message::new("tool", "1")], Turn::Answer).unwrap_err();
    assert_eq!(error.to_string(), "cannot apply the chat template: no tools here");
    assert!(ChatTemplate::new(source("{% if %}", "", "")).is_err());
}

/// Columns: template · text of the BOS token · prompt of one message · prompt of a conversation
/// with a system message and an answer. The prompts are those of Jinja2 with the settings of
/// transformers' `apply_chat_template`.
#[test]
fn templates_of_models_render_as_in_transformers() {
    let one = [Message::new("user", "hello")];
    let conversation = [
        Message::new("system", "Be brief. "),
        Message::new("user", " hello\n"),
        Message::new("assistant", "<think>\nhm\n</think>\n\nhi"),
        Message::new("user", "bye"),
    ];
    for (template, bos_text, single_turn, of_conversation) in [
        (
            SMOLLM2,
            "<|im_start|>",
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
             <|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>system\nBe brief. <|im_end|>\n<|im_start|>user\n hello\n<|im_end|>\n<|im_start|>assistant\n\
             <think>\nhm\n</think>\n\nhi<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            QWEN_2,
            "",
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n\
             <|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>system\nBe brief. <|im_end|>\n<|im_start|>user\n hello\n<|im_end|>\n<|im_start|>assistant\n\
             <think>\nhm\n</think>\n\nhi<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            QWEN_3,
            "",
            "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>system\nBe brief. <|im_end|>\n<|im_start|>user\n hello\n<|im_end|>\n<|im_start|>assistant\n\
             hi<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            GEMMA_3,
            "<bos>",
            "<bos><start_of_turn>user\nhello<end_of_turn>\n<start_of_turn>model\n",
            "<bos><start_of_turn>user\nBe brief. \n\nhello<end_of_turn>\n<start_of_turn>model\n\
             <think>\nhm\n</think>\n\nhi<end_of_turn>\n<start_of_turn>user\nbye<end_of_turn>\n<start_of_turn>model\n",
        ),
    ] {
        let template = ChatTemplate::new(source(template, bos_text, "")).unwrap();
        assert_eq!(template.render(&one, Turn::Answer).unwrap(), single_turn);
        assert_eq!(template.render(&conversation, Turn::Answer).unwrap(), of_conversation);
    }
}

/// Columns: template · text that a direct prompt appends to the prompt of an answer
#[test]
fn direct_prompt_ends_the_reasoning_of_models_that_reason() {
    for (template, added) in
        [(SMOLLM2, ""), (QWEN_2, ""), (QWEN_3, "<think>\n\n</think>\n\n"), (GEMMA_3, "")]
    {
        let template = ChatTemplate::new(source(template, "", "")).unwrap();
        let messages = [Message::new("user", "hello")];
        let expected = template.render(&messages, Turn::Answer).unwrap() + added;
        assert_eq!(template.render(&messages, Turn::Direct).unwrap(), expected);
    }
}

#[test]
fn template_exception_is_an_error_with_its_message() {
    let template = ChatTemplate::new(source(GEMMA_3, "", "")).unwrap();
    let error = template.render(&[Message::new("assistant", "hi")], Turn::Answer).unwrap_err();
    let expected = "cannot apply the chat template: Conversation roles must alternate user/assistant/user/assistant/...";
    assert_eq!(error.to_string(), expected);
}
