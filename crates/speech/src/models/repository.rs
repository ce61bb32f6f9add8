//! Files of hub repositories that are on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CATALOGUE, ModelStore};

impl ModelStore {
    /// Finds a file of a hub repository, such as `OWNER/NAME`, on this machine: of an installed
    /// model of the catalogue, in the directory `OWNER/NAME` below one of the directories, or in
    /// `hub_cache`, the cache of the hub's own programs (`~/.cache/huggingface/hub` on Linux). The
    /// hub is not asked, and the file is not verified.
    pub fn find_file(
        &self,
        repository: &str,
        file: &str,
        hub_cache: Option<&Path>,
    ) -> Option<PathBuf> {
        let (owner, name) =
            repository.split_once('/').filter(|(owner, name)| is_name(owner) && is_name(name))?;
        let installed = CATALOGUE
            .iter()
            .find(|spec| spec.repository == Some(repository))
            .map(|spec| spec.name.into());
        let folders: Vec<PathBuf> =
            installed.into_iter().chain([Path::new(owner).join(name)]).collect();
        let store_folders = self
            .directories
            .iter()
            .flat_map(|directory| folders.iter().map(move |name| directory.join(name)));
        store_folders
            .map(|folder| folder.join(file))
            .find(|path| path.is_file())
            .or_else(|| find_cached(&hub_cache?.join(format!("models--{owner}--{name}")), file))
    }
}

/// Returns a file in a repository's cache: of the main branch, or else of any revision.
fn find_cached(repository: &Path, file: &str) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let main = fs::read_to_string(repository.join("refs/main")).ok();
    let main =
        main.map(|commit| snapshots.join(commit.trim()).join(file)).filter(|path| path.is_file());
    main.or_else(|| {
        let revisions = fs::read_dir(&snapshots).ok()?.filter_map(Result::ok);
        let mut files: Vec<_> = revisions.map(|revision| revision.path().join(file)).collect();
        files.sort();
        files.into_iter().find(|path| path.is_file())
    })
}

/// Whether a part of a repository's name cannot leave the directory that it is joined to.
fn is_name(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }

    #[test]
    fn repository_file_is_searched_in_all_directories() {
        let root = tempfile::tempdir().unwrap();
        let [models, hub] = ["models", "hub"].map(|name| root.path().join(name));
        let store = ModelStore::with(vec![models.clone()], "http://hub.invalid");
        let find = |repository: &str| store.find_file(repository, "tokenizer.json", Some(&hub));
        assert_eq!(find("tau-vision/llama-tokenizer-fix"), None);
        // In ascending order of precedence.
        let cache = hub.join("models--tau-vision--llama-tokenizer-fix");
        for expected in [
            cache.join("snapshots/a1/tokenizer.json"),
            cache.join("snapshots/a0/tokenizer.json"),
            models.join("tau-vision/llama-tokenizer-fix/tokenizer.json"),
        ] {
            write(&expected);
            assert_eq!(find("tau-vision/llama-tokenizer-fix"), Some(expected));
        }
        assert_eq!(store.find_file("tau-vision/llama-tokenizer-fix", "config.json", None), None);
        let installed = models.join("all-MiniLM-L6-v2/tokenizer.json");
        write(&installed);
        assert_eq!(find("sentence-transformers/all-MiniLM-L6-v2"), Some(installed));
        for other in ["all-MiniLM-L6-v2", "../models", "a/b/c", "/etc", "tau-vision/..", ""] {
            assert_eq!(find(other), None, "{other}");
        }
    }

    #[test]
    fn main_branch_precedes_other_revisions() {
        let root = tempfile::tempdir().unwrap();
        let repository = root.path().join("models--a--b");
        for revision in ["0a", "1b"] {
            write(&repository.join("snapshots").join(revision).join("tokenizer.json"));
        }
        let find = || {
            ModelStore::with(Vec::new(), "http://hub.invalid").find_file(
                "a/b",
                "tokenizer.json",
                Some(root.path()),
            )
        };
        assert_eq!(find(), Some(repository.join("snapshots/0a/tokenizer.json")));
        fs::create_dir(repository.join("refs")).unwrap();
        fs::write(repository.join("refs/main"), "1b\n").unwrap();
        assert_eq!(find(), Some(repository.join("snapshots/1b/tokenizer.json")));
    }
}
