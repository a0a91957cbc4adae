//! Data sets in which it is known whether the answer depends on the record, trained with the real program: the audit must say
//! what is known. And one where labels repeat, on which alignment must not push equal labels apart.

use bioverse_tests::planted::{CLASSES, Planted, RECORDS, row, rows};
use serde_json::{Value, json};

fn of(report: &Value, condition: &str, key: &str) -> f64 {
    report["conditions"][condition][key]
        .as_f64()
        .expect("a number")
}

#[test]
fn answers_that_depend_on_the_question_alone_trip_the_audit() {
    let planted = Planted::new(1.0);
    let ended = planted
        .finetune(&rows(192, |_, q| CLASSES[q].into()), &[])
        .ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], json!(false), "{report:#}");
    // It learnt its task all the same, so no other number would have told.
    assert!(of(&report, "true", "exact") > 0.9, "{report:#}");
    let warning = "WARNING: THE MODEL IGNORES THE GLYCAN RECORDS";
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);
    for place in [&ended.stdout, &report["verdict"].to_string()] {
        assert!(
            place.contains("THE MODEL IGNORES THE GLYCAN RECORDS"),
            "{place}"
        );
    }
    assert!(ended.stdout.contains("| shuffled"), "{}", ended.stdout);
}

#[test]
fn a_constant_answer_trips_the_audit() {
    let planted = Planted::new(1.0);
    planted
        .finetune(&rows(96, |_, _| "red".into()), &[("steps", "40")])
        .ok();
    assert_eq!(
        planted.audit()["uses_records"],
        json!(false),
        "{:#}",
        planted.audit()
    );
}

#[test]
fn answers_that_are_a_function_of_the_record_do_not() {
    let planted = Planted::new(1.0);
    let ended = planted
        .finetune(
            &rows(192, |class, _| CLASSES[class].into()),
            &[("steps", "110")],
        )
        .ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], json!(true), "{report:#}");
    assert_eq!(report["modalities"]["glycan"]["side"], json!("held-out"));
    assert!(
        of(&report, "true", "exact") > 0.8,
        "held-out records of known classes: {report:#}"
    );
    assert!(
        of(&report, "shuffled", "loss") > of(&report, "true", "loss") + 1.0,
        "{report:#}"
    );
    assert!(!ended.stderr.contains("WARNING"), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("The model uses the glycan records"),
        "{}",
        ended.stdout
    );
}

#[test]
fn answers_that_come_half_from_the_question_do_not() {
    let planted = Planted::new(1.0);
    let both = |class: usize, q: usize| format!("{} {}", CLASSES[q], CLASSES[class]);
    planted.finetune(&rows(192, both), &[("steps", "100")]).ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], json!(true), "{report:#}");
}

/// Records differ by name, but what the encoder says of them does not: exchanging them changes nothing at all.
#[test]
fn equal_vectors_change_nothing_and_trip_the_audit() {
    let planted = Planted::new(0.0);
    planted
        .finetune(
            &rows(96, |class, _| CLASSES[class].into()),
            &[("steps", "30")],
        )
        .ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], json!(false), "{report:#}");
    for condition in ["shuffled", "mean"] {
        let gap = of(&report, condition, "loss") - of(&report, "true", "loss");
        assert!(gap.abs() < 1e-4, "{condition}: {report:#}");
    }
    let zeroed = of(&report, "zeroed", "loss") - of(&report, "true", "loss");
    assert!(zeroed.abs() > 1e-3, "zeros are something else: {report:#}");
}

#[test]
fn with_too_few_rows_it_says_that_it_cannot_tell() {
    let planted = Planted::new(1.0);
    let mut few: Vec<Value> = (0..6).map(|n| row(n, n, CLASSES[n % 4])).collect();
    for row in &mut few {
        row.as_object_mut().expect("a row").remove("split");
    }
    let ended = planted.finetune(&few, &[("steps", "4")]).ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], Value::Null, "{report:#}");
    assert!(
        report["verdict"].to_string().contains("cannot be told"),
        "{report:#}"
    );
    assert!(!ended.stderr.contains("WARNING"), "{}", ended.stderr);
}

/// Three rows are held out, too few to tell; the training rows are audited, and it is said that they are.
#[test]
fn training_rows_are_audited_when_too_few_are_held_out() {
    let planted = Planted::new(1.0);
    let mut rows = rows(40, |_, _| "red".into());
    for (n, row) in rows.iter_mut().enumerate() {
        row["split"] = json!(if n < 3 { "test" } else { "train" });
    }
    let ended = planted.finetune(&rows, &[("steps", "20")]).ok();
    let report = planted.audit();
    assert_eq!(
        report["modalities"]["glycan"]["side"],
        json!("training"),
        "{report:#}"
    );
    assert_eq!(report["rows"], json!(37));
    assert!(
        ended.stdout.contains("37 training rows"),
        "{}",
        ended.stdout
    );
}

/// Rows sorted by answer, and fewer of them measured than there are: the choice must not fall on one answer only.
#[test]
fn sorted_files_are_sampled_from_end_to_end() {
    let planted = Planted::new(1.0);
    let mut sorted = rows(192, |class, _| CLASSES[class].into());
    sorted.sort_by_key(|row| row["messages"][1]["content"].to_string());
    planted.finetune(&sorted, &[("eval_rows", "12")]).ok();
    let report = planted.audit();
    assert_eq!(report["rows"], json!(12));
    assert_eq!(report["uses_records"], json!(true), "{report:#}");
}

/// Every text is another, but labels repeat in each batch. With `positives = "label"` equal labels must come out nearer to
/// each other, measured by how far different ones are, than before; treated as wrong answers they are pushed apart.
///
/// The bare cosine of equal labels is no measure across training: an untrained projector puts all records into a narrow
/// cone, where even different labels have a cosine of about 0.76.
#[test]
fn alignment_does_not_push_equal_labels_apart() {
    let planted = Planted::new(1.0);
    let (before, with_labels) = aligned(&planted, "label");
    let (same, without) = aligned(&planted, "text");
    assert_eq!(before, same, "both start from the same projector");
    let told = format!("{before:?} before, {with_labels:?} with labels, {without:?} without");
    let apart = |(same, other): (f32, f32)| (1.0 - same) / (1.0 - other);
    assert!(apart(with_labels) < apart(before), "{told}");
    assert!(with_labels.0 > without.0 + 0.05, "{told}");
}

/// [`likeness`] of held-out records before and after alignment with `positives`.
fn aligned(planted: &Planted, positives: &str) -> ((f32, f32), (f32, f32)) {
    let rows: Vec<Value> = (0..RECORDS)
        .map(|n| {
            let split = if (n / 4) % 4 == 3 { "test" } else { "train" };
            let (label, text) = (CLASSES[n % 4], format!("number {n} of many"));
            json!({"id": n, "text": text, "label": label, "split": split})
        })
        .collect();
    planted.write_rows("labels.jsonl", &rows);
    let data = [
        ("input_field", "\"id\""),
        ("text_field", "\"text\""),
        ("label_field", "\"label\""),
        ("split_field", "\"split\""),
    ];
    let positives = format!("{positives:?}");
    let stage = [
        ("positives", positives.as_str()),
        ("batch_size", "24"),
        ("steps", "60"),
        ("warmup_steps", "4"),
    ];
    // A bundle of its own, not one that adds to the one before.
    std::fs::remove_dir_all(planted.run_dir("align")).expect("removed");
    planted.run("align", "labels.jsonl", &data, &stage).ok();
    let file = planted.run_dir("align").join("vectors/glycan.safetensors");
    let bytes = std::fs::read(file).expect("vectors");
    (
        likeness(&bytes, "before.bio"),
        likeness(&bytes, "after.bio"),
    )
}

/// Mean cosine of two records with the same label, and of two with different ones. Held-out record `i` has label `i % 4`.
fn likeness(bytes: &[u8], name: &str) -> (f32, f32) {
    let tensors = safetensors::SafeTensors::deserialize(bytes).expect("a file");
    let view = tensors.tensor(name).expect("a tensor");
    let width = view.shape()[1];
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let rows: Vec<&[f32]> = values.chunks(width).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let (mut same, mut other) = (vec![], vec![]);
    for i in 0..rows.len() {
        for j in 0..i {
            let into = if i % 4 == j % 4 {
                &mut same
            } else {
                &mut other
            };
            into.push(cosine(rows[i], rows[j]));
        }
    }
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    (mean(&same), mean(&other))
}
