//! A bundle opened and audited, on its own rows or on others. Knows no loss.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bioverse_core::{Record, Registry};
use bioverse_nn::CausalLm;
use burn::prelude::*;

use super::{Report, Subject, choice};
use crate::config::DataSection;
use crate::data::{EncodedStore, Screen, Split};
use crate::error::Result;
use crate::instructions::{Rows, Rules};
use crate::{Bundle, Session};

/// One audit.
#[derive(Debug, Clone)]
pub struct Request {
    /// The bundle, or the run that holds it.
    pub bundle: PathBuf,
    /// Rows in place of those the bundle names as held out; read whole.
    pub data: Option<PathBuf>,
    /// Most rows.
    pub rows: usize,
    /// Rows at a time.
    pub batch_size: usize,
}

/// Opens the bundle of a request and audits it.
///
/// # Errors
/// When the bundle, its models or its rows cannot be read.
pub fn run(request: &Request, registry: &Registry, device: &Device) -> Result<Report> {
    let session = Session::open(&request.bundle, registry, device)?;
    let data = session.bundle.config()?.data;
    let sides = match &request.data {
        Some(file) => Given {
            train: Some(data.clone()),
            held_out: Some(whole(&data, file)),
            is_own: false,
        },
        None => Given {
            held_out: data.holds_out().then(|| data.clone()),
            train: Some(data),
            is_own: true,
        },
    };
    of_session(&session, registry, &sides, request.rows, request.batch_size)
}

/// Rows by where they are.
pub(crate) struct Given {
    /// Rows the model was trained on, where they are known.
    pub train: Option<DataSection>,
    /// Rows to audit.
    pub held_out: Option<DataSection>,
    /// Whether these are the bundle's own: then all must be there.
    pub is_own: bool,
}

/// Audits a bundle that is open.
pub(crate) fn of_session(
    session: &Session,
    registry: &Registry,
    given: &Given,
    limit: usize,
    batch_size: usize,
) -> Result<Report> {
    let rules = rules(session)?;
    let sides = Sides::read(given, (session, registry), &rules)?;
    let encoded = sides.encode(session, limit)?;
    super::run(&Subject {
        model: &session.model,
        train: sides.train.as_ref(),
        held_out: sides.held_out.as_ref(),
        encoded: &encoded,
        batch_size,
        limit,
        seed: session.bundle.config()?.run.seed,
        device: &session.device,
    })
}

fn rules(session: &Session) -> Result<Rules<'_>> {
    let (bundle, llm): (&Bundle, &CausalLm) = (&session.bundle, &session.model.llm);
    let modalities = bundle.manifest.modalities.iter();
    let soft_len: HashMap<String, usize> = modalities
        .map(|(name, entry)| (name.clone(), entry.projector.soft_len()))
        .collect();
    Rules::new(
        &session.tokenizer,
        llm,
        &bundle.manifest.llm.folder()?,
        soft_len,
        llm.config().max_position_embeddings,
        bundle.dir.clone(),
    )
}

/// Rows to audit, and rows the model was trained on.
struct Sides {
    train: Option<Rows>,
    held_out: Option<Rows>,
}

impl Sides {
    fn read(
        given: &Given,
        (session, registry): (&Session, &Registry),
        rules: &Rules<'_>,
    ) -> Result<Self> {
        let names: Vec<&str> = session.model.names().iter().map(String::as_str).collect();
        let mut screen = Screen::knowing(registry);
        let mut read =
            |data: &DataSection, split| Rows::read(data, split, &names, rules, &mut screen);
        let held_out = match &given.held_out {
            Some(data) => Some(read(data, Split::Eval)?),
            None => None,
        };
        let train = match given.train.as_ref().map(|data| read(data, Split::Train)) {
            None => None,
            Some(Ok(rows)) => Some(rows),
            // Whoever brings rows need not have those of the training.
            Some(Err(error)) if !given.is_own => {
                tracing::warn!("the mean record is that of the audited rows: {error}");
                None
            }
            Some(Err(error)) => return Err(error),
        };
        screen.finish()?;
        Ok(Self { train, held_out })
    }

    /// Encodings of the records that will be asked for, and no others: a training file is long.
    fn encode(&self, session: &Session, limit: usize) -> Result<BTreeMap<String, EncodedStore>> {
        let (train, held_out) = (self.train.as_ref(), self.held_out.as_ref());
        let chosen = choice::choose(session.model.names(), (train, held_out), limit);
        let mut needed: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
        for choice in &chosen {
            let of = needed.entry(&choice.modality).or_default();
            of.extend(choice::mean_records(train, choice));
            // A row chosen for one modality may hold records of others.
            for name in session.model.names() {
                let records = choice
                    .prompts()
                    .flat_map(|prompt| choice::records_of(prompt, name));
                let records: Vec<Record> = records.cloned().collect();
                if !records.is_empty() {
                    needed.entry(name).or_default().extend(records);
                }
            }
        }
        let stores = needed.into_iter().map(|(name, records)| {
            let store = session.encode(name, &records)?;
            Ok((name.to_owned(), store))
        });
        stores.collect()
    }
}

/// All rows of another file, read as the bundle's own are.
fn whole(data: &DataSection, file: &Path) -> DataSection {
    DataSection {
        train: file.into(),
        eval: Some(file.into()),
        split_field: None,
        split_by: None,
        limit: None,
        mixture: vec![],
        ..data.clone()
    }
}
