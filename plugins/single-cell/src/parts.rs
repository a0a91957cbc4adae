//! The tokens of a cell one by one: the names of its genes, and the cell without some of them. What is asked of the cell is
//! unknown.

use std::ops::Range;

use crate::cell::{Cell, Model};
use crate::scgpt::{CLS, Tokens};

impl Cell {
    /// Every token by the model's name of its gene; special ones as models write them.
    pub(crate) fn names(&self, tokens: &Tokens) -> Vec<String> {
        let names = self.genes().vocabulary().names(&tokens.input_ids);
        let label = |(id, name): (&u32, Option<&str>)| match name {
            Some(name) => name.to_owned(),
            None if self.is_start(*id) => CLS.to_owned(),
            None => format!("<{id}>"),
        };
        tokens.input_ids.iter().zip(names).map(label).collect()
    }

    /// The cell without the genes of `span`; `None` where one of them is no gene, or nothing would be left.
    pub(crate) fn without(&self, tokens: &Tokens, span: Range<usize>) -> Option<Tokens> {
        let taken = tokens
            .input_ids
            .get(span.clone())
            .filter(|taken| !taken.is_empty())?;
        if taken.iter().any(|id| self.is_special(*id)) {
            return None;
        }
        let mut left = tokens.clone();
        left.input_ids.drain(span.clone());
        // A model that reads ranks has no values.
        if left.values.get(span.clone()).is_some() {
            left.values.drain(span);
        }
        let genes = left.input_ids.iter().any(|id| !self.is_special(*id));
        genes.then_some(left)
    }

    fn is_start(&self, id: u32) -> bool {
        match &self.model {
            Model::ScGpt(scgpt) => scgpt.preprocessing().cls == id,
            Model::Geneformer(geneformer) => {
                geneformer.specials().is_some_and(|(cls, _)| cls == id)
            }
        }
    }

    fn is_special(&self, id: u32) -> bool {
        let end = match &self.model {
            Model::ScGpt(_) => None,
            Model::Geneformer(geneformer) => geneformer.specials(),
        };
        self.is_start(id) || end.is_some_and(|(_, eos)| eos == id)
    }
}
