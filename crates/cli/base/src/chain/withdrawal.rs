//! The stake that a call takes, compared with the coldkey's stake before the call is sent.

use taonet_chain::{At, Client};
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid};

use super::{ExpectedRefusal, chain_error};

/// Name of the chain's error.
const ERROR_NAME: &str = "SubtensorModule.NotEnoughStakeToWithdraw";

/// Stake that a call takes from a coldkey, on a hotkey and a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Stake that the call takes.
    pub amount: Alpha,
    /// Why the stake does not suffice.
    pub expected_refusal: Option<ExpectedRefusal>,
}

impl Withdrawal {
    /// Reads the stake of which a call takes `amount`, or everything if that is `None`.
    pub async fn read(
        chain: &Client,
        (hotkey, coldkey, netuid): (Hotkey, Coldkey, NetUid),
        amount: Option<Alpha>,
    ) -> anyhow::Result<Self> {
        let stake = chain.stake(hotkey, coldkey, netuid, At::Head).await.map_err(chain_error)?;
        let staked = stake.map(|stake| stake.stake).unwrap_or_default();
        Ok(Self::new((hotkey, coldkey, netuid), amount, staked))
    }

    fn new(
        (hotkey, coldkey, netuid): (Hotkey, Coldkey, NetUid),
        amount: Option<Alpha>,
        staked: Alpha,
    ) -> Self {
        let amount = amount.unwrap_or(staked);
        let expected_refusal = if staked == Alpha::ZERO {
            Some(no_stake(&format!("{coldkey} has no stake on {hotkey} on subnet {netuid}")))
        } else {
            (amount > staked).then(|| ExpectedRefusal {
                name: ERROR_NAME,
                text: format!(
                    "{coldkey} has {staked} alpha on {hotkey} on subnet {netuid}, less than {amount}\nhint: pass at most \
                     this amount, or --all"
                ),
            })
        };
        Self { amount, expected_refusal }
    }
}

/// Returns the expected refusal of a coldkey without stake; `message` names the coldkey and the
/// stake.
pub fn no_stake(message: &str) -> ExpectedRefusal {
    ExpectedRefusal {
        name: ERROR_NAME,
        text: format!("{message}\nhint: list the stake with `tao stake list`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amount_above_stake_is_an_expected_refusal() {
        let stake = (Hotkey::from_bytes([1; 32]), Coldkey::from_bytes([2; 32]), NetUid(7));
        for (amount, staked, taken, words) in [
            (Some(4), 5, 4, None),
            (Some(5), 5, 5, None),
            (None, 5, 5, None),
            (
                Some(6),
                5,
                6,
                Some("subnet 7, less than 0.000000006\nhint: pass at most this amount, or --all"),
            ),
            (Some(6), 0, 6, Some("subnet 7\nhint: list the stake with `tao stake list`")),
            (Some(0), 0, 0, Some("has no stake on")),
            (None, 0, 0, Some("has no stake on")),
        ] {
            let withdrawal = Withdrawal::new(stake, amount.map(Alpha::new), Alpha::new(staked));
            assert_eq!(withdrawal.amount, Alpha::new(taken), "{amount:?} of {staked}");
            match (words, withdrawal.expected_refusal) {
                (None, expected_refusal) => {
                    assert_eq!(expected_refusal, None, "{amount:?} of {staked}");
                }
                (Some(words), Some(ExpectedRefusal { name, text })) => {
                    assert_eq!(name, "SubtensorModule.NotEnoughStakeToWithdraw");
                    assert!(text.contains(words), "{text}");
                }
                (Some(_), None) => panic!("no expected refusal for {amount:?} of {staked}"),
            }
        }
    }
}
