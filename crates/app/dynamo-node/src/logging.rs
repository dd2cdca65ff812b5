//! Log lines to standard error, and what happens on a panic.

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// Starts logging for the whole process; a second call changes nothing.
pub fn start(settings: &Settings) {
    let filter = EnvFilter::try_new(&settings.log_filter).expect("checked with the settings");
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "a thread panicked");
    }));
}
