//! Hand-checked values, numpy's own answers, and what must hold for every cell.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn normalising_and_logarithm_have_known_values() {
    assert_eq!(normalize_total(&[1.0, 0.0, 4.0], 10.0), [2.0, 0.0, 8.0]);
    assert_eq!(normalize_total(&[0.0, 0.0], TARGET_SUM), [0.0, 0.0]);
    assert!(normalize_total(&[], TARGET_SUM).is_empty());
    // 1 / (3 / 1e4), not 1 * 1e4 / 3 and not 1 / 3 * 1e4: the three round differently.
    assert_eq!(normalize_total(&[1.0, 2.0], 1e4)[0], 1.0 / (3.0_f32 / 1e4));
    let logs = log1p(&[0.0, std::f32::consts::E - 1.0, 1e-6]);
    assert!((logs[1] - 1.0).abs() < 1e-6 && (logs[2] - 1e-6).abs() < 1e-12);
    assert_eq!(logs[0], 0.0);
}

/// `numpy.digitize(x, numpy.quantile(x, numpy.linspace(0, 1, n_bins - 1)))` over the non-zero f32 values, numpy 2.4.6.
#[test]
fn bins_are_those_of_numpy() {
    let counts = [3.0, 0.0, 1.0, 1.0, 2.0, 0.0, 7.0, 1.0, 5.0, 2.0];
    assert_eq!(bin(&counts, 6), [3, 0, 2, 2, 3, 0, 5, 2, 4, 3]);
    assert_eq!(bin(&counts, 51), [36, 0, 15, 15, 29, 0, 50, 15, 43, 29]);
    let distinct: Vec<f32> = (1..=50).map(|x| x as f32).collect();
    assert_eq!(bin(&distinct, 51), (1..=50).collect::<Vec<u32>>());
    assert_eq!(bin(&[2.5], 51), [50]);
    assert_eq!(bin(&[2.5, 2.5, 2.5], 51), [50, 50, 50]);
    assert_eq!(bin(&[1.0, 2.0], 2), [1, 1]);
}

/// Every position of an edge is a whole number here, but numpy rounds `3 · (1/10) · 10` above 3 and so puts the edge above 5.
#[test]
fn edges_that_fall_on_a_value_are_rounded_as_numpy_rounds_them() {
    let counts = [2.0, 4.0, 4.0, 5.0, 7.0, 8.0, 8.0, 10.0, 11.0, 11.0, 11.0];
    assert_eq!(bin(&counts, 12), [1, 3, 3, 3, 5, 6, 6, 8, 11, 11, 11]);
}

#[test]
fn nothing_has_no_bin() {
    assert!(bin(&[], 51).is_empty());
    assert_eq!(bin(&[0.0, 0.0], 51), [0, 0]);
}

/// The bin by exact arithmetic: edges lie at rank `(n - 1) · j / last`, so those up to the last of equal values count.
fn exact(values: &[f32], n_bins: usize) -> Vec<u32> {
    let of = |value: &f32| {
        let upto = values.iter().filter(|other| *other <= value).count() - 1;
        let last = n_bins - 2;
        match values.len() - 1 {
            0 => n_bins as u32 - 1,
            _ if last == 0 => 1,
            most => (upto * last / most) as u32 + 1,
        }
    };
    values.iter().map(of).collect()
}

proptest! {
    #[test]
    fn bins_keep_the_order_and_their_range(values in prop::collection::vec(0.0_f32..1e6, 1..200), n_bins in 2_usize..120) {
        let bins = bin(&values, n_bins);
        for (value, bin) in values.iter().zip(&bins) {
            match *value == 0.0 {
                true => prop_assert_eq!(*bin, 0),
                false => prop_assert!((1..n_bins as u32).contains(bin)),
            }
        }
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                prop_assert!(a > b || bins[i] <= bins[j]);
            }
        }
        let highest = (0..values.len()).max_by(|i, j| values[*i].total_cmp(&values[*j])).unwrap();
        prop_assert!(values[highest] == 0.0 || bins[highest] == n_bins as u32 - 1);
    }

    /// Whole counts: depth and logarithm change nothing, but for edges that rounding moves across a value.
    #[test]
    fn bins_depend_on_the_order_alone(counts in prop::collection::vec(1_u16..40, 1..150), n_bins in 2_usize..120, depth in 1_u8..200) {
        let counts: Vec<f32> = counts.into_iter().map(f32::from).collect();
        let bins = bin(&counts, n_bins);
        let deeper: Vec<f32> = counts.iter().map(|count| count * f32::from(depth)).collect();
        let logs = log1p(&normalize_total(&counts, TARGET_SUM));
        for other in [exact(&counts, n_bins), bin(&deeper, n_bins), bin(&logs, n_bins)] {
            prop_assert!(bins.iter().zip(&other).all(|(a, b)| a.abs_diff(*b) <= 1), "{:?} {:?}", bins, other);
        }
        // A power of two is exact in every step.
        let doubled: Vec<f32> = counts.iter().map(|count| count * 2.0).collect();
        prop_assert_eq!(&bins, &bin(&doubled, n_bins));
    }

    #[test]
    fn cells_add_up_to_the_target(counts in prop::collection::vec(0_u16..3000, 1..300)) {
        let counts: Vec<f32> = counts.into_iter().map(f32::from).collect();
        let total: f64 = normalize_total(&counts, TARGET_SUM).iter().map(|x| f64::from(*x)).sum();
        let wanted = if counts.iter().all(|x| *x == 0.0) { 0.0 } else { 1e4 };
        prop_assert!((total - wanted).abs() < 0.01, "{}", total);
    }
}
