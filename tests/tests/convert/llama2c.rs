//! A llama2.c model made here, and the arithmetic of llama2.c written down plainly: one token at a time, pairs of
//! neighbours rotated. It shares no line with the program it checks.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const DIM: usize = 8;
pub const HIDDEN: usize = 12;
pub const LAYERS: usize = 2;
pub const HEADS: usize = 2;
pub const KV_HEADS: usize = 1;
pub const POSITIONS: usize = 32;
const HEAD: usize = DIM / HEADS;
const KV: usize = HEAD * KV_HEADS;

/// The parameters in the order in which both layouts keep the pieces.
pub struct Model {
    pub vocab: usize,
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// `None` where the embedding serves.
    head: Option<Vec<f32>>,
}

/// Keys and values of the tokens so far.
type Cache = (Vec<Vec<f32>>, Vec<Vec<f32>>);

/// One piece of a layer.
type Part = fn(&Layer) -> &Vec<f32>;

struct Layer {
    attention_norm: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    o: Vec<f32>,
    ffn_norm: Vec<f32>,
    w1: Vec<f32>,
    w2: Vec<f32>,
    w3: Vec<f32>,
}

impl Model {
    /// Random parameters, large enough that every one of them shows in the logits.
    pub fn random(vocab: usize, tied: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut draw =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-0.7..0.7)).collect() };
        let layers = (0..LAYERS).map(|_| Layer {
            attention_norm: draw(DIM),
            q: draw(DIM * DIM),
            k: draw(KV * DIM),
            v: draw(KV * DIM),
            o: draw(DIM * DIM),
            ffn_norm: draw(DIM),
            w1: draw(HIDDEN * DIM),
            w2: draw(DIM * HIDDEN),
            w3: draw(HIDDEN * DIM),
        });
        let layers = layers.collect();
        Self {
            vocab,
            layers,
            embedding: draw(vocab * DIM),
            norm: draw(DIM),
            head: (!tied).then(|| draw(vocab * DIM)),
        }
    }

    /// Without magic number, as the first exporter writes it.
    pub fn first_layout(&self) -> Vec<u8> {
        let vocab = match self.head {
            Some(_) => -(self.vocab as i32),
            None => self.vocab as i32,
        };
        let sizes = [DIM, HIDDEN, LAYERS, HEADS, KV_HEADS].map(|n| n as i32);
        let mut bytes = numbers(&[&sizes[..], &[vocab, POSITIONS as i32]].concat());
        let mut put = |values: &[f32]| bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        put(&self.embedding);
        let parts: [Part; 9] = [
            |l| &l.attention_norm,
            |l| &l.q,
            |l| &l.k,
            |l| &l.v,
            |l| &l.o,
            |l| &l.ffn_norm,
            |l| &l.w1,
            |l| &l.w2,
            |l| &l.w3,
        ];
        for part in parts {
            self.layers.iter().for_each(|layer| put(part(layer)));
        }
        put(&self.norm);
        // Tables that nothing reads any more.
        put(&[f32::NAN; POSITIONS * HEAD]);
        put(self.head.as_deref().unwrap_or_default());
        bytes
    }

    /// With `ak42`.
    pub fn layout_one(&self) -> Vec<u8> {
        let sizes = [DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, self.vocab, POSITIONS].map(|n| n as i32);
        let mut bytes = numbers(&[&[0x616b_3432, 1], &sizes[..]].concat());
        bytes.push(u8::from(self.head.is_none()));
        bytes.resize(256, 0);
        let mut put = |values: &[f32]| bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let parts: [Part; 2] = [|l| &l.attention_norm, |l| &l.ffn_norm];
        for part in parts {
            self.layers.iter().for_each(|layer| put(part(layer)));
        }
        put(&self.norm);
        put(&self.embedding);
        let parts: [Part; 7] = [
            |l| &l.q,
            |l| &l.k,
            |l| &l.v,
            |l| &l.o,
            |l| &l.w1,
            |l| &l.w2,
            |l| &l.w3,
        ];
        for part in parts {
            self.layers.iter().for_each(|layer| put(part(layer)));
        }
        put(self.head.as_deref().unwrap_or_default());
        bytes
    }

    /// Logits after each of the tokens.
    pub fn logits(&self, ids: &[usize]) -> Vec<Vec<f32>> {
        let mut past: Vec<Cache> = vec![Default::default(); LAYERS];
        let step = |(position, id): (usize, &usize)| {
            let mut x = self.embedding[id * DIM..(id + 1) * DIM].to_vec();
            for (layer, (keys, values)) in self.layers.iter().zip(&mut past) {
                let h = normalised(&x, &layer.attention_norm);
                let (mut q, mut k) = (times(&layer.q, &h), times(&layer.k, &h));
                rotate(&mut q, position);
                rotate(&mut k, position);
                keys.push(k);
                values.push(times(&layer.v, &h));
                add(&mut x, &times(&layer.o, &attention(&q, keys, values)));
                let h = normalised(&x, &layer.ffn_norm);
                let (gate, up) = (times(&layer.w1, &h), times(&layer.w3, &h));
                let inner: Vec<f32> = gate
                    .iter()
                    .zip(up)
                    .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                    .collect();
                add(&mut x, &times(&layer.w2, &inner));
            }
            times(
                self.head.as_ref().unwrap_or(&self.embedding),
                &normalised(&x, &self.norm),
            )
        };
        ids.iter().enumerate().map(step).collect()
    }
}

/// `266` tokens: three special ones, all bytes, and seven texts.
pub fn tokenizer() -> Vec<u8> {
    let mut tokens = vec![
        ("<unk>".to_owned(), 0.0f32),
        ("\n<s>\n".into(), 0.0),
        ("\n</s>\n".into(), 0.0),
    ];
    tokens.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), 0.0)));
    let texts = [
        (" ", -9.0),
        ("a", -10.0),
        ("b", -11.0),
        ("c", -12.0),
        ("ab", -1.0),
        (" a", -2.0),
        (" ab", -3.0),
    ];
    tokens.extend(texts.map(|(text, score)| (text.to_owned(), score)));
    let mut bytes = numbers(&[7]);
    for (text, score) in tokens {
        bytes.extend(score.to_le_bytes());
        bytes.extend(numbers(&[text.len() as i32]));
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn numbers(values: &[i32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn normalised(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let mean = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
    let scale = 1.0 / (mean + 1e-5).sqrt();
    x.iter().zip(weight).map(|(v, w)| v * scale * w).collect()
}

/// `[rows, x.len()]` times a vector.
fn times(matrix: &[f32], x: &[f32]) -> Vec<f32> {
    let rows = matrix.chunks(x.len());
    rows.map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
        .collect()
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Each pair of neighbours, by an angle that falls with its place in the head.
fn rotate(x: &mut [f32], position: usize) {
    for (i, pair) in x.chunks_mut(2).enumerate() {
        let place = (2 * i % HEAD) as f32;
        let angle = position as f32 / 10_000f32.powf(place / HEAD as f32);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (pair[0], pair[1]);
        pair[0] = a * cos - b * sin;
        pair[1] = a * sin + b * cos;
    }
}

fn attention(q: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f32> {
    let head = |h: usize| {
        let shared = h / (HEADS / KV_HEADS) * HEAD;
        let q = &q[h * HEAD..(h + 1) * HEAD];
        let dot = |k: &Vec<f32>| {
            q.iter()
                .zip(&k[shared..shared + HEAD])
                .map(|(a, b)| a * b)
                .sum::<f32>()
        };
        let scores: Vec<f32> = keys
            .iter()
            .map(|k| (dot(k) / (HEAD as f32).sqrt()).exp())
            .collect();
        let sum: f32 = scores.iter().sum();
        let mut out = vec![0.0; HEAD];
        for (score, v) in scores.iter().zip(values) {
            out.iter_mut()
                .zip(&v[shared..shared + HEAD])
                .for_each(|(o, v)| *o += score / sum * v);
        }
        out
    };
    (0..HEADS).flat_map(head).collect()
}
