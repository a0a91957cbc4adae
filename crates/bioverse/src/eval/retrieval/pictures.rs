//! Retrieval as pictures: R@k over k for every method, and where records and texts lie in the aligned space.

use super::super::{
    findings::{Picture, Role},
    linear::Matrix,
};
use super::Pair;
use super::same::Same;
use super::space::{Ranks, Space};
use crate::error::Result;
use crate::report::chart::{Across, Plot, Scale, Series};
use crate::report::numbers::spread;
use crate::report::{map, templates};

/// Points of a curve.
const POINTS: f64 = 40.0;

/// R@k over k, both directions, raw.
pub fn curves(modality: &str, ranked: &[(&str, Role, Ranks)], same: &Same) -> Result<Vec<Picture>> {
    let n = same.len();
    let names = [format!("{modality} to text"), format!("text to {modality}")];
    let mut pictures = vec![];
    for (at, name) in names.into_iter().enumerate() {
        let methods = ranked.iter().map(|(name, _, ranks)| Series {
            name: name.replace('_', " "),
            points: curve(&ranks.0[at].raw),
        });
        let chance = Series {
            name: "chance".into(),
            points: steps(n).map(|k| (k, k / n.max(1) as f64)).collect(),
        };
        let plot = Plot {
            id: format!("recall-{}-{at}", map::anchor(modality)),
            title: format!("R@k, {name}"),
            note: "Share of queries whose right partner is among the first k candidates; k in powers of ten.".into(),
            across: Across {
                name: "k".into(),
                logarithmic: true,
                whole: true,
            },
            series: methods.chain([chance]).collect(),
            levels: vec![],
            scale: Scale::Share,
        };
        pictures.extend(Picture::chart(plot)?);
    }
    Ok(pictures)
}

/// (k, share of ranks up to k).
fn curve(ranks: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = ranks.to_vec();
    sorted.sort_by(f64::total_cmp);
    let share = |k: f64| sorted.partition_point(|rank| *rank <= k) as f64 / sorted.len() as f64;
    steps(ranks.len()).map(|k| (k, share(k))).collect()
}

/// Whole numbers from 1 to n, about evenly apart in powers of ten.
fn steps(n: usize) -> impl Iterator<Item = f64> {
    let top = (n.max(1) as f64).ln();
    let mut ks: Vec<f64> = (0..=POINTS as usize)
        .map(|i| (top * i as f64 / POINTS).exp().round())
        .collect();
    ks.dedup();
    ks.into_iter()
}

/// Maps of at most as many pairs as can be told apart, by principal components and by t-SNE.
pub fn maps(modality: &str, eval: &[Pair], same: &Same, space: &Space) -> Result<Vec<Picture>> {
    let chosen = spread(eval.len(), map::PAIRS);
    let rows = |matrix: &Matrix| -> Vec<Vec<f32>> {
        chosen.iter().map(|i| matrix.row(*i).to_vec()).collect()
    };
    let texts: Vec<i64> = chosen
        .iter()
        .map(|i| same.text_numbers()[*i] as i64)
        .collect();
    let names: Vec<String> = chosen.iter().map(|i| eval[*i].id.clone()).collect();
    let id = format!("space-{}", map::anchor(modality));
    let found = map::of_pairs(
        &id,
        &rows(&space.records),
        &rows(&space.texts),
        &texts,
        &names,
    );
    let mut pictures = vec![];
    for one in found {
        let caption = format!(
            "{} Circles: {modality} records; squares: texts; a line joins what belongs together. {} of {} pairs.",
            one.caption(),
            chosen.len(),
            eval.len()
        );
        pictures.push(Picture {
            title: one.title().to_owned(),
            caption,
            svg: templates::points(&one)?,
        });
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_counts_ranks_up_to_k() {
        let points = curve(&[1.0, 2.0, 2.5, 10.0]);
        let at = |k: f64| points.iter().find(|(x, _)| *x == k).map(|(_, y)| *y);
        assert_eq!(
            (at(1.0), at(2.0), at(3.0), at(4.0)),
            (Some(0.25), Some(0.5), Some(0.75), Some(0.75))
        );
        assert_eq!(steps(1).collect::<Vec<_>>(), [1.0]);
        assert_eq!(steps(400).last(), Some(400.0));
    }
}
