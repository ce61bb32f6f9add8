//! The progress bars of long commands.

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar that is cleared on drop.
pub struct Progress(pub ProgressBar);

impl Progress {
    /// Creates a progress bar in the style of a template.
    pub fn new(bar: ProgressBar, template: &str) -> Self {
        Self(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
