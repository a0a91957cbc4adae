//! Parameters of a projector under the names and layouts of its PyTorch twin, as plain data. It knows no file format.

use std::collections::{BTreeMap, BTreeSet};

use burn::{module::Param, prelude::*, tensor::TensorData};

use super::Projector;
use crate::{Error, Result};

impl Projector {
    /// Parameters under the names a PyTorch twin would use: `fc1.weight [out, in]`, `fc1.bias`, `ln1.weight`,
    /// `ln1.bias`, `fc2.weight`, …, `task_token`; all f32.
    pub fn to_tensors(&self) -> Vec<(String, TensorData)> {
        let mut tensors = vec![];
        for (i, layer) in self.layers.iter().enumerate() {
            let n = i + 1;
            tensors.push((
                format!("fc{n}.weight"),
                plain(layer.weight.val().transpose()),
            ));
            tensors.extend(
                layer
                    .bias
                    .iter()
                    .map(|bias| (format!("fc{n}.bias"), plain(bias.val()))),
            );
            if let Some(norm) = self.norms.get(i) {
                tensors.push((format!("ln{n}.weight"), plain(norm.gamma.val())));
                tensors.extend(
                    norm.beta
                        .iter()
                        .map(|beta| (format!("ln{n}.bias"), plain(beta.val()))),
                );
            }
        }
        tensors.extend(
            self.task_token
                .iter()
                .map(|task| ("task_token".into(), plain(task.val()))),
        );
        tensors
    }

    /// The inverse of [`to_tensors`](Self::to_tensors). Keeps parameter ids and trainability of `self`.
    ///
    /// # Errors
    /// A missing, surplus or misshapen tensor, by its name; nothing is changed then.
    pub fn load_tensors(mut self, tensors: &BTreeMap<String, TensorData>) -> Result<Self> {
        let mut source = Source {
            tensors,
            used: BTreeSet::new(),
        };
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let n = i + 1;
            source.fill(
                &mut layer.weight,
                format!("fc{n}.weight"),
                Tensor::transpose,
            )?;
            if let Some(bias) = &mut layer.bias {
                source.fill(bias, format!("fc{n}.bias"), |bias| bias)?;
            }
            let Some(norm) = self.norms.get_mut(i) else {
                continue;
            };
            source.fill(&mut norm.gamma, format!("ln{n}.weight"), |gamma| gamma)?;
            if let Some(beta) = &mut norm.beta {
                source.fill(beta, format!("ln{n}.bias"), |beta| beta)?;
            }
        }
        if let Some(task) = &mut self.task_token {
            source.fill(task, "task_token".into(), |task| task)?;
        }
        match tensors.keys().find(|name| !source.used.contains(*name)) {
            None => Ok(self),
            Some(name) => Err(Error::Space(format!(
                "projector tensor `{name}` has no place in this projector; its `[projector]` table differs from the \
                 one it was trained with"
            ))),
        }
    }
}

fn plain<const D: usize>(tensor: Tensor<D>) -> TensorData {
    tensor.into_data().convert::<f32>()
}

struct Source<'a> {
    tensors: &'a BTreeMap<String, TensorData>,
    used: BTreeSet<String>,
}

impl Source<'_> {
    /// Replaces the value of `param`. `flip` maps between the stored layout and Burn's, either way.
    fn fill<const D: usize>(
        &mut self,
        param: &mut Param<Tensor<D>>,
        name: String,
        flip: impl Fn(Tensor<D>) -> Tensor<D>,
    ) -> Result<()> {
        let wanted = flip(param.val()).dims();
        let data = self.tensors.get(&name).ok_or_else(|| {
            Error::Space(format!(
                "projector tensor `{name}` {wanted:?} is missing from what was stored"
            ))
        })?;
        if data.shape().as_slice() != wanted {
            let found = data.shape().as_slice();
            return Err(Error::Space(format!(
                "projector tensor `{name}` is {found:?}, but {wanted:?} is needed"
            )));
        }
        let data = data.clone().convert::<f32>();
        *param = param.clone().map(|old| {
            let new = flip(Tensor::<D>::from_data(data, &old.device()).cast(old.dtype()));
            new.detach().set_require_grad(old.is_require_grad())
        });
        self.used.insert(name);
        Ok(())
    }
}
