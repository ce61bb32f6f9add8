//! `--prover`: programs of the backend `external`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_proof_backends::Capabilities;
use taonet_proof_backends::external::External;
use taonet_proof_circuits::Backends;
use taonet_proof_core::Digest;

/// Program of the backend external
#[derive(Debug, Args)]
pub(crate) struct ExternalArgs {
    /// Program that proves and verifies circuits of the external backend, with the protocol of
    /// docs/proof.md
    #[arg(long, value_name = "PROGRAM")]
    prover: Option<PathBuf>,
    /// Timeout of each step of that program, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "600", requires = "prover")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    prover_timeout: u32,
    /// Memory limit of each process of that program, in GB; on Linux only
    #[arg(long, value_name = "GB", default_value = "16", requires = "prover")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    prover_memory: u64,
}

impl ExternalArgs {
    /// Returns whether a program is given.
    pub(crate) const fn is_given(&self) -> bool {
        self.prover.is_some()
    }

    /// Returns the available backends: the built-in ones, and the external program if one is given.
    pub(crate) fn backends(&self) -> anyhow::Result<Backends> {
        let Some(program) = &self.prover else { return Ok(Backends::default()) };
        Ok(Backends::with_external(open_external(
            program,
            self.prover_timeout,
            self.prover_memory,
        )?))
    }
}

/// Programs of the backend external, for a daemon with several circuits
#[derive(Debug, Args)]
pub(crate) struct ProgramArgs {
    /// Program that proves and verifies circuits of the external backend, with the protocol of
    /// docs/proof.md, or CIRCUIT=PROGRAM for a single circuit; may be repeated
    #[arg(long, value_name = "PROGRAM")]
    prover: Vec<Program>,
    /// Timeout of each step of a program, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "180", requires = "prover")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    prover_timeout: u32,
    /// Memory limit of each process of a program, in GB; on Linux only
    #[arg(long, value_name = "GB", default_value = "16", requires = "prover")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    prover_memory: u64,
}

/// Value of `--prover`: `PROGRAM` or `CIRCUIT=PROGRAM`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    circuit: Option<Digest>,
    path: PathBuf,
}

impl FromStr for Program {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let with_circuit =
            text.split_once('=').and_then(|(circuit, path)| Some((circuit.parse().ok()?, path)));
        let (circuit, path) =
            with_circuit.map_or((None, text), |(circuit, path)| (Some(circuit), path));
        Ok(Self { circuit, path: path.into() })
    }
}

impl ProgramArgs {
    /// Returns the available backends: the built-in ones and the external programs.
    pub(crate) fn backends(&self) -> anyhow::Result<Backends> {
        let mut default_programs = self.prover.iter().filter(|program| program.circuit.is_none());
        let mut backends = match default_programs.next() {
            Some(program) => Backends::with_external(open_external(
                &program.path,
                self.prover_timeout,
                self.prover_memory,
            )?),
            None => Backends::default(),
        };
        anyhow::ensure!(default_programs.next().is_none(), "only one --prover can omit CIRCUIT=");
        for Program { circuit, path } in &self.prover {
            if let Some(circuit) = circuit {
                let program = open_external(path, self.prover_timeout, self.prover_memory)?;
                backends = backends.with_program_of(*circuit, program);
            }
        }
        Ok(backends)
    }
}

fn open_external(program: &Path, timeout: u32, memory: u64) -> anyhow::Result<External> {
    let absolute = std::fs::canonicalize(program)
        .with_context(|| format!("cannot find the program {}", program.display()))?;
    let external =
        External::new(&absolute, Duration::from_secs(u64::from(timeout)), Capabilities::UNKNOWN)?;
    Ok(external.with_memory(memory.saturating_mul(1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_parse_with_and_without_a_circuit() {
        let circuit = Digest::of(b"circuit");
        let parsed =
            |text: &str| text.parse::<Program>().map(|Program { circuit, path }| (circuit, path));
        assert_eq!(parsed(&format!("{circuit}=./prover")), Ok((Some(circuit), "./prover".into())));
        assert_eq!(parsed("./prover"), Ok((None, "./prover".into())));
        assert_eq!(parsed("a=b"), Ok((None, "a=b".into())), "a path with an equals sign");
    }
}
