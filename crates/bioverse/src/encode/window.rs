//! What is encoded at a time: the next rows of the input, as many as fit a budget. Where windows end follows from the rows
//! alone, so that a run that goes on makes the same batches, and so the same numbers, as one that was never stopped.

use bioverse_core::Record;
use rayon::prelude::*;

use super::{
    input::{Input, Item},
    maker::Maker,
    partial::{Chunk, Reject},
    request::Request,
};
use crate::{
    data::batches::{Budget, batches, length},
    error::Result,
};

/// How much a window may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowBudget {
    pub batch: Budget,
    pub records: usize,
    pub units: usize,
}

/// The windows of an input.
pub(super) struct Windows {
    input: Input,
    budget: WindowBudget,
}

/// Some rows.
pub(super) struct Window {
    items: Vec<Item>,
    batch: Budget,
}

impl Windows {
    pub fn new(input: Input, budget: WindowBudget) -> Self {
        Self { input, budget }
    }

    pub fn next(&mut self) -> Result<Option<Window>> {
        let (mut items, mut units) = (vec![], 0);
        while items.len() < self.budget.records && units < self.budget.units {
            let Some(item) = self.input.next_item()? else {
                break;
            };
            units += item.record.as_ref().map_or(0, length);
            items.push(item);
        }
        let batch = self.budget.batch;
        Ok((!items.is_empty()).then_some(Window { items, batch }))
    }
}

impl Window {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The first bad record is an error.
    pub fn check(&self, maker: &Maker, request: &Request) -> Result<()> {
        let bad = self.items.par_iter().find_map_first(|item| {
            let checked = item.record.as_ref().map_err(Clone::clone);
            let problem = checked.and_then(|record| maker.check(record)).err()?;
            Some((item.row, problem))
        });
        match bad {
            None => Ok(()),
            Some((row, problem)) => Err(request.at(row, &problem)),
        }
    }

    /// The vectors of every row in the order of the file, none for a bad one. `advance` hears how many are done.
    pub fn encode(
        mut self,
        maker: &Maker,
        request: &Request,
        advance: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Chunk> {
        self.sift(maker);
        self.refuse_bad(request)?;
        let mut order: Vec<(usize, usize)> = self.good();
        order.sort_unstable();
        let lengths: Vec<usize> = order.iter().map(|(length, _)| *length).collect();
        let mut vectors: Vec<Vec<f32>> = vec![vec![]; self.items.len()];
        let mut done = self.items.len() - order.len();
        for range in batches(&lengths, self.batch) {
            let places: Vec<usize> = order[range].iter().map(|(_, at)| *at).collect();
            let records = places
                .iter()
                .filter_map(|at| self.items[*at].record.as_ref().ok());
            let records: Vec<Record> = records.cloned().collect();
            for (at, made) in places.iter().zip(maker.encode(&records)?) {
                match flaw(&made) {
                    None => vectors[*at] = made,
                    Some(flaw) => self.items[*at].record = Err(flaw.into()),
                }
            }
            done += places.len();
            advance(done)?;
        }
        self.refuse_bad(request)?;
        Ok(self.chunk(&vectors, maker.width()))
    }

    /// Length and place of every good record.
    fn good(&self) -> Vec<(usize, usize)> {
        let records = self.items.iter().enumerate();
        let good = records.filter_map(|(at, item)| Some((length(item.record.as_ref().ok()?), at)));
        good.collect()
    }

    /// Asks the encoder about every record.
    fn sift(&mut self, maker: &Maker) {
        self.items.par_iter_mut().for_each(|item| {
            let problem = item
                .record
                .as_ref()
                .ok()
                .and_then(|record| maker.check(record).err());
            if let Some(problem) = problem {
                item.record = Err(problem);
            }
        });
    }

    fn refuse_bad(&self, request: &Request) -> Result<()> {
        if request.skip_bad {
            return Ok(());
        }
        let bad = self
            .items
            .iter()
            .find_map(|item| Some((item.row, item.record.as_ref().err()?)));
        match bad {
            None => Ok(()),
            Some((row, problem)) => Err(request.at(row, problem)),
        }
    }

    fn chunk(self, vectors: &[Vec<f32>], width: usize) -> Chunk {
        let lengths = vectors.iter().map(|row| row.len() / width.max(1)).collect();
        let rejected = self.items.iter().filter_map(|item| {
            Some(Reject {
                row: item.row,
                id: item.has_id.then(|| item.id.clone()),
                reason: item.record.as_ref().err()?.clone(),
            })
        });
        let rejected = rejected.collect();
        Chunk {
            ids: self.items.into_iter().map(|item| item.id).collect(),
            lengths,
            rejected,
            values: vectors.concat(),
        }
    }
}

/// What is wrong with vectors that an encoder made, if anything.
fn flaw(made: &[f32]) -> Option<&'static str> {
    if made.is_empty() {
        return Some("the encoder gives no state for it");
    }
    let finite = made.iter().all(|value| value.is_finite());
    (!finite).then_some("the encoder gives numbers for it that are not finite")
}
