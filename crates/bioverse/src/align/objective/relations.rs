//! Which pairs of a batch belong together, as plain data. What makes them belong together is for the caller to know.

use burn::prelude::*;

/// What text j is to record i. It is the same the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// A right answer.
    Positive,
    /// A wrong answer.
    Negative,
    /// Neither: not pulled together, not pushed apart.
    LeftOut,
}

/// The cells of a batch of N pairs; a pair is always its own right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relations {
    n: usize,
    cells: Vec<Cell>,
}

/// Right answers as flat positions.
pub(super) struct Positives {
    /// Position in a matrix `[N, M]`.
    pub cells: Tensor<1, Int>,
    /// Row of each.
    pub rows: Tensor<1, Int>,
    /// One over N times the number of right answers in that row; they sum to 1.
    pub weights: Tensor<1>,
}

impl Relations {
    /// `of(i, j)` is asked for i < j.
    pub fn new(n: usize, of: impl Fn(usize, usize) -> Cell) -> Self {
        let cell = |at: usize| match (at / n, at % n) {
            (i, j) if i == j => Cell::Positive,
            (i, j) => of(i.min(j), i.max(j)),
        };
        Self {
            n,
            cells: (0..n * n).map(cell).collect(),
        }
    }

    /// Every pair has its own text as the only right answer and all others as wrong ones.
    pub fn apart(n: usize) -> Self {
        Self::new(n, |_, _| Cell::Negative)
    }

    /// Whether they are as in [`apart`](Self::apart).
    pub fn are_apart(&self) -> bool {
        let others = self.cells.iter().filter(|cell| **cell != Cell::Negative);
        others.count() == self.n
    }

    /// Pairs (i, j), i < j, that are right answers of each other.
    pub fn together(&self) -> usize {
        let positive = self.cells.iter().filter(|cell| **cell == Cell::Positive);
        (positive.count() - self.n) / 2
    }

    /// Pairs (i, j), i < j, that are left out.
    pub fn left_out(&self) -> usize {
        let left_out = self.cells.iter().filter(|cell| **cell == Cell::LeftOut);
        left_out.count() / 2
    }

    /// `[N, width]` of `value(cell)`; columns behind the N-th are wrong answers of all.
    pub(super) fn matrix<T: burn::tensor::Element>(
        &self,
        width: usize,
        value: impl Fn(Cell) -> T,
    ) -> TensorData {
        let row = |i: usize| {
            let own = self.cells[i * self.n..][..self.n].iter().copied();
            let extra = std::iter::repeat_n(Cell::Negative, width - self.n);
            own.chain(extra)
        };
        let values: Vec<T> = (0..self.n).flat_map(row).map(value).collect();
        TensorData::new(values, [self.n, width])
    }

    /// Where the right answers stand in a matrix of `width` columns.
    pub(super) fn positives(&self, width: usize, device: &Device) -> Positives {
        let (mut cells, mut rows, mut weights) = (vec![], vec![], vec![]);
        for i in 0..self.n {
            let own = &self.cells[i * self.n..][..self.n];
            let right = (0..self.n).filter(|j| own[*j] == Cell::Positive);
            let before = cells.len();
            cells.extend(right.map(|j| (i * width + j) as i64));
            let count = cells.len() - before;
            rows.extend(std::iter::repeat_n(i as i64, count));
            let weight = 1.0 / (self.n * count) as f32;
            weights.extend(std::iter::repeat_n(weight, count));
        }
        let shape = [cells.len()];
        Positives {
            cells: Tensor::from_data(TensorData::new(cells, shape), device),
            rows: Tensor::from_data(TensorData::new(rows, shape), device),
            weights: Tensor::from_data(TensorData::new(weights, shape), device),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_symmetric_and_counted_once() {
        let of = |i, j| match (i, j) {
            (0, 2) => Cell::Positive,
            (1, 3) => Cell::LeftOut,
            _ => Cell::Negative,
        };
        let relations = Relations::new(4, of);
        assert_eq!((relations.together(), relations.left_out()), (1, 1));
        assert!(!relations.are_apart());
        assert!(Relations::apart(4).are_apart());
        let marks = relations.matrix(5, |cell| cell as u8 as f32);
        let marks: Vec<f32> = marks.iter::<f32>().collect();
        #[rustfmt::skip]
        let expected = [
            0., 1., 0., 1., 1.,
            1., 0., 1., 2., 1.,
            0., 1., 0., 1., 1.,
            1., 2., 1., 0., 1.,
        ];
        assert_eq!(marks, expected);
        let positives = relations.positives(5, &Device::flex());
        let cells: Vec<i64> = positives.cells.into_data().iter::<i64>().collect();
        assert_eq!(cells, [0, 2, 6, 10, 12, 18]);
        let weights: Vec<f32> = positives.weights.into_data().iter::<f32>().collect();
        assert_eq!(weights, [0.125, 0.125, 0.25, 0.125, 0.125, 0.25]);
    }
}
