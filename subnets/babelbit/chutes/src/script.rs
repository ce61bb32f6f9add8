//! The Python script that defines a chute.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use taonet_primitives::without_bom;

/// File name of the script in deployments.
pub(crate) const FILE: &str = "my_chute.py";
/// The chute in the script: module and variable.
pub(crate) const CHUTE_PATH: &str = "my_chute:chute";
/// Number of GPUs of an instance.
pub(crate) const GPUS: u32 = 1;
/// Minimum memory of a GPU, in GB.
pub(crate) const MIN_VRAM_GB: u32 = 16;
/// Number of characters of a revision in names.
const SHORT_REVISION_CHARS: usize = 12;
/// Maximum size of the script, as the Chutes API accepts it.
const MAX_SCRIPT: usize = 150_000;

const TEMPLATE: &str = include_str!("template/my_chute.py");
/// Name of a template's Dockerfile, and the Dockerfile of the built-in `setup.py`.
const DOCKERFILE: (&str, &str) = ("Dockerfile", include_str!("template/Dockerfile"));
const SECTIONS: [(&str, &str, &str); 3] = [
    ("@SETUP@", "setup.py", include_str!("template/setup.py")),
    ("@LOAD@", "load.py", include_str!("template/load.py")),
    ("@PREDICT@", "predict.py", include_str!("template/predict.py")),
];

/// Why a script could not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// A file of the template is unreadable.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The template directory has a `setup.py`, which defines an image, but no Dockerfile.
    #[error(
        "{} defines an image, but there is no Dockerfile beside it\nhint: write the Dockerfile of that image, or build \
         it with `bb generate-chute-script` and `chutes build`",
        .0.display()
    )]
    NoDockerfile(PathBuf),
    /// The template directory has none of the expected files.
    #[error("{} has none of setup.py, load.py and predict.py", .0.display())]
    NoSection(PathBuf),
    /// The script is longer than the Chutes API accepts.
    #[error(
        "the script has {0} bytes, expected at most {MAX_SCRIPT}\nhint: move code into the image"
    )]
    TooLong(usize),
}

/// Parameters of the script of a chute.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// Name of the model's repository on the hub.
    pub model: &'a str,
    /// Revision of the repository.
    pub revision: &'a str,
    /// Name of the Chutes account.
    pub username: &'a str,
    /// Name of the chute.
    pub name: &'a str,
    /// Name and tag of the image.
    pub image: (&'a str, &'a str),
    /// Directory with a `setup.py`, `load.py` or `predict.py` that replaces the built-in one.
    pub template: Option<&'a Path>,
}

impl Script<'_> {
    /// Reads a file of the template directory, without its byte order mark; `None` if there is
    /// none. Python accepts the mark at the beginning of a script only, and the file becomes a part
    /// of one.
    fn read_template_file(&self, file: &str) -> Result<Option<String>, ScriptError> {
        let Some(path) = self.template.map(|directory| directory.join(file)) else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(without_bom(&text).to_owned())),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ScriptError::File { path, source }),
        }
    }

    /// Returns the Dockerfile of the script's image: the one in the template directory, or that of
    /// the built-in `setup.py`.
    ///
    /// # Errors
    /// [`ScriptError::NoDockerfile`] when the directory has a `setup.py` but no Dockerfile,
    /// [`ScriptError::File`] when one of them is unreadable.
    pub fn dockerfile(&self) -> Result<String, ScriptError> {
        let (file, built_in) = DOCKERFILE;
        if let Some(text) = self.read_template_file(file)? {
            return Ok(text.trim_end().to_owned());
        }
        let [(_, setup, _), ..] = SECTIONS;
        match self.template {
            Some(directory) if self.read_template_file(setup)?.is_some() => {
                Err(ScriptError::NoDockerfile(directory.join(setup)))
            }
            _ => Ok(built_in.trim_end().to_owned()),
        }
    }

    /// Renders the script.
    ///
    /// # Errors
    /// [`ScriptError`] when a file of the template is unreadable, or the script is too long.
    pub fn render(&self) -> Result<String, ScriptError> {
        let mut script = TEMPLATE.to_owned();
        let mut replaced = 0;
        for (mark, file, built_in) in SECTIONS {
            let from_template = self.read_template_file(file)?;
            replaced += usize::from(from_template.is_some());
            script =
                script.replacen(mark, from_template.as_deref().unwrap_or(built_in).trim_end(), 1);
        }
        if let (Some(directory), 0) = (self.template, replaced) {
            return Err(ScriptError::NoSection(directory.to_owned()));
        }
        for (mark, value) in [
            ("@MODEL@", self.model),
            ("@REVISION@", self.revision),
            ("@USERNAME@", self.username),
            ("@NAME@", self.name),
            ("@IMAGE_NAME@", self.image.0),
            ("@IMAGE_TAG@", self.image.1),
        ] {
            // A text in JSON is a text in Python, too.
            script = script.replacen(mark, &Value::from(value).to_string(), 1);
        }
        script = script.replacen("@GPUS@", &GPUS.to_string(), 1).replacen(
            "@VRAM@",
            &MIN_VRAM_GB.to_string(),
            1,
        );
        if script.len() > MAX_SCRIPT { Err(ScriptError::TooLong(script.len())) } else { Ok(script) }
    }
}

/// Returns the name of the chute for a revision of a hub account's model. It contains `Babelbit`,
/// as validators of the reference require.
pub fn chute_name(hub_username: &str, revision: &str) -> String {
    let short_revision: String = revision.chars().take(SHORT_REVISION_CHARS).collect();
    format!("{hub_username}-Babelbit-{short_revision}")
}

/// Returns the slug that Chutes is expected to assign to a chute: the account and the name in
/// lowercase, with hyphens for other characters.
pub fn guessed_slug(chutes_username: &str, name: &str) -> String {
    let text = format!("{chutes_username}-{name}").to_lowercase();
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}
