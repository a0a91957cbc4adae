//! Hiding tokens for masked-token prediction. It knows ids only.

use rand::Rng;

use super::alphabet::Specials;

/// Token sequences with some tokens hidden, and what was there.
#[derive(Debug, Default)]
pub(super) struct Hiding {
    pub rows: Vec<Vec<u32>>,
    /// (row, column) of each token to predict.
    pub places: Vec<(usize, usize)>,
    pub targets: Vec<u32>,
}

/// Hides tokens as BERT does: of those chosen, 80 % become `<mask>`, 10 % any token, 10 % stay.
pub(super) fn hide(
    rows: Vec<Vec<u32>>,
    probability: f64,
    specials: &Specials,
    rng: &mut impl Rng,
) -> Hiding {
    let mut hiding = Hiding {
        rows,
        ..Hiding::default()
    };
    for (row, ids) in hiding.rows.iter_mut().enumerate() {
        let inner = 1..ids.len() - 1;
        // Every row hides at least one token, so no batch is without a loss.
        let sure = rng.random_range(inner.clone());
        for column in inner {
            if column != sure && !rng.random_bool(probability) {
                continue;
            }
            hiding.places.push((row, column));
            hiding.targets.push(ids[column]);
            match rng.random_range(0..10) {
                0..8 => ids[column] = specials.mask,
                8 => ids[column] = rng.random_range(specials.ordinary.clone()),
                _ => {}
            }
        }
    }
    hiding
}

#[cfg(test)]
mod tests {
    use super::super::corpus::step_rng;
    use super::*;

    fn specials() -> Specials {
        Specials {
            pad: 1,
            mask: 4,
            ordinary: 5..60,
        }
    }

    #[test]
    fn hiding_follows_its_shares_and_keeps_the_ends() {
        let rows: Vec<Vec<u32>> = (0..400)
            .map(|_| [vec![0], vec![7; 50], vec![2]].concat())
            .collect();
        let hiding = hide(rows, 0.15, &specials(), &mut step_rng(1, 0));
        let chosen = hiding.places.len() as f64;
        assert!((chosen / 20_000.0 - 0.15).abs() < 0.03, "{chosen}");
        assert!(hiding.targets.iter().all(|id| *id == 7));
        let masked = hiding.rows.iter().flatten().filter(|id| **id == 4).count() as f64;
        assert!((masked / chosen - 0.8).abs() < 0.05, "{masked} of {chosen}");
        for row in &hiding.rows {
            assert_eq!((row[0], row[51]), (0, 2));
        }
        let of_row = |row| hiding.places.iter().any(|(at, _)| *at == row);
        assert!((0..400).all(of_row), "every row hides something");
    }
}
