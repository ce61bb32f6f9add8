//! Log filter of a binary.

use tracing_subscriber::EnvFilter;

/// Builds the log filter from the directives in `requested`. If there are none, or they are
/// malformed, taonet's crates log at the level of `verbosity`, and all others at `warn`.
pub(crate) fn filter(verbosity: u8, requested: Option<&str>) -> EnvFilter {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // Dependencies stay at `warn`: their debug output would bury ours and may contain request
    // bodies. A directive matches every target that begins with it: `taonet` covers all crates of
    // the workspace.
    let default_directives = format!("warn,taonet={level},tao={level},bb={level}");
    EnvFilter::try_new(requested.unwrap_or(&default_directives))
        .unwrap_or_else(|_| EnvFilter::new(&default_directives))
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn requested_level_overrides_the_default() {
        for (verbosity, requested, level) in [
            (0, None, LevelFilter::WARN),
            (1, None, LevelFilter::INFO),
            (2, None, LevelFilter::DEBUG),
            (3, None, LevelFilter::TRACE),
            (0, Some("debug"), LevelFilter::DEBUG),
            (2, Some("taonet=loud"), LevelFilter::DEBUG),
        ] {
            assert_eq!(
                filter(verbosity, requested).max_level_hint(),
                Some(level),
                "{verbosity} {requested:?}"
            );
        }
    }
}
