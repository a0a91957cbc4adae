//! What a run says: progress, dashboard and logs on stderr, metrics into `metrics.jsonl` and TensorBoard's event files. What
//! is measured is decided elsewhere.
//!
//! | module | what it holds |
//! |---|---|
//! | `metrics` | `metrics.jsonl` |
//! | `events` | TensorBoard's event files |
//! | `progress` | a bar, or plain lines |
//! | `dashboard` | the picture of a training that goes on |
//! | `screen` | the one place that writes to stderr; keeps a picture at its bottom |
//! | `machine` | memory of the process and of the device |

mod dashboard;
mod events;
mod machine;
mod metrics;
mod progress;
pub mod screen;

use std::io::IsTerminal;

pub use dashboard::{Dashboard, Moment};
pub use events::EventWriter;
pub use machine::Memory;
pub use metrics::MetricsWriter;
pub use progress::Progress;

/// One line of `metrics.jsonl`.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// Installs the log subscriber (stderr; `RUST_LOG`, else `debug` of this program when `verbose`, else `info`).
pub fn init_logging(verbose: bool) {
    use tracing_subscriber::EnvFilter;
    let default = if verbose {
        "info,bioverse=debug"
    } else {
        "warn,bioverse=info"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A second call, as tests make, keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| screen::Lines)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .compact()
        .try_init();
}
