//! Credits for TAO: transfers on a chain, while the validator that credits them is killed, and a
//! reorganization.

mod watchers;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_chain::{At, Call, Chain as _, Client, Follow, Network, ProxyType, calls};
use taonet_primitives::{AccountId, Rao};

use super::*;
use crate::chain::{BABELBIT, BOB, Chain};
use crate::kill::random_seed;

/// Number of blocks that are not finalized.
const LAG: &str = "20";
const TRANSFERS: u64 = 50;
const RAO_PER_CREDIT: u64 = 1_000;
/// Number of times that a validator is killed during the transfers.
const KILLS: u32 = 20;
/// Timeout for operations that take a few seconds on an idle machine.
const LONG_TIMEOUT: Duration = Duration::from_mins(2);

/// Returns the amount of a transfer, which is not a multiple of the price.
fn amount(number: u64) -> u64 {
    number * 10 * RAO_PER_CREDIT + 7
}

/// A key and its deposit address.
struct Buyer {
    id: String,
    address: AccountId,
}

/// A chain with a block per submission, and the state of a validator that sells credits.
struct TopUpFixture {
    chain: Chain,
    runtime: tokio::runtime::Runtime,
}

impl TopUpFixture {
    fn start() -> Self {
        let chain = Chain::with(&["--archive", "--block-time", "instant", "--finality-lag", LAG]);
        Self { chain, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    fn url(&self) -> String {
        self.chain.url().replace("http", "ws")
    }

    fn state(&self) -> PathBuf {
        self.chain.path("state")
    }

    /// Returns the command of a validator that sells no credits.
    fn validator_without_topups(&self) -> Command {
        let mut validator = tao();
        validator.args([
            "nineteen",
            "validator",
            "--key-uri",
            "//Alice",
            "--netuid",
            BABELBIT,
            "--network",
        ]);
        validator.arg(self.url()).arg("--state").arg(self.state());
        validator
    }

    fn validator(&self) -> Command {
        let mut validator = self.validator_without_topups();
        validator.args(["--topup-account", BOB, "--rao-per-credit", &RAO_PER_CREDIT.to_string()]);
        validator
    }

    fn keys(&self, arguments: &[&str]) -> Output {
        tao()
            .args(["nineteen", "keys", "--json", "--state"])
            .arg(self.state())
            .args(arguments)
            .output()
            .unwrap()
    }

    fn buyer(&self) -> Buyer {
        let key = document(&self.keys(&["create", "--name", "shop"]));
        let id = key["id"].as_str().unwrap().to_owned();
        let topup = document(&self.keys(&["topup", &id]));
        assert_eq!(
            (&topup["account"], &topup["credits_per_tao"]),
            (&json!(BOB), &json!(1_000_000))
        );
        Buyer { id, address: serde_json::from_value(topup["address"].clone()).unwrap() }
    }

    fn client(&self) -> Client {
        let network: Network = self.url().parse().unwrap();
        self.runtime.block_on(Client::connect(&network)).unwrap()
    }

    /// Runs a control command of the chain.
    fn control(&self, arguments: &[&str]) -> Value {
        let mut command = tao();
        command.arg("localnet").args(arguments).args(["--json", "--network", &self.url()]);
        document(&command.output().unwrap())
    }

    fn finalize(&self) {
        self.control(&["mine", LAG]);
    }

    fn store(&self) -> Store {
        self.runtime.block_on(Store::open(&self.state())).unwrap()
    }

    /// Waits until the validator has recorded this number of transfers.
    fn wait_for_deposits(&self, store: &Store, deposits: usize) {
        let start = Instant::now();
        loop {
            let deposit_count = self.runtime.block_on(store.deposits(None)).unwrap().len();
            assert!(
                deposit_count <= deposits,
                "{deposit_count} transfers are recorded, {deposits} were sent"
            );
            if deposit_count == deposits {
                return;
            }
            assert!(
                start.elapsed() < LONG_TIMEOUT,
                "only {deposit_count} of {deposits} transfers are recorded"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the validator has recorded the newest finalized block, so that the chain's
    /// newest block is announced to it.
    fn wait_for_head(&self, store: &Store) {
        let (start, client) = (Instant::now(), self.client());
        let finalized = self.runtime.block_on(client.finalized_head()).unwrap();
        while self.runtime.block_on(store.topups()).unwrap().unwrap().block < finalized.number {
            assert!(start.elapsed() < LONG_TIMEOUT, "block {finalized} is not recorded");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asserts that each key has the credits for exactly the TAO that its deposit address has on
    /// the chain.
    fn assert_books_equal_chain(&self, store: &Store, buyers: &[Buyer]) {
        let client = self.client();
        self.runtime.block_on(async {
            for Buyer { id, address } in buyers {
                let deposits = store.deposits(Some(id)).await.unwrap();
                let received_rao: u64 =
                    deposits.iter().map(|deposit| deposit.amount_rao.get()).sum();
                assert_eq!(
                    client.balance(*address, At::Finalized).await.unwrap().free,
                    Rao::new(received_rao)
                );
                let credits: i64 = deposits.iter().map(|deposit| deposit.credits).sum();
                let bought: u64 =
                    deposits.iter().map(|deposit| deposit.amount_rao.get() / RAO_PER_CREDIT).sum();
                assert_eq!(credits, i64::try_from(bought).unwrap());
                assert_eq!(store.key(id).await.unwrap().unwrap().balance, credits);
            }
            assert!(store.is_balanced().await.unwrap());
        });
    }
}

async fn pay(client: &Client, to: AccountId, rao: u64) {
    let payer = Keypair::from_uri("//Charlie").unwrap();
    let call = calls::transfer_keep_alive(to, Rao::new(rao));
    let outcome = client.send(&call, &payer, Follow::default()).await.unwrap();
    assert!(outcome.is_success(), "{outcome:?}");
}

/// Sends a call, which may fail.
async fn send(client: &Client, signer: &str, call: &Call) {
    let outcome =
        client.send(call, &Keypair::from_uri(signer).unwrap(), Follow::default()).await.unwrap();
    assert!(outcome.inclusion().is_some(), "{outcome:?}");
}

/// Pays six times, in batches of which parts fail, by a proxy, and with all TAO of an account.
fn pay_in_batches_and_by_proxy(sale: &TopUpFixture, to: AccountId) {
    let account = |uri: &str| AccountId::from(Keypair::from_uri(uri).unwrap().public().coldkey());
    let transfer = |number| calls::transfer_keep_alive(to, Rao::new(amount(number)));
    let failing = || calls::transfer_keep_alive(to, Rao::new(u64::MAX / 2));
    let (client, any): (_, ProxyType) = (sale.client(), "Any".parse().unwrap());
    sale.runtime.block_on(async {
        send(&client, "//Charlie", &calls::batch([transfer(2_000), transfer(2_001)])).await;
        send(&client, "//Charlie", &calls::batch([transfer(2_002), failing(), transfer(2_003)]))
            .await;
        send(&client, "//Charlie", &calls::force_batch([failing(), transfer(2_004)])).await;
        send(&client, "//Charlie", &calls::batch_all([transfer(2_005), failing()])).await;
        send(&client, "//Charlie", &calls::add_proxy(account("//Dave"), any, 0)).await;
        send(&client, "//Dave", &calls::proxy(account("//Charlie"), transfer(2_006))).await;
        send(&client, "//Dave", &calls::transfer_all(to, false)).await;
    });
    sale.finalize();
}

/// Makes all transfers, while validators are started and killed.
fn pay_during_kills(sale: &TopUpFixture, buyers: &[Buyer], startup: Duration) {
    let mut random = StdRng::seed_from_u64(random_seed());
    // Each process lives up to a second longer than a start takes; the transfers are spread over
    // all of them.
    let max_uptime = startup + Duration::from_secs(1);
    let pause = max_uptime * KILLS / 2 / u32::try_from(TRANSFERS).unwrap();
    let (client, addresses) =
        (sale.client(), buyers.iter().map(|buyer| buyer.address).collect::<Vec<_>>());
    let payments = sale.runtime.spawn(async move {
        for (number, to) in (1..=TRANSFERS).zip(addresses.into_iter().cycle()) {
            pay(&client, to, amount(number)).await;
            tokio::time::sleep(pause).await;
        }
    });
    for _ in 0..KILLS {
        let mut validator = sale.validator();
        validator.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
        let validator = KillOnDrop(validator.spawn().unwrap());
        std::thread::sleep(max_uptime.mul_f64(random.random_range(0.0..1.0)));
        drop(validator);
    }
    sale.runtime.block_on(payments).unwrap();
}

/// Pays twice in blocks that a reorganization removes, and once in those that replace them.
fn pay_in_reorganized_blocks(sale: &TopUpFixture, store: &Store, to: AccountId) {
    sale.control(&["snapshot", "take", "before"]);
    let client = sale.client();
    sale.runtime.block_on(async {
        pay(&client, to, amount(1_000)).await;
        pay(&client, to, amount(1_001)).await;
    });
    sale.wait_for_head(store);
    sale.control(&["snapshot", "revert", "before"]);
    // The nonces are used again.
    let client = sale.client();
    sale.runtime.block_on(pay(&client, to, amount(1_002)));
    sale.finalize();
}

/// Checks that the operator, Bob, collects the TAO.
fn check_collection(sale: &TopUpFixture, client: &Client, bob: AccountId, buyers: &[Buyer]) {
    let free =
        |account| sale.runtime.block_on(client.balance(account, At::Head)).unwrap().free.get();
    let (before, sum) = (free(bob), buyers.iter().map(|buyer| free(buyer.address)).sum::<u64>());
    let collect = |key: &str, option: &str| {
        let mut collect = tao();
        collect.args([
            "nineteen",
            "collect",
            "--key-uri",
            key,
            option,
            "--json",
            "--network",
            &sale.url(),
            "--state",
        ]);
        collect.arg(sale.state()).output().unwrap()
    };
    assert_eq!(document(&collect("//Bob", "--check")), json!({"account": BOB, "addresses": 3}));
    assert!(refusal(&collect("//Charlie", "--check"), 1).contains("TAO is collected for"));
    let collected = document(&collect("//Bob", "--yes"));
    assert_eq!(
        (&collected["success"], &collected["amount_rao"]),
        (&json!(true), &json!(sum)),
        "{collected}"
    );
    assert!(buyers.iter().all(|buyer| free(buyer.address) == 0));
    assert_eq!(free(bob), before + sum - collected["fee_rao"].as_u64().unwrap());
}

#[test]
fn transfers_are_credited_once_across_kills_and_a_reorganization() {
    let sale = TopUpFixture::start();
    let start = Instant::now();
    let validator = Daemon::start(&mut sale.validator());
    let startup = start.elapsed();
    let buyers = [(); 3].map(|()| sale.buyer());
    assert!(validator.terminate().success());
    pay_during_kills(&sale, &buyers, startup);
    sale.finalize();
    let store = sale.store();
    let validator = Daemon::start(&mut sale.validator());
    sale.wait_for_deposits(&store, 50);
    sale.assert_books_equal_chain(&store, &buyers);

    pay_in_reorganized_blocks(&sale, &store, buyers[0].address);
    sale.wait_for_deposits(&store, 51);
    let last = sale.runtime.block_on(store.deposits(None)).unwrap().pop().unwrap();
    assert_eq!(last.amount_rao, Rao::new(amount(1_002)));
    sale.assert_books_equal_chain(&store, &buyers);

    pay_in_batches_and_by_proxy(&sale, buyers[2].address);
    sale.wait_for_deposits(&store, 57);
    sale.assert_books_equal_chain(&store, &buyers);

    let (bob, client) = (BOB.parse::<AccountId>().unwrap(), sale.client());
    check_collection(&sale, &client, bob, &buyers);

    // A transfer to the account itself belongs to no key.
    sale.runtime.block_on(pay(&client, bob, amount(3)));
    sale.finalize();
    sale.wait_for_deposits(&store, 58);
    let unattributed = document(&sale.keys(&["deposits", "--unattributed"]));
    let [unattributed_deposit] = unattributed.as_array().unwrap().as_slice() else {
        panic!("{unattributed}")
    };
    let (block, event) =
        (unattributed_deposit["block"].to_string(), unattributed_deposit["event"].to_string());
    let assign = ["assign", block.as_str(), event.as_str(), buyers[1].id.as_str()];
    assert_eq!(document(&sale.keys(&assign))["credits"], 30);
    assert!(refusal(&sale.keys(&assign), 1).contains("already credited"));
    assert!(
        refusal(&sale.keys(&["usage", "--csv"]), 2).contains("--json"),
        "a document has one format"
    );
    assert!(sale.runtime.block_on(store.is_balanced()).unwrap());

    // An expired key gets no credits.
    let Buyer { id, address } = &buyers[0];
    document(&sale.keys(&["update", id, "--expires", "2020-01-01T00:00:00Z"]));
    let expired = sale.keys(&["topup", id]);
    assert!(String::from_utf8_lossy(&expired.stderr).contains("has expired"), "{expired:?}");
    sale.runtime.block_on(pay(&client, *address, amount(4)));
    sale.finalize();
    sale.wait_for_deposits(&store, 59);
    let unattributed = document(&sale.keys(&["deposits", "--unattributed"]));
    let unattributed_deposit = &unattributed[0];
    let assign = [
        "assign",
        &unattributed_deposit["block"].to_string(),
        &unattributed_deposit["event"].to_string(),
        id,
    ];
    assert!(refusal(&sale.keys(&assign), 1).contains("revoked or expired"));
    assert!(validator.terminate().success());

    // Without the option, nothing is sold.
    let closed = Daemon::start(&mut sale.validator_without_topups());
    assert!(
        refusal(&sale.keys(&["topup", &buyers[0].id]), 1).contains("credits no transfers of TAO")
    );
    drop(closed);
}
