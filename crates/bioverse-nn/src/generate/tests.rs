//! Generation with a small random model: what a row says must not depend on its neighbours.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::DecoderConfig;

const VOCAB: usize = 40;

fn model() -> CausalLm {
    let config = DecoderConfig {
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 8,
        vocab_size: VOCAB,
        sliding_windows: vec![None; 2],
        // Wide weights: a model that says the same whatever it reads would pass every test below.
        initializer_range: 0.5,
        ..Default::default()
    };
    CausalLm::init(&config, &Device::flex())
}

/// Left-pads and embeds.
fn prompt(lm: &CausalLm, rows: &[&[i64]]) -> (Tensor<3>, Tensor<2, Bool>) {
    let width = rows.iter().map(|row| row.len()).max().unwrap();
    let padded = |row: &&[i64]| [vec![0; width - row.len()], row.to_vec()].concat();
    let real = |row: &&[i64]| {
        (0..width)
            .map(|i| i >= width - row.len())
            .collect::<Vec<_>>()
    };
    let (shape, device) = ([rows.len(), width], Device::flex());
    let ids = TensorData::new(rows.iter().flat_map(padded).collect::<Vec<i64>>(), shape);
    let mask = TensorData::new(rows.iter().flat_map(real).collect::<Vec<bool>>(), shape);
    (
        lm.embed(Tensor::from_data(ids, &device)),
        Tensor::from_data(mask, &device),
    )
}

fn config(max_new_tokens: usize) -> GenerationConfig {
    GenerationConfig {
        max_new_tokens,
        ..Default::default()
    }
}

fn letters(ids: &[u32]) -> String {
    ids.iter().map(|id| char::from(b'A' + *id as u8)).collect()
}

fn say(lm: &CausalLm, rows: &[&[i64]], config: &GenerationConfig) -> Vec<Vec<u32>> {
    let (embeds, mask) = prompt(lm, rows);
    let mut streamed = vec![vec![]; rows.len()];
    let said = generate(lm, embeds, mask, config, &letters, &mut |row, id| {
        streamed[row].push(id);
    });
    let said = said.unwrap();
    assert_eq!(said, streamed, "what is streamed is what is returned");
    said
}

#[test]
fn a_listener_may_end_it_and_gets_what_there_is() {
    let lm = model();
    let (embeds, mask) = prompt(&lm, &[&[3, 9, 27]]);
    let whole = say(&lm, &[&[3, 9, 27]], &config(8)).remove(0);
    let mut heard = 0;
    let cut = generate_while(&lm, embeds, mask, &config(8), &letters, &mut |_, _| {
        heard += 1;
        match heard {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert_eq!(cut.unwrap(), [whole[..3].to_vec()]);
}

const ROWS: [&[i64]; 3] = [&[3, 9, 27], &[5], &[7, 1, 8, 30, 11]];

#[test]
fn greedy_is_the_same_alone_and_in_a_batch() {
    let lm = model();
    let together = say(&lm, &ROWS, &config(8));
    for (row, said) in ROWS.iter().zip(&together) {
        assert_eq!(said.len(), 8);
        assert_eq!(&say(&lm, &[row], &config(8))[0], said);
    }
}

#[test]
fn greedy_with_the_cache_is_greedy_without() {
    let lm = model();
    let said = &say(&lm, &ROWS[..1], &config(6))[0];
    let mut ids = ROWS[0].to_vec();
    for id in said {
        let (embeds, mask) = prompt(&lm, &[&ids]);
        let logits = to_floats(last_logits(&lm, lm.forward(embeds, mask, None))).unwrap();
        let best = (0..VOCAB).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        assert_eq!(best, Some(*id as usize));
        ids.push(i64::from(*id));
    }
}

#[test]
fn a_sampled_row_depends_on_its_seed_only() {
    let lm = model();
    let sampled = |seed, max_new_tokens| GenerationConfig {
        temperature: 1.5,
        seed,
        ..config(max_new_tokens)
    };
    let together = say(&lm, &ROWS, &sampled(5, 8));
    assert_eq!(together, say(&lm, &ROWS, &sampled(5, 8)));
    assert_ne!(together, say(&lm, &ROWS, &sampled(50, 8)));
    // Row 1 of seed 5 draws as row 0 of seed 6, and its first tokens are those of a shorter run.
    assert_eq!(together[1], say(&lm, &[ROWS[1]], &sampled(6, 8))[0]);
    assert_eq!(together[2][..3], say(&lm, &ROWS, &sampled(5, 3))[2]);
}

#[test]
fn a_row_ends_with_eos_and_the_others_go_on() {
    let lm = model();
    let free = say(&lm, &ROWS, &config(8));
    let eos = free[0][2];
    let ended = |row: &[u32]| {
        let end = row
            .iter()
            .position(|id| *id == eos)
            .map_or(row.len(), |i| i + 1);
        row[..end].to_vec()
    };
    let want: Vec<Vec<u32>> = free.iter().map(|row| ended(row)).collect();
    let with_eos = GenerationConfig {
        eos_token_id: vec![99, eos],
        ..config(8)
    };
    assert_eq!(say(&lm, &ROWS, &with_eos), want);
}

#[test]
fn a_row_ends_at_a_stop_string_across_tokens() {
    let lm = model();
    let free = say(&lm, &ROWS[..1], &config(8)).remove(0);
    let stop = letters(&free[1..3]);
    let text = letters(&free);
    let config = GenerationConfig {
        stop: vec![stop.clone()],
        ..config(8)
    };
    let said = say(&lm, &ROWS[..1], &config).remove(0);
    assert_eq!(letters(&said), text[..text.find(&stop).unwrap() + 2]);
    assert_eq!(
        before_stop(&letters(&said), &config.stop).len() + 2,
        said.len()
    );
}

#[test]
fn prompts_that_cannot_be_continued_are_refused() {
    let lm = model();
    let device = Device::flex();
    let run = |embeds, mask| generate(&lm, embeds, mask, &config(2), &letters, &mut |_, _| {});
    let mask =
        |values: [bool; 2]| Tensor::from_data(TensorData::new(values.to_vec(), [1, 2]), &device);
    let right_padded = run(Tensor::zeros([1, 2, 16], &device), mask([true, false]));
    assert!(right_padded.unwrap_err().to_string().contains("row 0"));
    let narrow = run(Tensor::zeros([1, 3, 16], &device), mask([true, true]));
    assert!(narrow.unwrap_err().to_string().contains("attention mask"));
    let broken = run(
        Tensor::full([1, 2, 16], f32::NAN, &device),
        mask([true, true]),
    );
    assert!(broken.unwrap_err().to_string().contains("NaN"));
}

#[test]
fn nothing_is_said_when_nothing_may_be() {
    let lm = model();
    assert_eq!(say(&lm, &ROWS, &config(0)), vec![Vec::<u32>::new(); 3]);
}

#[test]
fn text_ends_before_the_earliest_stop_string() {
    let stop = ["\n\n".to_string(), "END".to_string(), String::new()];
    assert_eq!(before_stop("abENDc\n\nd", &stop), "ab");
    assert_eq!(before_stop("ab\n\ncEND", &stop), "ab");
    assert_eq!(before_stop("abc", &stop), "abc");
}

#[test]
fn looking_ahead_is_reading_on_and_leaves_nothing_behind() {
    let lm = model();
    let (embeds, mask) = prompt(&lm, &ROWS);
    let (mut reading, _) = Continuation::start(&lm, embeds, mask, 3);
    let (first, again) = (reading.look_ahead(&[4, 2]), reading.look_ahead(&[6, 1, 3]));
    let behind = |ids: &[i64], row: usize| {
        let (embeds, mask) = prompt(&lm, &[&[ROWS[row], ids].concat()]);
        let hidden = lm.forward(embeds, mask, None);
        to_floats(last_logits(&lm, hidden)).unwrap()
    };
    let at = |logits: &Tensor<3>, row: usize, place: usize| {
        let one = logits.clone().narrow(0, row, 1).narrow(1, place, 1);
        to_floats(one.squeeze_dim(1)).unwrap()
    };
    let near = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    for row in 0..3 {
        assert!(near(at(&first, row, 0), behind(&[4], row)));
        assert!(near(at(&first, row, 1), behind(&[4, 2], row)));
        assert!(near(at(&again, row, 2), behind(&[6, 1, 3], row)));
    }
    let pushed = to_floats(reading.push(&[9; 3])).unwrap();
    assert!(near(pushed[..VOCAB].to_vec(), behind(&[9], 0)));
}
