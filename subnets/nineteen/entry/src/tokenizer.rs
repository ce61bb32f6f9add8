//! Tokenizers of the tasks' models, by which answers are billed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taonet_nineteen_core::Task;
use taonet_primitives::bytes_without_bom;
use tokenizers::Tokenizer;
use tokio::sync::Mutex;

/// Name of a tokenizer's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Finds the `tokenizer.json` of a hub repository, such as `OWNER/NAME`, on this machine.
type FindTokenizer = Box<dyn Fn(&str) -> Option<PathBuf> + Send + Sync>;

/// Tokenizers of the tasks' models, loaded when they are first used.
#[derive(Default)]
pub(crate) struct Tokenizers(Mutex<State>);

#[derive(Default)]
struct State {
    /// Tokenizers by the names in the tasks; `None` for one that is not on this machine.
    tokenizers: HashMap<String, Option<Arc<Tokenizer>>>,
    finder: Option<FindTokenizer>,
}

impl Tokenizers {
    /// Sets how tokenizers of hub repositories are found.
    pub(crate) async fn set_finder(&self, finder: FindTokenizer) {
        self.0.lock().await.finder = Some(finder);
    }

    /// Returns the tokenizer that a task names; `None` if it is not on this machine, which is
    /// logged once.
    pub(crate) async fn for_task(&self, task: &Task) -> Option<Arc<Tokenizer>> {
        let name = task.tokenizer()?;
        let mut state = self.0.lock().await;
        if let Some(tokenizer) = state.tokenizers.get(name) {
            return tokenizer.clone();
        }
        let file = tokenizer_file(name, |repository| {
            state.finder.as_ref().and_then(|finder| finder(repository))
        });
        let tokenizer = if let Some(file) = file {
            // Large tokenizers take a second.
            tokio::task::spawn_blocking(move || load_tokenizer(&file))
                .await
                .ok()
                .flatten()
                .map(Arc::new)
        } else {
            tracing::warn!(
                task = %task.task,
                tokenizer = name,
                "the task's tokenizer is not on this machine: answers are billed by log-probabilities"
            );
            None
        };
        state.tokenizers.insert(name.to_owned(), tokenizer.clone());
        tokenizer
    }
}

/// Returns the file of a tokenizer. `name` is the path of the file or of a directory with a
/// `tokenizer.json`, or else a hub repository, whose `tokenizer.json` `finder` locates on this
/// machine.
pub fn tokenizer_file(name: &str, finder: impl FnOnce(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let path = Path::new(name);
    let file = if path.is_dir() { path.join(TOKENIZER_FILE) } else { path.to_owned() };
    if file.is_file() { Some(file) } else { finder(name) }
}

fn load_tokenizer(file: &Path) -> Option<Tokenizer> {
    let path = file.display();
    let content = std::fs::read(file).map_err(tokenizers::Error::from);
    let loaded = content
        .and_then(|content| Tokenizer::from_bytes(bytes_without_bom(&content)))
        .and_then(|mut tokenizer| {
            tokenizer.with_truncation(None)?;
            tokenizer.with_padding(None);
            Ok(tokenizer)
        });
    match loaded {
        Ok(tokenizer) => {
            tracing::info!(%path, "answers are billed by a tokenizer");
            Some(tokenizer)
        }
        Err(error) => {
            tracing::warn!(%path, %error, "cannot load a task's tokenizer: answers are billed by log-probabilities");
            None
        }
    }
}

/// Returns a tokenizer with a token for each word.
#[cfg(test)]
pub(crate) fn word_tokenizer_json() -> serde_json::Value {
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"one": 0, "two": 1, "?": 2}, "unk_token": "?"},
    })
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::MarketConfig;

    use super::*;

    #[tokio::test]
    async fn tokenizer_is_loaded_from_its_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(TOKENIZER_FILE),
            format!("\u{feff}{}", word_tokenizer_json()),
        )
        .unwrap();
        std::fs::write(folder.path().join("broken.json"), "{}").unwrap();
        let tokenizers = Tokenizers::default();
        let mut task = MarketConfig::default().tasks[0].clone();
        let mut tokenizer_at = async |path: PathBuf| {
            let options = &mut task.orchestrator_server_config.load_model_config;
            options.insert("tokenizer".to_owned(), path.to_str().unwrap().into());
            tokenizers.for_task(&task).await
        };
        assert!(tokenizer_at(folder.path().join("broken.json")).await.is_none());
        assert!(tokenizer_at(folder.path().join("none.json")).await.is_none());
        assert!(tokenizer_at(folder.path().join(TOKENIZER_FILE)).await.is_some());
        assert!(tokenizer_at(folder.path().to_owned()).await.is_some());
    }

    #[tokio::test]
    async fn tokenizer_of_hub_repository_is_found_on_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(TOKENIZER_FILE);
        std::fs::write(&file, word_tokenizer_json().to_string()).unwrap();
        // A default task, whose tokenizer is a repository.
        let task = MarketConfig::default().tasks[0].clone();
        assert!(Tokenizers::default().for_task(&task).await.is_none());
        let tokenizers = Tokenizers::default();
        let finder =
            move |name: &str| (name == "tau-vision/llama-tokenizer-fix").then(|| file.clone());
        tokenizers.set_finder(Box::new(finder)).await;
        assert!(tokenizers.for_task(&task).await.is_some());
        // No file is read for a further answer.
        folder.close().unwrap();
        assert!(tokenizers.for_task(&task).await.is_some());
    }
}
