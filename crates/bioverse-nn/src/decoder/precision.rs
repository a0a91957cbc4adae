//! A frozen model in half precision. Which dtype is used where is decided here and nowhere else: weight matrices and the
//! embedding table go to bf16, and with them the activations; norms, softmax, logits and all that learns stay in f32. It
//! knows no device: where bf16 pays is for the caller to know.

use burn::{
    module::{Module, ModuleMapper, Param},
    prelude::*,
    tensor::FloatDType,
};

use super::CausalLm;

/// Modules whose parameters stay in f32: the precision of a norm is that of everything behind it, and small updates of an
/// adapter would be rounded away.
const SINGLE: [&str; 2] = ["Struct:RmsNorm", "Struct:Lora"];

impl CausalLm {
    /// Casts the frozen weights to bf16. What is trained (on an autodiff device) keeps its dtype.
    pub fn into_bf16(self) -> Self {
        self.map(&mut ToBf16::default())
    }
}

#[derive(Default)]
struct ToBf16 {
    /// Types of the modules that are being visited.
    inside: Vec<String>,
}

impl ModuleMapper for ToBf16 {
    fn enter_module(&mut self, _name: &str, container: &str) {
        self.inside.push(container.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.inside.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let single = self
            .inside
            .iter()
            .any(|kind| SINGLE.contains(&kind.as_str()));
        let (id, value, mapper) = param.consume();
        let value = match single || value.is_autodiff() {
            true => value,
            false => value.cast(FloatDType::BF16),
        };
        Param::from_mapped_value(id, value, mapper)
    }
}
