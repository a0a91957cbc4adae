//! What every suite gets: the opened bundle, the request, and the rows that were asked for. How rows are measured is not
//! known here.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bioverse_core::Registry;
use rayon::prelude::*;

use super::rows::{self, Pair, Row};
use super::{Request, Suite};
use crate::{
    Bundle, Session,
    config::{DataSection, RunConfig},
    data::{self, Split},
    error::{Error, Result},
};

/// A bundle at work on one request.
pub struct Bench<'a> {
    /// The bundle, open.
    pub session: &'a Session,
    /// What was asked for.
    pub request: &'a Request,
    /// Which rows the suites read.
    pub plan: &'a Plan,
    /// Known modalities.
    pub registry: &'a Registry,
    /// What the reader of every finding of a suite should know about its rows.
    pub notes: RefCell<BTreeSet<String>>,
}

impl Bench<'_> {
    /// Rows of one side of the split; with `data.skip_bad` without those whose records an encoder refuses. Without it no
    /// encoder is asked before it is needed, and the first such row ends the run.
    pub fn read(&self, data: &DataSection, split: Split) -> Result<Vec<data::Row>> {
        let mut rows = data::read_split(data, split, &self.plan.names(), self.registry)?;
        if !data.skip_bad {
            return Ok(rows);
        }
        let refused = self.refused(&rows)?;
        if let Some((at, why)) = refused
            .iter()
            .enumerate()
            .find_map(|(at, why)| Some((at, why.as_ref()?)))
        {
            let note = format!(
                "{} of {} rows are left out because an encoder refuses their records; the first is {}: {why}",
                refused.iter().flatten().count(),
                rows.len(),
                rows[at].name()
            );
            tracing::warn!("{note}");
            self.notes.borrow_mut().insert(note);
        }
        let mut keep = refused.iter().map(Option::is_none);
        rows.retain(|_| keep.next().unwrap_or(true));
        match rows.is_empty() && !refused.is_empty() {
            true => Err(Error::Input(format!(
                "{}: no row is left; leave --skip-bad out to see what is wrong",
                data.train.display()
            ))),
            false => Ok(rows),
        }
    }

    /// Why an encoder refuses a record of a row, for every row.
    fn refused(&self, rows: &[data::Row]) -> Result<Vec<Option<String>>> {
        let encoders = self.session.encoders.iter();
        let encoders = encoders
            .map(|(name, source)| Ok((name.as_str(), source.get()?)))
            .collect::<Result<Vec<_>>>()?;
        let reason = |row: &data::Row| {
            row.example.records.iter().find_map(|(name, record)| {
                let (_, encoder) = encoders.iter().find(|(known, _)| known == name)?;
                encoder.check(record).err().map(|error| error.to_string())
            })
        };
        Ok(rows.par_iter().map(reason).collect())
    }

    /// Pairs of a modality to measure on, as many as the request allows.
    pub fn eval_pairs(&self, sides: &Sides, modality: &str) -> Result<Vec<Pair>> {
        let mut pairs = rows::pairs(self.read(&sides.eval, Split::Eval)?, modality, &sides.eval)?;
        pairs.truncate(self.request.limit.unwrap_or(usize::MAX));
        Ok(pairs)
    }

    /// Pairs that baselines may learn from; none where no side of the data is for learning.
    pub fn train_pairs(&self, sides: &Sides, modality: &str) -> Result<Vec<Pair>> {
        match &sides.train {
            Some(data) => rows::pairs(self.read(data, Split::Train)?, modality, data),
            None => Ok(vec![]),
        }
    }

    /// Instruction rows to measure on, as many as the request allows.
    pub fn eval_rows(&self, sides: &Sides) -> Result<Vec<Row>> {
        let mut rows = self.all_rows(sides)?;
        rows.truncate(self.request.limit.unwrap_or(usize::MAX));
        Ok(rows)
    }

    /// Instruction rows that may be measured, for suites that choose among them.
    pub fn all_rows(&self, sides: &Sides) -> Result<Vec<Row>> {
        Ok(rows::named(self.read(&sides.eval, Split::Eval)?))
    }

    /// Instruction rows that baselines may learn from.
    pub fn train_rows(&self, sides: &Sides) -> Result<Vec<Row>> {
        match &sides.train {
            Some(data) => Ok(rows::named(self.read(data, Split::Train)?)),
            None => Ok(vec![]),
        }
    }
}

/// Where the rows of a suite come from.
#[derive(Clone)]
pub struct Sides {
    /// Rows to measure on.
    pub eval: DataSection,
    /// Rows the baselines learn from.
    pub train: Option<DataSection>,
}

impl Sides {
    fn of(data: DataSection) -> Self {
        Self {
            train: Some(data.clone()),
            eval: data,
        }
    }

    /// A file given on the command line. Without a split it is measured as a whole, so the baselines learn where the
    /// bundle did, never on what is measured.
    fn given(data: &DataSection, own: Option<Self>) -> Self {
        match data.eval {
            None => Self::of(data.clone()),
            Some(_) => Self {
                eval: data.clone(),
                train: own.and_then(|own| own.train),
            },
        }
    }
}

/// Which rows each suite reads.
pub struct Plan {
    /// Records and texts.
    pub pairs: Option<Sides>,
    /// Rows with `messages` and `records`.
    pub instructions: Option<Sides>,
    /// Modalities of the bundle.
    pub modalities: Vec<String>,
}

impl Plan {
    /// For a request.
    pub fn of(request: &Request, bundle: &Bundle) -> Result<Self> {
        let config = bundle.config()?;
        let own = (!is_pairs(&config.data)).then(|| Sides::of(config.data.clone()));
        let aligned = aligned_on(&config).map(Sides::of);
        let (mut pairs, mut instructions) = (aligned.clone(), own.clone());
        match &request.data {
            Some(data) if is_pairs(data) => pairs = Some(Sides::given(data, aligned)),
            Some(data) => instructions = Some(Sides::given(data, own)),
            None => {}
        }
        match request.suite {
            Suite::Retrieval => instructions = None,
            Suite::Answers => pairs = None,
            _ => {}
        }
        if pairs.is_none() && instructions.is_none() {
            let flags = match request.suite {
                Suite::Answers => "--data FILE (rows with `messages` and `records`)",
                _ => "--data FILE --input-field X --text-field Y",
            };
            return Err(Error::Input(format!(
                "the bundle {} does not say which rows this suite should read; name them with {flags}",
                bundle.dir.display()
            )));
        }
        Ok(Self {
            pairs,
            instructions,
            modalities: bundle.manifest.modalities.keys().cloned().collect(),
        })
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.modalities.iter().map(String::as_str).collect()
    }

    /// The modalities whose pairs are measured.
    pub fn modalities(&self, request: &Request, data: &DataSection) -> Result<Vec<String>> {
        let wanted = request.modality.as_ref().or(data.modality.as_ref());
        match wanted {
            None => Ok(self.modalities.clone()),
            Some(name) if self.modalities.contains(name) => Ok(vec![name.clone()]),
            Some(name) => Err(Error::Input(format!(
                "the bundle has no modality `{name}` (it has: {})",
                self.modalities.join(", ")
            ))),
        }
    }
}

fn is_pairs(data: &DataSection) -> bool {
    data.text_field.is_some()
}

/// The pairs a bundle was aligned on: its own data, or those of the bundle it was tuned from.
fn aligned_on(config: &RunConfig) -> Option<DataSection> {
    if is_pairs(&config.data) {
        return Some(config.data.clone());
    }
    let from = Bundle::open(&config.finetune.from).ok()?;
    Some(from.config().ok()?.data).filter(is_pairs)
}
