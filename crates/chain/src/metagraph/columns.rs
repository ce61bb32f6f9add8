//! The columns of a metagraph under the names of Bittensor's SDK.

use taonet_primitives::{Coldkey, Hotkey, Uid};

use super::{Axon, Metagraph, Neuron, WeightRow};
use crate::Share;

/// Vectors by uid; shares are in `0..=1`.
#[expect(non_snake_case, reason = "the names of the vectors in the field's papers and programs")]
impl Metagraph {
    /// The stake weights: alpha plus weighted TAO, in TAO.
    pub fn S(&self) -> Vec<f64> {
        self.column(|neuron| whole(neuron.total_stake.get()))
    }

    /// The ranks; 0 on current chains.
    pub fn R(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.rank).fraction())
    }

    /// The incentives.
    pub fn I(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.incentive).fraction())
    }

    /// The emissions in the last epoch, in alpha.
    pub fn E(&self) -> Vec<f64> {
        self.column(|neuron| whole(neuron.emission.get()))
    }

    /// The consensus weights.
    pub fn C(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.consensus).fraction())
    }

    /// The trust values; 0 on current chains.
    pub fn T(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.trust).fraction())
    }

    /// The validator trust values.
    pub fn Tv(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.validator_trust).fraction())
    }

    /// The dividends.
    pub fn D(&self) -> Vec<f64> {
        self.column(|neuron| Share::new(neuron.dividends).fraction())
    }

    /// The bond matrix, from row to column, with values in `0..=1`; `None` if bonds were not read.
    pub fn B(&self) -> Option<Vec<Vec<f64>>> {
        Some(self.matrix(self.bonds.as_ref()?))
    }

    /// The weight matrix, from row to column, each row normalised to sum 1; `None` if weights were not read.
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
    /// The number of neurons.
    pub fn n(&self) -> usize {
        self.neurons.len()
    }

    /// The uids: 0, 1, 2 …
    pub fn uids(&self) -> Vec<Uid> {
        self.column(|neuron| neuron.uid)
    }

    /// The neurons' hotkeys.
    pub fn hotkeys(&self) -> Vec<Hotkey> {
        self.column(|neuron| neuron.hotkey)
    }

    /// The neurons' coldkeys.
    pub fn coldkeys(&self) -> Vec<Coldkey> {
        self.column(|neuron| neuron.coldkey)
    }

    /// The neurons' axons.
    pub fn axons(&self) -> Vec<Option<Axon>> {
        self.column(|neuron| neuron.axon)
    }

    /// The neuron with this hotkey; `None` if it is not registered.
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.neurons.iter().find(|neuron| neuron.hotkey == *hotkey)
    }

    fn column<T>(&self, of: impl Fn(&Neuron) -> T) -> Vec<T> {
        self.neurons.iter().map(of).collect()
    }

    fn matrix(&self, rows: &[WeightRow]) -> Vec<Vec<f64>> {
        let dense = |row: &WeightRow| {
            let mut dense = vec![0.0; self.n()];
            for (uid, share) in row {
                if let Some(place) = dense.get_mut(usize::from(uid.0)) {
                    *place = Share::new(*share).fraction();
                }
            }
            dense
        };
        rows.iter().map(dense).collect()
    }
}

fn whole(smallest: u64) -> f64 {
    smallest as f64 / 1e9
}
