//! Do confidences mean what they say? Expected calibration error, reliability bins, risk over coverage. What was predicted,
//! and how confidence came about, is not known here.

/// Bins of equal width, as Guo et al. 2017 report.
pub const BINS: usize = 15;

/// The rows of one bin.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// How many.
    pub rows: usize,
    /// Their mean confidence; 0 without rows.
    pub confidence: f64,
    /// Share of them that is right; 0 without rows.
    pub accuracy: f64,
}

/// Rows by confidence, in [`BINS`] bins `((m − 1)/M, m/M]` of which the first holds 0 too.
pub fn bins(confidence: &[f64], right: &[bool], rows: &[usize]) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); BINS];
    for row in rows {
        let at = (confidence[*row] * BINS as f64).ceil() as usize;
        let bin = &mut bins[at.clamp(1, BINS) - 1];
        bin.rows += 1;
        bin.confidence += confidence[*row];
        bin.accuracy += f64::from(u8::from(right[*row]));
    }
    for bin in &mut bins {
        let n = bin.rows.max(1) as f64;
        bin.confidence /= n;
        bin.accuracy /= n;
    }
    bins
}

/// `Σ (rows of the bin / rows) |accuracy − confidence|` (ECE, Guo et al. 2017). Not a number without rows.
pub fn ece(confidence: &[f64], right: &[bool], rows: &[usize]) -> f64 {
    let gaps = bins(confidence, right, rows).into_iter();
    let sum: f64 = gaps
        .map(|bin| bin.rows as f64 * (bin.accuracy - bin.confidence).abs())
        .sum();
    sum / rows.len() as f64
}

/// Rows from the most confident down; equally confident ones in their order.
fn ranked(confidence: &[f64], rows: &[usize]) -> Vec<usize> {
    let mut order = rows.to_vec();
    order.sort_by(|a, b| confidence[*b].total_cmp(&confidence[*a]));
    order
}

/// Mean over k = 1 … n of the share of errors among the k most confident rows (AURC, Geifman, Uziel and El-Yaniv 2019).
/// Lower is better. Not a number without rows.
pub fn aurc(confidence: &[f64], right: &[bool], rows: &[usize]) -> f64 {
    let mut errors = 0usize;
    let risks = ranked(confidence, rows).into_iter().enumerate();
    let sum: f64 = risks
        .map(|(before, row)| {
            errors += usize::from(!right[row]);
            errors as f64 / (before + 1) as f64
        })
        .sum();
    sum / rows.len() as f64
}

/// Accuracy of what is answered when the least confident rows are not: (share answered, accuracy) for every number of
/// answered rows.
pub fn coverage(confidence: &[f64], right: &[bool], rows: &[usize]) -> Vec<(f64, f64)> {
    let n = rows.len() as f64;
    let mut good = 0usize;
    let points = ranked(confidence, rows).into_iter().enumerate();
    let point = |(before, row): (usize, usize)| {
        good += usize::from(right[row]);
        let answered = (before + 1) as f64;
        (answered / n, good as f64 / answered)
    };
    points.map(point).collect()
}

/// The temperature by which logits are to be divided so that the mean of `−ln softmax(logits / T)[label]` is smallest (Guo et
/// al. 2017), between 1/50 and 50; 1 without rows. Of n rows each is the label's to `1 − 1 / (n + 2)` only, the rest being
/// everybody's: rows that are all right would otherwise ask for certainty (as Platt 1999 counts). Golden-section search over
/// `ln T`, in which that mean has one minimum.
pub fn temperature(logits: &[Vec<f64>], labels: &[usize]) -> f64 {
    let rest = 1.0 / (logits.len() as f64 + 2.0);
    let loss = |log_t: f64| -> f64 {
        let t = log_t.exp();
        let each = logits.iter().zip(labels).map(|(row, label)| {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|l| ((l - most) / t).exp()).sum();
            let mean = row.iter().map(|l| l - most).sum::<f64>() / row.len() as f64;
            sum.ln() - ((1.0 - rest) * (row[*label] - most) + rest * mean) / t
        });
        each.sum()
    };
    if logits.is_empty() {
        return 1.0;
    }
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((0.02_f64).ln(), (50.0_f64).ln());
    for _ in 0..60 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(a) <= loss(b) {
            high = b;
        } else {
            low = a;
        }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIDENCE: [f64; 6] = [0.95, 0.4, 0.95, 0.41, 1.0, 0.0];
    const RIGHT: [bool; 6] = [true, false, false, true, true, false];
    const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

    /// By hand: bins of 1/15 put .95, .95 and 1 into the last (0.9333, 1], .41 into (.4, .4667], .4 into (.3333, .4] and 0
    /// into the first.
    #[test]
    fn bins_are_closed_on_the_right() {
        let got = bins(&CONFIDENCE, &RIGHT, &ALL);
        let rows: Vec<usize> = got.iter().map(|bin| bin.rows).collect();
        assert_eq!(rows, [1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert!((got[14].accuracy - 2.0 / 3.0).abs() < 1e-12);
        // (3 · |2/3 − 2.9/3| + |1 − .41| + |0 − .4| + 0) / 6
        let expected = (0.9 + 0.59 + 0.4) / 6.0;
        assert!((ece(&CONFIDENCE, &RIGHT, &ALL) - expected).abs() < 1e-12);
        assert!(ece(&CONFIDENCE, &RIGHT, &[]).is_nan());
    }

    /// From the most confident: right (1), right, wrong, right, wrong, wrong.
    #[test]
    fn risk_over_coverage_by_hand() {
        let risks = [0.0, 0.0, 1.0 / 3.0, 1.0 / 4.0, 2.0 / 5.0, 3.0 / 6.0];
        let expected = risks.iter().sum::<f64>() / 6.0;
        assert!((aurc(&CONFIDENCE, &RIGHT, &ALL) - expected).abs() < 1e-12);
        let curve = coverage(&CONFIDENCE, &RIGHT, &ALL);
        assert_eq!(curve[0], (1.0 / 6.0, 1.0));
        assert_eq!(curve[5], (1.0, 0.5));
        for ((_, accuracy), risk) in curve.iter().zip(risks) {
            assert!((accuracy + risk - 1.0).abs() < 1e-12);
        }
        // A right answer first and a wrong one last is the best order there is.
        assert_eq!(aurc(&[0.9, 0.1], &[true, false], &[0, 1]), 0.25);
        assert_eq!(aurc(&[0.1, 0.9], &[true, false], &[0, 1]), 0.75);
    }

    /// Three of four rows are right at logits (2, 0). One sixth is everybody's, so the best T gives them 5/6 · 3/4 + 1/12.
    #[test]
    fn the_temperature_makes_confidence_the_accuracy() {
        let logits = vec![vec![2.0, 0.0]; 4];
        let logit = |p: f64| (p / (1.0 - p)).ln();
        let t = temperature(&logits, &[0, 0, 0, 1]);
        assert!((t - 2.0 / logit(17.0 / 24.0)).abs() < 1e-6, "{t}");
        let t = temperature(&logits, &[0; 4]);
        assert!((t - 2.0 / logit(11.0 / 12.0)).abs() < 1e-6, "{t}");
        assert_eq!(temperature(&[], &[]), 1.0);
    }
}
