//! Tables of an epoch.

use std::collections::HashMap;

use taonet_cli_base::table::{Rows, matrix, table};
use taonet_cli_base::tables::{
    YUMA_CLASSIC, YUMA_CONSENSUS, YUMA_DIVIDENDS, YUMA_RANK, YUMA_RESULT, YUMA_STAKE, YUMA_TRUST,
    yuma_matrix,
};
use taonet_consensus::classic::ClassicEpoch;
use taonet_consensus::{EpochInput, EpochOutput, I32F32, Matrix, Sparse};

type Epoch = taonet_consensus::Epoch<Sparse>;

/// Renders the state that the chain stores after the epoch.
pub(super) fn format_result(output: &EpochOutput) -> String {
    let mut table = table(&YUMA_RESULT);
    let share =
        |shares: &[u16], uid: usize| shares.get(uid).map_or_else(String::new, u16::to_string);
    let rao =
        |amounts: &[u64], uid: usize| amounts.get(uid).map_or_else(String::new, u64::to_string);
    let flag = |flags: &[bool], uid: usize| {
        yes_or_no(flags.get(uid).copied().unwrap_or_default()).to_owned()
    };
    for uid in 0..output.emission.len() {
        table.add_row([
            uid.to_string(),
            share(&output.stake_weight, uid),
            flag(&output.active, uid),
            flag(&output.new_validator_permit, uid),
            share(&output.consensus, uid),
            share(&output.validator_trust, uid),
            share(&output.incentive, uid),
            share(&output.dividends, uid),
            rao(&output.server_emission, uid),
            rao(&output.validator_emission, uid),
            rao(&output.emission, uid),
        ]);
    }
    section("Result (shares in parts of 65535)", &table)
}

/// Renders every step of the epoch.
pub(super) fn format_steps(input: &EpochInput, epoch: &Epoch) -> String {
    let bonds = if input.yuma3 {
        "Yuma 3: α·W + (1−α)·old"
    } else {
        "Yuma 2: bought with W·S, column maximum set to 1"
    };
    [
        stake_table(input, epoch),
        sparse_table("2. Active weights W, rows normalised", &epoch.weights),
        quantity_table(
            "3. Consensus C: the weight that a majority of stake supports",
            table(&YUMA_CONSENSUS),
            &[&epoch.consensus],
        ),
        sparse_table("4. Clipped weights min(W, C)", &epoch.clipped_weights),
        quantity_table(
            "5. Validator trust Tv: each validator's sum of clipped weights",
            table(&YUMA_TRUST),
            &[&epoch.validator_trust],
        ),
        quantity_table(
            "6. Rank R and incentive I = R / ΣR",
            table(&YUMA_RANK),
            &[&epoch.rank, &epoch.incentive],
        ),
        sparse_table("7. Old bonds, active entries", &epoch.old_bonds),
        sparse_table("8. Weights for the bond update", &epoch.bond_weights),
        sparse_table(&format!("9. New bonds B, {bonds}"), &epoch.bonds),
        quantity_table(
            "10. Dividends D: each validator's bonds times the incentive",
            table(&YUMA_DIVIDENDS),
            &[&epoch.dividends],
        ),
    ]
    .concat()
}

/// Renders an epoch of the classic formulation.
pub(super) fn format_classic(epoch: &ClassicEpoch) -> String {
    let quantities = [
        &epoch.stake,
        &epoch.rank,
        &epoch.trust,
        &epoch.consensus,
        &epoch.incentive,
        &epoch.dividends,
        &epoch.emission,
    ];
    let mut neurons = table(&YUMA_CLASSIC);
    for uid in 0..epoch.stake.len() {
        let values = quantities
            .iter()
            .map(|values| values.get(uid).map_or_else(String::new, |value| decimal(*value)));
        neurons.add_row(std::iter::once(uid.to_string()).chain(values));
    }
    let rows = epoch.bonds.iter().enumerate();
    let entries = rows.flat_map(|(row, bonds)| {
        bonds.iter().enumerate().map(move |(column, bond)| (row, column, *bond))
    });
    section("Classic epoch", &neurons)
        + &matrix_table("Bonds B", &entries.filter(|entry| entry.2 != 0.0).collect::<Vec<_>>())
}

fn stake_table(input: &EpochInput, epoch: &Epoch) -> String {
    let mut table = table(&YUMA_STAKE);
    let neurons = input.stake.iter().zip(&epoch.stake).zip(&epoch.active).zip(&epoch.permits);
    let neurons = neurons.zip(&epoch.new_permits).zip(&epoch.active_stake).enumerate();
    for (uid, (((((rao, share), active), permit), new_permit), active_stake)) in neurons {
        table.add_row([
            uid.to_string(),
            rao.to_string(),
            decimal(share.to_f64()),
            yes_or_no(*active).to_owned(),
            yes_or_no(*permit).to_owned(),
            yes_or_no(*new_permit).to_owned(),
            decimal(active_stake.to_f64()),
        ]);
    }
    section("1. Stake S and active stake", &table)
}

/// Renders quantities with one line per neuron and one column per quantity.
fn quantity_table(title: &str, mut table: Rows, quantities: &[&Vec<I32F32>]) -> String {
    let neurons = quantities.first().map_or(0, |values| values.len());
    for uid in 0..neurons {
        let values =
            quantities.iter().map(|values| values.get(uid).map_or(0.0, |value| value.to_f64()));
        table.add_row(std::iter::once(uid.to_string()).chain(values.map(decimal)));
    }
    section(title, &table)
}

fn sparse_table(title: &str, matrix: &Sparse) -> String {
    let rows = (0..matrix.rows()).flat_map(|row| {
        matrix.row(row).map(move |(column, entry)| (row, usize::from(column), entry.to_f64()))
    });
    matrix_table(title, &rows.collect::<Vec<_>>())
}

/// Renders a sparse matrix from (row, column, value); empty rows and columns are omitted.
fn matrix_table(title: &str, entries: &[(usize, usize, f64)]) -> String {
    if entries.is_empty() {
        return format!("{title}\nnone\n\n");
    }
    let rows = sorted_distinct(entries.iter().map(|(row, _, _)| *row));
    let columns = sorted_distinct(entries.iter().map(|(_, column, _)| *column));
    let values: HashMap<_, _> =
        entries.iter().map(|&(row, column, value)| ((row, column), value)).collect();
    let mut table = matrix(yuma_matrix(&columns));
    for &row in &rows {
        let cells = columns
            .iter()
            .map(|&column| values.get(&(row, column)).map_or_else(String::new, |&v| decimal(v)));
        table.add_row(std::iter::once(row.to_string()).chain(cells));
    }
    section(title, &table)
}

/// Returns numbers in ascending order, each once.
fn sorted_distinct(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn section(title: &str, table: &Rows) -> String {
    format!("{title}\n{table}\n\n")
}

fn decimal(value: f64) -> String {
    format!("{value:.6}")
}

const fn yes_or_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

#[cfg(test)]
mod tests;
