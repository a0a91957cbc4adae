//! Parameters of a Burn module by dotted path (`model.layers.0.self_attn.q_proj.weight`).
//!
//! Works on any module; knows no model and no file.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    prelude::*,
    tensor::TensorData,
};

/// One float parameter, copied out.
#[derive(Debug, Clone)]
pub struct NamedParam {
    /// Dotted path of fields.
    pub path: String,
    /// Burn's id, the key of gradients.
    pub id: ParamId,
    /// Values as Burn holds them (linear weights are `[in, out]`).
    pub data: TensorData,
    /// Whether gradients are tracked.
    pub trainable: bool,
}

/// Every float parameter of `module`, in visiting order.
pub fn named_params<M: Module>(module: &M) -> Vec<NamedParam> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.found
}

/// Replaces parameters by path, keeping ids and trainability; returns the paths of `values` that `module` does not
/// have. Panics never; a shape mismatch is an error string.
pub fn load_params<M: Module>(
    module: M,
    values: BTreeMap<String, TensorData>,
) -> Result<(M, Vec<String>), String> {
    let mut replacer = Replacer {
        path: Vec::new(),
        values,
        problem: None,
    };
    let module = module.map(&mut replacer);
    match replacer.problem {
        Some(problem) => Err(problem),
        None => Ok((module, replacer.values.into_keys().collect())),
    }
}

/// Every float parameter under its path as files hold it: linear weights turned to `[out, in]`, adapters left out.
pub fn stored_params<M: Module>(module: &M) -> Vec<(String, TensorData)> {
    let mut exporter = Exporter::default();
    module.visit(&mut exporter);
    exporter.found
}

/// A parameter that is trainable exactly if its tensor lives on an autodiff device. Burn would otherwise remember a
/// wish to train it and fulfil that at the next `train()`, which would thaw a frozen model.
pub(crate) fn parameter<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    let trainable = value.is_autodiff();
    Param::from_tensor(value).set_require_grad(trainable)
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    found: Vec<NamedParam>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        self.found.push(NamedParam {
            path: self.path.join("."),
            id: param.id,
            trainable: value.is_require_grad(),
            data: value.into_data(),
        });
    }
}

#[derive(Default)]
struct Exporter {
    /// Field names with the type that holds them.
    path: Vec<(String, String)>,
    found: Vec<(String, TensorData)>,
}

impl Exporter {
    fn inside(&self, container: &str) -> bool {
        self.path.iter().any(|(_, kind)| kind == container)
    }
}

impl ModuleVisitor for Exporter {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push((name.to_owned(), container.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.inside("Struct:Lora") {
            return;
        }
        let value = match D == 2 && self.inside("Struct:Linear") {
            true => param.val().swap_dims(0, 1),
            false => param.val(),
        };
        let names: Vec<&str> = self.path.iter().map(|(name, _)| name.as_str()).collect();
        self.found.push((names.join("."), value.into_data()));
    }
}

struct Replacer {
    path: Vec<String>,
    values: BTreeMap<String, TensorData>,
    problem: Option<String>,
}

impl ModuleMapper for Replacer {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(data) = self.values.remove(&path) else {
            return param;
        };
        let shape = param.dims();
        if data.shape().as_slice() != shape {
            let found = data.shape().as_slice();
            let problem = format!("`{path}`: expected shape {shape:?}, found {found:?}");
            self.problem.get_or_insert(problem);
            return param;
        }
        param.map(|old| {
            let trainable = old.is_require_grad();
            Tensor::from_data(data, &old.device()).set_require_grad(trainable)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::{CausalLm, DecoderConfig};

    fn tiny(device: &Device) -> CausalLm {
        let config = DecoderConfig {
            hidden_size: 8,
            intermediate_size: 12,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 4,
            vocab_size: 11,
            tie_word_embeddings: false,
            ..Default::default()
        };
        CausalLm::init(&config, device)
    }

    #[test]
    fn paths_are_hugging_face_names() {
        let paths: Vec<_> = named_params(&tiny(&Device::flex()))
            .into_iter()
            .map(|p| p.path)
            .collect();
        assert_eq!(paths.len(), 1 + 2 * 9 + 2);
        for path in [
            "model.embed_tokens.weight",
            "model.layers.1.self_attn.q_proj.weight",
            "model.layers.0.mlp.down_proj.weight",
            "model.layers.0.post_attention_layernorm.weight",
            "lm_head.weight",
        ] {
            assert!(paths.iter().any(|p| p == path), "{path} not in {paths:?}");
        }
    }

    #[test]
    fn trainability_follows_the_device() {
        assert!(
            named_params(&tiny(&Device::flex()))
                .iter()
                .all(|p| !p.trainable)
        );
        assert!(
            named_params(&tiny(&Device::flex().autodiff()))
                .iter()
                .all(|p| p.trainable)
        );
    }

    #[test]
    fn loading_moves_values_and_keeps_ids() {
        let device = Device::flex().autodiff();
        let (from, to) = (tiny(&device), tiny(&device));
        let ids: Vec<_> = named_params(&to).iter().map(|p| p.id).collect();
        let mut values: BTreeMap<_, _> = named_params(&from)
            .into_iter()
            .map(|p| (p.path, p.data))
            .collect();
        values.insert("elsewhere".into(), TensorData::new(vec![1.0f32], [1]));
        let (loaded, unknown) = load_params(to, values).unwrap();
        assert_eq!(unknown, ["elsewhere"]);
        for ((got, want), id) in named_params(&loaded)
            .iter()
            .zip(named_params(&from))
            .zip(ids)
        {
            assert_eq!(got.data, want.data);
            assert_eq!(got.id, id);
            assert!(got.trainable);
        }
    }

    #[test]
    fn a_wrong_shape_is_named() {
        let wrong = BTreeMap::from([("lm_head.weight".into(), TensorData::new(vec![1.0f32], [1]))]);
        let text = load_params(tiny(&Device::flex()), wrong).unwrap_err();
        assert_eq!(text, "`lm_head.weight`: expected shape [8, 11], found [1]");
    }
}
