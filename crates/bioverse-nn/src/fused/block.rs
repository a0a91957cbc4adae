//! One transformer layer over rows: projections of all tokens first, then attention and feed-forward of a tile at a time.
//!
//! Knows where norms may stand (Vaswani et al. 2017 put them after adding, later encoders before the layer) and whether the
//! feed-forward layer is gated (Shazeer 2020, arXiv 2002.05202); not which family wants what.

use super::activation::{apply, gate};
use super::attention::Projected;
use super::dense::Dense;
use super::norm::Norm;
use super::rotary::Turns;
use super::scratch;
use super::simd::vectorised;
use super::tiles::Tile;
use crate::config::Activation;

/// Where the norms of a layer stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NormPlace {
    /// Attention and feed-forward read normalised states and add to the plain ones.
    Before,
    /// The sums are normalised.
    After,
}

/// Attention, then feed-forward.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) place: NormPlace,
    /// `None`: the states come normalised.
    pub(crate) attention_norm: Option<Norm>,
    pub(crate) attention: SelfAttention,
    pub(crate) feed_norm: Norm,
    pub(crate) feed: FeedForward,
}

/// Weights of self-attention.
#[derive(Debug)]
pub(crate) struct SelfAttention {
    /// Queries, keys and values side by side, `[d, 3 · d]`.
    pub(crate) qkv: Dense,
    pub(crate) output: Dense,
    pub(crate) heads: usize,
    /// Which of the stack's rotary positions turn queries and keys.
    pub(crate) rotary: Option<usize>,
    /// How many columns away a token may be to be seen; `None`: all are.
    pub(crate) reach: Option<usize>,
}

/// Weights of a feed-forward layer.
#[derive(Debug)]
pub(crate) struct FeedForward {
    /// `[d, inner]`, or `[d, 2 · inner]`: the gate, then what it gates.
    pub(crate) up: Dense,
    pub(crate) down: Dense,
    pub(crate) act: Activation,
    pub(crate) gated: bool,
}

impl Block {
    /// Queries, keys and values of a tile: `states [m, d]` → `out [m, 3 · d]`. `columns` are those of the rows.
    pub(super) fn project(
        &self,
        states: &[f32],
        columns: &[usize],
        turns: &[Turns],
        out: &mut [f32],
    ) {
        let attention = &self.attention;
        match (self.place, &self.attention_norm) {
            (NormPlace::Before, Some(norm)) => scratch::with([states.len()], |[normed]| {
                normed.copy_from_slice(states);
                norm.apply(normed);
                attention.qkv.multiply(normed, out);
            }),
            _ => attention.qkv.multiply(states, out),
        }
        let turns = attention.rotary.map(|which| &turns[which]);
        let width = states.len() / columns.len();
        let scale = 1.0 / ((width / attention.heads) as f32).sqrt();
        finish(out, attention.qkv.bias(), scale, turns, columns);
    }

    /// The rest of the layer for a tile, `states [m, d]` in place; `qkv` and `columns` are those of all tokens.
    pub(super) fn mix(&self, states: &mut [f32], tile: &Tile, qkv: &[f32], columns: &[usize]) {
        let (rows, size) = (tile.rows.len(), states.len());
        let longest = tile.parts.iter().map(|p| p.rows.len() * p.record.len());
        let scores = longest.max().unwrap_or(0);
        let inner = rows * self.feed.up.d_out();
        scratch::with([size, scores.max(inner)], |[rows, wide]| {
            self.attend(rows, tile, qkv, columns, wide);
            self.attention.output.add(rows, states);
            self.after(self.attention_norm.as_ref(), states);
            let inner = &mut wide[..inner];
            match self.place {
                NormPlace::After => self.feed.widen(states, inner),
                NormPlace::Before => {
                    rows.copy_from_slice(states);
                    self.feed_norm.apply(rows);
                    self.feed.widen(rows, inner);
                }
            }
            let inner = &inner[..inner.len() / self.feed.per_unit()];
            self.feed.down.add(inner, states);
            self.after(Some(&self.feed_norm), states);
        });
    }

    /// Mixed values of a tile, `out [m, d]`.
    fn attend(
        &self,
        out: &mut [f32],
        tile: &Tile,
        qkv: &[f32],
        columns: &[usize],
        scores: &mut [f32],
    ) {
        let width = out.len() / tile.rows.len();
        let projected = Projected {
            rows: qkv,
            width,
            heads: self.attention.heads,
            columns,
            reach: self.attention.reach,
        };
        for part in &tile.parts {
            let first = (part.rows.start - tile.rows.start) * width;
            let own = &mut out[first..][..part.rows.len() * width];
            projected.attend(part, scores, own);
        }
    }

    fn after(&self, norm: Option<&Norm>, states: &mut [f32]) {
        if let (NormPlace::After, Some(norm)) = (self.place, norm) {
            norm.apply(states);
        }
    }
}

impl FeedForward {
    /// `act(rows · up + b)`; what a gate leaves stands at the front of `inner`.
    fn widen(&self, rows: &[f32], inner: &mut [f32]) {
        self.up.multiply(rows, inner);
        match self.gated {
            true => gate(inner, self.up.bias(), self.act),
            false => apply(self.act, inner, self.up.bias()),
        }
    }

    /// How many columns of `up` make one inner unit.
    fn per_unit(&self) -> usize {
        if self.gated { 2 } else { 1 }
    }
}

vectorised! {
    /// Adds the bias, scales queries, turns queries and keys; `rows [m, 3 · d]`.
    fn finish(
        rows: &mut [f32],
        bias: &[f32],
        scale: f32,
        turns: Option<&Turns>,
        columns: &[usize],
    ) = finish_body
}

#[inline(always)]
fn finish_body<const FMA: bool>(
    rows: &mut [f32],
    bias: &[f32],
    scale: f32,
    turns: Option<&Turns>,
    columns: &[usize],
) {
    let width = bias.len() / 3;
    for (row, column) in rows.chunks_exact_mut(bias.len()).zip(columns) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value += bias;
        }
        let (query, rest) = row.split_at_mut(width);
        for value in query.iter_mut() {
            *value *= scale;
        }
        if let Some(turns) = turns {
            turns.apply(query, *column);
            turns.apply(&mut rest[..width], *column);
        }
    }
}
