//! Parameters that an adapter stores in full (`modules_to_save`), and head and token embedding becoming two.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::{Module, ModuleMapper, Param},
    prelude::*,
};

use super::{TABLE, merge::embedding_delta, tensors::AdapterTensors};
use crate::{
    CausalLm,
    error::{Error, Result},
    linear::Linear,
    lora::Selection,
    params::{load_params, parameter},
    weights::transpose,
};

impl CausalLm {
    /// Gives a head that shares the token embedding its own copy.
    pub(super) fn untie(&mut self) {
        if self.lm_head.is_none() {
            let table = self.model.embed_tokens.weight.val();
            self.lm_head = Some(Linear {
                weight: parameter(table.transpose()),
                bias: None,
                lora: None,
            });
            self.own_head();
        }
    }

    /// Puts the parameters that an adapter stores in full in the place of the model's.
    pub(super) fn replace_whole(self, tensors: &AdapterTensors) -> Result<Self> {
        let linears: BTreeSet<String> = self.paths().into_iter().collect();
        let mut values = BTreeMap::new();
        for (name, whole) in &tensors.whole {
            let data = tensors.weights.data(&whole.key)?;
            let module = name
                .strip_suffix(".weight")
                .filter(|path| linears.contains(*path));
            let data = match (module, data.shape().as_slice()) {
                (Some(_), [rows, columns]) => {
                    let (rows, columns) = (*rows, *columns);
                    let stored = tensors.weights.values(&whole.key, &[rows, columns])?;
                    TensorData::new(transpose(&stored, rows, columns), [columns, rows])
                }
                _ => data,
            };
            // A copy of a head that is not there as a layer of its own.
            if !(whole.base_layer && name == "lm_head.weight" && self.lm_head.is_none()) {
                values.insert(name.clone(), data);
            }
        }
        let (lm, homeless) = load_params(self, values).map_err(|problem| {
            Error::Unsupported(format!(
                "the adapter does not fit this model: {problem}; was the vocabulary enlarged? Use the model that the \
                 adapter was trained on"
            ))
        })?;
        match homeless.first() {
            Some(name) => Err(tensors.homeless(name)),
            None => Ok(lm),
        }
    }

    /// Adds an adapter on the token embedding to it; returns the paths that were dealt with.
    pub(super) fn fold_embedding(
        &mut self,
        tensors: &AdapterTensors,
        selection: &Selection,
        device: &Device,
    ) -> Result<BTreeSet<String>> {
        let Some(pair) = tensors.pairs.get(TABLE) else {
            return Ok(BTreeSet::new());
        };
        if !pair.of_embedding || device.is_autodiff() {
            let problem = "an adapter on `model.embed_tokens` cannot be trained further; make it part of the model with \
                           `bioverse merge-adapter`";
            return Err(Error::Unsupported(problem.to_owned()));
        }
        let [rows, d] = self.model.embed_tokens.weight.dims();
        let rank = selection.rank(TABLE);
        let thin = tensors.thin(TABLE, rank, [rows, d])?;
        let delta = embedding_delta(thin, rank, [rows, d]).into_data();
        let table = self.model.embed_tokens.weight.val();
        let delta = Tensor::from_data(delta, &table.device());
        self.model.embed_tokens.weight = parameter(table + delta);
        Ok(BTreeSet::from([TABLE.to_owned()]))
    }
}

/// Makes the parameters of the chosen modules trainable.
pub(super) fn thaw(lm: CausalLm, chosen: &dyn Fn(&str) -> bool) -> CausalLm {
    lm.map(&mut Thaw {
        path: Vec::new(),
        chosen,
    })
}

struct Thaw<'a> {
    path: Vec<String>,
    chosen: &'a dyn Fn(&str) -> bool,
}

impl ModuleMapper for Thaw<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let module = self.path.split_last().map_or(&[][..], |(_, above)| above);
        if module.iter().any(|name| name == "lora") || !(self.chosen)(&module.join(".")) {
            return param;
        }
        param.map(|value| match value.is_autodiff() {
            true => value.set_require_grad(true),
            false => value.autodiff().set_require_grad(true),
        })
    }
}
