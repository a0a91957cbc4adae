//! Pictures of closed questions: how often each method is right, and its ROC curve. Numbers are computed elsewhere.

use super::closed::Asked;
use super::findings::{Findings, Picture, Role};
use super::ranking::roc_curve;
use super::said::Said;
use crate::error::Result;
use crate::report::bars::{self, Bar};
use crate::report::chart::{Across, Plot, Scale, Series};
use crate::report::map::anchor;
use crate::report::numbers::spread;

/// Points of a curve.
const POINTS: usize = 60;
/// Curves that can be told apart.
const CURVES: usize = 7;

/// The pictures of what was said, for findings that have its numbers.
pub fn all(findings: &Findings, rows: &[Asked], said: &[Said]) -> Result<Vec<Picture>> {
    let id = anchor(&findings.key());
    let mut pictures = vec![accuracies(&id, findings)?];
    let series = said.iter().take(CURVES).filter_map(|one| curve(rows, one));
    let plot = Plot {
        id: format!("roc-{id}"),
        title: "ROC curves of p(yes)".into(),
        note: "Share of the yes rows found over the share of the no rows taken for yes, whatever the threshold; the diagonal \
               is guessing."
            .into(),
        across: Across {
            name: "no rows taken for yes".into(),
            logarithmic: false,
            whole: false,
        },
        series: series.collect(),
        levels: vec![],
        scale: Scale::Share,
    };
    pictures.extend(Picture::chart(plot)?);
    Ok(pictures)
}

fn accuracies(id: &str, findings: &Findings) -> Result<Picture> {
    let bars = findings.methods.iter().filter_map(|method| {
        let number = method.numbers.get("accuracy")?;
        Some(Bar {
            name: method.name.clone(),
            value: number.value,
            interval: number.interval,
            slot: match method.role {
                Role::Model => 0,
                Role::Control => 1,
                Role::Baseline => 2,
            },
        })
    });
    Ok(Picture {
        title: "Right answers".into(),
        caption: "Accuracy with its 95 % interval: the bundle (first), the bundle with records taken from it, and what might be \
                  as good."
            .into(),
        svg: bars::draw(&format!("accuracy-{id}"), &bars.collect::<Vec<_>>())?,
    })
}

/// The curve of one method over the rows with yes and no.
fn curve(rows: &[Asked], said: &Said) -> Option<Series> {
    let scored = said.yes_or_no(rows);
    let (scores, positive): (Vec<f64>, Vec<bool>) = scored
        .into_iter()
        .map(|(_, score, yes)| (score, yes))
        .unzip();
    let points = roc_curve(&scores, &positive);
    let kept = spread(points.len(), POINTS)
        .into_iter()
        .map(|at| points[at]);
    (!points.is_empty()).then(|| Series {
        name: said.name.replace('_', " "),
        points: kept.collect(),
    })
}
