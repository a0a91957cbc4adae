//! What one run of the loop says while it goes on: metrics, TensorBoard events, the display. Knows nothing of parameters.

use std::time::{Duration, Instant};

use super::steps::{Done, Observation, Stage};
use crate::error::Result;
use crate::telemetry::{Dashboard, EventWriter, Fields, Memory, MetricsWriter, Moment, Progress};

/// How old a reading of memory may be: on Linux it takes the kernel a while to put one together.
const READING: Duration = Duration::from_secs(1);
/// Measurements whose curve is shown, best known first.
const SHOWN: [&str; 2] = ["held_out_mrr", "held_out_loss"];

/// Metrics and display of one run of the loop.
pub(super) struct Log {
    metrics: MetricsWriter,
    events: Option<EventWriter>,
    display: Display,
    memory: (Memory, Instant),
    since: Instant,
    /// Seconds of earlier sittings.
    before: f64,
    rows: usize,
    loss: f64,
    message: String,
}

/// How a training is shown.
enum Display {
    Board(Box<Dashboard>),
    Lines(Progress),
}

impl Log {
    /// After `done` steps, which took `seconds`.
    pub(super) fn open(stage: &Stage<'_>, done: usize, seconds: f64) -> Result<Self> {
        let before = stage.steps_before;
        let (metrics, kept) = MetricsWriter::open(stage.metrics, &stage.label, before, done)?;
        let events = match stage.tensorboard {
            true => Some(events(stage, done, kept.last())?),
            false => None,
        };
        let display = match Dashboard::new(&stage.label, stage.steps, done) {
            Some(mut board) => {
                remember(&mut board, stage, &kept);
                Display::Board(Box::new(board))
            }
            None => Display::Lines(Progress::new(&stage.label, stage.steps)),
        };
        Ok(Self {
            metrics,
            events,
            display,
            memory: (Memory::now(), Instant::now()),
            since: Instant::now(),
            before: seconds,
            rows: 0,
            loss: f64::NAN,
            message: String::new(),
        })
    }

    /// Seconds of training, over all sittings.
    pub(super) fn seconds(&self) -> f64 {
        self.before + self.since.elapsed().as_secs_f64()
    }

    /// What was seen before the first step.
    pub(super) fn before(&mut self, stage: &Stage<'_>, observation: Observation) -> Result<()> {
        self.observed(0, &observation);
        let mut fields = head(stage, 0);
        self.machine(&mut fields);
        fields.extend(observation.fields);
        self.write(fields)
    }

    /// What was done in a step, and what was seen after it.
    pub(super) fn step(
        &mut self,
        stage: &Stage<'_>,
        step: usize,
        done: &Done,
        observation: Option<Observation>,
    ) -> Result<()> {
        self.rows += done.rows;
        self.loss = done.loss;
        let rate = self.rows as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.show(step, done, rate);
        if let Some(observation) = &observation {
            self.observed(step, observation);
        }
        let every = stage.log_every.max(1);
        if observation.is_none() && step != 1 && step != stage.steps && !step.is_multiple_of(every)
        {
            return Ok(());
        }
        let mut fields = head(stage, step);
        fields.insert("loss".into(), done.loss.into());
        fields.insert("lr".into(), done.report.lr.into());
        fields.insert("grad_norm".into(), done.report.grad_norm.into());
        fields.insert("rows_per_s".into(), rate.into());
        self.machine(&mut fields);
        fields.extend(done.fields.clone());
        fields.extend(observation.map(|seen| seen.fields).unwrap_or_default());
        self.write(fields)
    }

    fn show(&mut self, step: usize, done: &Done, rate: f64) {
        let memory = self.memory();
        match &mut self.display {
            Display::Board(board) => board.step(Moment {
                step,
                loss: done.loss,
                lr: done.report.lr,
                grad_norm: done.report.grad_norm,
                rows_per_s: rate,
                memory,
            }),
            Display::Lines(progress) => {
                let seen = &self.message;
                let message = format!("loss {:.4} · {rate:.0} rows/s{seen}", done.loss);
                progress.set(step, &message);
            }
        }
    }

    fn observed(&mut self, step: usize, observation: &Observation) {
        if !observation.message.is_empty() {
            self.message = format!(" · {}", observation.message);
        }
        if let Display::Board(board) = &mut self.display {
            if let Some((name, value)) = shown(&observation.fields) {
                board.measured(step, name, value);
            }
            board.say(&observation.message);
        }
    }

    /// What depends on the machine: two runs of the same bytes differ in these.
    fn machine(&mut self, fields: &mut Fields) {
        let memory = self.memory();
        fields.insert("seconds".into(), self.seconds().into());
        if let Some(bytes) = memory.process {
            fields.insert("rss_bytes".into(), bytes.into());
        }
        if let Some((used, _)) = memory.gpu {
            fields.insert("gpu_bytes".into(), used.into());
        }
    }

    fn memory(&mut self) -> Memory {
        if self.memory.1.elapsed() > READING {
            self.memory = (Memory::now(), Instant::now());
        }
        self.memory.0
    }

    fn write(&mut self, fields: Fields) -> Result<()> {
        if let Some(events) = &mut self.events {
            events.write(&fields)?;
        }
        self.metrics.write(fields)
    }

    /// Ends the display.
    pub(super) fn finish(self, stage: &Stage<'_>, step: usize) {
        let message = format!("loss {:.4}{}", self.loss, self.message);
        let mut lines = match self.display {
            Display::Lines(progress) => progress,
            Display::Board(board) => board.into_progress(),
        };
        lines.finish_at(step, stage.steps, &message);
    }
}

fn head(stage: &Stage<'_>, step: usize) -> Fields {
    let mut fields = Fields::new();
    fields.insert("step".into(), (stage.steps_before + step).into());
    fields.insert("stage".into(), stage.label.as_str().into());
    fields
}

/// Event files beside the metrics, from the step that comes next.
fn events(stage: &Stage<'_>, done: usize, last: Option<&Fields>) -> Result<EventWriter> {
    let beside = stage.metrics.parent().unwrap_or(stage.metrics);
    let reached = stage.steps_before + done;
    let first = if done == 0 { reached } else { reached + 1 };
    let mut events = EventWriter::open(&beside.join("tensorboard"), first)?;
    // The line before the first step bears the number of the last step of the training before, which is told again.
    let step = |line: &&Fields| line.get("step").and_then(serde_json::Value::as_u64);
    if let Some(line) = last.filter(|line| done == 0 && step(line) == Some(reached as u64)) {
        events.write(line)?;
    }
    Ok(events)
}

/// Curves that an earlier sitting began.
fn remember(board: &mut Dashboard, stage: &Stage<'_>, kept: &[Fields]) {
    let own =
        |line: &&Fields| line.get("stage").and_then(|name| name.as_str()) == Some(&stage.label);
    for line in kept.iter().filter(own) {
        let Some(step) = line.get("step").and_then(serde_json::Value::as_u64) else {
            continue;
        };
        let step = (step as usize).saturating_sub(stage.steps_before);
        if let Some(loss) = line.get("loss").and_then(serde_json::Value::as_f64) {
            board.loss_before(step, loss);
        }
        if let Some((name, value)) = shown(line).filter(|(name, _)| name.starts_with("held_out_")) {
            board.measured(step, name, value);
        }
    }
}

/// The measurement whose curve is shown.
fn shown(fields: &Fields) -> Option<(&str, f64)> {
    let known = SHOWN.iter().find_map(|name| fields.get_key_value(*name));
    let first = || {
        fields
            .iter()
            .find(|(name, value)| name.starts_with("held_out_") && value.is_number())
    };
    let any = || fields.iter().find(|(_, value)| value.is_number());
    let (name, value) = known.or_else(first).or_else(any)?;
    Some((name, value.as_f64()?))
}
