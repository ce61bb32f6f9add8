//! The columns of a metagraph under the names of Bittensor's SDK.

use taonet_primitives::{Coldkey, Hotkey, Uid};

use super::{Axon, Metagraph, Neuron, WeightRow};
use crate::Share;

/// Vectors by uid; shares are in `0..=1`.
#[expect(non_snake_case, reason = "established names of these vectors")]
impl Metagraph {
    /// Returns the stake weights: alpha plus weighted TAO, in TAO.
    pub fn S(&self) -> Vec<f64> {
        self.column(|neuron| to_tokens(neuron.total_stake.get()))
    }

    /// Returns the ranks; 0 on current chains.
    pub fn R(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.rank).fraction())
    }

    /// Returns the incentives: shares of the miners' emission.
    pub fn I(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.incentive).fraction())
    }

    /// Returns the emissions in the last epoch, in alpha.
    pub fn E(&self) -> Vec<f64> {
        self.column(|neuron| to_tokens(neuron.emission.get()))
    }

    /// Returns the consensus weights.
    pub fn C(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.consensus).fraction())
    }

    /// Returns the trust values; 0 on current chains.
    pub fn T(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.trust).fraction())
    }

    /// Returns the validator trust values: the share of each neuron's weights that remains after
    /// clipping to consensus.
    pub fn Tv(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.validator_trust).fraction())
    }

    /// Returns the dividends: shares of the validators' emission.
    pub fn D(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.dividends).fraction())
    }

    /// Returns the bond matrix: row `i` has the bonds of neuron `i` to each neuron, in `0..=1`.
    /// `None` if bonds were not read.
    pub fn B(&self) -> Option<Vec<Vec<f64>>> {
        Some(self.matrix(self.bonds.as_ref()?))
    }

    /// Returns the weight matrix: row `i` has the weights that neuron `i` set for each neuron, with
    /// a sum of 1. `None` if weights were not read.
    pub fn W(&self) -> Option<Vec<Vec<f64>>> {
        let mut rows = self.matrix(self.weights.as_ref()?);
        for row in &mut rows {
            let sum: f64 = row.iter().sum();
            if sum > 0.0 {
                for weight in row.iter_mut() {
                    *weight /= sum;
                }
            }
        }
        Some(rows)
    }
}

/// Columns by uid.
impl Metagraph {
    /// Returns the number of neurons.
    pub fn n(&self) -> usize {
        self.neurons.len()
    }

    /// Returns the uids: 0, 1, 2 …
    pub fn uids(&self) -> Vec<Uid> {
        self.column(|neuron| neuron.uid)
    }

    /// Returns the neurons' hotkeys.
    pub fn hotkeys(&self) -> Vec<Hotkey> {
        self.column(|neuron| neuron.hotkey)
    }

    /// Returns the neurons' coldkeys.
    pub fn coldkeys(&self) -> Vec<Coldkey> {
        self.column(|neuron| neuron.coldkey)
    }

    /// Returns the neurons' axons.
    pub fn axons(&self) -> Vec<Option<Axon>> {
        self.column(|neuron| neuron.axon)
    }

    /// Returns the neuron with this hotkey; `None` if it is not registered.
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.neurons.iter().find(|neuron| neuron.hotkey == *hotkey)
    }

    fn column<T>(&self, field: impl Fn(&Neuron) -> T) -> Vec<T> {
        self.neurons.iter().map(field).collect()
    }

    fn matrix(&self, rows: &[WeightRow]) -> Vec<Vec<f64>> {
        rows.iter()
            .map(|row| {
                let mut dense = vec![0.0; self.n()];
                for (uid, share) in row {
                    if let Some(cell) = dense.get_mut(usize::from(uid.0)) {
                        *cell = Share::new(*share).fraction();
                    }
                }
                dense
            })
            .collect()
    }
}

fn to_tokens(base_units: u64) -> f64 {
    base_units as f64 / 1e9
}
