use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taonet_proof_backends::groth16::{
    self,
    ceremony::{self, Transcript},
};
use taonet_proof_backends::{Backend, BackendError, Keys, Prover, Verifier};
use taonet_proof_core::Digest;
use taonet_proof_core::circuit::{Circuit, Execution};
use taonet_proof_core::metadata::{
    self, CircuitMetadata, MetadataError, NETWORK, PROVING_KEY, TRANSCRIPT, VERIFICATION_KEY,
};
use taonet_proof_core::network::{self, Network};
use taonet_proof_core::saturation::{self, LayerDescription, Saturation, saturations};

use crate::{Backends, CircuitError, Compiled, InputCheck, check};

/// Maximum size of metadata, in bytes.
pub(crate) const MAX_METADATA: u64 = 1 << 20;
/// Maximum size of a verification key, in bytes: more than any backend accepts.
const MAX_VERIFICATION_KEY: u64 = 64 << 20;
/// Maximum size of a transcript, in bytes.
const MAX_TRANSCRIPT: u64 = 16 << 20;
/// Maximum size of any other file, in bytes.
const MAX_FILE: u64 = 4 << 30;

/// A circuit directory with verified metadata and network; keys are read on demand.
#[derive(Clone, Debug)]
pub struct CircuitDirectory {
    path: PathBuf,
    metadata: CircuitMetadata,
    id: Digest,
    circuit: Arc<Circuit>,
    backends: Backends,
}

impl CircuitDirectory {
    /// Opens a directory: reads the metadata, then the network and the verification key, whose
    /// hashes must match the metadata. The metadata must describe the network, and the key must
    /// follow from it; see [`Backend::check_key`]. The key of each identity is compared once in a
    /// process.
    ///
    /// # Errors
    /// When a file is missing, too large, modified or malformed, or is for a different network.
    pub fn open(path: &Path) -> Result<Self, CircuitError> {
        Self::open_with(path, &Backends::default())
    }

    /// Opens a directory like [`Self::open`]; the given backends load the prover and the verifier.
    /// The key is not compared again if the backends have a stored check.
    ///
    /// # Errors
    /// When a file is missing, too large, modified or malformed, or is for a different network.
    pub fn open_with(path: &Path, backends: &Backends) -> Result<Self, CircuitError> {
        let directory = Self::open_unchecked(path)?.with_backends(backends);
        directory.check_key()?;
        Ok(directory)
    }

    /// Opens a directory like [`Self::open_with`], but leaves the comparison of a key that follows
    /// from the network to [`Self::prover`] and [`Self::verifier`]: the prover computes the key in
    /// any case. All other keys are compared here.
    ///
    /// # Errors
    /// When a file is missing, too large, modified or malformed, or is for a different network.
    pub fn open_to_prove(path: &Path, backends: &Backends) -> Result<Self, CircuitError> {
        let directory = Self::open_unchecked(path)?.with_backends(backends);
        // The prover of a trusted setup does not compare the transcript.
        if !check::follows_from_network(&directory.metadata.backend) {
            directory.check_key()?;
        }
        Ok(directory)
    }

    /// Opens a directory without comparing the key with the network.
    fn open_unchecked(path: &Path) -> Result<Self, CircuitError> {
        let text = read(&path.join(metadata::FILE), MAX_METADATA)?;
        let metadata = CircuitMetadata::from_json(&text)?;
        let id = metadata.id()?;
        let contents = read(&path.join(NETWORK), max_size_of(NETWORK))?;
        metadata.check(NETWORK, &contents)?;
        let network = Network::from_bytes(&contents)?;
        let circuit = network.lower()?;
        metadata.check_description(&network, &circuit)?;
        let (path, circuit) = (path.to_owned(), Arc::new(circuit));
        Ok(Self { path, metadata, id, circuit, backends: Backends::default() })
    }

    /// Sets the backends that load the circuit's prover and verifier; by default, these are the
    /// built-in ones.
    #[must_use]
    pub fn with_backends(self, backends: &Backends) -> Self {
        Self { backends: backends.clone(), ..self }
    }

    /// Writes a compiled circuit into a directory that is empty or does not exist. A crash leaves
    /// no part of it there. The key is compared with the network when a verifier is loaded.
    ///
    /// # Errors
    /// When the directory is not empty, or a file cannot be written.
    pub fn create(path: &Path, compiled: &Compiled) -> Result<Self, CircuitError> {
        require_empty(path)?;
        replace(path, compiled)?;
        Self::open_unchecked(path)
    }

    /// Replaces the circuit in the directory with `compiled`. Where the file system can exchange
    /// directories, a crash leaves the old or the new circuit; elsewhere the old one can be left as
    /// `.circuit-…/old` beside the directory.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn replace(&self, compiled: &Compiled) -> Result<Self, CircuitError> {
        replace(&self.path, compiled)?;
        Ok(Self::open_unchecked(&self.path)?.with_backends(&self.backends))
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the metadata.
    pub fn metadata(&self) -> &CircuitMetadata {
        &self.metadata
    }

    /// Returns the identity of the circuit.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Returns the circuit.
    pub fn circuit(&self) -> &Arc<Circuit> {
        &self.circuit
    }

    /// Reads a file and checks it against the hash in the metadata.
    ///
    /// # Errors
    /// When the file is missing, too large or modified.
    pub fn file(&self, name: &'static str) -> Result<Vec<u8>, CircuitError> {
        let contents = read(&self.path.join(name), max_size_of(name))?;
        self.metadata.check(name, &contents)?;
        Ok(contents)
    }

    /// Reads the keys. A backend without secrets has an empty proving key, which is not stored.
    ///
    /// # Errors
    /// When a key file is missing, too large or modified.
    pub fn keys(&self) -> Result<Keys, CircuitError> {
        let has_proving_key = self.metadata.files.contains_key(PROVING_KEY);
        let proving_key = if has_proving_key { self.file(PROVING_KEY)? } else { Vec::new() };
        Ok(Keys { proving: proving_key, verification: self.file(VERIFICATION_KEY)? })
    }

    /// Returns whether proofs of the circuit hide the values between inputs and outputs; `None` for
    /// backends that are not built in.
    ///
    /// # Errors
    /// When the verification key is missing, too large, modified or malformed.
    pub fn hides_values(&self) -> Result<Option<bool>, CircuitError> {
        check::hides_values(&self.metadata.backend, &self.file(VERIFICATION_KEY)?)
    }

    /// Returns whether proofs of the circuit hide the inputs.
    ///
    /// # Errors
    /// When the verification key is missing, too large, modified or malformed.
    pub fn hides_inputs(&self) -> Result<bool, CircuitError> {
        check::hides_inputs(&self.metadata.backend, &self.file(VERIFICATION_KEY)?)
    }

    /// Reads the transcript of contributions to the keys; `None` for a backend without a trusted
    /// setup.
    ///
    /// # Errors
    /// When the transcript is missing, too large, modified or malformed.
    pub fn transcript(&self) -> Result<Option<Transcript>, CircuitError> {
        if !self.metadata.files.contains_key(TRANSCRIPT) {
            return Ok(None);
        }
        let text = self.file(TRANSCRIPT)?;
        let transcript = serde_json::from_slice(&text);
        transcript.map(Some).map_err(|source| CircuitError::Json { document: "transcript", source })
    }

    /// Returns the tensors of an execution of the circuit in which values saturate, as values
    /// beyond the range of the sample do. Circuits that earlier versions compiled have no names for
    /// them.
    ///
    /// # Errors
    /// When the descriptions of the layers are missing, too large, modified or malformed.
    pub fn saturations(&self, execution: &Execution) -> Result<Vec<Saturation>, CircuitError> {
        Ok(saturations(&self.circuit, execution, &self.layer_descriptions()?))
    }

    /// Returns the descriptions of the layers; none for circuits that earlier versions compiled.
    pub(crate) fn layer_descriptions(&self) -> Result<Vec<LayerDescription>, CircuitError> {
        if !self.metadata.files.contains_key(saturation::FILE) {
            return Ok(Vec::new());
        }
        serde_json::from_slice(&self.file(saturation::FILE)?)
            .map_err(|source| CircuitError::Json { document: saturation::FILE, source })
    }

    /// Returns the check of inputs before they are proven.
    ///
    /// # Errors
    /// When the descriptions of the layers are missing, too large, modified or malformed.
    pub fn input_check(&self) -> Result<InputCheck, CircuitError> {
        Ok(InputCheck::new(Arc::clone(&self.circuit), self.layer_descriptions()?))
    }

    /// Names the tensor of a value that cannot be proven.
    pub(crate) fn with_tensor_name(&self, error: BackendError) -> CircuitError {
        if !matches!(error, BackendError::Unprovable { .. }) {
            return error.into();
        }
        let layers = self.layer_descriptions().unwrap_or_default();
        InputCheck::new(Arc::clone(&self.circuit), layers).with_tensor(error)
    }

    /// Compares the verification key, and the transcript of a trusted setup, with the network and
    /// the other files.
    fn check_key(&self) -> Result<(), CircuitError> {
        let key = self.file(VERIFICATION_KEY)?;
        if check::is_checked(&self.id, &self.backends) {
            return Ok(());
        }
        check::check_key(&self.metadata, &self.circuit, &key)?;
        if self.metadata.backend == groth16::ID {
            self.check_setup(key)?;
        }
        check::record_checked(&self.id, &self.backends);
        Ok(())
    }

    /// Checks that the transcript of the trusted setup ends with the proving key, and that the
    /// verification key belongs to it.
    fn check_setup(&self, verification: Vec<u8>) -> Result<(), CircuitError> {
        let transcript = self.transcript()?.ok_or(MetadataError::Unlisted(TRANSCRIPT))?;
        let digest =
            self.metadata.files.get(PROVING_KEY).ok_or(MetadataError::Unlisted(PROVING_KEY))?;
        ceremony::check_transcript(digest, &transcript)?;
        let proving_key = self.file(PROVING_KEY)?;
        Ok(groth16::check_proving_key(&Keys { proving: proving_key, verification })?)
    }

    /// Returns the circuit's backend.
    ///
    /// # Errors
    /// When the backend is unknown, or external and the circuit has no program.
    pub fn backend(&self) -> Result<Box<dyn Backend>, CircuitError> {
        self.backends.for_circuit(&self.id, &self.metadata.backend)
    }

    /// Loads the prover. A key that follows from the network is computed again and compared.
    ///
    /// # Errors
    /// When a key is missing, modified, malformed or for a different circuit.
    pub fn prover(&self) -> Result<Box<dyn Prover>, CircuitError> {
        Ok(self.backend()?.prover(Arc::clone(&self.circuit), &self.keys()?)?)
    }

    /// Loads the verifier.
    ///
    /// # Errors
    /// When a key is missing, modified, malformed or for a different circuit.
    pub fn verifier(&self) -> Result<Box<dyn Verifier>, CircuitError> {
        self.check_key()?;
        Ok(self.backend()?.verifier(&self.file(VERIFICATION_KEY)?)?)
    }
}

/// Returns the maximum size of a file, in bytes.
fn max_size_of(name: &str) -> u64 {
    match name {
        NETWORK => network::MAX_BYTES as u64,
        VERIFICATION_KEY => MAX_VERIFICATION_KEY,
        TRANSCRIPT => MAX_TRANSCRIPT,
        saturation::FILE => saturation::MAX_BYTES,
        _ => MAX_FILE,
    }
}

fn file_error(path: &Path, source: std::io::Error) -> CircuitError {
    CircuitError::File { path: path.to_owned(), source }
}

/// Reads a file that a user passes: a model, a sample, or the inputs of a proof.
///
/// # Errors
/// When the file cannot be read, or is larger than an ONNX file may be.
pub fn read_user_file(path: &Path) -> Result<Vec<u8>, CircuitError> {
    read(path, taonet_proof_onnx::MAX_BYTES as u64)
}

/// Reads a file up to a maximum size. A file whose length exceeds it is not read at all.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, CircuitError> {
    let file_error_at = |source| file_error(path, source);
    let file = fs::File::open(path).map_err(file_error_at)?;
    check_length(path, file.metadata().map_err(file_error_at)?.len(), limit)?;
    // Pipes and devices have no length, and a file can grow while it is read.
    let mut contents = Vec::new();
    file.take(limit + 1).read_to_end(&mut contents).map_err(file_error_at)?;
    check_length(path, contents.len() as u64, limit)?;
    Ok(contents)
}

/// Compares the length of a file with a maximum.
fn check_length(path: &Path, length: u64, limit: u64) -> Result<(), CircuitError> {
    if length > limit {
        Err(CircuitError::TooLarge { path: path.to_owned(), limit })
    } else {
        Ok(())
    }
}

/// Writes a circuit to a temporary directory, which then replaces the old one.
fn replace(path: &Path, compiled: &Compiled) -> Result<(), CircuitError> {
    replace_directory(path, |staging| write_circuit(staging, compiled))
}

/// Writes metadata and files of a circuit into a directory.
pub(crate) fn write_circuit(path: &Path, compiled: &Compiled) -> Result<(), CircuitError> {
    let metadata = compiled.metadata.to_json()?;
    let files = compiled.files.iter().map(|(name, contents)| (name.as_str(), contents));
    files
        .chain([(metadata::FILE, &metadata)])
        .try_for_each(|(name, contents)| write_synced(&path.join(name), contents))
}

/// Writes a file and syncs it to disk.
pub(crate) fn write_synced(path: &Path, contents: &[u8]) -> Result<(), CircuitError> {
    fs::write(path, contents)
        .and_then(|()| fs::File::open(path)?.sync_all())
        .map_err(|source| file_error(path, source))
}

/// Fills a temporary directory with `write`, which then takes the place of the old one.
///
/// Where the file system can exchange directories, as those of Linux and macOS usually can, there
/// is a directory at `path` at any time, and a crash leaves the old or the new one. Elsewhere there
/// are two renames: a crash between them leaves the old directory as `.circuit-…/old` beside
/// `path`.
pub(crate) fn replace_directory(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), CircuitError>,
) -> Result<(), CircuitError> {
    let file_error_at = |source| file_error(path, source);
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(file_error_at)?;
    let staging =
        tempfile::Builder::new().prefix(".circuit-").tempdir_in(parent).map_err(file_error_at)?;
    write(staging.path())?;
    match exchange(staging.path(), path) {
        // The temporary directory has the old contents and is removed with them.
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => {
            let old = tempfile::Builder::new()
                .prefix(".circuit-")
                .tempdir_in(parent)
                .map_err(file_error_at)?;
            fs::rename(path, old.path().join("old")).map_err(file_error_at)?;
            // Kept for the case that this rename fails.
            let old_path = old.keep();
            fs::rename(staging.keep(), path).map_err(file_error_at)?;
            return fs::remove_dir_all(old_path).map_err(file_error_at);
        }
        Err(error) => return Err(file_error_at(error)),
    }
    fs::rename(staging.keep(), path).map_err(file_error_at)
}

/// Exchanges two directories in one step.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Fails: this system cannot exchange two directories in one step.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_: &Path, other: &Path) -> std::io::Result<()> {
    Err(if other.exists() { ErrorKind::Unsupported } else { ErrorKind::NotFound }.into())
}

/// Rejects a directory that exists and is not empty.
pub(crate) fn require_empty(path: &Path) -> Result<(), CircuitError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries.count(),
        Err(source) if source.kind() == ErrorKind::NotFound => 0,
        Err(source) => return Err(file_error(path, source)),
    };
    if entries > 0 { Err(CircuitError::NotEmpty(path.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::ShippedModel;

    /// A sparse file of 10 GB takes no space on disk, and reading it would take 10 GB of memory.
    #[test]
    fn large_files_are_rejected_without_reading_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input.json");
        fs::File::create(&path).unwrap().set_len(10 << 30).unwrap();
        let expected = format!("{} is larger than 1073741824 bytes", path.display());
        assert_eq!(read_user_file(&path).unwrap_err().to_string(), expected);
        let contents = [7_u8; 8];
        fs::write(&path, contents).unwrap();
        assert_eq!(read_user_file(&path).unwrap(), contents);
        assert_eq!(read(&path, 8).unwrap(), contents);
        assert!(matches!(read(&path, 7), Err(CircuitError::TooLarge { limit: 7, .. })));
    }

    /// A device has the length 0 and never ends.
    #[cfg(unix)]
    #[test]
    fn endless_file_is_rejected_at_its_limit() {
        let read = read(Path::new("/dev/zero"), 1 << 16);
        assert!(matches!(read, Err(CircuitError::TooLarge { limit: 65_536, .. })), "{read:?}");
    }

    /// While a circuit is replaced again and again, its directory exists at all times.
    #[test]
    fn replaced_circuit_stays_available() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("one"), folder.path().join("two"));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        if exchange(&first, &second).is_err() {
            // Some file systems, such as network file systems, do not support it.
            return;
        }
        let path = folder.path().join("circuit");
        let mut compiled = ShippedModel::DiabetesRegression.compile("stark").unwrap();
        let circuit = CircuitDirectory::create(&path, &compiled).unwrap();
        let is_finished = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut reads = 0_u64;
                while !is_finished.load(Ordering::Relaxed) {
                    assert!(fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()));
                    reads += 1;
                }
                reads
            });
            for number in 0..100 {
                compiled.metadata.name = format!("replaced {number} times");
                circuit.replace(&compiled).unwrap();
            }
            is_finished.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 0);
        });
        assert_eq!(CircuitDirectory::open(&path).unwrap().metadata().name, "replaced 99 times");
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
