//! Pictures that suites share: a metric of every method as bars, and ROC curves of closed questions. Numbers are computed
//! elsewhere.

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
    let mut pictures: Vec<Picture> = accuracies(findings)?.into_iter().collect();
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

/// Right answers of every method, with intervals.
pub fn accuracies(findings: &Findings) -> Result<Option<Picture>> {
    bars(
        findings,
        "accuracy",
        "Right answers",
        "Accuracy with its 95 % interval: the bundle (first), the bundle with records taken from it, and what might be as good.",
    )
}

/// A bar for every method that has the metric, which is a share of one; none where none has.
pub fn bars(
    findings: &Findings,
    metric: &str,
    title: &str,
    caption: &str,
) -> Result<Option<Picture>> {
    let bars = findings.methods.iter().filter_map(|method| {
        let number = method.numbers.get(metric)?;
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
    let bars: Vec<Bar> = bars.collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let id = format!("{metric}-{}", anchor(&findings.key()));
    Ok(Some(Picture {
        title: title.into(),
        caption: caption.into(),
        svg: bars::draw(&id, &bars)?,
    }))
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
