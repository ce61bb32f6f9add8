//! Yuma consensus.

use pyo3::prelude::*;
use pythonize::{Depythonizer, pythonize};
use taonet_consensus::{EpochInput, run, run_dense};

use crate::errors::Failure;

/// Computes one epoch of Yuma consensus from a dictionary with the fields of `EpochInput`, bit for
/// bit as the chain. With `dense`, it follows the chain's dense path.
#[pyfunction]
#[pyo3(signature = (epoch, *, dense=false))]
pub(crate) fn yuma<'py>(
    py: Python<'py>,
    epoch: &Bound<'py, PyAny>,
    dense: bool,
) -> Result<Bound<'py, PyAny>, Failure> {
    let input: EpochInput = serde_path_to_error::deserialize(&mut Depythonizer::from_object(epoch))
        .map_err(|error| Failure::value(format!("{}: {}", error.path(), error.inner())))?;
    let output = py.detach(|| if dense { run_dense(&input) } else { run(&input) })?;
    Ok(pythonize(py, &output)?)
}
