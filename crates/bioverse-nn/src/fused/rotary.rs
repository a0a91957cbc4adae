//! Rotary positions, half-split: element `i` of a head turns with element `i + head_dim / 2`
//! (as [`crate::rope`], which is their reference).

/// How fast the pairs of a head turn.
#[derive(Debug)]
pub(crate) struct Rotary {
    /// Radians per position, `head_dim / 2` of them.
    frequencies: Vec<f32>,
}

/// Cosine and sine of every column and pair, side by side: `[columns, 2, head_dim / 2]`.
pub(super) struct Turns {
    table: Vec<f32>,
    half: usize,
}

impl Rotary {
    /// `head_dim / 2` frequencies in radians per position.
    pub(crate) fn new(frequencies: Vec<f32>) -> Self {
        Self { frequencies }
    }

    /// Of the columns `0..len`.
    pub(super) fn turns(&self, len: usize) -> Turns {
        let half = self.frequencies.len();
        let mut table = Vec::with_capacity(len * 2 * half);
        for column in 0..len {
            let angle = |frequency: &f32| column as f32 * frequency;
            table.extend(self.frequencies.iter().map(|f| angle(f).cos()));
            table.extend(self.frequencies.iter().map(|f| angle(f).sin()));
        }
        Turns { table, half }
    }
}

impl Turns {
    /// Turns every head of a row, `[heads · head_dim]`.
    #[inline(always)]
    pub(super) fn apply(&self, row: &mut [f32], column: usize) {
        let both = &self.table[column * 2 * self.half..][..2 * self.half];
        let (cos, sin) = both.split_at(self.half);
        for head in row.chunks_exact_mut(2 * self.half) {
            let (left, right) = head.split_at_mut(self.half);
            let pairs = left.iter_mut().zip(right).zip(cos.iter().zip(sin));
            for ((a, b), (cos, sin)) in pairs {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
