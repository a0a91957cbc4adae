//! Learning rates of the trainable sets, and what they are for people to see. Knows parameter paths and no optimiser.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;

use crate::config::FinetuneSection;
use crate::train::{Rate, Rates};

/// The sets of `finetune.trainable`, by the name that the configuration gives them.
pub(super) const PROJECTORS: &str = "projectors";
pub(super) const TASK_TOKENS: &str = "task_tokens";
pub(super) const LORA: &str = "lora";

/// Rates relative to `finetune.lr`. Adapters of layer i of L learn at `lr_lora · layer_decay^(L-1-i)`: the top layer at the
/// full rate (layer-wise decay as in Howard & Ruder 2018, arXiv 1801.06146).
pub(super) fn rates(finetune: &FinetuneSection, layers: usize) -> Rates {
    let rate = |path: String, lr: Option<f64>, decay: f64| Rate {
        path,
        factor: lr.unwrap_or(finetune.lr) / finetune.lr * decay,
        weight_decay: None,
    };
    let mut rates = vec![
        rate("task_token".into(), finetune.lr_task_tokens, 1.0),
        rate("projectors".into(), finetune.lr_projectors, 1.0),
    ];
    if finetune.layer_decay != 1.0 {
        rates.extend((0..layers).map(|layer| {
            let below = (layers - 1 - layer) as i32;
            let decay = finetune.layer_decay.powi(below);
            rate(format!("llm.model.layers.{layer}"), finetune.lr_lora, decay)
        }));
    }
    rates.push(rate("llm".into(), finetune.lr_lora, 1.0));
    Rates(rates)
}

/// One line for each set with its parameters and its peak rate, or its range of rates.
pub(super) fn table<M: Module>(module: &M, finetune: &FinetuneSection, layers: usize) -> String {
    let mut found = Found {
        rates: rates(finetune, layers),
        lr: finetune.lr,
        path: vec![],
        sets: BTreeMap::new(),
    };
    module.visit(&mut found);
    let line = |(set, of): (&&str, &Set)| {
        let rate = match of.lowest < of.highest {
            true => format!("{:e} (bottom) to {:e} (top)", of.lowest, of.highest),
            false => format!("{:e}", of.highest),
        };
        format!(
            "  {set}: {} parameters in {} tensors, learning rate {rate}\n",
            of.parameters, of.tensors
        )
    };
    found.sets.iter().map(line).collect()
}

struct Set {
    tensors: usize,
    parameters: usize,
    lowest: f64,
    highest: f64,
}

/// Counts what learns; values stay where they are.
struct Found {
    rates: Rates,
    lr: f64,
    path: Vec<String>,
    sets: BTreeMap<&'static str, Set>,
}

impl ModuleVisitor for Found {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        let name = match (self.path.first(), self.path.last()) {
            (_, Some(last)) if last == "task_token" => TASK_TOKENS,
            (Some(first), _) if first == "projectors" => PROJECTORS,
            _ => LORA,
        };
        let (factor, _) = self.rates.of(&self.path.join("."), 0.0);
        // A few digits: products of decimal numbers are not what people wrote.
        let rate = format!("{:.4e}", self.lr * factor)
            .parse()
            .unwrap_or(self.lr * factor);
        let set = self.sets.entry(name).or_insert(Set {
            tensors: 0,
            parameters: 0,
            lowest: f64::INFINITY,
            highest: 0.0,
        });
        set.tensors += 1;
        set.parameters += value.dims().iter().product::<usize>();
        set.lowest = set.lowest.min(rate);
        set.highest = set.highest.max(rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_its_rate_and_layers_decay_from_the_top() {
        let finetune = FinetuneSection {
            lr: 1e-3,
            lr_projectors: Some(2e-3),
            lr_task_tokens: Some(4e-3),
            lr_lora: Some(5e-4),
            layer_decay: 0.5,
            ..FinetuneSection::default()
        };
        let rates = rates(&finetune, 12);
        let of = |path: &str| rates.of(path, 0.01).0 * finetune.lr;
        let near = |path: &str, rate: f64| assert!((of(path) - rate).abs() < 1e-12, "{path}");
        near("projectors.1.task_token", 4e-3);
        near("projectors.1.layers.1.weight", 2e-3);
        near("llm.model.layers.11.self_attn.q_proj.lora.lora_a", 5e-4);
        near("llm.model.layers.10.self_attn.q_proj.lora.lora_a", 2.5e-4);
        near(
            "llm.model.layers.1.mlp.up_proj.lora.lora_b",
            5e-4 * 0.5f64.powi(10),
        );
        near("llm.lm_head.lora.lora_a", 5e-4);
    }

    #[test]
    fn without_rates_of_their_own_all_learn_alike() {
        let rates = rates(&FinetuneSection::default(), 3);
        for path in [
            "projectors.0.task_token",
            "projectors.0.layers.0.bias",
            "llm.model.layers.0.x",
        ] {
            assert_eq!(rates.of(path, 0.01), (1.0, 0.01));
        }
    }
}
