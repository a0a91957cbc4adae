//! Data sets in which it is known whether the answer depends on the record, trained with the real program: the audit must say
//! what is known.

use bioverse_tests::planted::{CLASSES, Planted, row, rows};
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
        .finetune(&rows(192, |class, _| CLASSES[class].into()), &[])
        .ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], json!(true), "{report:#}");
    assert_eq!(report["modalities"]["glycan"]["side"], json!("held-out"));
    assert!(
        of(&report, "true", "exact") > 0.9,
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
