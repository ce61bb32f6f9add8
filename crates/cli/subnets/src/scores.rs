//! The scores of a validator on the kit: how they came about, and their export and import. The
//! scores have the same form in every subnet; the commands of a subnet add what its validator logs.

mod report;
pub mod state;

pub use report::{MinerSelector, ReportedStep, ScoreReport};
pub use state::StateArgs;
