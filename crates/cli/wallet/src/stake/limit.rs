//! Price limits of trades: by default the current price, with a tolerance.

use std::str::FromStr;

use clap::Args;
use taonet_chain::calls::PriceLimit;
use taonet_chain::{At, Client};
use taonet_cli_base::chain::chain_error;
use taonet_primitives::{NetUid, Rao};

const ROOT: NetUid = NetUid(0);
/// One TAO, in rao: the fixed price of stake on the root network.
const RAO_PER_TAO: u64 = 1_000_000_000;
/// 100 %, in the unit of [`Tolerance`].
const HUNDRED_PERCENT: u32 = 1_000_000;
/// Number of decimals of a tolerance in percent.
const DECIMALS: usize = 4;
/// Unit of a subnet's price, for [`describe_limit`].
pub(super) const TAO_PER_ALPHA: &str = "TAO per alpha";

/// Arguments for the price limit of a trade, besides the limit itself
#[derive(Debug, Args)]
pub(super) struct ToleranceArgs {
    /// Default limit: this percentage worse than the current price [default: 5]
    #[arg(long, value_name = "PERCENT", conflicts_with = "limit")]
    tolerance: Option<Tolerance>,
    /// Trade at any price
    #[arg(long, alias = "unsafe", conflicts_with_all = ["limit", "tolerance", "partial"])]
    no_limit: bool,
    /// Allow a partial trade up to the limit instead of failing
    #[arg(long)]
    partial: bool,
}

impl ToleranceArgs {
    /// Returns whether `--tolerance` or `--partial` is set.
    pub(super) const fn are_set(&self) -> bool {
        self.tolerance.is_some() || self.partial
    }

    /// Returns whether `--partial` is set.
    pub(super) const fn is_partial(&self) -> bool {
        self.partial
    }

    fn limit(&self, price: Rao) -> PriceLimit {
        PriceLimit { price, allow_partial: self.partial }
    }

    fn tolerance(&self) -> Tolerance {
        self.tolerance.unwrap_or_default()
    }

    /// Returns the limit of a purchase: `limit`, or the current price plus the tolerance. Stake on
    /// the root network has a fixed price, so the default there is no limit.
    pub(super) async fn for_purchase(
        &self,
        chain: &Client,
        netuid: NetUid,
        limit: Option<Rao>,
    ) -> anyhow::Result<Option<PriceLimit>> {
        self.for_trade(chain, netuid, limit, Tolerance::above).await
    }

    /// Returns the limit of a sale: `limit`, or the current price minus the tolerance. Otherwise
    /// like [`Self::for_purchase`].
    pub(super) async fn for_sale(
        &self,
        chain: &Client,
        netuid: NetUid,
        limit: Option<Rao>,
    ) -> anyhow::Result<Option<PriceLimit>> {
        self.for_trade(chain, netuid, limit, Tolerance::below).await
    }

    async fn for_trade(
        &self,
        chain: &Client,
        netuid: NetUid,
        limit: Option<Rao>,
        apply_tolerance: impl Fn(Tolerance, Rao) -> Rao,
    ) -> anyhow::Result<Option<PriceLimit>> {
        match limit {
            Some(price) => Ok(Some(self.limit(price))),
            None if self.no_limit || netuid == ROOT => Ok(None),
            None => {
                let price = chain.price(netuid, At::Head).await.map_err(chain_error)?;
                Ok(Some(self.limit(apply_tolerance(self.tolerance(), price))))
            }
        }
    }

    /// Returns the limit of a trade between two subnets, in alpha of the destination per alpha of
    /// the origin: `limit`, or the current ratio of the prices minus the tolerance. Within one
    /// subnet nothing is traded: there is no limit.
    pub(super) async fn for_swap(
        &self,
        chain: &Client,
        (from, to): (NetUid, NetUid),
        limit: Option<Rao>,
    ) -> anyhow::Result<Option<PriceLimit>> {
        if from == to {
            return Ok(None);
        }
        match limit {
            Some(ratio) => Ok(Some(self.limit(ratio))),
            None if self.no_limit => Ok(None),
            None => {
                let (from, to) = tokio::try_join!(spot_price(chain, from), spot_price(chain, to))?;
                Ok(Some(self.limit(self.tolerance().below(ratio(from, to)))))
            }
        }
    }
}

async fn spot_price(chain: &Client, netuid: NetUid) -> anyhow::Result<Rao> {
    if netuid == ROOT {
        return Ok(Rao::new(RAO_PER_TAO));
    }
    chain.price(netuid, At::Head).await.map_err(chain_error)
}

/// Returns the ratio of two prices.
fn ratio(from: Rao, to: Rao) -> Rao {
    let parts = (u128::from(from.get()) * u128::from(RAO_PER_TAO)).checked_div(to.get().into());
    Rao::new(parts.and_then(|parts| u64::try_from(parts).ok()).unwrap_or(u64::MAX))
}

/// Describes a limit for the confirmation; `bound` is `most` or `least`.
pub(super) fn describe_limit(limit: Option<PriceLimit>, bound: &str, unit: &str) -> String {
    limit.map_or_else(
        || ", at any price".to_owned(),
        |limit| {
            let partial = if limit.allow_partial { " (partial trade allowed)" } else { "" };
            format!(", at {bound} {} {unit}{partial}", limit.price)
        },
    )
}

/// Maximum difference of a trade's limit from the current price, in millionths of the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tolerance(u32);

impl Default for Tolerance {
    /// 5 %, as in btcli.
    fn default() -> Self {
        Self(HUNDRED_PERCENT / 20)
    }
}

impl Tolerance {
    /// Returns the part of a price that is within the tolerance.
    fn absolute(self, price: Rao) -> u64 {
        let part = u128::from(price.get()) * u128::from(self.0) / u128::from(HUNDRED_PERCENT);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    fn above(self, price: Rao) -> Rao {
        Rao::new(price.get().saturating_add(self.absolute(price)))
    }

    fn below(self, price: Rao) -> Rao {
        Rao::new(price.get().saturating_sub(self.absolute(price)))
    }
}

/// Error for a text that is not a percentage.
const MALFORMED_MESSAGE: &str =
    "expected a percentage from 0 to 100 with at most four decimals, such as 5 or 0.5";

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Tolerance {
    type Err = String;

    /// Parses a percentage, with or without `%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (integer, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if !is_number(integer) || !is_number(decimals) || decimals.len() > DECIMALS {
            return Err(MALFORMED_MESSAGE.to_owned());
        }
        let parts: u32 = format!("{integer}{decimals:0<DECIMALS$}")
            .parse()
            .map_err(|_| MALFORMED_MESSAGE.to_owned())?;
        if parts <= HUNDRED_PERCENT { Ok(Self(parts)) } else { Err(MALFORMED_MESSAGE.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_exactly() {
        for (text, parts) in [
            ("5", 50_000),
            ("5%", 50_000),
            ("0", 0),
            ("100 %", HUNDRED_PERCENT),
            ("0.5", 5_000),
            ("0.0001", 1),
        ] {
            assert_eq!(text.parse(), Ok(Tolerance(parts)), "{text}");
        }
        for text in
            ["", "%", "-1", "100.0001", "1.23456", ".5", "5.", "1e1", "99999999999999999999"]
        {
            assert!(text.parse::<Tolerance>().is_err(), "{text:?}");
        }
        assert_eq!("5".parse(), Ok(Tolerance::default()));
    }

    #[test]
    fn price_limits_are_worse_than_the_price_by_the_tolerance() {
        let five = Tolerance::default();
        for (price, above, below) in [
            (100_000_000, 105_000_000, 95_000_000),
            (0, 0, 0),
            (1, 1, 1),
            (u64::MAX, u64::MAX, 17_524_406_870_024_074_035),
        ] {
            let limits = (five.above(Rao::new(price)), five.below(Rao::new(price)));
            assert_eq!(limits, (Rao::new(above), Rao::new(below)), "{price}");
        }
        assert_eq!(Tolerance(HUNDRED_PERCENT).below(Rao::new(7)), Rao::ZERO);
        for (from, to, expected) in [
            (200, 100, 2 * RAO_PER_TAO),
            (100, 300, RAO_PER_TAO / 3),
            (0, 100, 0),
            (100, 0, u64::MAX),
            (u64::MAX, 1, u64::MAX),
        ] {
            assert_eq!(ratio(Rao::new(from), Rao::new(to)), Rao::new(expected), "{from} {to}");
        }
    }

    #[test]
    fn confirmation_shows_the_price_limit() {
        let limit =
            |allow_partial| Some(PriceLimit { price: Rao::new(105_000_000), allow_partial });
        for (limit, text) in [
            (None, ", at any price"),
            (limit(false), ", at most 0.105 TAO per alpha"),
            (limit(true), ", at most 0.105 TAO per alpha (partial trade allowed)"),
        ] {
            assert_eq!(describe_limit(limit, "most", TAO_PER_ALPHA), text);
        }
    }
}
