//! Scaled dot-product attention and the masks of both model kinds.
//!
//! Knows neither projections nor caches: heads come in, heads go out.

use burn::{prelude::*, tensor::activation::softmax};

/// What an invisible key adds to its score. Finite, so that a query which sees nothing averages instead of giving NaN.
const INVISIBLE: f64 = -1e9;

/// Softmax-weighted values.
///
/// Several query heads may share a key head (`heads` a multiple of `kv_heads`). They are stacked along the query axis
/// instead of repeating the keys: no copy, larger products, and both operands keep equal batch shapes. The softmax is
/// computed in the dtype of `bias`.
///
/// # Shapes
/// `query [B, heads, T, head_dim]`, `key` and `value` `[B, kv_heads, S, head_dim]`, `bias [B or 1, 1, T, S]`
/// → `[B, T, heads · head_dim]`
pub fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Tensor<4>,
    scale: f64,
) -> Tensor<3> {
    let [batch, heads, len, width] = query.dims();
    let [_, kv_heads, seen, _] = key.dims();
    let stacked = [batch, kv_heads, heads / kv_heads * len, width];
    let query = query.mul_scalar(scale).reshape(stacked);
    let scores = query
        .matmul(key.swap_dims(2, 3))
        .reshape([batch, heads, len, seen]);
    let weights = softmax(scores.cast(bias.dtype()) + bias, 3).cast(value.dtype());
    let weights = weights.reshape([batch, kv_heads, heads / kv_heads * len, seen]);
    let mixed = weights.matmul(value).reshape([batch, heads, len, width]);
    mixed.swap_dims(1, 2).reshape([batch, len, heads * width])
}

/// `[B, T, heads · head_dim] → [B, heads, T, head_dim]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, len, width] = x.dims();
    x.reshape([batch, len, heads, width / heads])
        .swap_dims(1, 2)
}

/// Every query sees every token: `mask [B, S]` (true = token) → `[B, 1, 1, S]`.
pub fn padding_bias(mask: Tensor<2, Bool>) -> Tensor<4> {
    let [batch, seen] = mask.dims();
    bias(mask.reshape([batch, 1, 1, seen]))
}

/// Every query sees the tokens at most `reach` columns away, itself included: `mask [B, T]` (true = token)
/// → `[B, 1, T, T]`
pub fn local_bias(mask: Tensor<2, Bool>, reach: usize) -> Tensor<4> {
    let [batch, len] = mask.dims();
    let columns = Tensor::<1, Int>::arange(0..len as i64, &mask.device());
    let distance = columns.clone().reshape([1, 1, len, 1]) - columns.reshape([1, 1, 1, len]);
    let near = distance.abs().lower_equal_elem(reach.min(len) as i64);
    let tokens = mask.reshape([batch, 1, 1, len]);
    let square = [batch, 1, len, len];
    bias(near.expand(square).bool_and(tokens.expand(square)))
}

/// Queries are the last `len` of the positions in `mask [B, S]` (true = token) and see tokens up to themselves; with a
/// `window` only that many keys, themselves included. → `[B, 1, len, S]`
pub fn causal_bias(mask: Tensor<2, Bool>, len: usize, window: Option<usize>) -> Tensor<4> {
    let [batch, seen] = mask.dims();
    let device = mask.device();
    let past = (seen - len) as i64;
    let keys = Tensor::<1, Int>::arange(0..seen as i64, &device).reshape([1, 1, 1, seen]);
    let queries = Tensor::<1, Int>::arange(past..past + len as i64, &device);
    let queries = queries.reshape([1, 1, len, 1]);
    let distance = queries - keys;
    let mut visible = distance.clone().greater_equal_elem(0);
    if let Some(window) = window {
        visible = visible.bool_and(distance.lower_elem(window as i64));
    }
    let visible = visible.expand([batch, 1, len, seen]);
    let tokens = mask
        .reshape([batch, 1, 1, seen])
        .expand([batch, 1, len, seen]);
    bias(visible.bool_and(tokens))
}

/// As [`causal_bias`] without a past, for rows that hold several texts: `segments [B, T]` numbers the texts of a row (0 =
/// padding), and a query sees only keys of its own text. → `[B, 1, T, T]`
pub fn packed_bias(segments: Tensor<2, Int>, window: Option<usize>) -> Tensor<4> {
    let [batch, len] = segments.dims();
    let square = [batch, 1, len, len];
    let queries = segments.clone().reshape([batch, 1, len, 1]).expand(square);
    let keys = segments.clone().reshape([batch, 1, 1, len]).expand(square);
    let same = bias(queries.equal(keys));
    let tokens = Tensor::<2, Int>::ones([1, len], &segments.device()).greater_elem(0);
    // Two invisible reasons add up to one that is as invisible.
    causal_bias(tokens, len, window) + same
}

fn bias(visible: Tensor<4, Bool>) -> Tensor<4> {
    visible.bool_not().float().mul_scalar(INVISIBLE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use burn::tensor::Distribution;

    use super::*;

    fn visible(bias: Tensor<4>) -> Vec<u8> {
        let values: Vec<f32> = bias.into_data().try_to_vec().unwrap();
        values.iter().map(|v| u8::from(*v == 0.0)).collect()
    }

    fn mask(values: [bool; 4]) -> Tensor<2, Bool> {
        Tensor::from_data([values], &Device::flex())
    }

    #[test]
    fn causal_masks_padding_future_and_what_left_the_window() {
        let all = mask([true; 4]);
        let want = [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1];
        assert_eq!(visible(causal_bias(all.clone(), 4, None)), want);
        let want = [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1];
        assert_eq!(visible(causal_bias(all.clone(), 4, Some(2))), want);
        assert_eq!(visible(causal_bias(all, 1, None)), [1, 1, 1, 1]);
        let left = mask([false, false, true, true]);
        let want = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1];
        assert_eq!(visible(causal_bias(left, 4, None)), want);
        assert_eq!(
            visible(padding_bias(mask([true, true, false, false]))),
            [1, 1, 0, 0]
        );
    }

    #[test]
    fn packed_texts_do_not_see_each_other() {
        let segments = Tensor::from_data([[1, 1, 2, 2]], &Device::flex());
        let want = [1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1];
        assert_eq!(visible(packed_bias(segments, None)), want);
        let segments = Tensor::from_data([[1, 1, 1, 0]], &Device::flex());
        let want = [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1];
        assert_eq!(visible(packed_bias(segments, Some(2))), want);
    }

    #[test]
    fn local_masks_padding_and_what_is_out_of_reach() {
        let mask = mask([false, true, true, true]);
        let want = [0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1];
        assert_eq!(visible(local_bias(mask.clone(), 1)), want);
        assert_eq!(
            visible(local_bias(mask, usize::MAX)),
            [0, 1, 1, 1].repeat(4)
        );
    }

    #[test]
    fn sharing_key_heads_equals_repeating_them() {
        let device = Device::flex();
        let random =
            |heads| Tensor::<4>::random([2, heads, 3, 4], Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (random(6), random(2), random(2));
        let mask = Tensor::from_data([[true; 3], [false; 3]], &device);
        let bias = causal_bias(mask, 3, None);
        let repeat = |x: Tensor<4>| {
            let one = |h| x.clone().narrow(1, h, 1).repeat_dim(1, 3);
            Tensor::cat(vec![one(0), one(1)], 1)
        };
        let shared = attend(q.clone(), k.clone(), v.clone(), bias.clone(), 0.5);
        let repeated = attend(q, repeat(k), repeat(v), bias, 0.5);
        let shared: Vec<f32> = shared.into_data().try_to_vec().unwrap();
        let repeated: Vec<f32> = repeated.into_data().try_to_vec().unwrap();
        assert!(shared.iter().all(|x| x.is_finite()));
        assert!(
            shared
                .iter()
                .zip(&repeated)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }
}
