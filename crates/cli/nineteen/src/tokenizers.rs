//! The tokenizers that tasks name, by which the gateway bills answers.

use std::path::PathBuf;

use taonet_cli_base::settings;
use taonet_cli_models::chat_model;
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_entry::{TOKENIZER_FILE, tokenizer_file};

/// Returns a function that finds the `tokenizer.json` of a hub repository on this machine: in the
/// model directories, or in the cache of the Hugging Face Hub's own programs.
pub(crate) fn finder() -> anyhow::Result<impl Fn(&str) -> Option<PathBuf> + Send + Sync + 'static> {
    let (store, cache) = (chat_model::store()?, hub_cache());
    Ok(move |repository: &str| store.find_file(repository, TOKENIZER_FILE, cache.as_deref()))
}

/// Returns a warning for each tokenizer of an enabled task that is not on this machine.
pub(crate) fn missing_warnings(
    market: &MarketConfig,
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in market
        .enabled()
        .filter_map(Task::tokenizer)
        .filter(|name| tokenizer_file(name, &find).is_none())
    {
        let is_repository = name.split('/').count() == 2 && !name.starts_with(['/', '.']);
        let hint = if is_repository {
            format!("`hf download {name} {TOKENIZER_FILE}` installs it from the Hugging Face Hub")
        } else {
            "correct the path, or name a repository of the Hugging Face Hub".to_owned()
        };
        let warning = format!(
            "warning: the tokenizer {name} is not on this machine: answers are billed by log-probabilities\nhint: {hint}"
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

/// Returns the directory in which the hub's own programs keep repositories.
fn hub_cache() -> Option<PathBuf> {
    // The hub's programs use this directory on macOS, too.
    let default_cache = if cfg!(target_os = "macos") {
        dirs::home_dir()?.join(".cache")
    } else {
        dirs::cache_dir()?
    };
    Some(path_variable("HF_HUB_CACHE").unwrap_or_else(|| {
        let home = path_variable("HF_HOME").unwrap_or_else(|| default_cache.join("huggingface"));
        home.join("hub")
    }))
}

fn path_variable(name: &str) -> Option<PathBuf> {
    settings::text(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_tokenizer_is_named_once() {
        let market = MarketConfig::default();
        let [warning] = <[String; 1]>::try_from(missing_warnings(&market, |_| None)).unwrap();
        let expected =
            "warning: the tokenizer tau-vision/llama-tokenizer-fix is not on this machine: ";
        assert!(warning.starts_with(expected), "{warning}");
        assert!(missing_warnings(&market, |name| Some(name.into())).is_empty());
    }
}
