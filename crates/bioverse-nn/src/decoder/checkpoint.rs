//! Training with little memory: only the input of each layer is kept, and a layer is computed again, with a graph this
//! time, when its gradient is due (Chen et al. 2016, arXiv 1604.06174, with one segment a layer). It knows no loss: the
//! caller brings the gradient of the last states.
//!
//! Burn's own strategy recomputes cheap element-wise operations only and keeps what matrix products read, which is nearly
//! everything here.

use burn::{
    module::{Module, ModuleMapper, Param},
    prelude::*,
    tensor::Gradients,
};

use super::{Batch, CausalLm, DecoderLayer};

/// A forward pass of which only the inputs of the layers are left.
#[derive(Debug)]
pub struct Checkpointed<'a> {
    lm: &'a CausalLm,
    batch: Batch,
    /// Inputs of the layers, outside any graph, `[B, T, hidden_size]` each.
    inputs: Vec<Tensor<3>>,
    /// What the last layer gave.
    output: Tensor<3>,
    seed: u64,
}

impl CausalLm {
    /// The layers without a graph. `segments` as in [`forward_packed`](Self::forward_packed) (one text a row: 1 = token, 0 =
    /// padding); `inputs_embeds` may be tracked, its gradient comes from [`Checkpointed::backward`]. Dropout of layer i
    /// draws from `seed + i`, whenever it is computed.
    ///
    /// # Shapes
    /// `inputs_embeds [B, T, hidden_size]`, `segments [B, T]`
    pub fn checkpointed(
        &self,
        inputs_embeds: Tensor<3>,
        segments: Tensor<2, Int>,
        seed: u64,
    ) -> Checkpointed<'_> {
        let batch = self.packed_batch(segments);
        let mut hidden = self.scale_inputs(inputs_embeds).inner();
        let mut inputs = Vec::with_capacity(self.model.layers.len());
        for (i, layer) in self.model.layers.iter().enumerate() {
            inputs.push(hidden.clone());
            let layer = layer.clone().map(&mut WithoutGraph);
            hidden.device().seed(seed.wrapping_add(i as u64));
            hidden = layer.forward(hidden, &batch.rotary, batch.bias(self.window(i)), None);
        }
        Checkpointed {
            lm: self,
            batch,
            inputs,
            output: hidden,
            seed,
        }
    }
}

impl Checkpointed<'_> {
    /// What the last layer gave, before the final norm, as a leaf: the loss is computed from it.
    ///
    /// # Shapes
    /// → `[B, T, hidden_size]`
    pub fn output(&self) -> Tensor<3> {
        Tensor::from_inner(self.output.clone()).require_grad()
    }

    /// Hidden states after the final norm of what [`output`](Self::output) gave.
    ///
    /// # Shapes
    /// `[B, T, hidden_size]` → `[B, T, hidden_size]`
    pub fn normed(&self, output: Tensor<3>) -> Tensor<3> {
        self.lm.model.norm.forward(output)
    }

    /// From the gradient of the output back through every layer, computing it once more. What is found for the parameters
    /// of a layer goes to `found`, the last layer first.
    ///
    /// # Shapes
    /// `gradient [B, T, hidden_size]`, outside any graph → gradient of `inputs_embeds`, `[B, T, hidden_size]`
    pub fn backward(
        mut self,
        mut gradient: Tensor<3>,
        mut found: impl FnMut(Gradients),
    ) -> Tensor<3> {
        for (i, layer) in self.lm.model.layers.iter().enumerate().rev() {
            let Some(input) = self.inputs.pop() else {
                continue;
            };
            let (passed, gradients) = self.through(i, layer, input, gradient);
            gradient = passed;
            found(gradients);
        }
        match self.lm.config.embedding_multiplier {
            1.0 => gradient,
            factor => gradient.mul_scalar(factor),
        }
    }

    /// One layer: gradient of its output → gradient of its input, and those of its parameters.
    fn through(
        &self,
        i: usize,
        layer: &DecoderLayer,
        input: Tensor<3>,
        gradient: Tensor<3>,
    ) -> (Tensor<3>, Gradients) {
        input.device().seed(self.seed.wrapping_add(i as u64));
        let input = Tensor::from_inner(input).require_grad();
        let bias = self.batch.bias(self.lm.window(i));
        let output = layer.forward(input.clone(), &self.batch.rotary, bias, None);
        // The derivative of this sum is the gradient that came from behind, passed on by the chain rule.
        let gradients = (output * Tensor::from_inner(gradient)).sum().backward();
        let passed = input.grad(&gradients);
        (
            passed.unwrap_or_else(|| input.inner().zeros_like()),
            gradients,
        )
    }
}

/// The same values outside any graph; unlike `valid`, dropout stays as it was.
struct WithoutGraph;

impl ModuleMapper for WithoutGraph {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        Param::from_mapped_value(id, value.inner(), mapper)
    }
}
