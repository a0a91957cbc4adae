//! `cargo xtask bench`: training steps beside the same steps in PyTorch. Both sides get the same inputs, do some steps
//! without dropout to show that they do the same work, and are then measured in turns, each time in a fresh process.
//! What a step is, `bioverse-benches` and the scripts in `benches` know.

mod measured;
mod peer;
mod report;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::process;
use measured::{Measured, Side};
use report::Report;

/// Largest relative difference between the losses of both sides that is put down to rounding.
const SAME: f64 = 1e-3;
/// Steps whose losses are compared.
const COMPARED: usize = 5;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Batch 256 of 384-wide encodings, projector 384→1024→1024→2048, InfoNCE both ways.
    Stage1,
    /// 135M Llama, LoRA of rank 8 on every linear layer, 8 rows of 256 tokens.
    Stage2,
}

/// Whom we are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// PyTorch, in stage 2 with transformers and PEFT.
    Torch,
    /// Nobody.
    None,
}

/// Flags of the benchmark.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure; both when left out.
    stage: Option<Stage>,
    /// Processes per side; the median over them counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Also write the results here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Whom to compare with.
    #[arg(long, default_value = "torch")]
    peer: Peer,
    /// A Python that has torch, transformers and peft; left out, one is installed below `target`.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Threads of either side; all cores when left out.
    #[arg(long)]
    threads: Option<usize>,
    /// Features of `bioverse` to build ours with, such as `wgpu`.
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// Shapes so small that nothing is learnt from the numbers: to see whether the benchmark itself works.
    #[arg(long)]
    tiny: bool,
    /// A `bioverse-benches` that is built already.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// One row: what is run, with which flags.
struct Row {
    stage: Stage,
    name: &'static str,
    /// For both sides.
    flags: &'static [&'static str],
}

const ROWS: [Row; 3] = [
    Row {
        stage: Stage::Stage1,
        name: "stage 1",
        flags: &["--steps", "30", "--warmup", "5", "--dropout", "0.1"],
    },
    Row {
        stage: Stage::Stage2,
        name: "stage 2",
        flags: &["--steps", "3", "--warmup", "1", "--dropout", "0.05"],
    },
    Row {
        stage: Stage::Stage2,
        name: "stage 2, checkpointing",
        flags: &[
            "--steps",
            "3",
            "--warmup",
            "1",
            "--dropout",
            "0.05",
            "--checkpointing",
        ],
    },
];

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Stage1 => "stage1",
            Self::Stage2 => "stage2",
        }
    }

    /// Flags of `prepare` that make everything small.
    fn tiny(self) -> &'static [&'static str] {
        match self {
            Self::Stage1 => &[
                "--rows",
                "40",
                "--d-hidden",
                "6",
                "--inner",
                "8",
                "--d-model",
                "12",
            ],
            Self::Stage2 => &[
                "--layers",
                "2",
                "--hidden",
                "16",
                "--heads",
                "2",
                "--kv-heads",
                "1",
                "--mlp",
                "24",
                "--vocab",
                "64",
                "--rank",
                "2",
                "--batch",
                "2",
                "--tokens",
                "24",
                "--d-hidden",
                "6",
                "--inner",
                "8",
            ],
        }
    }

    /// Flags of a run on tiny shapes.
    fn tiny_run(self) -> &'static [&'static str] {
        match self {
            Self::Stage1 => &["--batch", "8"],
            Self::Stage2 => &["--answer", "6"],
        }
    }
}

/// Both programs and what they share.
struct Bout {
    ours: PathBuf,
    /// Python; `None` without a peer.
    python: Option<PathBuf>,
    threads: usize,
    folder: PathBuf,
    tiny: bool,
}

impl Bench {
    /// Measures and prints; fails when both sides do not compute the same.
    pub fn run(self) -> Result<ExitCode> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let folder = process::target().join("bench");
        let bout = Bout {
            ours: match &self.program {
                Some(program) => program.clone(),
                None => build(&self.features)?,
            },
            python: match (self.peer, &self.python) {
                (Peer::None, _) => None,
                (Peer::Torch, Some(python)) => Some(python.clone()),
                (Peer::Torch, None) => Some(peer::installed(&folder)?),
            },
            threads: self.threads.unwrap_or(cores),
            folder,
            tiny: self.tiny,
        };
        let mut report = Report::new(bout.threads, &self.features);
        for stage in [Stage::Stage1, Stage::Stage2] {
            if self.stage.is_some_and(|wanted| wanted != stage) {
                continue;
            }
            bout.prepare(stage)?;
            bout.compare_losses(stage)?;
            for row in ROWS.iter().filter(|row| row.stage == stage) {
                let [ours, theirs] = bout.measure(row, self.runs.max(1))?;
                println!("{}", report.add(row.name, ours, theirs));
            }
        }
        println!("\n{}", report.table());
        if let Some(path) = &self.json {
            std::fs::write(path, report.json())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The peer's side of a stage.
fn script(stage: Stage) -> PathBuf {
    let name = format!("torch_{}.py", stage.word());
    process::root().join("benches").join(name)
}

/// Builds `bioverse-benches` and says where it is.
fn build(features: &[String]) -> Result<PathBuf> {
    let mut command = process::cargo();
    command.args(["build", "--release", "--package", "bioverse-benches"]);
    if !features.is_empty() {
        let features: Vec<String> = features.iter().map(|f| format!("bioverse/{f}")).collect();
        command.args(["--features", &features.join(",")]);
    }
    println!("{}", process::shown(&command));
    if !process::status(&mut command)?.success() {
        bail!("bioverse-benches does not build");
    }
    let name = format!("bioverse-benches{}", std::env::consts::EXE_SUFFIX);
    Ok(process::target().join("release").join(name))
}

impl Bout {
    fn inputs(&self, stage: Stage) -> PathBuf {
        let size = if self.tiny { "tiny-" } else { "" };
        self.folder.join(format!("{size}{}", stage.word()))
    }

    fn prepare(&self, stage: Stage) -> Result<()> {
        let mut command = Command::new(&self.ours);
        command
            .arg("prepare")
            .arg(stage.word())
            .arg(self.inputs(stage));
        if self.tiny {
            command.args(stage.tiny());
        }
        match process::status(&mut command)?.success() {
            true => Ok(()),
            false => bail!("{} failed", process::shown(&command)),
        }
    }

    /// A run of one side.
    fn command(&self, side: Side, stage: Stage, flags: &[&str]) -> Option<Command> {
        let mut command = match side {
            Side::Ours => {
                let mut command = Command::new(&self.ours);
                command.arg(stage.word());
                command
            }
            Side::Theirs => {
                let mut command = Command::new(self.python.as_ref()?);
                command.arg(script(stage));
                command
            }
        };
        command.arg(self.inputs(stage)).args(flags);
        if self.tiny {
            command.args(stage.tiny_run());
        }
        let threads = self.threads.to_string();
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, &threads);
        }
        Some(command)
    }

    /// Without dropout both sides must see the same losses, step by step, or they do not do the same work.
    fn compare_losses(&self, stage: Stage) -> Result<()> {
        let steps = COMPARED.to_string();
        let flags = ["--losses", "--warmup", "0", "--steps", &steps];
        let losses = |side| -> Result<Option<Vec<f64>>> {
            let command = self.command(side, stage, &flags);
            let measured = command.map(|mut command| Measured::of(&mut command));
            Ok(measured.transpose()?.map(|measured| measured.losses))
        };
        let (Some(ours), Some(theirs)) = (losses(Side::Ours)?, losses(Side::Theirs)?) else {
            return Ok(());
        };
        println!("losses of {}: {ours:.5?} and {theirs:.5?}", stage.word());
        let same = |(a, b): (&f64, &f64)| (a - b).abs() <= SAME * b.abs();
        if ours.len() != theirs.len() || !ours.iter().zip(&theirs).all(same) {
            bail!(
                "the two sides of {} do not compute the same: {ours:?} and {theirs:?}",
                stage.word()
            );
        }
        Ok(())
    }

    /// Ours and theirs in turns.
    fn measure(&self, row: &Row, runs: usize) -> Result<[Vec<Measured>; 2]> {
        let mut all = [vec![], vec![]];
        for run in 1..=runs {
            for (side, found) in [Side::Ours, Side::Theirs].into_iter().zip(&mut all) {
                if let Some(mut command) = self.command(side, row.stage, row.flags) {
                    let measured = Measured::of(&mut command)?;
                    println!("{} {run}/{runs} {}", row.name, measured.line(side));
                    found.push(measured);
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_twin() {
        for row in &ROWS {
            assert!(script(row.stage).is_file(), "{}", row.name);
        }
    }
}
