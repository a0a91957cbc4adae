//! The page: everything that is known about a run as one value, and the template that writes it. Every value is escaped by
//! the engine; no template marks anything as safe.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig};
use serde::Serialize;

use super::axis::{duration, number, percent};
use super::chart::Chart;
use super::curves::{self, Curves};
use super::evidence::{self, Audit, Fact};
use super::kept::Kept;
use super::map::{self, Map, Maps};
use super::metrics::{self, Training};
use super::provenance::{self, Config, Provenance};
use super::retrieval::{self, Table};
use super::vectors;
use crate::Bundle;
use crate::error::{Error, Result};

/// Templates by name; the name's ending decides how values are escaped.
const TEMPLATES: [(&str, &str); 11] = [
    ("page.html", include_str!("page.html")),
    ("drawings.html", include_str!("drawings.html")),
    ("explain.html", include_str!("explain.html")),
    ("sweep.html", include_str!("sweep.html")),
    ("eval.html", include_str!("eval.html")),
    ("plot.html", include_str!("plot.html")),
    ("points.html", include_str!("points.html")),
    ("bars.html", include_str!("bars.html")),
    ("confusion.html", include_str!("confusion.html")),
    ("labelled.html", include_str!("labelled.html")),
    ("style.css", include_str!("style.css")),
];

/// A run as the template sees it.
#[derive(Debug, Serialize)]
struct Page {
    name: String,
    path: String,
    stage: &'static str,
    state: State,
    outcome: Vec<String>,
    tiles: Vec<Tile>,
    retrieval: Vec<Table>,
    curves: Vec<Curves>,
    maps: Vec<Maps>,
    audits: Vec<Audit>,
    split: Vec<Fact>,
    provenance: Provenance,
    missing: Vec<Missing>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Finished,
    Unfinished,
}

/// A number that is looked for first.
#[derive(Debug, Serialize)]
struct Tile {
    label: String,
    value: String,
    note: String,
}

/// A part that is not there, and what makes it.
#[derive(Debug, Serialize)]
struct Missing {
    part: &'static str,
    command: String,
}

/// The page of `run`.
pub fn render(run: &Path) -> Result<String> {
    fill("page.html", &Page::of(run)?)
}

/// The legend, the `<svg>` and the numbers of a chart, without heading and caption.
pub fn chart(chart: &Chart) -> Result<String> {
    fill("plot.html", &BTreeMap::from([("drawing", chart)]))
}

/// The `<svg>` of a map.
pub fn points(map: &Map) -> Result<String> {
    fill("points.html", &BTreeMap::from([("drawing", map)]))
}

/// Any other drawing by its template.
pub fn drawing(template: &str, value: &impl Serialize) -> Result<String> {
    fill(template, &BTreeMap::from([("drawing", value)]))
}

/// A template of the report with `value`, escaped.
pub fn fill(template: &str, value: &impl Serialize) -> Result<String> {
    let fail =
        |error: minijinja::Error| Error::Run(format!("the page cannot be written: {error:#}"));
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(fail)?);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).map_err(fail)?;
    }
    let template = environment.get_template(template).map_err(fail)?;
    template.render(Serde(value)).map_err(fail)
}

impl Page {
    fn of(run: &Path) -> Result<Self> {
        let trainings = metrics::read(&run.join("metrics.jsonl"))?;
        let config = Config::find(run);
        let bundle = match run.join("bundle").is_dir() {
            true => Some(Bundle::open(run)?),
            false => None,
        };
        let verb = verb(&trainings, config.as_ref(), bundle.as_ref());
        let progress = Progress::of(run, verb, &trainings, config.as_ref(), bundle.is_some());
        let kept = Kept::of(config.as_ref());
        let vectors = vectors::read_all(&run.join("vectors"))?;
        let mut page = Self {
            name: name(run),
            path: run.display().to_string(),
            stage: if verb == "align" {
                "Stage 1, align"
            } else {
                "Stage 2, finetune"
            },
            state: progress.state(),
            outcome: vec![],
            tiles: tiles(&trainings, &progress, &kept),
            retrieval: trainings
                .iter()
                .filter_map(|training| retrieval::table(training, &kept))
                .collect(),
            curves: trainings.iter().map(curves::of).collect(),
            maps: vectors.iter().map(map::maps).collect(),
            audits: evidence::audits(run)?,
            split: evidence::split(run)?,
            provenance: provenance::provenance(run, verb, config.as_ref(), bundle.as_ref())?,
            missing: vec![],
        };
        page.outcome = outcome((&trainings, &kept), &progress, &page.audits, verb);
        page.missing = page.missing_parts(verb, config.as_ref());
        Ok(page)
    }

    fn missing_parts(&self, verb: &str, config: Option<&Config>) -> Vec<Missing> {
        let file = config.map_or("run.toml".to_owned(), |_| {
            format!("{}/config.toml", self.path)
        });
        let again = format!("bioverse {verb} --config {file}");
        let mut missing = vec![];
        let mut note = |absent: bool, part, command: String| {
            if absent {
                missing.push(Missing { part, command });
            }
        };
        let align = verb == "align";
        let held_out = "with held-out rows (data.split_field or data.eval)";
        note(
            self.curves.is_empty(),
            "Curves",
            format!("{again} --resume"),
        );
        note(
            align && self.retrieval.is_empty(),
            "Retrieval",
            format!("{again} {held_out}"),
        );
        note(
            align && self.maps.is_empty(),
            "Alignment maps",
            format!("{again} {held_out}"),
        );
        note(
            !align && self.audits.is_empty(),
            "Audit",
            format!("bioverse audit --bundle {}", self.path),
        );
        note(
            self.split.is_empty(),
            "Split",
            format!("{again} {held_out}"),
        );
        note(
            self.provenance.files.is_empty(),
            "Bundle",
            format!("{again} --resume"),
        );
        missing
    }
}

/// `align` or `finetune`.
fn verb(trainings: &[Training], config: Option<&Config>, bundle: Option<&Bundle>) -> &'static str {
    let tuned = trainings
        .iter()
        .any(|training| training.name.starts_with("finetune"))
        || bundle.is_some_and(|bundle| bundle.manifest.lora.is_some())
        || (trainings.is_empty()
            && config.is_some_and(|config| config.text("finetune.from").is_some()));
    if tuned { "finetune" } else { "align" }
}

fn name(run: &Path) -> String {
    let full = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    let last: Vec<String> = full
        .iter()
        .rev()
        .take(2)
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    match last.as_slice() {
        [own, above] if above != "/" => format!("{above}/{own}"),
        [own, ..] => own.clone(),
        [] => "run".into(),
    }
}

/// Steps done and planned.
struct Progress {
    done: u64,
    planned: Option<u64>,
    bundle: bool,
    /// The run has noted that it is finished; a new one in the same folder takes the note away.
    settled: bool,
}

impl Progress {
    fn of(
        run: &Path,
        verb: &str,
        trainings: &[Training],
        config: Option<&Config>,
        bundle: bool,
    ) -> Self {
        let times = |config: &Config| {
            let chosen = config
                .get("align.modalities")
                .and_then(toml::Value::as_array);
            let chosen = chosen.map_or(0, Vec::len);
            let all = if chosen > 0 {
                chosen
            } else {
                config.modalities().len()
            };
            if verb == "align" {
                all.max(1) as u64
            } else {
                1
            }
        };
        Self {
            done: trainings.iter().map(Training::last_step).max().unwrap_or(0),
            planned: config
                .and_then(|config| Some(config.count(&format!("{verb}.steps"))? * times(config))),
            bundle,
            settled: run.join("finished.json").is_file(),
        }
    }

    fn state(&self) -> State {
        let through = self.planned.is_some_and(|planned| self.done >= planned);
        if self.bundle && (through || self.settled) {
            State::Finished
        } else {
            State::Unfinished
        }
    }
}

/// What came out, in sentences; the first is the headline.
fn outcome(
    (trainings, kept): (&[Training], &Kept),
    progress: &Progress,
    audits: &[Audit],
    verb: &str,
) -> Vec<String> {
    let mut told: Vec<String> = vec![];
    if progress.state() == State::Unfinished {
        let of = progress.planned.map_or(String::new(), |planned| {
            format!(" of {}", number(planned as f64))
        });
        told.push(match trainings.is_empty() {
            true => "This run has not come to its first step: nothing was logged yet.".into(),
            false => format!(
                "This run is at step {}{of}: it is still going, or it was stopped and goes on with bioverse {verb} … --resume.",
                number(progress.done as f64)
            ),
        });
    }
    told.extend(
        trainings
            .iter()
            .filter_map(|training| sentence(training, kept)),
    );
    // The whole verdict stands in its section.
    let short = |audit: &Audit| audit.verdict.split(':').next().map(str::to_owned);
    let verdicts = audits.iter().filter_map(short);
    let verdicts = verdicts.filter(|verdict| !verdict.is_empty());
    told.extend(verdicts.map(|verdict| format!("{}.", verdict.trim_end_matches('.'))));
    told
}

/// The result of one training, at the step whose parameters are kept.
fn sentence(training: &Training, kept: &Kept) -> Option<String> {
    let best = kept.line(training);
    let of = best.map_or(String::new(), |line| {
        format!(
            "; these are of step {}, the best, which is kept",
            number(line.step as f64)
        )
    });
    if let (Some(r1), Some(mrr), Some(chance)) = (
        kept.get(training, "held_out_r1"),
        kept.get(training, "held_out_mrr"),
        retrieval::chance(training),
    ) {
        let texts = number(training.last("held_out_texts").unwrap_or_default());
        let subject = training
            .name
            .strip_prefix("align ")
            .unwrap_or(&training.name);
        return Some(format!(
            "{subject}: the right partner comes first for {} of the held-out pairs among {texts} texts (chance {}), with an MRR of {} (chance {}){of}.",
            percent(r1),
            percent(chance.r1),
            percent(mrr),
            percent(chance.mrr)
        ));
    }
    let (first, last) = (training.first("loss")?, kept.get(training, "loss")?);
    let step = best.map_or(training.last_step(), |line| line.step);
    let steps = number(step as f64);
    let held_out = kept
        .get(training, "held_out_loss")
        .map_or(String::new(), |loss| {
            format!("; on held-out rows it is {}", number(loss))
        });
    Some(format!(
        "{}: the loss went from {} to {} by step {steps}{}{held_out}.",
        training.name,
        number(first),
        number(last),
        best.map_or("", |_| ", the best, which is kept")
    ))
}

fn tiles(trainings: &[Training], progress: &Progress, kept: &Kept) -> Vec<Tile> {
    let mut tiles = vec![];
    let mut tile = |label: String, value: Option<String>, note: String| {
        tiles.extend(value.map(|value| Tile { label, value, note }));
    };
    let planned = progress.planned.map_or(String::new(), |planned| {
        format!("of {} planned", number(planned as f64))
    });
    let done = (!trainings.is_empty()).then(|| number(progress.done as f64));
    tile("steps".into(), done, planned);
    for training in trainings {
        let of = match trainings.len() {
            1 => String::new(),
            _ => format!(", {}", training.name.trim_start_matches("align ")),
        };
        let at = kept.line(training).map_or(String::new(), |line| {
            format!(", at step {}", number(line.step as f64))
        });
        let from = |key: &str, show: fn(f64) -> String| {
            training
                .first(key)
                .map_or(String::new(), |value| format!("from {}{at}", show(value)))
        };
        tile(
            format!("loss{of}"),
            kept.get(training, "loss").map(number),
            from("loss", number),
        );
        for (key, label) in [
            ("held_out_r1", "held-out R@1"),
            ("held_out_mrr", "held-out MRR"),
        ] {
            tile(
                format!("{label}{of}"),
                kept.get(training, key).map(percent),
                from(key, percent),
            );
        }
        if training.last("held_out_mrr").is_none() {
            let loss = kept.get(training, "held_out_loss").map(number);
            tile(
                format!("held-out loss{of}"),
                loss,
                from("held_out_loss", number),
            );
        }
    }
    let seconds: f64 = trainings
        .iter()
        .filter_map(|training| training.last("seconds"))
        .sum();
    tile(
        "time".into(),
        (seconds > 0.0).then(|| duration(seconds)),
        "in training".into(),
    );
    tiles
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn nothing_in_the_templates_escapes_the_escaping() {
        for (name, source) in TEMPLATES {
            for word in [
                "|safe",
                "| safe",
                "autoescape",
                "http:",
                "https:",
                "<script",
            ] {
                assert!(!source.contains(word), "{name} holds {word}");
            }
        }
    }

    #[test]
    fn what_is_told_first_is_of_the_step_that_is_kept() {
        let line = |step, loss, mrr| metrics::Line {
            step,
            values: [
                ("loss", loss),
                ("held_out_loss", loss),
                ("held_out_r1", mrr),
                ("held_out_mrr", mrr),
                ("held_out_texts", 10.0),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .to_vec(),
        };
        let mut training = Training {
            name: "align molecule".into(),
            lines: vec![line(1, 3.0, 0.1), line(5, 1.0, 0.6), line(9, 2.0, 0.5)],
        };
        let progress = Progress {
            done: 9,
            planned: None,
            bundle: true,
            settled: true,
        };
        let value = |training: &Training, kept: &Kept, label: &str| {
            let tiles = tiles(std::slice::from_ref(training), &progress, kept);
            let tile = tiles.into_iter().find(|tile| tile.label == label).unwrap();
            (tile.value, tile.note)
        };
        let (last, best) = (
            Kept::default(),
            Kept {
                align: Some("mrr".into()),
                finetune: true,
            },
        );
        assert!(sentence(&training, &last).unwrap().contains("50.0 %"));
        let said = sentence(&training, &best).unwrap();
        assert!(
            said.contains("60.0 %") && said.contains("of step 5"),
            "{said}"
        );
        assert_eq!(value(&training, &last, "held-out MRR").0, percent(0.5));
        let (shown, note) = value(&training, &best, "held-out MRR");
        assert!(
            shown == percent(0.6) && note.ends_with("at step 5"),
            "{shown} {note}"
        );
        training.name = "finetune".into();
        for line in &mut training.lines {
            line.values.truncate(2);
        }
        let said = sentence(&training, &best).unwrap();
        assert!(
            said.contains("to 1 by step 5, the best, which is kept; on held-out rows it is 1."),
            "{said}"
        );
        assert_eq!(value(&training, &best, "held-out loss").0, number(1.0));
        assert_eq!(value(&training, &last, "held-out loss").0, number(2.0));
    }

    #[test]
    fn a_run_is_finished_when_its_bundle_is_there_and_not_before() {
        let progress = |done, bundle, settled| Progress {
            done,
            planned: Some(10),
            bundle,
            settled,
        };
        assert_eq!(progress(10, true, false).state(), State::Finished);
        assert_eq!(
            progress(7, true, true).state(),
            State::Finished,
            "stopped early"
        );
        assert_eq!(
            progress(7, true, false).state(),
            State::Unfinished,
            "a new run over an old bundle"
        );
        assert_eq!(progress(10, false, false).state(), State::Unfinished);
    }
}
