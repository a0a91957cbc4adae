//! Keys and values of past positions.
//!
//! Room is made once: appending then writes into it instead of copying everything seen so far. That holds only while
//! nobody else keeps a handle on the tensors, so views of them live no longer than one layer's attention.

use burn::prelude::*;

use super::CausalLm;

/// Keys and values of the positions seen so far, preallocated.
///
/// For inference: what it holds is cut off from any autodiff graph.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
}

/// The part of one layer.
#[derive(Debug)]
pub struct LayerCache {
    /// Key and value, `[B, kv_heads, room, head_dim]`; `None` only while one of them is being written.
    held: Option<[Tensor<4>; 2]>,
    len: usize,
}

impl KvCache {
    /// Room for `batch` rows of `max_len` positions; grows when that does not suffice.
    pub fn new(lm: &CausalLm, batch: usize, max_len: usize) -> Self {
        let config = lm.config();
        let table = lm.embedding_matrix();
        let (device, dtype) = (table.device().inner(), table.dtype());
        let shape = [batch, config.num_key_value_heads, max_len, config.head_dim];
        let room = || Tensor::zeros(shape, (&device, dtype));
        let layers = (0..config.num_hidden_layers).map(|_| LayerCache {
            held: Some([room(), room()]),
            len: 0,
        });
        Self {
            layers: layers.collect(),
            len: 0,
        }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything behind the first `len` positions, so that another continuation can be read.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for layer in &mut self.layers {
            layer.len = layer.len.min(len);
        }
    }

    pub(super) fn layer(&mut self, i: usize) -> &mut LayerCache {
        &mut self.layers[i]
    }

    pub(super) fn advance(&mut self, len: usize) {
        self.len += len;
    }
}

impl LayerCache {
    /// Appends `[B, kv_heads, T, head_dim]` and returns everything held.
    pub(super) fn append(&mut self, key: Tensor<4>, value: Tensor<4>) -> [Tensor<4>; 2] {
        let (past, new) = (self.len, key.dims()[2]);
        self.len += new;
        let new = [key.inner(), value.inner()];
        let held = match self.held.take() {
            Some([keys, values]) => {
                let [key, value] = new;
                [write(keys, key, past), write(values, value, past)]
            }
            None => new,
        };
        let view = held.clone().map(|tensor| tensor.narrow(2, 0, self.len));
        self.held = Some(held);
        view
    }
}

fn write(room: Tensor<4>, new: Tensor<4>, past: usize) -> Tensor<4> {
    let [batch, heads, len, width] = new.dims();
    let max_len = room.dims()[2];
    let room = match past + len <= max_len {
        true => room,
        false => {
            let more = [batch, heads, past + len, width];
            Tensor::cat(
                vec![room, Tensor::zeros(more, (&new.device(), new.dtype()))],
                2,
            )
        }
    };
    room.slice_assign([0..batch, 0..heads, past..past + len, 0..width], new)
}
