//! The tokens of a record one by one: what each is called, and the record without some of them. What is asked of the record
//! is unknown.

use std::ops::Range;

use super::SequenceEncoder;

/// Spellings of the token that models of this kind were trained to fill in.
const MASKS: [&str; 2] = ["<mask>", "[MASK]"];

impl SequenceEncoder {
    /// What each of `ids` is called, as the tokenizer writes it alone: a residue, a word piece, `<cls>`. Never empty.
    pub fn labels(&self, ids: &[u32]) -> Vec<String> {
        let names = self.tokenizer.tokens(ids);
        let label = |(id, name): (&u32, String)| {
            let text = self.tokenizer.decode_with_special(&[*id]);
            let text = text.ok().filter(|text| {
                // A part of a character has no text of its own.
                !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER)
            });
            match text.unwrap_or(name) {
                empty if empty.is_empty() => format!("#{id}"),
                text => text,
            }
        };
        ids.iter().zip(names).map(label).collect()
    }

    /// `ids` with the mask token in place of those of `span`; a model without one gets them left out. `None` where the span is
    /// empty or beyond the row, holds a special token, or is all there is and cannot be masked.
    pub fn occluded(&self, ids: &[u32], span: &Range<usize>) -> Option<Vec<u32>> {
        let taken = ids.get(span.clone()).filter(|taken| !taken.is_empty())?;
        if taken.iter().any(|id| self.is_special(*id)) {
            return None;
        }
        let mask = MASKS.iter().find_map(|name| self.tokenizer.id(name));
        let rows = self.config().vocab_size;
        let mut occluded = ids.to_vec();
        match mask.filter(|mask| (*mask as usize) < rows) {
            Some(mask) => occluded.get_mut(span.clone())?.fill(mask),
            None => drop(occluded.drain(span.clone())),
        }
        occluded
            .iter()
            .any(|id| !self.is_special(*id) || mask == Some(*id))
            .then_some(occluded)
    }

    /// Whether a token is put around records rather than read from them. An unknown token stands for something of the record.
    fn is_special(&self, id: u32) -> bool {
        if self.tokenizer.unk() == Some(id) {
            return false;
        }
        let kept = self
            .tokenizer
            .decode_with_special(&[id])
            .unwrap_or_default();
        let dropped = self.tokenizer.decode(&[id]).unwrap_or_default();
        dropped.is_empty() && !kept.is_empty()
    }
}
