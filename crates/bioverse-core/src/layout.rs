//! Where every token and every soft token goes: plain data, printable. Soft positions are known before anything is
//! tokenised and are never found by scanning ids. It knows no tokenizer (a function is enough) and no model.

use burn::{prelude::*, tensor::TensorData};

use crate::{BoxError, Error, Prompt, Record, Result, Segment};

/// What one position holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A vocabulary id.
    Token(u32),
    /// Soft token number `index` of record `row` in group `group`.
    Soft {
        /// Index into [`Layout::groups`].
        group: usize,
        /// Record within the group.
        row: usize,
        /// Soft token within the record.
        index: usize,
    },
}

/// One laid-out prompt, or several that were [packed](Layout::packed), without padding. `slots` and `loss` are equally
/// long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Positions.
    pub slots: Vec<Slot>,
    /// Whether the position is a training target: never a soft slot, never the first position of a prompt, which nothing
    /// predicts.
    pub loss: Vec<bool>,
    /// Where the second and every further prompt begins, ascending; empty for one prompt.
    pub starts: Vec<usize>,
}

/// All records of one modality in a batch: exactly what to encode.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Modality name.
    pub modality: String,
    /// Records in order of appearance.
    pub records: Vec<Record>,
    /// Soft slots per record.
    pub soft_len: usize,
}

/// Where padding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadSide {
    /// Training.
    Right,
    /// Batched generation.
    Left,
}

/// A batch as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// One row per prompt.
    pub rows: Vec<Row>,
    /// Records by modality, in order of appearance.
    pub groups: Vec<Group>,
    /// Padding id.
    pub pad: u32,
    /// Padding side.
    pub side: PadSide,
}

impl Layout {
    /// Tokenises text segments one by one and counts soft slots; the first failing text is the error.
    pub fn new(
        prompts: &[Prompt],
        pad: u32,
        side: PadSide,
        tokenize: impl Fn(&str) -> Result<Vec<u32>, BoxError>,
        soft_len: impl Fn(&str) -> Result<usize>,
    ) -> Result<Self> {
        let each = |texts: &[&str]| texts.iter().map(|text| tokenize(text)).collect();
        Self::of_runs(prompts, pad, side, each, soft_len)
    }

    /// As [`new`](Self::new), neighbouring texts being tokenised together: given their texts, `tokenize` gives the ids of
    /// each. A tokenizer may treat the beginning of a text in a way of its own, and the border between a question and its
    /// answer is no beginning.
    pub fn of_runs(
        prompts: &[Prompt],
        pad: u32,
        side: PadSide,
        tokenize: impl Fn(&[&str]) -> Result<Vec<Vec<u32>>, BoxError>,
        soft_len: impl Fn(&str) -> Result<usize>,
    ) -> Result<Self> {
        let mut layout = Self {
            rows: Vec::with_capacity(prompts.len()),
            groups: vec![],
            pad,
            side,
        };
        for prompt in prompts {
            let mut row = Row::default();
            for run in prompt.runs() {
                if let [Segment::Soft { modality, record }] = run {
                    let slots = layout.add_record(modality, record, &soft_len)?;
                    row.extend(slots.into_iter(), false);
                    continue;
                }
                let texts: Vec<&str> = run.iter().map(Segment::text).collect();
                let ids = tokenize(&texts)
                    .map_err(|source| untokenized(layout.rows.len(), texts[0], &source))?;
                for (segment, ids) in run.iter().zip(ids) {
                    row.extend(ids.into_iter().map(Slot::Token), segment.loss());
                }
            }
            layout.rows.push(row);
        }
        Ok(layout)
    }

    /// Puts rows behind one another: each of `sequences` lists the rows that become one, in this order. Rows that are not
    /// listed are gone, their records stay.
    ///
    /// What is behind one another must not see one another: whoever computes attention has to read
    /// [`segments`](Self::segments).
    pub fn packed(mut self, sequences: &[Vec<usize>]) -> Self {
        let join = |rows: &Vec<usize>| {
            let mut joined = Row::default();
            for row in rows.iter().filter_map(|row| self.rows.get(*row)) {
                joined.append(row);
            }
            joined
        };
        self.rows = sequences.iter().map(join).collect();
        self
    }

    /// Whether a row holds more than one prompt.
    pub fn is_packed(&self) -> bool {
        self.rows.iter().any(|row| !row.starts.is_empty())
    }

    /// Which prompt of its row a position belongs to, `[B, width]`: counted from 1, 0 = padding.
    pub fn segments(&self, device: &Device) -> Tensor<2, Int> {
        let width = self.width();
        let numbers = self.rows.iter().flat_map(|row| {
            let left = self.left_padding(row, width);
            (0..width).map(move |t| {
                let at = t.checked_sub(left).filter(|at| *at < row.slots.len());
                at.map_or(0, |at| row.prompt_at(at) as i64 + 1)
            })
        });
        let numbers: Vec<i64> = numbers.collect();
        Tensor::from_data(TensorData::new(numbers, self.shape()), device)
    }

    /// Puts a record into its group, making the group when it is the first, and returns its slots.
    fn add_record(
        &mut self,
        modality: &str,
        record: &Record,
        soft_len: &dyn Fn(&str) -> Result<usize>,
    ) -> Result<Vec<Slot>> {
        let group = match self
            .groups
            .iter()
            .position(|group| group.modality == modality)
        {
            Some(group) => group,
            None => {
                let soft_len = soft_len(modality)?;
                self.groups.push(Group {
                    modality: modality.into(),
                    records: vec![],
                    soft_len,
                });
                self.groups.len() - 1
            }
        };
        let Group {
            records, soft_len, ..
        } = &mut self.groups[group];
        let row = records.len();
        records.push(record.clone());
        Ok((0..*soft_len)
            .map(|index| Slot::Soft { group, row, index })
            .collect())
    }

    /// Longest row.
    pub fn width(&self) -> usize {
        self.rows
            .iter()
            .map(|row| row.slots.len())
            .max()
            .unwrap_or(0)
    }

    /// `[B, width]`; soft slots and padding hold the pad id.
    pub fn input_ids(&self, device: &Device) -> Tensor<2, Int> {
        let id = |slot: Option<Slot>| slot.and_then(Slot::token).unwrap_or(self.pad);
        let ids: Vec<i64> = self.positions().map(|slot| i64::from(id(slot))).collect();
        Tensor::from_data(TensorData::new(ids, self.shape()), device)
    }

    /// `[B, width]`, true = token or soft token.
    pub fn attention_mask(&self, device: &Device) -> Tensor<2, Bool> {
        let mask: Vec<bool> = self.positions().map(|slot| slot.is_some()).collect();
        Tensor::from_data(TensorData::new(mask, self.shape()), device)
    }

    /// `[B, width]`, true = training target: the positions of [`targets`](Self::targets).
    pub fn loss_mask(&self, device: &Device) -> Tensor<2, Bool> {
        let mut mask = vec![false; self.rows.len() * self.width()];
        for (position, _) in self.targets() {
            mask[position] = true;
        }
        Tensor::from_data(TensorData::new(mask, self.shape()), device)
    }

    /// Targets as plain data: for every loss position `(row * width + position, id)`. The first position of a row is
    /// never among them: nothing stands before it that could predict it.
    pub fn targets(&self) -> Vec<(usize, u32)> {
        let width = self.width();
        let mut targets = vec![];
        for (i, row) in self.rows.iter().enumerate() {
            let start = i * width + self.left_padding(row, width);
            for (position, (slot, &loss)) in row.slots.iter().zip(&row.loss).enumerate().skip(1) {
                if let (Slot::Token(id), true) = (slot, loss) {
                    targets.push((start + position, *id));
                }
            }
        }
        targets
    }

    /// Every position of the padded batch, row after row; `None` = padding.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Option<Slot>> {
        let width = self.width();
        self.rows.iter().flat_map(move |row| {
            let left = self.left_padding(row, width);
            (0..width).map(move |t| row.slots.get(t.checked_sub(left)?).copied())
        })
    }

    fn left_padding(&self, row: &Row, width: usize) -> usize {
        match self.side {
            PadSide::Right => 0,
            PadSide::Left => width - row.slots.len(),
        }
    }

    fn shape(&self) -> [usize; 2] {
        [self.rows.len(), self.width()]
    }

    /// One row as text for people: `‹molecule ×4›` for soft tokens, loss text between `⟦` and `⟧`, `┃` where another
    /// prompt begins. A row that does not exist is empty.
    pub fn describe(&self, row: usize, decode: impl Fn(&[u32]) -> String) -> String {
        let Some(row) = self.rows.get(row) else {
            return String::new();
        };
        let mut begins = vec![0];
        begins.extend(&row.starts);
        let ends = row.starts.iter().copied().chain([row.slots.len()]);
        let prompts = begins.iter().zip(ends).map(|(begin, end)| {
            let slots = row.slots[*begin..end].iter().copied();
            let positions = slots.zip(row.loss[*begin..end].iter().copied());
            self.describe_prompt(&positions.collect::<Vec<_>>(), &decode)
        });
        prompts.collect::<Vec<_>>().join("\n┃\n")
    }

    fn describe_prompt(
        &self,
        positions: &[(Slot, bool)],
        decode: &impl Fn(&[u32]) -> String,
    ) -> String {
        let runs = positions.chunk_by(|a, b| match (a, b) {
            ((Slot::Token(_), loss), (Slot::Token(_), same)) => loss == same,
            (
                (Slot::Soft { group, row, .. }, _),
                (
                    Slot::Soft {
                        group: g, row: r, ..
                    },
                    _,
                ),
            ) => (group, row) == (g, r),
            _ => false,
        });
        let describe = |run: &[(Slot, bool)]| match run[0] {
            (Slot::Soft { group, .. }, _) => {
                let name = self
                    .groups
                    .get(group)
                    .map_or("?", |group| group.modality.as_str());
                format!("‹{name} ×{}›", run.len())
            }
            (Slot::Token(_), loss) => {
                let ids: Vec<u32> = run.iter().filter_map(|(slot, _)| slot.token()).collect();
                let text = decode(&ids);
                if loss { format!("⟦{text}⟧") } else { text }
            }
        };
        runs.map(describe).collect()
    }
}

impl Slot {
    /// The vocabulary id, unless it is a soft token.
    fn token(self) -> Option<u32> {
        match self {
            Self::Token(id) => Some(id),
            Self::Soft { .. } => None,
        }
    }
}

impl Row {
    /// Which of its prompts a position belongs to, from 0.
    fn prompt_at(&self, position: usize) -> usize {
        self.starts.partition_point(|start| *start <= position)
    }

    fn append(&mut self, other: &Row) {
        let offset = self.slots.len();
        if offset > 0 && !other.slots.is_empty() {
            self.starts.push(offset);
        }
        self.starts
            .extend(other.starts.iter().map(|start| offset + start));
        self.slots.extend(&other.slots);
        self.loss.extend(&other.loss);
        if let Some(first) = self.loss.get_mut(offset) {
            *first = false;
        }
    }

    fn extend(&mut self, slots: impl Iterator<Item = Slot>, loss: bool) {
        for slot in slots {
            self.loss.push(loss && !self.slots.is_empty());
            self.slots.push(slot);
        }
    }
}

fn untokenized(row: usize, text: &str, source: &BoxError) -> Error {
    let start: String = text.chars().take(40).collect();
    Error::Prompt(format!(
        "prompt {row}: the text starting `{start}` cannot be tokenised: {source}"
    ))
}

#[cfg(test)]
mod tests;
