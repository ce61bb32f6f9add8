//! The `tao update` command.

use std::cell::OnceCell;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::updates::{VERSION, update_error, updater};
use taonet_update::{Check, Installed, Progress, Release, ReleaseSource, Updater};

/// Install the latest release of this program
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Only report whether a newer release exists
    #[arg(long)]
    check: bool,
    /// Release server: an http or https URL, or a directory
    #[arg(long, value_name = "URL|DIR", env = "TAO_UPDATE_URL", hide_env_values = true)]
    from: Option<ReleaseSource>,
    /// Shell command that restarts the daemons, and succeeds once they are ready. If it fails, the
    /// previous program is restored, and the command runs again
    #[arg(long, value_name = "COMMAND", conflicts_with = "check")]
    restart: Option<String>,
    /// Timeout of --restart, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "restart")]
    restart_timeout: u32,
}

pub(crate) fn run(args: &UpdateArgs, context: &Context) -> anyhow::Result<()> {
    let Some(source) = &args.from else {
        return Err(ClassifiedError::usage(
            "no release server is set, and there is no official one yet\nhint: name one with --from URL, or set \
             TAO_UPDATE_URL",
        ));
    };
    let updater = updater(source)?;
    context.block_on(async {
        match updater.check().await.map_err(update_error)? {
            Check::Older(version) => anyhow::bail!(
                "the latest release {version} is older than this program, {VERSION}\nhint: older versions are never \
                 installed; run install.sh with another --prefix to use one"
            ),
            Check::Current if context.json => context.print_json(&json!({ "version": VERSION, "status": "current" })),
            Check::Current => context.print(&format!("tao {VERSION} is the latest release")),
            Check::Newer(release) if args.check => print_release(&release, context),
            Check::Newer(release) => {
                let installed = install(&updater, &release, context).await?;
                // A process that installed the release earlier has restarted the daemons.
                if let (Some(command), Some(_)) = (&args.restart, &installed.previous) {
                    context.print_notice("restarting the daemons");
                    let time_limit = Duration::from_secs(u64::from(args.restart_timeout));
                    updater
                        .restart_daemons(&installed, command, time_limit)
                        .await
                        .map_err(update_error)?;
                }
                print_installed(&updater, &installed, context)
            }
        }
    })
}

/// Prints the release that could be installed.
fn print_release(release: &Release, context: &Context) -> anyhow::Result<()> {
    let latest = release.version();
    if context.json {
        let digest = release.digest();
        let document = json!({ "version": VERSION, "status": "newer", "latest": latest.to_string(), "sha256": digest });
        return context.print_json(&document);
    }
    context.print(&format!("tao {latest} is available; the installed version is {VERSION}"))
}

/// Installs a release, with a progress bar.
async fn install(
    updater: &Updater,
    release: &Release,
    context: &Context,
) -> anyhow::Result<Installed> {
    updater.check_writable().map_err(update_error)?;
    context.print_notice(&format!("downloading tao {}", release.version()));
    let style = ProgressStyle::with_template("[{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}")?;
    let bar = OnceCell::new();
    let result = updater.install(release, |Progress { done, total }| {
        let bar = bar.get_or_init(|| ProgressBar::no_length().with_style(style.clone()));
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    });
    let result = result.await;
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    result.map_err(update_error)
}

/// Prints the result of an installation.
fn print_installed(
    updater: &Updater,
    installed: &Installed,
    context: &Context,
) -> anyhow::Result<()> {
    let (program, version) = (updater.program().display(), installed.version.to_string());
    for path in &installed.other_programs {
        let link = path.display();
        context.print_notice(&format!(
            "{link} is another program, not a link to {program}; link it with: ln -sf tao {link}"
        ));
    }
    if context.json {
        return context.print_json(&json!({
            "version": version,
            "status": "installed",
            "program": updater.program(),
            "previous": installed.previous,
            "other_programs": installed.other_programs,
        }));
    }
    match &installed.previous {
        Some(previous) => context.print(&format!(
            "installed {program} {version}; the previous program is {}",
            previous.display()
        )),
        None => context.print(&format!("{program} was already updated to {version}")),
    }
}
