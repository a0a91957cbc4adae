//! Which runs a sweep consists of, each with its whole configuration, checked before the first begins.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bioverse_core::Registry;

use super::values::{Axis, combinations};
use crate::config::{Resolved, RunConfig};
use crate::error::{Error, Result};
use crate::train::fingerprint::{Fingerprint, fingerprint};
use crate::train::seed::mix_name;

/// Longest name of a run's folder.
const LONGEST: usize = 96;

/// A stage that can be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Stage 1.
    Align,
    /// Stage 2.
    Finetune,
}

impl Stage {
    /// The command.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Align => "align",
            Self::Finetune => "finetune",
        }
    }

    fn other(self) -> &'static str {
        match self {
            Self::Align => "finetune",
            Self::Finetune => "align",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which stage.
    pub stage: Stage,
    /// The configuration that all runs start from.
    pub config: PathBuf,
    /// `key=value` for all runs.
    pub sets: Vec<String>,
    /// `key=v1,v2`.
    pub vary: Vec<String>,
    /// Runs with different seeds of each combination.
    pub seeds: usize,
    /// What to compare by; `None` = what is usual for the stage.
    pub metric: Option<String>,
}

/// All runs of a sweep.
#[derive(Debug)]
pub struct Plan {
    /// Which stage.
    pub stage: Stage,
    /// `run.dir/sweep`.
    pub dir: PathBuf,
    /// What varies.
    pub axes: Vec<Axis>,
    /// Runs of each combination.
    pub seeds: usize,
    /// A key of `metrics.jsonl`.
    pub metric: String,
    /// In order; those of one combination stand together.
    pub trials: Vec<Trial>,
}

/// One run.
#[derive(Debug)]
pub struct Trial {
    /// Its folder within the sweep's.
    pub name: String,
    /// `run.dir` of the run.
    pub dir: PathBuf,
    /// Its value of each axis.
    pub values: Vec<String>,
    /// Its configuration.
    pub config: RunConfig,
    /// As TOML.
    pub toml: String,
    /// What its result depends on.
    pub fingerprint: Fingerprint,
}

impl Plan {
    /// Reads and checks every combination.
    ///
    /// # Errors
    /// With the sentence of the first configuration that is refused; nothing has run then.
    pub fn new(request: &Request, registry: &Registry) -> Result<Self> {
        let axes: Result<Vec<Axis>> = request
            .vary
            .iter()
            .map(|argument| Axis::read(argument))
            .collect();
        let axes = axes?;
        check(&axes, request.seeds)?;
        let load = |sets: &[String]| RunConfig::load(&request.config, sets, registry);
        let base = load(&request.sets)?.config;
        let dir = base.run.dir.join("sweep");
        let mut plan = Self {
            stage: request.stage,
            metric: super::metric::chosen(request.stage, request.metric.as_deref())?,
            seeds: request.seeds.max(1),
            trials: vec![],
            axes,
            dir,
        };
        let mut taken = BTreeSet::new();
        for values in combinations(&plan.axes) {
            for seed in 0..plan.seeds as u64 {
                let seed = (plan.seeds > 1).then(|| base.run.seed + seed);
                let name = name(&plan.axes, &values, seed, &mut taken);
                let sets = [&request.sets[..], &plan.sets(&values, seed, &name)].concat();
                let resolved = load(&sets)?;
                plan.trials
                    .push(plan.trial(name, values.clone(), resolved)?);
            }
        }
        Ok(plan)
    }

    fn sets(&self, values: &[String], seed: Option<u64>, name: &str) -> Vec<String> {
        let of = |(axis, value): (&Axis, &String)| format!("{}={value}", axis.key);
        let mut sets: Vec<String> = self.axes.iter().zip(values).map(of).collect();
        sets.extend(seed.map(|seed| format!("run.seed={seed}")));
        sets.push(format!("run.dir={}", self.dir.join(name).display()));
        sets
    }

    fn trial(&self, name: String, values: Vec<String>, resolved: Resolved) -> Result<Trial> {
        Ok(Trial {
            dir: self.dir.join(&name),
            toml: resolved.to_toml()?,
            fingerprint: fingerprint(&resolved.config, self.stage.other())?,
            config: resolved.config,
            name,
            values,
        })
    }
}

fn check(axes: &[Axis], seeds: usize) -> Result<()> {
    let refuse = |problem: String| Err(Error::Input(problem));
    if axes.is_empty() && seeds < 2 {
        return refuse(
            "nothing varies; give `--vary section.key=first,second`, or `--seeds 3`".into(),
        );
    }
    for (i, axis) in axes.iter().enumerate() {
        if axes[..i].iter().any(|other| other.key == axis.key) {
            return refuse(format!(
                "--vary names `{}` twice; give all its values at once",
                axis.key
            ));
        }
        if axis.key == "run.dir" {
            return refuse("--vary run.dir: every run gets a folder of its own; set `run.dir`, and the sweep goes into `run.dir/sweep`".into());
        }
        if axis.key == "run.seed" && seeds > 1 {
            return refuse(
                "--vary run.seed and --seeds both choose the seed; give one of them".into(),
            );
        }
    }
    Ok(())
}

/// `text_space=raw,lr=0.001,seed=43`, in characters that every file system takes, and unlike every name before.
fn name(
    axes: &[Axis],
    values: &[String],
    seed: Option<u64>,
    taken: &mut BTreeSet<String>,
) -> String {
    let short = |axis: &Axis| match axes
        .iter()
        .filter(|other| other.short() == axis.short())
        .count()
    {
        1 => axis.short().to_owned(),
        _ => axis.key.clone(),
    };
    let parts = axes
        .iter()
        .zip(values)
        .map(|(axis, value)| format!("{}={value}", short(axis)));
    let parts: Vec<String> = parts
        .chain(seed.map(|seed| format!("seed={seed}")))
        .collect();
    let full = parts.join(",");
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._=,-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let mut name: String = full
        .chars()
        .filter(|c| !"\"'".contains(*c))
        .map(plain)
        .collect();
    if name.len() > LONGEST || taken.contains(&name.to_lowercase()) || name.starts_with('.') {
        let hash = mix_name(0, &full);
        name.truncate(LONGEST - 17);
        name = format!("{}-{hash:016x}", name.trim_start_matches('.'));
    }
    taken.insert(name.to_lowercase());
    name
}

/// Where a run of a sweep is described to the program that runs it.
pub fn config_file(trial: &Trial) -> PathBuf {
    trial.dir.join("sweep.toml")
}

/// What else the sweep keeps in a run's folder.
pub fn state_file(dir: &Path) -> PathBuf {
    dir.join("sweep.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn request(vary: &[&str], seeds: usize) -> (tempfile::TempDir, Request) {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("x.toml");
        std::fs::write(&config, "[run]\ndir = 'runs/x'\n[llm]\npath = 'lm'\n[data]\ntrain = 'rows.jsonl'\n[modality.molecule]\npath = 'm'\n").unwrap();
        let request = Request {
            stage: Stage::Align,
            config,
            sets: vec!["align.steps=77".into(), "align.warmup_steps=7".into()],
            vary: vary.iter().map(|v| (*v).to_owned()).collect(),
            seeds,
            metric: None,
        };
        (dir, request)
    }

    fn plan(vary: &[&str], seeds: usize) -> Result<Plan> {
        let (_dir, request) = request(vary, seeds);
        Plan::new(&request, &crate::registry::standard())
    }

    #[test]
    fn each_combination_is_a_run_with_its_own_configuration() {
        let plan = plan(&["align.text_space=raw,whitened", "align.lr=1e-3,0.5"], 2).unwrap();
        let names: Vec<&str> = plan
            .trials
            .iter()
            .map(|trial| trial.name.as_str())
            .collect();
        assert_eq!(names.len(), 8);
        assert_eq!(names[0], "text_space=raw,lr=1e-3,seed=42");
        assert_eq!(names[7], "text_space=whitened,lr=0.5,seed=43");
        let last = &plan.trials[7];
        assert_eq!(
            (
                last.config.align.lr,
                last.config.align.steps,
                last.config.run.seed
            ),
            (0.5, 77, 43)
        );
        assert_eq!(last.dir, Path::new("runs/x/sweep").join(&last.name));
        assert_ne!(plan.trials[0].fingerprint, plan.trials[2].fingerprint);
    }

    #[test]
    fn everything_is_refused_before_anything_runs() {
        for (vary, seeds, expected) in [
            (
                &["align.text_sapce=raw"][..],
                1,
                "did you mean `align.text_space`?",
            ),
            (&["align.lr=1e-3,fast"], 1, "align.lr=fast"),
            (&["align.lr=1e-3,-1"], 1, "align.lr"),
            (&["align.lr=1", "align.lr=2"], 1, "twice"),
            (&["run.dir=a,b"], 1, "run.dir"),
            (&["run.seed=1,2"], 2, "--seeds"),
            (&[], 1, "nothing varies"),
        ] {
            let error = plan(vary, seeds).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn names_are_short_and_differ() {
        let axes = [
            Axis::read("align.modalities=[[\"a\"],[\"a\",\"b\"]]").unwrap(),
            Axis::read("x.path=/a/b,-a-b").unwrap(),
        ];
        let mut taken = BTreeSet::new();
        let names: BTreeSet<String> = combinations(&axes)
            .iter()
            .map(|values| name(&axes, values, None, &mut taken))
            .collect();
        assert_eq!(names.len(), 4);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._=,-".contains(c);
        assert!(
            names.iter().all(|name| name.chars().all(plain)),
            "{names:?}"
        );
        let long = [Axis::read(&format!("a.b={}", "x".repeat(400))).unwrap()];
        assert!(name(&long, &combinations(&long)[0], None, &mut taken).len() <= LONGEST);
    }
}
