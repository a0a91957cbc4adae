//! Tests of checkpoints: they come back bit for bit, the last good one is always there, and only those asked for stay.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use burn::nn::{Linear, LinearConfig};

use super::*;
use crate::config::RunConfig;
use crate::files::crash_at;
use crate::train::{Schedule, gradients};

const KEEP: Keep = Keep {
    last: 1,
    best: false,
};

fn trainer() -> Trainer {
    Trainer::new(Schedule::Constant { lr: 0.1 }, 0.0, None)
}

fn place(dir: &Path) -> Checkpoint {
    Checkpoint {
        dir: dir.join("checkpoint/a"),
        fingerprint: fingerprint(&RunConfig::default(), "finetune").unwrap(),
    }
}

fn fresh() -> Linear {
    LinearConfig::new(3, 2).init(&Device::flex().autodiff())
}

fn step(module: Linear, trainer: &mut Trainer) -> Linear {
    let device = Device::flex().autodiff();
    let loss = module.forward(Tensor::<2>::ones([1, 3], &device)).sum();
    let grads = gradients(loss, &module);
    trainer.step(module, grads).unwrap().0
}

/// A module after one step, and its checkpoint.
fn trained(dir: &Path) -> (Linear, Trainer, Checkpoint) {
    let mut trainer = trainer();
    let module = step(fresh(), &mut trainer);
    (module, trainer, place(dir))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_comes_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (module, trainer, checkpoint) = trained(dir.path());
    assert!(!checkpoint.exists());
    let mut standing = Standing::default();
    standing.measured(1, 0.1 + 0.2);
    standing.measured(2, 0.0);
    checkpoint.save(&module, &trainer, &standing, KEEP).unwrap();
    assert!(checkpoint.exists());
    let mut empty = self::trainer();
    let (back, stood) = checkpoint
        .load(fresh(), &mut empty, &Device::flex())
        .unwrap();
    assert_eq!(trainable_params(&back), trainable_params(&module));
    assert_eq!(empty.optimizer.to_tensors(), trainer.optimizer.to_tensors());
    assert_eq!((empty.step, stood), (1, standing));
}

#[test]
fn only_what_is_asked_for_stays_and_the_best_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut module, mut trainer, checkpoint) = trained(dir.path());
    let mut standing = Standing::default();
    let keep = Keep {
        last: 2,
        best: true,
    };
    let mut at_best = vec![];
    for score in [0.1, 0.9, 0.3, 0.2, 0.4] {
        module = step(module, &mut trainer);
        if standing.measured(trainer.step, score) {
            at_best = trainable_params(&module);
        }
        checkpoint.save(&module, &trainer, &standing, keep).unwrap();
    }
    let left = ["step-000003", "step-000005", "step-000006"];
    assert_eq!(names(&checkpoint.dir), left);
    let best = checkpoint.params(module.clone(), 3).unwrap();
    assert_eq!(trainable_params(&best), at_best);
    assert_eq!(checkpoint.best_before_last(), Some(3));
    let keep = Keep {
        last: 1,
        best: false,
    };
    checkpoint.save(&module, &trainer, &standing, keep).unwrap();
    assert_eq!(names(&checkpoint.dir), ["step-000006"]);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_later_ones_are_then_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut module, mut trainer, checkpoint) = trained(dir.path());
    let two = Keep { last: 2, ..KEEP };
    let standing = Standing::default();
    let mut values = vec![];
    for _ in 0..2 {
        module = step(module, &mut trainer);
        values.push(trainable_params(&module));
        checkpoint.save(&module, &trainer, &standing, two).unwrap();
    }
    let file = checkpoint.at(3).join("params.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let mut empty = self::trainer();
    let (back, _) = checkpoint
        .load(fresh(), &mut empty, &Device::flex())
        .unwrap();
    assert_eq!((empty.step, trainable_params(&back)), (2, values.remove(0)));
    checkpoint.save(&back, &empty, &standing, KEEP).unwrap();
    assert_eq!(
        names(&checkpoint.dir),
        ["step-000002"],
        "not the damaged one"
    );
    fs::write(checkpoint.at(2).join("state.json"), "{").unwrap();
    let error = checkpoint
        .load(fresh(), &mut empty, &Device::flex())
        .unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("step-000002"), "{error}");
}

/// The process dies at each single operation on files while it saves; one good checkpoint is always left, and the next
/// process tidies up.
#[test]
fn wherever_the_process_dies_the_last_good_checkpoint_is_there() {
    let mut points = 0;
    for point in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (module, mut trainer, checkpoint) = trained(dir.path());
        let standing = Standing::default();
        checkpoint.save(&module, &trainer, &standing, KEEP).unwrap();
        let first = trainable_params(&module);
        let module = step(module, &mut trainer);
        let second = trainable_params(&module);
        let ended = crash_at(point, || {
            let _ = checkpoint.save(&module, &trainer, &standing, KEEP);
        });
        let mut empty = self::trainer();
        let (back, _) = checkpoint
            .load(fresh(), &mut empty, &Device::flex())
            .unwrap();
        let expected = if empty.step == 1 { &first } else { &second };
        assert_eq!(&trainable_params(&back), expected, "point {point}");
        let back = step(back, &mut empty);
        checkpoint.save(&back, &empty, &standing, KEEP).unwrap();
        let left = format!("step-{:06}", empty.step);
        assert_eq!(names(&checkpoint.dir), [left], "point {point}");
        points = point;
        if ended {
            break;
        }
    }
    assert!(points > 6, "only {points} points");
}

/// The same when a checkpoint replaces one of the same step.
#[test]
fn wherever_the_process_dies_a_replaced_checkpoint_is_there() {
    for point in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (module, trainer, checkpoint) = trained(dir.path());
        let standing = Standing::default();
        checkpoint.save(&module, &trainer, &standing, KEEP).unwrap();
        let ended = crash_at(point, || {
            let _ = checkpoint.save(&module, &trainer, &standing, KEEP);
        });
        assert!(checkpoint.exists(), "point {point}");
        let mut empty = self::trainer();
        let loaded = checkpoint.load(fresh(), &mut empty, &Device::flex());
        assert_eq!(
            trainable_params(&loaded.unwrap().0),
            trainable_params(&module),
            "point {point}"
        );
        assert_eq!(names(&checkpoint.dir), ["step-000001"], "point {point}");
        if ended {
            break;
        }
    }
}

fn in_folder(dir: &Path) -> RunConfig {
    let mut config = RunConfig::default();
    config.run.dir = dir.into();
    config
}

#[test]
fn a_new_run_discards_old_checkpoints_and_a_resumed_one_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = in_folder(dir.path());
    let (module, trainer, _) = trained(dir.path());
    let open = |resume| Checkpoints::new(&config, "finetune", resume).unwrap();
    let resumed = open(true);
    resumed.begin().unwrap();
    assert!(!resumed.of("dna").exists(), "it starts at the beginning");
    let place = resumed.of("dna");
    place
        .save(&module, &trainer, &Standing::default(), KEEP)
        .unwrap();
    drop(resumed);
    let resumed = open(true);
    resumed.begin().unwrap();
    assert!(resumed.of("dna").exists());
    drop(resumed);
    let anew = open(false);
    anew.begin().unwrap();
    assert!(!anew.of("dna").exists());
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let config = in_folder(&dir.path().join("run"));
    let [one, two] = [false, true].map(|resume| Checkpoints::new(&config, "align", resume));
    one.as_ref().unwrap().begin().unwrap();
    let error = two.unwrap().begin().unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    assert_eq!(error.exit_code(), 2);
    drop(one);
    Checkpoints::new(&config, "align", true).unwrap();
}

/// Dies at each point of ending a run: it is finished or it is not, and what should stay stays.
#[test]
fn a_finished_run_says_so_and_keeps_the_best_only_where_the_bundle_is_of_another_step() {
    for point in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let config = in_folder(dir.path());
        let checkpoints = Checkpoints::new(&config, "finetune", false).unwrap();
        checkpoints.begin().unwrap();
        let keep = Keep {
            last: 1,
            best: true,
        };
        for (name, scores) in [("dna", [0.9, 0.1]), ("rna", [0.1, 0.9])] {
            let (mut module, mut trainer, _) = trained(dir.path());
            let mut standing = Standing::default();
            for score in scores {
                module = step(module, &mut trainer);
                standing.measured(trainer.step, score);
                let place = checkpoints.of(name);
                place.save(&module, &trainer, &standing, keep).unwrap();
            }
        }
        fs::create_dir(dir.path().join("bundle")).unwrap();
        let ended = crash_at(point, || {
            let _ = checkpoints.finish();
        });
        drop(checkpoints);
        let again = Checkpoints::new(&config, "finetune", true).unwrap();
        if again.finished().unwrap() {
            let of = |name| again.of(name).steps();
            assert_eq!((of("dna"), of("rna")), (vec![2], vec![]), "point {point}");
        } else {
            assert_eq!(again.of("rna").steps(), [3], "point {point}");
        }
        let mut other = config.clone();
        other.align.lr = 7.0;
        drop(again);
        let other = Checkpoints::new(&other, "finetune", true).unwrap();
        if ended {
            let error = other.finished().unwrap_err();
            assert!(error.to_string().contains("align.lr"), "{error}");
            break;
        }
    }
}

#[test]
fn another_configuration_is_refused_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let (module, mut trainer, mut checkpoint) = trained(dir.path());
    let standing = Standing::default();
    checkpoint.save(&module, &trainer, &standing, KEEP).unwrap();
    let mut config = RunConfig::default();
    config.run.dir = "elsewhere".into();
    config.run.keep_last = 5;
    config.finetune.lr = 7.0;
    checkpoint.fingerprint = fingerprint(&config, "finetune").unwrap();
    let device = Device::flex();
    let (module, _) = checkpoint.load(module, &mut trainer, &device).unwrap();
    config.align.lr = 0.5;
    checkpoint.fingerprint = fingerprint(&config, "finetune").unwrap();
    let error = checkpoint.load(module, &mut trainer, &device).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("align.lr"), "{error}");
}

#[test]
fn no_checkpoint_and_another_model_are_said_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let (module, mut trainer, checkpoint) = trained(dir.path());
    let device = Device::flex();
    let error = checkpoint
        .load(module.clone(), &mut trainer, &device)
        .unwrap_err();
    assert!(error.to_string().contains("no checkpoint"), "{error}");
    let standing = Standing::default();
    checkpoint.save(&module, &trainer, &standing, KEEP).unwrap();
    let wide = LinearConfig::new(4, 2).init(&Device::flex().autodiff());
    let error = checkpoint.load(wide, &mut trainer, &device).unwrap_err();
    assert!(error.to_string().contains("weight"), "{error}");
}
