mod credit_limit;
mod credits;
mod leases;
mod market;
mod reference;
mod shared;
mod teams;
mod token_rates;
mod topups;

use std::os::unix::fs::PermissionsExt as _;

use taonet_database::testing::Postgres;
use taonet_nineteen_core::TaskName;
use tempfile::TempDir;

use super::*;

/// Location of a test's database: a SQLite directory or a PostgreSQL URL.
struct DatabaseLocation {
    folder: TempDir,
    url: Option<String>,
}

impl DatabaseLocation {
    fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), url: None }
    }

    fn postgres(server: &Postgres, name: &str) -> Self {
        Self { url: Some(server.create(name)), ..Self::sqlite() }
    }

    /// Opens the database with the schema of an earlier release, which had the first `count`
    /// migrations.
    async fn open_old(&self, count: usize) -> Database {
        let schema = migrations(&MIGRATIONS[..count]);
        if let Some(url) = &self.url {
            return Database::postgres(url, &schema).await.unwrap();
        }
        let directory = self.folder.path().join("deep/state");
        std::fs::create_dir_all(&directory).unwrap();
        Database::sqlite(&directory.join(DATABASE_FILE), &schema).await.unwrap()
    }

    /// Opens the database with separate connections, like another process.
    async fn open(&self) -> Store {
        match &self.url {
            Some(url) => Store::connect(url).await.unwrap(),
            None => Store::open(&self.folder.path().join("deep/state")).await.unwrap(),
        }
    }
}

/// Defines tests that run on SQLite and, one after the other, on a PostgreSQL server; and tests of
/// a shared database, which run on PostgreSQL only.
macro_rules! on_both {
    ($($module:ident::$name:ident)*; $($shared:ident::$of_postgres:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $module::$name(DatabaseLocation::sqlite()).await;
            }
        )*

        #[tokio::test]
        async fn all_store_tests_pass_on_postgres() {
            let Some(server) = Postgres::start() else { return };
            $(
                println!("{}", stringify!($name));
                $module::$name(DatabaseLocation::postgres(&server, stringify!($name))).await;
            )*
            $(
                println!("{}", stringify!($of_postgres));
                $shared::$of_postgres(DatabaseLocation::postgres(&server, stringify!($of_postgres))).await;
            )*
        }
    };
}

on_both! {
    market::session_keys_survive_refresh_of_nodes
    market::signing_hotkeys_are_remembered_while_registered
    market::registered_neurons_are_listed_as_of_a_time_by_uid
    market::neurons_of_an_earlier_release_are_refreshed_at_once
    market::parts_of_a_period_are_counted_once
    market::rewards_are_keyed_by_job
    market::stored_answers_of_a_task_follow_its_weight
    market::rows_are_sorted_bytewise
    credits::keys_are_looked_up_by_their_secret_only
    credits::key_weight_is_stored_and_keys_of_earlier_releases_have_weight_1
    credits::concurrent_holds_never_overdraw_credits
    credits::monthly_budget_is_renewed_each_month
    credits::budgets_of_a_day_and_a_month_apply_together
    credits::spend_is_summed_by_key_and_day
    credits::invoice_covers_one_key_and_month
    credits::manipulated_accounts_do_not_balance
    credits::repeated_requests_run_once
    credit_limit::grants_above_the_limit_are_refused
    credit_limit::amounts_at_the_limits_never_overflow
    credit_limit::integer_columns_stay_integers
    credit_limit::overflowed_balances_are_repaired
    credits::operators_grant_and_revoke_while_requests_run
    leases::charges_of_a_batch_balance
    leases::writer_pauses_after_several_charges
    leases::charges_of_half_of_the_requests_end_pause_of_writer
    leases::pending_hold_ends_pause_of_writer
    leases::failed_charge_can_be_retried_after_recovery
    leases::committed_charge_is_not_repeated
    leases::running_requests_are_not_abandoned
    leases::reserve_serves_further_requests_and_is_returned
    leases::busy_key_needs_few_leases
    leases::killed_process_loses_no_credits
    leases::cancelled_caller_holds_no_credits
    leases::concurrent_requests_of_several_days_are_granted
    leases::random_operations_never_overdraw
    shared::busy_keys_reserve_admissions
    shared::reserved_admissions_never_exceed_the_limit
    shared::rate_limits_hold_across_processes
    shared::rate_window_slides
    shared::counters_of_a_closed_period_are_unchanged
    shared::counts_of_processes_add_up
    shared::only_one_process_has_control
    teams::keys_of_a_team_share_its_budgets
    teams::spending_stays_with_the_former_team_of_a_key
    teams::team_budgets_apply_across_processes
    teams::random_operations_never_exceed_a_team_budget
    teams::reserve_is_returned_once_it_exceeds_a_changed_budget
    teams::changed_budgets_do_not_limit_earlier_reserves
    teams::concurrent_changes_of_both_budgets_are_kept
    teams::deleted_team_has_no_keys_and_keeps_its_charges
    topups::each_key_has_one_deposit_address
    topups::concurrent_keys_get_different_deposit_addresses
    topups::keys_with_the_same_prefix_get_different_deposit_addresses
    topups::deposit_address_of_a_lost_key_is_not_reused
    topups::transfers_are_credited_once
    topups::topups_of_another_chain_are_refused
    topups::unattributed_transfers_are_assigned_once
    topups::credits_above_the_limit_await_the_operator
    topups::transfers_to_inactive_keys_await_the_operator
    topups::disabled_topups_record_nothing
    topups::deposits_are_listed_in_pages
    topups::deposit_addresses_are_found_among_accounts
    topups::assigned_transfers_are_invoiced_when_they_are_credited
    topups::concurrent_watchers_credit_once
    token_rates::tokens_are_reserved_and_returned;
    shared::credits_are_shared_across_processes
    shared::budgets_apply_across_processes
    token_rates::token_limits_hold_across_processes
}

fn task(name: &str) -> TaskName {
    name.parse().unwrap()
}

#[tokio::test]
async fn database_files_are_readable_by_the_owner_only() {
    let location = DatabaseLocation::sqlite();
    let store = location.open().await;
    store.nodes().await.unwrap();
    for entry in std::fs::read_dir(location.folder.path().join("deep/state")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn unsupported_database_url_is_refused() {
    for url in ["mysql://localhost/x", "sqlite:x", "postgres://a:b@host:99999/x"] {
        let error = Store::connect(url).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            source, "malformed database URL, expected postgres://USER:PASSWORD@HOST/DATABASE",
            "{url}"
        );
    }
}

#[tokio::test]
async fn database_is_read_while_a_validator_uses_it() {
    let location = DatabaseLocation::sqlite();
    let directory = location.folder.path().join("deep/state");
    let missing = Store::read(&directory).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing(_)) && !directory.exists(), "{missing}");
    let store = location.open().await;
    let config = taonet_nineteen_core::MarketConfig::default();
    let profile = taonet_nineteen_core::period::PeriodProfile::Reference;
    let offers = [market::offer("//Alice", "a")];
    let period = store.begin_period(1_000, 60_000, profile, &offers, &[], &config).await.unwrap();
    let reader = Store::read(&directory).await.unwrap();
    assert_eq!(reader.current_period().await.unwrap().unwrap().id, period);
    assert_eq!(reader.contenders(period).await.unwrap(), store.contenders(period).await.unwrap());
    assert!(reader.add_contenders(period, &[market::offer("//Bob", "a")]).await.is_err());
}
