//! `--resume` of the real program after SIGKILL at random moments: both stages end with the bytes of a run that was never
//! killed, in the bundle and in `metrics.jsonl`. What a checkpoint holds is not looked at.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bioverse_tests::{Ended, bioverse, files_below, run, stage, tiny_align};
use serde_json::{Map, Value, json};

/// What depends on the machine and the moment.
const TIMES: [&str; 4] = ["seconds", "rows_per_s", "rss_bytes", "gpu_bytes"];

/// Settings under which everything that must survive is at work: several checkpoints, dropout, early stopping that goes back
/// to a better step.
fn align(dir: &Path) -> Vec<String> {
    let sets = [
        format!("run.dir={}", dir.display()),
        "run.checkpoint_every=7".into(),
        "run.keep_last=2".into(),
        "align.steps=60".into(),
        "align.eval_every=4".into(),
        "align.lr=1e-2".into(),
        "align.early_stopping=mrr".into(),
        "align.patience=20".into(),
        "projector.dropout=0.3".into(),
        "align.learn_temperature=true".into(),
    ];
    stage("align", &sets)
}

fn finetune(from: &Path, dir: &Path) -> Vec<String> {
    let sets = [
        format!("run.dir={}", dir.display()),
        format!("finetune.from={}", from.display()),
        "run.checkpoint_every=3".into(),
        "finetune.steps=14".into(),
        "finetune.eval_every=2".into(),
        "finetune.early_stopping=true".into(),
        "finetune.patience=6".into(),
        "finetune.lora.lora_dropout=0.2".into(),
        "finetune.audit=false".into(),
        "finetune.accumulation=2".into(),
    ];
    stage("finetune", &sets)
}

/// Two modalities in one run, each learnt from pairs of its own.
fn two_modalities(dir: &Path, place: &Path) -> Vec<String> {
    let molecules = (1..=20).map(|n| ("molecule", "C".repeat(n), format!("{n} carbons")));
    let proteins = (1..=20).map(|n| ("protein", "MK".repeat(n), format!("{n} lysines")));
    let row = |(name, record, text): (&str, String, String)| {
        let asked = json!({"role": "user", "content": format!("<{name}>?")});
        let messages = [asked, json!({"role": "assistant", "content": text})];
        format!(
            "{}\n",
            json!({"messages": messages, "records": [[name, record]]})
        )
    };
    let rows: String = molecules.chain(proteins).map(row).collect();
    let (data, config) = (dir.join("rows.jsonl"), dir.join("two.toml"));
    fs::write(&data, rows).expect("rows");
    let text = format!(
        "[run]\ndir = {place:?}\ncheckpoint_every = 3\nlog_every = 1\n\n\
         [llm]\npath = \"tests/golden/llama\"\n\n\
         [modality.molecule]\npath = \"tests/golden/chemberta\"\n\n\
         [modality.protein]\npath = \"tests/golden/esm2\"\n\n\
         [projector]\nhidden_sizes = [32, 32]\nnum_soft_tokens = 2\n\n\
         [data]\ntrain = {data:?}\nsplit_by = \"random\"\nsplit_fraction = 0.2\n\n\
         [align]\nbatch_size = 8\nsteps = 15\nwarmup_steps = 2\neval_every = 2\n"
    );
    fs::write(&config, text).expect("a configuration");
    vec![
        "align".into(),
        "--config".into(),
        config.display().to_string(),
    ]
}

/// Numbers that look random and are the same in every run (xorshift).
struct Moments(u64);

impl Moments {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

/// Everything in the bundle, byte for byte.
fn bundle(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = run.join("bundle");
    let files = files_below(&dir).into_iter();
    files
        .map(|file| (file.clone(), fs::read(dir.join(&file)).expect("a file")))
        .collect()
}

/// All lines of metrics, without what depends on the machine.
fn metrics(run: &Path) -> Vec<Map<String, Value>> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let line = |line: &str| {
        let mut fields: Map<String, Value> = serde_json::from_str(line).expect("whole lines");
        fields.retain(|key, _| !TIMES.contains(&key.as_str()));
        fields
    };
    text.lines().map(line).collect()
}

fn start(args: &[String]) -> Child {
    bioverse(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Kills the process once `reached` holds or it has ended; whether it was killed.
fn kill_when(mut child: Child, mut reached: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() && Instant::now() < deadline {
        if child.try_wait().expect("a child").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    let _ = child.kill();
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    // SIGKILL leaves no exit code; anything but a good end is a failure of its own.
    assert!(ended.code == 0 || ended.code == -1, "{ended:#?}");
    ended.code == -1
}

/// Whether something is named `part` in `dir` at this moment.
fn appears(dir: &Path, part: &str) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let named = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains(part);
    entries.into_iter().any(named)
}

fn lines(run: &Path) -> u64 {
    let text = fs::read(run.join("metrics.jsonl")).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Runs `args` without a break, then again in the same place with `kills` deaths, and compares.
fn killed_and_whole_are_the_same(args: &[String], place: &Path, training: &str, kills: usize) {
    let began = Instant::now();
    run(args).ok();
    let took = began.elapsed();
    let (whole, told) = (bundle(place), metrics(place));
    fs::rename(place, place.with_extension("whole")).expect("moved");
    let mut resumed = args.to_vec();
    resumed.push("--resume".into());
    let mut moments = Moments(0x9e37_79b9_7f4a_7c15);
    let checkpoints = place.join("checkpoint").join(training);
    let mut killed = vec![];
    for kill in 0..kills {
        let child = start(if kill == 0 { args } else { &resumed });
        let now = lines(place);
        let died = match kill {
            // Right after the start, before there is anything.
            0 => kill_when(child, || place.is_dir()),
            // While a checkpoint is being written.
            1 => kill_when(child, || appears(&checkpoints, ".new-")),
            // While old checkpoints are being removed.
            2 => kill_when(child, || appears(&checkpoints, ".gone-")),
            // While the bundle is being written, if the others leave anything to do until then.
            last if last + 1 == kills => kill_when(child, || appears(place, ".bundle.new-")),
            // After some more steps.
            _ if kill % 2 == 0 => {
                let more = 1 + moments.below(12);
                kill_when(child, || lines(place) >= now + more)
            }
            // At any time at all.
            _ => {
                let when = took.mul_f64(moments.below(1000) as f64 / 1000.0);
                let start = Instant::now();
                kill_when(child, || start.elapsed() >= when)
            }
        };
        killed.push(died);
    }
    assert!(killed[..3].iter().all(|died| *died), "{killed:?}");
    let last = run(&resumed).ok();
    let again = bundle(place);
    assert_eq!(
        again.keys().collect::<Vec<_>>(),
        whole.keys().collect::<Vec<_>>()
    );
    for (file, bytes) in &whole {
        assert!(
            &again[file] == bytes,
            "{} differs; killed {killed:?}",
            file.display()
        );
    }
    assert_eq!(metrics(place), told, "killed {killed:?}\n{}", last.stderr);
    let left: Vec<_> = files_below(place)
        .into_iter()
        .filter(|file| file.to_string_lossy().contains(".new-"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "left behind");
}

#[test]
fn killed_alignments_end_with_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let place = dir.path().join("run");
    killed_and_whole_are_the_same(&align(&place), &place, "molecule", 6);
}

#[test]
fn killed_fine_tunings_end_with_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (from, place) = (dir.path().join("from"), dir.path().join("run"));
    run(tiny_align(&from)).ok();
    killed_and_whole_are_the_same(&finetune(&from, &place), &place, "finetune", 6);
}

/// What the first modality was aligned to must survive deaths in the training of the second.
#[test]
fn killed_alignments_of_two_modalities_end_with_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let place = dir.path().join("run");
    let args = two_modalities(dir.path(), &place);
    killed_and_whole_are_the_same(&args, &place, "protein", 5);
    let steps: Vec<u64> = metrics(&place)
        .iter()
        .filter_map(|line| line["step"].as_u64())
        .collect();
    // Each training tells of the time before its first step.
    let expected: Vec<u64> = (0..=15).chain(15..=30).collect();
    assert_eq!(steps, expected);
}

#[test]
#[ignore = "minutes: the same with many more deaths"]
fn runs_killed_many_times_end_with_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (from, place) = (dir.path().join("align"), dir.path().join("finetune"));
    let with = |mut args: Vec<String>, sets: &[&str]| {
        sets.iter()
            .for_each(|set| args.extend(["--set".to_owned(), set.to_string()]));
        args
    };
    let big = with(
        align(&from),
        &["align.micro_batch_size=5", "run.keep_best=false"],
    );
    killed_and_whole_are_the_same(&big, &from, "molecule", 30);
    let packed = [
        "finetune.packing=true",
        "finetune.gradient_checkpointing=true",
    ];
    let packed = with(finetune(&from, &place), &packed);
    killed_and_whole_are_the_same(&packed, &place, "finetune", 30);
}

#[test]
fn resuming_what_never_began_begins_and_what_is_finished_says_so() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let place = dir.path().join("run");
    let mut args = tiny_align(&place);
    args.push("--resume".into());
    let told = |args: &[String]| -> Ended {
        let output = bioverse(args).env("RUST_LOG", "info").output();
        output.expect("the program starts").into()
    };
    let began = told(&args).ok();
    assert!(
        began.stderr.contains("starts at the beginning"),
        "{began:#?}"
    );
    let bytes = bundle(&place);
    let again = told(&args).ok();
    assert!(again.stderr.contains("this run is finished"), "{again:#?}");
    assert_eq!(again.stdout, began.stdout);
    assert!(bundle(&place) == bytes);
    args.extend(["--set".into(), "align.lr=0.5".into()]);
    let other = told(&args);
    assert_eq!(other.code, 2);
    assert!(other.error().contains("align.lr"), "{other:#?}");
}

#[test]
fn only_as_many_checkpoints_stay_as_were_asked_for() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let place = dir.path().join("run");
    let mut args = tiny_align(&place);
    for set in [
        "align.steps=1000000",
        "run.checkpoint_every=1",
        "run.keep_last=3",
    ] {
        args.extend(["--set".into(), set.into()]);
    }
    assert!(kill_when(start(&args), || lines(&place) > 12));
    let names = fs::read_dir(place.join("checkpoint/molecule")).expect("checkpoints");
    let names: Vec<String> = names
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.starts_with("step-"))
        .collect();
    // One more while a new one is in and the oldest is not yet out.
    assert!((3..=4).contains(&names.len()), "{names:?}");
}

#[test]
fn ctrl_c_and_a_scheduler_are_told_the_command_to_go_on_with() {
    ["-INT", "-TERM"].into_iter().for_each(stopped_by);
}

/// A run that gets `signal` ends with exit code 1 and the command to go on with.
fn stopped_by(signal: &str) {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let place = dir.path().join("run");
    let mut args = tiny_align(&place);
    for set in ["align.steps=1000000", "data.question=What is {}?"] {
        args.extend(["--set".into(), set.into()]);
    }
    let child = start(&args);
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(&place) < 3 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    let pressed = std::process::Command::new("kill")
        .args([signal, &id])
        .status();
    assert!(pressed.is_ok_and(|status| status.success()));
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!(ended.code, 1);
    let command = "--config configs/tiny-align.toml";
    let set = "--set 'data.question=What is {}?' --resume`";
    let said = ended.error();
    assert!(said.contains(command) && said.contains(set), "{said}");
    assert!(!place.join("bundle").exists(), "an unfinished bundle");
}

/// A run of stage 2 is stopped, and what it started from is aligned anew.
#[test]
fn what_was_started_from_must_still_be_there() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let [from, place] = ["align", "run"].map(|name| dir.path().join(name));
    run(tiny_align(&from)).ok();
    let mut args = finetune(&from, &place);
    for set in ["finetune.steps=300", "finetune.patience=1000000"] {
        args.extend(["--set".into(), set.into()]);
    }
    let child = start(&args);
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(&place) < 3 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(told.is_ok_and(|status| status.success()));
    child.wait_with_output().expect("it ends");
    let again = [tiny_align(&from), vec!["--set".into(), "run.seed=8".into()]].concat();
    run(again).ok();
    args.push("--resume".into());
    let ended = run(&args);
    assert_eq!(ended.code, 2);
    let said = ended.error();
    assert!(said.contains("projectors/molecule.safetensors"), "{said}");
}
