//! Soft tokens into `inputs_embeds`. Where they go was decided by the [`Layout`]; this is the one tensor operation
//! that puts them there, the same on every backend and differentiable in all its inputs.

use burn::{prelude::*, tensor::TensorData};

use crate::{Layout, Slot, SoftTokens};

/// Puts `soft[g]`, the projected `layout.groups[g]`, at its slots of `text`; all other positions keep their embedding.
///
/// Text and soft tokens are stacked into one table and read back by one index-select: nothing is scanned for, and the
/// gradient flows into both. Soft tokens are cast to the text's dtype. Either side may carry a graph while the other
/// does not.
///
/// # Shapes
/// text `[B, T, d_model]`, `soft[g]` `[records, soft_len, d_model]` → `[B, T, d_model]`, where `[B, T]` is the shape of
/// [`Layout::input_ids`].
pub fn inject(text: Tensor<3>, soft: Vec<SoftTokens>, layout: &Layout) -> Tensor<3> {
    let [b, t, d_model] = text.dims();
    debug_assert_eq!(
        [b, t],
        [layout.rows.len(), layout.width()],
        "text must be laid out by this layout"
    );
    debug_assert_eq!(
        soft.len(),
        layout.groups.len(),
        "one batch of soft tokens per group"
    );
    for (soft, group) in soft.iter().zip(&layout.groups) {
        debug_assert_eq!(
            soft.embeds.dims(),
            [group.records.len(), group.soft_len, d_model],
            "{}",
            group.modality
        );
    }
    if soft.is_empty() || b * t == 0 {
        return text;
    }
    let dtype = text.dtype();
    let mut table = vec![text.reshape([b * t, d_model])];
    table.extend(
        soft.into_iter()
            .map(|soft| soft.embeds.flatten::<2>(0, 1).cast(dtype)),
    );
    let table = Tensor::cat(table, 0);
    let indices = Tensor::from_data(TensorData::new(indices(layout), [b * t]), &table.device());
    table.select(0, indices).reshape([b, t, d_model])
}

/// For every position the row of the table it takes: its own text, or a soft token behind all text.
fn indices(layout: &Layout) -> Vec<i64> {
    let mut offsets = vec![layout.rows.len() * layout.width()];
    offsets.extend(layout.groups.iter().scan(offsets[0], |end, group| {
        *end += group.records.len() * group.soft_len;
        Some(*end)
    }));
    let row = |slot: Option<Slot>, own: usize| match slot {
        Some(Slot::Soft { group, row, index }) => {
            offsets[group] + row * layout.groups[group].soft_len + index
        }
        Some(Slot::Token(_)) | None => own,
    };
    layout
        .positions()
        .enumerate()
        .map(|(own, slot)| row(slot, own) as i64)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use burn::tensor::{Distribution, FloatDType, Tolerance};
    use serde_json::json;

    use super::*;
    use crate::{Group, PadSide, Row};

    const D: usize = 3;

    fn soft(group: usize, row: usize, index: usize) -> Slot {
        Slot::Soft { group, row, index }
    }

    /// Two rows, two modalities with two soft tokens per record, groups out of the order of the rows.
    fn layout(side: PadSide) -> Layout {
        let group = |modality: &str, records: usize, soft_len| Group {
            modality: modality.into(),
            records: vec![json!(null); records],
            soft_len,
        };
        let row = |slots: Vec<Slot>| Row {
            loss: vec![false; slots.len()],
            slots,
            starts: vec![],
        };
        let rows = vec![
            row(vec![
                Slot::Token(5),
                soft(1, 0, 0),
                soft(1, 0, 1),
                Slot::Token(6),
                soft(0, 0, 0),
                soft(0, 0, 1),
            ]),
            row(vec![soft(1, 1, 0), soft(1, 1, 1), Slot::Token(7)]),
        ];
        Layout {
            rows,
            groups: vec![group("molecule", 1, 2), group("protein", 2, 2)],
            pad: 0,
            side,
        }
    }

    fn random(shape: [usize; 3], device: &Device) -> Tensor<3> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    fn inputs(device: &Device) -> (Tensor<3>, Vec<Tensor<3>>) {
        device.seed(7);
        (
            random([2, 6, D], device),
            vec![random([1, 2, D], device), random([2, 2, D], device)],
        )
    }

    fn tokens(soft: &[Tensor<3>]) -> Vec<SoftTokens> {
        soft.iter()
            .map(|embeds| SoftTokens {
                embeds: embeds.clone(),
            })
            .collect()
    }

    fn values(tensor: &Tensor<3>) -> Vec<f32> {
        tensor.to_data().iter::<f32>().collect()
    }

    /// The definition, written as a loop.
    fn expected(text: &Tensor<3>, soft: &[Tensor<3>], layout: &Layout) -> Vec<f32> {
        let mut out = values(text);
        for (position, slot) in layout.positions().enumerate() {
            if let Some(Slot::Soft { group, row, index }) = slot {
                let at = (row * layout.groups[group].soft_len + index) * D;
                out[position * D..][..D].copy_from_slice(&values(&soft[group])[at..][..D]);
            }
        }
        out
    }

    #[test]
    fn every_position_holds_what_the_layout_says() {
        let (text, soft) = inputs(&Device::flex());
        for side in [PadSide::Left, PadSide::Right] {
            let layout = layout(side);
            let out = inject(text.clone(), tokens(&soft), &layout);
            assert_eq!(values(&out), expected(&text, &soft, &layout), "{side:?}");
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let plain = Device::flex();
        let device = plain.clone().autodiff();
        let (text, soft) = inputs(&plain);
        let weights = random([2, 6, D], &plain);
        let layout = layout(PadSide::Left);
        // A loss whose gradient depends on the values, so that a mere permutation could not pass.
        let loss = |inputs: &[Tensor<3>]| {
            let out = inject(inputs[0].clone(), tokens(&inputs[1..]), &layout);
            (out.powi_scalar(2) * weights.clone()).sum()
        };
        let inputs: Vec<_> = std::iter::once(text).chain(soft).collect();
        let tracked: Vec<_> = inputs
            .iter()
            .map(|x| x.clone().to_device(&device).autodiff().require_grad())
            .collect();
        let gradients = loss(&tracked).backward();
        let step = 1e-2;
        for (i, input) in tracked.iter().enumerate() {
            let gradient = values(&input.grad(&gradients).expect("a gradient for every input"));
            for (j, &gradient) in gradient.iter().enumerate() {
                let shifted = |by: f32| {
                    let mut moved = inputs.clone();
                    let mut data = values(&moved[i]);
                    data[j] += by;
                    moved[i] = Tensor::from_data(TensorData::new(data, moved[i].dims()), &plain);
                    loss(&moved).into_scalar::<f32>()
                };
                let slope = (shifted(step) - shifted(-step)) / (2.0 * step);
                assert!(
                    (slope - gradient).abs() < 1e-2,
                    "input {i}, element {j}: {slope} and {gradient}"
                );
            }
        }
    }

    #[test]
    fn either_side_may_be_without_a_graph() {
        let (text, soft) = inputs(&Device::flex());
        let layout = layout(PadSide::Right);
        let wanted = inject(text.clone(), tokens(&soft), &layout).into_data();
        for device in [
            Device::flex().autodiff(),
            Device::flex().autodiff().gradient_checkpointing(),
        ] {
            let lift = |x: &Tensor<3>| Tensor::<3>::from_data(x.to_data(), &device).require_grad();
            let lifted: Vec<_> = soft.iter().map(lift).collect();
            let out = inject(text.clone(), tokens(&lifted), &layout);
            wanted.assert_approx_eq::<f32>(&out.to_data(), Tolerance::default());
            let gradients = out.sum().backward();
            assert!(lifted.iter().all(|soft| {
                values(&soft.grad(&gradients).unwrap())
                    .iter()
                    .all(|&g| g == 1.0)
            }));

            let lifted = lift(&text);
            let gradients = inject(lifted.clone(), tokens(&soft), &layout)
                .sum()
                .backward();
            let gradient = values(&lifted.grad(&gradients).unwrap());
            let kept: Vec<_> = layout
                .positions()
                .map(|slot| !matches!(slot, Some(Slot::Soft { .. })))
                .collect();
            assert!(
                gradient
                    .chunks(D)
                    .zip(kept)
                    .all(|(g, kept)| g.iter().all(|&g| g == f32::from(u8::from(kept))))
            );
        }
    }

    #[test]
    fn soft_tokens_take_the_dtype_of_the_text() {
        let (text, soft) = inputs(&Device::flex());
        let text = text.cast(FloatDType::F16);
        let out = inject(text.clone(), tokens(&soft), &layout(PadSide::Right));
        assert_eq!(out.dtype(), text.dtype());
    }

    #[test]
    fn text_alone_is_unchanged() {
        let (text, _) = inputs(&Device::flex());
        let row = |n| Row {
            slots: vec![Slot::Token(1); n],
            loss: vec![false; n],
            starts: vec![],
        };
        let layout = Layout {
            rows: vec![row(6), row(0)],
            groups: vec![],
            pad: 0,
            side: PadSide::Right,
        };
        assert_eq!(
            values(&inject(text.clone(), vec![], &layout)),
            values(&text)
        );
        let empty = Layout {
            rows: vec![],
            ..layout
        };
        assert_eq!(
            inject(Tensor::zeros([0, 0, D], &text.device()), vec![], &empty).dims(),
            [0, 0, D]
        );
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "protein")]
    fn soft_tokens_of_another_shape_are_a_bug() {
        let (text, mut soft) = inputs(&Device::flex());
        soft[1] = soft[1].clone().slice(s![0..1]);
        inject(text, tokens(&soft), &layout(PadSide::Right));
    }
}
