//! What stage 1 trains: a projector and, where they are learnt, the temperature and the bias of the objective. It knows no
//! data and no loss.

use bioverse_core::Projector;
use burn::module::{Module, Param};
use burn::prelude::*;

use super::objective::Scale;
use super::objective::siglip::{BIAS, Bias};
use crate::config::{AlignSection, Objective};
use crate::telemetry::Fields;
use crate::train::{Rate, Rates};

/// Similarities are never multiplied by more (CLIP, Radford et al. 2021, § 2.5).
const LARGEST_SCALE: f64 = 100.0;

/// A projector and the numbers that are learnt with it. Only the projector outlives the training.
#[derive(Module, Debug)]
pub struct Aligner {
    /// The projector.
    pub projector: Projector,
    /// `[1]`, log of one over the temperature; none where it is fixed.
    logit_scale: Option<Param<Tensor<1>>>,
    /// `[1]`; none where it is fixed.
    logit_bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    temperature: f64,
}

impl Aligner {
    /// At the values of the configuration.
    pub fn new(projector: Projector, align: &AlignSection, device: &Device) -> Self {
        let number = |value: f64| Param::from_tensor(Tensor::from_floats([value as f32], device));
        let learnt = align.learn_temperature && align.objective != Objective::Autoregressive;
        let scale = -align.temperature.ln();
        let biased = learnt && align.objective == Objective::Siglip;
        Self {
            projector,
            logit_scale: learnt.then(|| number(scale)),
            logit_bias: biased.then(|| number(BIAS)),
            temperature: align.temperature,
        }
    }

    /// What similarities are multiplied by. A learnt factor ends at 100, through which its gradient goes as if it did not:
    /// so it finds its way back.
    pub fn scale(&self) -> Scale {
        let Some(param) = &self.logit_scale else {
            return Scale::Fixed(self.temperature);
        };
        let log = param.val();
        let beyond = (log.clone() - LARGEST_SCALE.ln()).clamp_min(0.0).detach();
        Scale::Learnt(Box::new((log - beyond).exp()))
    }

    /// What is added to the logits of SigLIP.
    pub fn bias(&self) -> Bias {
        match &self.logit_bias {
            Some(param) => Bias::Learnt(Box::new(param.val())),
            None => Bias::Fixed(BIAS),
        }
    }

    /// The temperature in use.
    pub fn temperature(&self) -> f64 {
        match self.scale() {
            Scale::Fixed(temperature) => temperature,
            Scale::Learnt(scale) => 1.0 / number(*scale),
        }
    }

    /// For `metrics.jsonl`: what is learnt beside the projector.
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        if self.logit_scale.is_some() {
            fields.insert("temperature".into(), self.temperature().into());
        }
        if let Some(bias) = &self.logit_bias {
            fields.insert("logit_bias".into(), number(bias.val()).into());
        }
        fields
    }

    /// Temperature and bias are not drawn towards zero.
    pub fn rates() -> Rates {
        let undecayed = |path: &str| Rate {
            path: path.into(),
            factor: 1.0,
            weight_decay: Some(0.0),
        };
        Rates(vec![undecayed("logit_scale"), undecayed("logit_bias")])
    }
}

fn number(tensor: Tensor<1>) -> f64 {
    tensor.into_data().iter::<f64>().sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::train::checkpoint::trainable_params;
    use bioverse_core::{Preset, ProjectorConfig};

    fn aligner(objective: Objective, learn_temperature: bool, temperature: f64) -> Aligner {
        let device = Device::flex().autodiff();
        let config = ProjectorConfig {
            preset: Preset::Linear,
            ..ProjectorConfig::default()
        };
        let align = AlignSection {
            objective,
            learn_temperature,
            temperature,
            ..AlignSection::default()
        };
        Aligner::new(config.init(2, 3, &device), &align, &device)
    }

    fn learnt(aligner: &Aligner) -> Vec<String> {
        let params = trainable_params(aligner).into_iter();
        let names = params.map(|(path, _)| path);
        names
            .filter(|path| !path.starts_with("projector."))
            .collect()
    }

    #[test]
    fn what_is_learnt_is_what_the_objective_has() {
        let of = |objective, learn| learnt(&aligner(objective, learn, 0.07));
        assert!(of(Objective::InfoNce, false).is_empty());
        assert_eq!(of(Objective::InfoNce, true), ["logit_scale"]);
        assert_eq!(of(Objective::Siglip, true), ["logit_scale", "logit_bias"]);
        let rates = Aligner::rates();
        assert_eq!(rates.of("logit_scale", 0.1), (1.0, 0.0));
        assert_eq!(rates.of("projector.layers.0.bias", 0.1), (1.0, 0.1));
    }

    #[test]
    fn the_scale_starts_at_one_over_the_temperature_and_ends_at_a_hundred() {
        for (start, expected) in [(0.07, 0.07), (0.01, 0.01), (0.001, 0.01)] {
            let aligner = aligner(Objective::InfoNce, true, start);
            assert!((aligner.temperature() - expected).abs() < 1e-6, "{start}");
            let Scale::Learnt(scale) = aligner.scale() else {
                panic!("it is learnt");
            };
            let grads = scale.sum().backward();
            let grad = aligner.logit_scale.unwrap().val().grad(&grads).unwrap();
            let grad = number(grad);
            assert!(grad > 0.0, "a gradient leads back from beyond: {grad}");
        }
        assert_eq!(
            aligner(Objective::InfoNce, false, 0.001).temperature(),
            0.001
        );
    }
}
