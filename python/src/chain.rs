//! Reads of the chain.

use pyo3::prelude::*;
use pythonize::pythonize;
use taonet_chain::{At, Chain as _, Detail, Network, WeightRow};
use taonet_primitives::{BlockNumber, Hotkey, MechId, NetUid, is_public};

use crate::errors::Failure;
use crate::runtime::{Process, block_on};

/// A client of a Subtensor node. Every read releases the GIL, and ends within two block times.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Client {
    client: taonet_chain::Client,
    process: Process,
}

impl Client {
    /// Returns the Rust client, unless this process is a forked child.
    pub(crate) fn client(&self) -> Result<&taonet_chain::Client, Failure> {
        self.process.check()?;
        Ok(&self.client)
    }
}

#[pymethods]
impl Client {
    /// Connects to the first node that responds: "finney", "test", "archive", "local", or WebSocket
    /// URLs separated by commas.
    #[new]
    #[pyo3(signature = (network="finney"))]
    fn new(py: Python<'_>, network: &str) -> Result<Self, Failure> {
        let network: Network = network.parse()?;
        let client = block_on(py, taonet_chain::Client::connect(&network))??;
        Ok(Self { client, process: Process::current() })
    }

    /// The genesis hash, which identifies the chain.
    #[getter]
    fn genesis(&self) -> String {
        self.client.genesis().to_string()
    }

    /// Returns the newest block, or the newest finalized one.
    #[pyo3(signature = (*, finalized=false))]
    fn head(&self, py: Python<'_>, finalized: bool) -> Result<Block, Failure> {
        let client = self.client()?;
        let head =
            async { if finalized { client.finalized_head().await } else { client.head().await } };
        Ok(block_on(py, head)??.into())
    }

    /// Returns a subnet and its neurons; with `full`, also their weights and bonds.
    #[pyo3(signature = (netuid, *, mech=0, full=false, block=None))]
    fn metagraph(
        &self,
        py: Python<'_>,
        netuid: u16,
        mech: u8,
        full: bool,
        block: Option<u32>,
    ) -> Result<Metagraph, Failure> {
        let detail = if full { Detail::Full } else { Detail::Lite };
        let read = self.client()?.metagraph(NetUid(netuid), MechId(mech), detail, at(block));
        Ok(Metagraph(block_on(py, read)??))
    }

    /// Returns the uid of a hotkey; `None` if it is not registered on the subnet.
    #[pyo3(signature = (netuid, hotkey, *, block=None))]
    fn uid(
        &self,
        py: Python<'_>,
        netuid: u16,
        hotkey: &str,
        block: Option<u32>,
    ) -> Result<Option<u16>, Failure> {
        let hotkey: Hotkey = hotkey.parse()?;
        let uid = block_on(py, self.client()?.uid(NetUid(netuid), &hotkey, at(block)))??;
        Ok(uid.map(|uid| uid.0))
    }

    /// Returns a subnet's limits on weights and its epoch schedule.
    #[pyo3(signature = (netuid, *, block=None))]
    fn weight_rules<'py>(
        &self,
        py: Python<'py>,
        netuid: u16,
        block: Option<u32>,
    ) -> Result<Bound<'py, PyAny>, Failure> {
        let rules = block_on(py, self.client()?.weight_rules(NetUid(netuid), at(block)))??;
        Ok(pythonize(py, &rules)?)
    }

    fn __repr__(&self) -> String {
        format!("Client(genesis {})", self.client.genesis())
    }
}

fn at(block: Option<u32>) -> At {
    block.map_or(At::Head, |number| At::Number(BlockNumber::new(number)))
}

/// A block, identified by height and hash.
#[pyclass(frozen, get_all, eq, hash, module = "taonet")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Block {
    /// The block height.
    number: u32,
    /// The hash of the block header, as `0x` and 64 hex digits.
    hash: String,
}

impl From<taonet_chain::Block> for Block {
    fn from(block: taonet_chain::Block) -> Self {
        Self { number: block.number.get(), hash: block.hash.to_string() }
    }
}

#[pymethods]
impl Block {
    fn __repr__(&self) -> String {
        format!("Block({}, {:?})", self.number, self.hash)
    }
}

/// A subnet and its neurons at one block. Neuron `i` has uid `i`.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Metagraph(taonet_chain::Metagraph);

impl Metagraph {
    pub(crate) fn graph(&self) -> &taonet_chain::Metagraph {
        &self.0
    }
}

#[pymethods]
#[expect(non_snake_case, reason = "established names of these vectors")]
impl Metagraph {
    /// The subnet's netuid.
    #[getter]
    fn netuid(&self) -> u16 {
        self.0.netuid.0
    }

    /// The mechanism whose incentives, weights and bonds are listed.
    #[getter]
    fn mech(&self) -> u8 {
        self.0.mech.0
    }

    /// The block at which the metagraph was read.
    #[getter]
    fn block(&self) -> Block {
        self.0.block.into()
    }

    /// The subnet's name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The number of blocks between two epochs.
    #[getter]
    fn tempo(&self) -> u16 {
        self.0.tempo
    }

    /// The number of neurons.
    #[getter]
    fn n(&self) -> usize {
        self.0.n()
    }

    /// The neurons, in the order of their uids.
    #[getter]
    fn neurons(&self) -> Vec<Neuron> {
        self.0.neurons.iter().map(Neuron::from).collect()
    }

    /// The neurons' hotkeys.
    #[getter]
    fn hotkeys(&self) -> Vec<String> {
        self.0.neurons.iter().map(|neuron| neuron.hotkey.to_string()).collect()
    }

    /// The neurons' coldkeys.
    #[getter]
    fn coldkeys(&self) -> Vec<String> {
        self.0.neurons.iter().map(|neuron| neuron.coldkey.to_string()).collect()
    }

    /// Returns the neuron with this hotkey; `None` if it is not registered.
    fn neuron(&self, hotkey: &str) -> Result<Option<Neuron>, Failure> {
        Ok(self.0.neuron(&hotkey.parse()?).map(Neuron::from))
    }

    /// The stake weights: alpha plus weighted TAO, in TAO.
    #[getter]
    fn S(&self) -> Vec<f64> {
        self.0.S()
    }

    /// The incentives: shares of the miners' emission.
    #[getter]
    fn I(&self) -> Vec<f64> {
        self.0.I()
    }

    /// The emissions in the last epoch, in alpha.
    #[getter]
    fn E(&self) -> Vec<f64> {
        self.0.E()
    }

    /// The consensus weights.
    #[getter]
    fn C(&self) -> Vec<f64> {
        self.0.C()
    }

    /// The validator trust values.
    #[getter]
    fn Tv(&self) -> Vec<f64> {
        self.0.Tv()
    }

    /// The dividends: shares of the validators' emission.
    #[getter]
    fn D(&self) -> Vec<f64> {
        self.0.D()
    }

    /// The weight matrix, each row with a sum of 1; `None` unless read with `full`.
    #[getter]
    fn W(&self) -> Option<Vec<Vec<f64>>> {
        self.0.W()
    }

    /// The bond matrix, in 0..=1; `None` unless read with `full`.
    #[getter]
    fn B(&self) -> Option<Vec<Vec<f64>>> {
        self.0.B()
    }

    /// The weights as pairs (uid, parts of 65535) by uid; `None` unless read with `full`.
    #[getter]
    fn weights(&self) -> Option<Vec<Vec<(u16, u16)>>> {
        self.0.weights.as_deref().map(rows)
    }

    /// The bonds as pairs (uid, parts of 65535) by uid; `None` unless read with `full`.
    #[getter]
    fn bonds(&self) -> Option<Vec<Vec<(u16, u16)>>> {
        self.0.bonds.as_deref().map(rows)
    }

    /// Returns the metagraph as a dictionary that can be written as JSON.
    fn to_dict<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, Failure> {
        Ok(pythonize(py, &self.0)?)
    }

    fn __len__(&self) -> usize {
        self.0.n()
    }

    fn __repr__(&self) -> String {
        format!(
            "Metagraph(netuid {}, {} neurons, block {})",
            self.0.netuid,
            self.0.n(),
            self.0.block.number
        )
    }
}

fn rows(rows: &[WeightRow]) -> Vec<Vec<(u16, u16)>> {
    rows.iter().map(|row| row.iter().map(|(uid, value)| (uid.0, *value)).collect()).collect()
}

/// A neuron at one block. Amounts are in rao; shares are parts of 65535.
#[pyclass(frozen, get_all, module = "taonet")]
pub(crate) struct Neuron {
    /// The neuron's uid.
    uid: u16,
    /// The neuron's hotkey.
    hotkey: String,
    /// The coldkey that owns the hotkey.
    coldkey: String,
    /// Whether the neuron set weights recently.
    active: bool,
    /// Whether the neuron has a validator permit.
    validator_permit: bool,
    /// The published address, as a tuple (IP address, port); `None` if the neuron publishes none.
    axon: Option<(String, u16)>,
    /// Whether the published address is one of the public internet.
    is_public: bool,
    /// The stake weight: alpha plus weighted TAO.
    total_stake: u64,
    /// The alpha staked on the neuron.
    alpha_stake: u64,
    /// The TAO staked on the neuron on the root network.
    tao_stake: u64,
    /// The consensus weight.
    consensus: u16,
    /// The share of the miners' emission.
    incentive: u16,
    /// The share of the validators' emission.
    dividends: u16,
    /// The share of the neuron's weights that remains after clipping to consensus.
    validator_trust: u16,
    /// The emission in the last epoch, in the smallest unit of alpha.
    emission: u64,
    /// The block at which the neuron last set weights.
    last_update: u32,
    /// The block of the neuron's registration.
    registered_at: u32,
}

impl From<&taonet_chain::Neuron> for Neuron {
    fn from(neuron: &taonet_chain::Neuron) -> Self {
        let address = neuron.axon.map(|axon| axon.address);
        Self {
            uid: neuron.uid.0,
            hotkey: neuron.hotkey.to_string(),
            coldkey: neuron.coldkey.to_string(),
            active: neuron.active,
            validator_permit: neuron.validator_permit,
            axon: address.map(|address| (address.ip().to_string(), address.port())),
            is_public: address.is_some_and(|address| is_public(address.ip())),
            total_stake: neuron.total_stake.get(),
            alpha_stake: neuron.alpha_stake.get(),
            tao_stake: neuron.tao_stake.get(),
            consensus: neuron.consensus,
            incentive: neuron.incentive,
            dividends: neuron.dividends,
            validator_trust: neuron.validator_trust,
            emission: neuron.emission.get(),
            last_update: neuron.last_update.get(),
            registered_at: neuron.registered_at.get(),
        }
    }
}

#[pymethods]
impl Neuron {
    fn __repr__(&self) -> String {
        format!("Neuron({}, {:?})", self.uid, self.hotkey)
    }
}
