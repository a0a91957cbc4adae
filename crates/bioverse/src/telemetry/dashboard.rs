//! The picture of a training that goes on: how far, how fast, the loss, what was measured, memory. How it gets onto the
//! terminal, and what stays of it, is the business of [`screen`].

mod curve;
mod paint;

use std::time::{Duration, Instant};

use super::machine::Memory;
use super::progress::Progress;
use super::screen;
use curve::Curve;

/// Between two pictures.
const PAUSE: Duration = Duration::from_millis(250);

/// How a training stands after a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// Steps done.
    pub step: usize,
    /// Loss of the step.
    pub loss: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Norm of the gradients.
    pub grad_norm: f64,
    /// Rows per second of this sitting.
    pub rows_per_s: f64,
    /// Memory.
    pub memory: Memory,
}

/// A picture at the bottom of the terminal, redrawn at most four times a second.
#[derive(Debug)]
pub struct Dashboard {
    label: String,
    total: usize,
    /// Steps done before this sitting.
    first: usize,
    start: Instant,
    loss: Curve,
    measured: Option<(String, Curve)>,
    message: String,
    moment: Moment,
    drawn: Option<Instant>,
}

impl Dashboard {
    /// Of `total` steps, `done` of which earlier sittings did; `None` where there is no terminal for it.
    pub fn new(label: &str, total: usize, done: usize) -> Option<Self> {
        let free = screen::room().is_some() && !screen::occupied();
        free.then(|| Self {
            label: label.into(),
            total,
            first: done,
            start: Instant::now(),
            loss: Curve::default(),
            measured: None,
            message: String::new(),
            moment: Moment {
                step: done,
                ..Moment::default()
            },
            drawn: None,
        })
    }

    /// A point of the loss curve that an earlier sitting made.
    pub fn loss_before(&mut self, step: usize, loss: f64) {
        self.loss.push(step, loss);
    }

    /// After a step.
    pub fn step(&mut self, moment: Moment) {
        self.loss.push(moment.step, moment.loss);
        self.moment = moment;
        self.draw(false);
    }

    /// A number called `name` that was measured after `step` steps. The first name is the one whose curve is shown.
    pub fn measured(&mut self, step: usize, name: &str, value: f64) {
        let (shown, curve) = self
            .measured
            .get_or_insert_with(|| (name.into(), Curve::default()));
        if shown == name {
            curve.push(step, value);
        }
    }

    /// What was measured, in words.
    pub fn say(&mut self, message: &str) {
        self.message = message.into();
        self.draw(true);
    }

    /// Takes the picture away; what is left tells how long it took.
    pub fn into_progress(self) -> Progress {
        Progress::ended(&self.label, self.start)
    }

    /// Seconds that the rest takes, at the pace of this sitting.
    fn left(&self) -> Option<f64> {
        let done = self
            .moment
            .step
            .checked_sub(self.first)
            .filter(|done| *done > 0)?;
        let left = self.total.saturating_sub(self.moment.step);
        Some(self.start.elapsed().as_secs_f64() / done as f64 * left as f64)
    }

    fn draw(&mut self, now: bool) {
        if !now && self.drawn.is_some_and(|drawn| drawn.elapsed() < PAUSE) {
            return;
        }
        // One column is left free: some terminals break a line that ends in the last one.
        let (columns, rows) = screen::size();
        screen::draw(paint::lines(self, columns.saturating_sub(1).max(1), rows));
        self.drawn = Some(Instant::now());
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        screen::clear();
    }
}
