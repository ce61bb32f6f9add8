//! Models of the catalogue by the names on the command line and in settings.

use taonet_cli_base::exit::ClassifiedError;
use taonet_speech::models::{ModelKind, ModelSpec};

/// Finds a model of any kind by its name.
///
/// # Errors
/// If the name is unknown.
pub(crate) fn find_any_model(name: &str) -> anyhow::Result<&'static ModelSpec> {
    ModelSpec::find(name).map_err(|error| ClassifiedError::usage(error.to_string()))
}

/// Finds a model of this kind by its name; `hint` says which values the option takes.
///
/// # Errors
/// If the name is empty or unknown, or that of a model of another kind.
pub(crate) fn find_model(
    name: &str,
    kind: ModelKind,
    hint: &str,
) -> anyhow::Result<&'static ModelSpec> {
    let message = match ModelSpec::find(name) {
        Ok(spec) if spec.kind == kind => return Ok(spec),
        Ok(spec) => format!("{} is not a {kind}", spec.name),
        Err(_) if name.is_empty() => format!("the name of the {kind} is empty"),
        Err(_) => {
            let names: Vec<_> = kind.models().map(|spec| spec.name).collect();
            let one_of = if names.len() > 1 { "one of " } else { "" };
            format!("unknown {kind} `{name}`, expected {one_of}{}", names.join(", "))
        }
    };
    Err(ClassifiedError::usage(format!("{message}\nhint: {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: name · kind · error
    #[test]
    fn model_of_other_kind_is_neither_accepted_nor_listed() {
        use ModelKind::{Recognizer, Voice};

        for (name, kind, expected) in [
            ("en_US-joe-medium", Recognizer, "en_US-joe-medium is not a recogniser\nhint: a hint"),
            ("tiny-ctc", Voice, "tiny-ctc is not a voice\nhint: a hint"),
            ("nope", Voice, "unknown voice `nope`, expected en_US-joe-medium\nhint: a hint"),
            ("", Voice, "the name of the voice is empty\nhint: a hint"),
            ("", Recognizer, "the name of the recogniser is empty\nhint: a hint"),
        ] {
            assert_eq!(find_model(name, kind, "a hint").unwrap_err().to_string(), expected);
        }
        let error = find_model("nope", Recognizer, "a hint").unwrap_err().to_string();
        let expected = "unknown recogniser `nope`, expected one of tiny-ctc, faster-whisper-tiny, ";
        assert!(error.starts_with(expected), "{error}");
        for spec in [ModelKind::Embedder, Voice, ModelKind::LanguageModel]
            .into_iter()
            .flat_map(ModelKind::models)
        {
            assert!(!error.contains(spec.name), "{error}");
        }
        assert_eq!(find_model("tiny-ctc", Recognizer, "a hint").unwrap().name, "tiny-ctc");
    }
}
