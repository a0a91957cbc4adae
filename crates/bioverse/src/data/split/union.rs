//! Disjoint sets of numbers (union–find).

/// Which numbers belong together.
pub(super) struct Union {
    above: Vec<usize>,
}

impl Union {
    /// Every number on its own.
    pub fn new(count: usize) -> Self {
        Self {
            above: (0..count).collect(),
        }
    }

    /// The number that stands for all that belong together with this one.
    pub fn root(&mut self, mut number: usize) -> usize {
        while self.above[number] != number {
            // Halving the path on the way keeps later ones short.
            self.above[number] = self.above[self.above[number]];
            number = self.above[number];
        }
        number
    }

    /// Puts two together.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller one stands for both, so that the outcome does not hang on the order of joining.
        let (low, high) = (a.min(b), a.max(b));
        self.above[high] = low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_has_one_root_in_any_order() {
        for edges in [[(0, 3), (3, 4), (1, 2)], [(4, 3), (2, 1), (3, 0)]] {
            let mut union = Union::new(6);
            edges.into_iter().for_each(|(a, b)| union.join(a, b));
            let roots: Vec<usize> = (0..6).map(|n| union.root(n)).collect();
            assert_eq!(roots, [0, 1, 1, 0, 0, 5]);
        }
    }
}
