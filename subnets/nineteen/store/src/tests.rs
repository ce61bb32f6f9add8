mod credits;
mod market;
mod shared;

use std::os::unix::fs::PermissionsExt as _;

use taonet_database::testing::Postgres;
use taonet_nineteen_core::TaskName;
use tempfile::TempDir;

use super::*;

/// A database for one test.
struct Home {
    folder: TempDir,
    url: Option<String>,
}

impl Home {
    fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), url: None }
    }

    fn postgres(server: &Postgres, name: &str) -> Self {
        Self { url: Some(server.create(name)), ..Self::sqlite() }
    }

    /// Opens the database, as another process does.
    async fn open(&self) -> Store {
        match &self.url {
            Some(url) => Store::connect(url).await.unwrap(),
            None => Store::open(&self.folder.path().join("deep/state")).await.unwrap(),
        }
    }
}

/// Tests that run on SQLite, and in turn on one PostgreSQL server.
macro_rules! on_both {
    ($($module:ident::$name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $module::$name(Home::sqlite()).await;
            }
        )*

        #[tokio::test]
        async fn all_of_these_on_postgres() {
            let Some(server) = Postgres::start() else { return };
            $(
                println!("{}", stringify!($name));
                $module::$name(Home::postgres(&server, stringify!($name))).await;
            )*
        }
    };
}

on_both! {
    market::issue_11_11_keys_outlive_a_refresh_of_the_nodes
    market::a_period_is_counted_once
    market::issue_11_1_results_are_keyed_by_job
    market::tasks_keep_as_many_answers_as_their_weight_allows
    market::rows_are_in_the_same_order
    credits::keys_are_found_by_their_text_alone
    credits::credits_are_never_overdrawn
    credits::budgets_are_of_a_month
    credits::books_that_were_tampered_with_do_not_balance
    credits::repeated_requests_run_once
    shared::credits_hold_over_processes
    shared::budgets_hold_over_processes
    shared::rates_hold_over_processes
    shared::rates_slide
    shared::counters_of_a_closed_period_stay
}

fn task(name: &str) -> TaskName {
    name.parse().unwrap()
}

#[tokio::test]
async fn only_the_owner_reads_it() {
    let home = Home::sqlite();
    let store = home.open().await;
    store.nodes().await.unwrap();
    for entry in std::fs::read_dir(home.folder.path().join("deep/state")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn other_databases_are_refused() {
    for url in ["mysql://localhost/x", "sqlite:x", "postgres://a:b@host:99999/x"] {
        let error = Store::connect(url).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "expected postgres://USER:PASSWORD@HOST/DATABASE", "{url}");
    }
}
