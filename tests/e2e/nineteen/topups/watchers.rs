//! Two watchers of one chain that credit transfers in one database at the same time, as after a
//! validator was moved to another machine and the first one still runs.

use std::sync::Arc;

use taonet_nineteen_control::TopUpWatcher;
use taonet_service::{Shutdown, system_clock};

use super::*;

/// Number of transfers, of which a quarter become final at the same time.
const PAYMENTS: u64 = 12;

/// Starts a watcher with its own connection and database.
fn watch(sale: &TopUpFixture) -> Shutdown {
    let (client, store, shutdown) = (Arc::new(sale.client()), sale.store(), Shutdown::new());
    let watcher = TopUpWatcher::new(client as _, store, system_clock());
    let (stop, _runtime) = (shutdown.clone(), sale.runtime.enter());
    shutdown.spawn("topups", async move { watcher.run(&stop).await });
    shutdown
}

fn stop(sale: &TopUpFixture, watcher: &Shutdown) {
    watcher.request();
    sale.runtime.block_on(watcher.finished()).unwrap();
}

#[test]
fn two_watchers_credit_each_transfer_once() {
    let sale = TopUpFixture::start();
    // Creates the database, and sets the price.
    let validator = Daemon::start(&mut sale.validator());
    let buyers = [(); 3].map(|()| sale.buyer());
    assert!(validator.terminate().success());
    let (client, store) = (sale.client(), sale.store());
    let (first, second) = (watch(&sale), watch(&sale));
    let mut restarted = None;
    for (number, buyer) in (1..=PAYMENTS).zip(buyers.iter().cycle()) {
        sale.runtime.block_on(pay(&client, buyer.address, amount(number)));
        if number % (PAYMENTS / 4) == 0 {
            sale.finalize();
        }
        if number == PAYMENTS / 2 {
            stop(&sale, &first);
            restarted = Some(watch(&sale));
        }
    }
    sale.wait_for_deposits(&store, usize::try_from(PAYMENTS).unwrap());
    sale.assert_books_equal_chain(&store, &buyers);
    // Neither watcher credits a transfer again when it reads the newest block.
    sale.finalize();
    sale.wait_for_head(&store);
    for watcher in restarted.iter().chain([&second]) {
        stop(&sale, watcher);
    }
    sale.wait_for_deposits(&store, usize::try_from(PAYMENTS).unwrap());
    sale.assert_books_equal_chain(&store, &buyers);
}
