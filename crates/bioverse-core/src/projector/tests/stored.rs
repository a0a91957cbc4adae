//! Configurations and tensors as they come from outside: what is kept, what is refused and how it is named.

use burn::module::ModuleVisitor;

use super::*;

#[derive(Default, PartialEq, Debug)]
struct Ids(Vec<(u64, bool)>);

impl ModuleVisitor for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push((param.id.val(), param.is_require_grad()));
    }
}

fn ids(projector: &Projector) -> Ids {
    let mut ids = Ids::default();
    projector.visit(&mut ids);
    ids
}

#[test]
fn tensors_there_and_back_keep_ids_and_trainability() {
    let device = Device::flex().autodiff();
    for config in presets() {
        let config = ProjectorConfig {
            task_token: true,
            ..config
        };
        let source = stored(&randomised(&config, &Device::flex()));
        let fresh = config.init(D_HIDDEN, D_MODEL, &device);
        for before in [fresh.clone(), fresh.freeze()] {
            let wanted = ids(&before);
            let loaded = before.load_tensors(&source).unwrap();
            assert_eq!(ids(&loaded), wanted);
            for (name, data) in stored(&loaded) {
                assert_eq!(
                    data.iter::<f32>().collect::<Vec<_>>(),
                    source[&name].iter::<f32>().collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn wrong_tensors_are_named() {
    let device = Device::flex();
    let projector = small(Preset::Paper).init(D_HIDDEN, D_MODEL, &device);
    let refusal = |change: &dyn Fn(&mut BTreeMap<String, TensorData>)| {
        let mut tensors = stored(&projector);
        change(&mut tensors);
        projector
            .clone()
            .load_tensors(&tensors)
            .unwrap_err()
            .to_string()
    };
    let missing = refusal(&|tensors| drop(tensors.remove("ln2.bias")));
    assert!(missing.contains("`ln2.bias` [6] is missing"), "{missing}");
    let surplus =
        refusal(&|tensors| drop(tensors.insert("fc4.weight".into(), TensorData::from([1.0]))));
    assert!(surplus.contains("`fc4.weight` has no place"), "{surplus}");
    let transposed = refusal(&|tensors| {
        drop(tensors.insert("fc1.weight".into(), TensorData::zeros::<f32, _>([5, 7])))
    });
    assert!(
        transposed.contains("`fc1.weight` is [5, 7], but [7, 5] is needed"),
        "{transposed}"
    );
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let refused = |config: ProjectorConfig| config.validate().unwrap_err().to_string();
    let default = ProjectorConfig::default;
    let widths = refused(ProjectorConfig {
        hidden_sizes: vec![512],
        ..default()
    });
    assert!(
        widths.contains("has 1 widths, but preset `paper` has 2 inner layers"),
        "{widths}"
    );
    assert!(
        refused(ProjectorConfig {
            hidden_sizes: vec![512, 0],
            ..default()
        })
        .contains("contains 0")
    );
    assert!(
        refused(ProjectorConfig {
            num_soft_tokens: 0,
            ..default()
        })
        .contains("num_soft_tokens")
    );
    for dropout in [1.0, -0.1, f64::NAN] {
        assert!(
            refused(ProjectorConfig {
                dropout,
                ..default()
            })
            .contains("dropout")
        );
    }
    presets()
        .iter()
        .for_each(|config| config.validate().unwrap());
    let typo = toml::from_str::<ProjectorConfig>("num_tokens = 3")
        .unwrap_err()
        .to_string();
    assert!(typo.contains("num_tokens"), "{typo}");
    let author: ProjectorConfig =
        toml::from_str("preset = \"author-code\"\npooling = \"first\"").unwrap();
    assert_eq!(
        (author.preset, author.pooling),
        (Preset::AuthorCode, Pooling::First)
    );
}
