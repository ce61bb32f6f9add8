use std::io::{Error, ErrorKind, Write};
use std::path::Path;

use taonet_primitives::bytes_without_bom;

use super::Metagraph;

/// The version of the file format, incremented when a field changes its meaning.
const FORMAT_VERSION: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct MetagraphFile<T> {
    form: u32,
    metagraph: T,
}

impl Metagraph {
    /// Saves the metagraph as JSON, replacing the file atomically.
    ///
    /// # Errors
    /// [`std::io::Error`] if writing fails.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let directory = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&mut file, &MetagraphFile { form: FORMAT_VERSION, metagraph: self })?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Loads a file written by [`Metagraph::save`].
    ///
    /// # Errors
    /// [`std::io::Error`], of kind `InvalidData` if the file has a different format.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        let file: MetagraphFile<Self> =
            serde_json::from_slice(bytes_without_bom(&std::fs::read(path)?))?;
        if file.form == FORMAT_VERSION {
            Ok(file.metagraph)
        } else {
            Err(Error::new(
                ErrorKind::InvalidData,
                format!("unsupported format {}, expected {FORMAT_VERSION}", file.form),
            ))
        }
    }

    /// Formats the neurons as CSV with a header row and one neuron per line. Amounts are decimal
    /// text, shares are in parts of 65535.
    pub fn to_csv(&self) -> String {
        let mut csv = String::from(
            "uid,hotkey,coldkey,active,validator_permit,axon,total_stake,alpha_stake,tao_stake,consensus,incentive,\
             dividends,validator_trust,rank,trust,emission,last_update,registered_at\n",
        );
        for neuron in &self.neurons {
            let axon = neuron.axon.map(|axon| axon.address.to_string()).unwrap_or_default();
            let fields = [
                neuron.uid.to_string(),
                neuron.hotkey.to_string(),
                neuron.coldkey.to_string(),
                neuron.active.to_string(),
                neuron.validator_permit.to_string(),
                axon,
                neuron.total_stake.to_string(),
                neuron.alpha_stake.to_string(),
                neuron.tao_stake.to_string(),
                neuron.consensus.to_string(),
                neuron.incentive.to_string(),
                neuron.dividends.to_string(),
                neuron.validator_trust.to_string(),
                neuron.rank.to_string(),
                neuron.trust.to_string(),
                neuron.emission.to_string(),
                neuron.last_update.to_string(),
                neuron.registered_at.to_string(),
            ];
            csv.push_str(&fields.join(","));
            csv.push('\n');
        }
        csv
    }
}
