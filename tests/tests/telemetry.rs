//! What a training says: TensorBoard reads what `metrics.jsonl` holds, the picture on a terminal leaves it clean, and anything
//! else gets plain lines. The numbers themselves are not looked at.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bioverse_tests::{bioverse, program, python, run, tiny_align};
use serde_json::{Map, Value, json};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

fn metrics(run: &Path) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let line = |line| serde_json::from_str(line).expect("whole lines");
    text.lines().map(line).collect()
}

/// Kills a run after some lines of metrics.
fn killed_after(args: &[String], place: &Path, lines: usize) {
    let mut child = bioverse(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    let reached = || {
        let text = std::fs::read(place.join("metrics.jsonl")).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count() >= lines
    };
    while !reached() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}

/// All points of each tag, as `metrics.jsonl` has them.
fn points(lines: &[Map<String, Value>]) -> BTreeMap<String, Vec<(u64, f32)>> {
    let mut points: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    for line in lines {
        let stage = line["stage"].as_str().expect("a stage");
        let step = line["step"].as_u64().expect("a step");
        for (name, value) in line {
            if let (Some(value), true) = (value.as_f64(), name != "step") {
                let of = points.entry(format!("{stage}/{name}")).or_default();
                of.push((step, value as f32));
            }
        }
    }
    points
}

#[test]
fn tensorboard_reads_each_step_once_also_after_a_kill() {
    let dir = scratch();
    let place = dir.path().join("run");
    let mut args = tiny_align(&place);
    for set in [
        "align.steps=40",
        "run.checkpoint_every=6",
        "align.eval_every=5",
    ] {
        args.extend(["--set".into(), set.into()]);
    }
    killed_after(&args, &place, 3);
    args.push("--resume".into());
    killed_after(&args, &place, 16);
    run(&args).ok();
    let folder = place.join("tensorboard");
    let files = std::fs::read_dir(&folder).expect("event files").count();
    assert!(files > 1, "one file for each sitting, not {files}");
    let given = [folder.as_os_str()];
    let answer = match python::answer("tensorboard_scalars.py", &given, "") {
        Ok(answer) => answer,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let expected = points(&metrics(&place));
    assert!(expected.len() > 5 && expected["align molecule/loss"].len() == 40);
    let read: BTreeMap<String, Vec<(u64, f32)>> =
        serde_json::from_value(answer).expect("tags with points");
    assert_eq!(read, expected);
}

/// A terminal that knows what the program uses and nothing else.
#[derive(Default)]
struct Screen {
    rows: Vec<String>,
    row: usize,
    column: usize,
    width: usize,
}

impl Screen {
    /// What is left of `text` on a terminal of `width` columns.
    fn show(text: &str, width: u16) -> Self {
        let mut screen = Self {
            rows: vec![String::new()],
            width: width.into(),
            ..Self::default()
        };
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.down(),
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['), "an unknown sequence");
                    let mut number = String::new();
                    let end = loop {
                        match chars.next() {
                            Some(c) if c.is_ascii_digit() || c == ';' || c == '?' => number.push(c),
                            Some(end) => break end,
                            None => return screen,
                        }
                    };
                    screen.sequence(&number, end);
                }
                c => screen.put(c),
            }
        }
        screen
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(String::new());
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.width {
            self.column = 0;
            self.down();
        }
        let mut row: Vec<char> = self.rows[self.row].chars().collect();
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = c;
        self.rows[self.row] = row.into_iter().collect();
        self.column += 1;
    }

    fn sequence(&mut self, number: &str, end: char) {
        match end {
            'm' => {}
            'A' => {
                let up = number.parse().expect("a number of rows");
                self.row = self.row.checked_sub(up).expect("rows above are not ours");
            }
            'J' | 'K' => {
                assert!(
                    number.is_empty() || number == "0" || number == "2",
                    "{number}{end}"
                );
                let keep = self.rows[self.row].chars().take(self.column).collect();
                self.rows[self.row] = keep;
                if end == 'J' {
                    self.rows.truncate(self.row + 1);
                }
            }
            't' => {
                let columns = number.rsplit(';').next().map(str::parse);
                self.width = columns.expect("columns").expect("a number");
                self.reflow();
            }
            // indicatif's bars hide nothing; we use neither another screen nor another cursor.
            other => panic!("an unknown sequence: {number}{other}"),
        }
    }

    /// Breaks rows that are too long now. The cursor stands at the beginning of the last row.
    fn reflow(&mut self) {
        let width = self.width;
        let pieces = |row: &String| -> Vec<String> {
            let chars: Vec<char> = row.chars().collect();
            let pieces = chars.chunks(width).map(|piece| piece.iter().collect());
            let pieces: Vec<String> = pieces.collect();
            if pieces.is_empty() {
                vec![String::new()]
            } else {
                pieces
            }
        };
        assert_eq!(self.row + 1, self.rows.len(), "in the middle of a picture");
        self.rows = self.rows.iter().flat_map(pieces).collect();
        self.row = self.rows.len() - 1;
    }

    fn text(&self) -> String {
        self.rows.join("\n")
    }
}

/// Runs an alignment in a terminal; all it wrote, and its exit code.
fn in_terminal(args: &[String], columns: u16, env: Value, press: Value) -> Option<(String, i64)> {
    let mut command = vec![program().display().to_string()];
    command.extend(args.iter().cloned());
    let mut all = json!({"RUST_LOG": "warn", "TERM": "xterm-256color"});
    if let (Some(all), Value::Object(env)) = (all.as_object_mut(), env) {
        all.extend(env);
    }
    let asked = json!({
        "command": command, "folder": bioverse_tests::root(), "columns": columns, "rows": 40, "env": all, "press": press,
    });
    match python::answer::<&str>("terminal.py", &[], &asked.to_string()) {
        Ok(answer) => Some((
            answer["output"].as_str().expect("text").to_string(),
            answer["code"].as_i64().expect("a code"),
        )),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

const BRAILLE: std::ops::RangeInclusive<char> = '\u{2801}'..='\u{28ff}';

fn has_picture(text: &str) -> bool {
    text.contains("┌loss") && text.chars().any(|c| BRAILLE.contains(&c))
}

fn long(dir: &Path, steps: usize) -> Vec<String> {
    let mut args = tiny_align(&dir.join("run"));
    for set in [format!("align.steps={steps}"), "align.eval_every=10".into()] {
        args.extend(["--set".into(), set]);
    }
    args
}

#[test]
fn a_terminal_shows_a_picture_and_is_clean_afterwards() {
    let dir = scratch();
    // Narrower and wider while it runs.
    let press = json!([["held_out_mrr", [62, 40]], ["held_out_mrr", [120, 40]]]);
    let Some((output, code)) = in_terminal(&long(dir.path(), 60), 100, json!({}), press) else {
        return;
    };
    assert_eq!(code, 0, "{output}");
    assert!(has_picture(&output), "{output}");
    assert!(output.contains("\x1b[36m"), "no colour");
    for sequence in ["\x1b[?", "\x1b[6n"] {
        assert!(!output.contains(sequence), "{sequence:?} is used");
    }
    let left = Screen::show(&output, 100).text();
    assert!(!has_picture(&left) && !left.contains('┌'), "{left}");
    for part in ["align molecule 60/60 in", "aligned: the bundle is"] {
        assert!(left.contains(part), "{part}:\n{left}");
    }
}

#[test]
fn ctrl_c_and_errors_leave_a_clean_terminal_and_whole_sentences() {
    let dir = scratch();
    let press = json!([["held_out_mrr", "\u{3}"]]);
    let Some((output, code)) = in_terminal(&long(dir.path(), 1_000_000), 90, json!({}), press)
    else {
        return;
    };
    let left = Screen::show(&output, 90).text();
    assert_eq!(code, 1, "{left}");
    assert!(has_picture(&output) && !left.contains('┌'), "{left}");
    let warned = "finishing this step and saving; Ctrl-C again stops at once";
    assert!(left.lines().any(|line| line.ends_with(warned)), "{left}");
    // The sentence is longer than the terminal is wide.
    let (_, last) = left.rsplit_once("\nerror: ").expect("a last sentence");
    let last = last.replace('\n', "");
    assert!(
        last.starts_with("interrupted at step") && last.ends_with("--resume`"),
        "{left}"
    );

    let mut bad = long(dir.path(), 1_000_000);
    bad.extend(["--set".into(), "align.lr=1e30".into()]);
    let (output, code) = in_terminal(&bad, 90, json!({}), json!([])).expect("a terminal");
    let left = Screen::show(&output, 90).text();
    assert_eq!(code, 1, "{left}");
    assert!(!left.contains('┌'), "{left}");
    let (_, last) = left.rsplit_once("\nerror: ").expect("a last sentence");
    assert!(last.replace('\n', "").contains("align.lr"), "{left}");
}

#[test]
fn whoever_wants_plain_lines_gets_them() {
    let dir = scratch();
    let args = long(dir.path(), 20);
    let mut plain = args.clone();
    plain.push("--plain".into());
    let cases = [
        (&plain, 100, json!({})),
        (&args, 100, json!({"TERM": "dumb"})),
        (&args, 59, json!({})),
    ];
    for (args, columns, env) in cases {
        let Some((output, code)) = in_terminal(args, columns, env.clone(), json!([])) else {
            return;
        };
        assert_eq!(code, 0, "{output}");
        assert!(!output.contains("\x1b["), "{columns} {env}: {output:?}");
        assert!(output.contains("align molecule 20/20 in"), "{output}");
    }
    let quiet = json!({"NO_COLOR": "1"});
    let (output, _) = in_terminal(&args, 100, quiet, json!([])).expect("a terminal");
    assert!(
        has_picture(&output) && !output.contains("\x1b[36m"),
        "{output}"
    );
    let piped = bioverse(&args).output().expect("the program starts");
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(
        !said.contains('\x1b') && said.contains("align molecule 20/20 in"),
        "{said}"
    );
}

#[test]
fn lines_hold_time_and_memory() {
    let dir = scratch();
    let place = dir.path().join("run");
    run(tiny_align(&place)).ok();
    let lines = metrics(&place);
    let seconds: Vec<f64> = lines
        .iter()
        .filter_map(|line| line["seconds"].as_f64())
        .collect();
    assert_eq!(seconds.len(), lines.len());
    assert!(seconds.is_sorted() && seconds[0] >= 0.0, "{seconds:?}");
    let memory = |line: &Map<String, Value>| line.get("rss_bytes").and_then(Value::as_u64);
    let plausible = |bytes| (1 << 20..1 << 36).contains(&bytes);
    assert!(
        !cfg!(target_os = "linux") || lines.iter().all(|line| memory(line).is_some_and(plausible))
    );
}
