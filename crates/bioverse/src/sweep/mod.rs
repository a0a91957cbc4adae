//! A sweep: the same stage with every combination of some values, each a run of its own in `run.dir/sweep/<name>`, and one
//! table of what came out. It trains nothing itself: every run is a process of this program, so that one that fails takes no
//! other with it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`values`] | what varies, as it is typed |
//! | [`plan`] | every run with its configuration, checked before the first begins |
//! | [`trial`] | one run, and how it goes on after the sweep was killed |
//! | [`metric`] | what runs are compared by |
//! | [`summary`] | the table |

pub mod metric;
pub mod plan;
pub mod summary;
pub mod trial;
pub mod values;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use plan::{Plan, Request, Stage};
pub use summary::Summary;
use trial::{Begin, Ended, State};

use crate::error::{Error, Result};
use crate::interrupt;

/// What would be run, one line for each run.
pub fn listing(plan: &Plan) -> String {
    let line = |trial: &plan::Trial| {
        let begin = match trial.begin() {
            Begin::Anew => "to run",
            Begin::Resume => "goes on from its checkpoint",
            Begin::Finished => "finished",
        };
        format!("{}  ({begin})\n", trial.dir.display())
    };
    let lines: String = plan.trials.iter().map(line).collect();
    format!(
        "{lines}{} runs, all of them checked; compared by {}\n",
        plan.trials.len(),
        plan.metric
    )
}

/// Runs everything that has not ended yet, `jobs` at a time, and writes the summary.
///
/// # Errors
/// When a folder cannot be written, or on Ctrl-C; runs that fail have their row in the summary.
pub fn run(plan: &Plan, jobs: usize) -> Result<Summary> {
    interrupt::install();
    std::fs::create_dir_all(&plan.dir).map_err(|error| Error::io(&plan.dir, error))?;
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<State>>>> =
        Mutex::new(plan.trials.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, plan.trials.len().max(1)) {
            scope.spawn(|| {
                while let Some((at, trial)) = take(plan, &next) {
                    let state = trial.run(plan);
                    tell(plan, at, &state);
                    if let Ok(mut done) = done.lock() {
                        done[at] = Some(state);
                    }
                }
            });
        }
    });
    let done = done
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let states: Result<Vec<Option<State>>> = done.into_iter().map(Option::transpose).collect();
    let summary = Summary::of(plan, &states?)?;
    summary.write()?;
    if interrupt::requested() {
        return Err(Error::Run(format!(
            "interrupted; {} holds what is done, and the same command goes on from there",
            plan.dir.display()
        )));
    }
    Ok(summary)
}

/// The next run, unless Ctrl-C was pressed.
fn take<'a>(plan: &'a Plan, next: &AtomicUsize) -> Option<(usize, &'a plan::Trial)> {
    if interrupt::requested() {
        return None;
    }
    let at = next.fetch_add(1, Ordering::SeqCst);
    let trial = plan.trials.get(at)?;
    tracing::info!("[{}/{}] {}", at + 1, plan.trials.len(), trial.name);
    Some((at, trial))
}

fn tell(plan: &Plan, at: usize, state: &Result<State>) {
    let (name, place) = (
        &plan.trials[at].name,
        format!("[{}/{}]", at + 1, plan.trials.len()),
    );
    match state {
        Ok(state) => match &state.ended {
            Some(Ended::Finished) => {
                tracing::info!("{place} {name}: finished in {:.1} s", state.seconds)
            }
            Some(Ended::Failed(said)) => tracing::warn!("{place} {name}: failed: {said}"),
            None => tracing::info!("{place} {name}: interrupted"),
        },
        Err(error) => tracing::warn!("{place} {name}: {error}"),
    }
}
