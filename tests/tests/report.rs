//! The report of a run, made by the real program: a page that is well-formed, needs nothing but itself, tells the numbers of
//! `metrics.jsonl`, and takes no markup from names and texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bioverse_tests::{run, tiny_align};

/// A finished tiny run of stage 1, made once.
fn aligned() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, dir) = RUN.get_or_init(|| {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let dir = scratch.path().join("tiny");
        let ended = run(tiny_align(&dir)).ok();
        let hint = format!("report: bioverse report {}", dir.display());
        assert!(ended.stdout.contains(&hint), "{}", ended.stdout);
        (scratch, dir)
    });
    dir
}

/// The page of a run, written to a place of its own.
fn page(dir: &Path) -> String {
    let target = tempfile::tempdir().expect("a scratch folder");
    let file = target.path().join("page.html");
    let args = [
        "report",
        &dir.to_string_lossy(),
        "--output",
        &file.to_string_lossy(),
    ]
    .map(str::to_owned);
    let ended = run(args).ok();
    assert!(ended.stdout.contains("page.html"), "{}", ended.stdout);
    fs::read_to_string(file).expect("the page")
}

/// An element as it opens.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
}

/// Every element of a page, after checking that all are closed in order and that attributes are quoted and not repeated.
fn elements(page: &str) -> Vec<Tag> {
    let (mut found, mut open, mut rest) = (vec![], vec![], page);
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with("!doctype html>") {
            continue;
        }
        let end = rest
            .find('>')
            .unwrap_or_else(|| panic!("an open end: {rest}"));
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in another order");
            continue;
        }
        let (inside, alone) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let tag = tag(inside);
        if !alone {
            open.push(tag.name.clone());
        }
        if tag.name == "style" {
            rest = &rest[rest.find("</style>").expect("a closed style")..];
        }
        found.push(tag);
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    found
}

fn tag(inside: &str) -> Tag {
    let (name, mut rest) = inside
        .split_once(char::is_whitespace)
        .unwrap_or((inside, ""));
    let mut attributes = BTreeMap::new();
    while let Some((key, after)) = rest.trim_start().split_once("=\"") {
        let (value, after) = after
            .split_once('"')
            .unwrap_or_else(|| panic!("not quoted: {inside}"));
        assert!(
            key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{key} in {inside}"
        );
        assert!(
            attributes
                .insert(key.to_owned(), value.to_owned())
                .is_none(),
            "twice: {inside}"
        );
        rest = after;
    }
    assert!(
        rest.trim().is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{inside}"
    );
    Tag {
        name: name.to_owned(),
        attributes,
    }
}

/// What every page must be, whatever the run.
fn sound(page: &str) -> Vec<Tag> {
    let tags = elements(page);
    let mut ids = BTreeSet::new();
    for tag in &tags {
        if let Some(id) = tag.attributes.get("id") {
            assert!(ids.insert(id.clone()), "two elements are called {id}");
        }
    }
    for tag in &tags {
        for key in ["aria-labelledby", "aria-describedby"] {
            for id in tag
                .attributes
                .get(key)
                .into_iter()
                .flat_map(|ids| ids.split(' '))
            {
                assert!(ids.contains(id), "{key} names {id}, which is not there");
            }
        }
        if let Some(target) = tag
            .attributes
            .get("href")
            .and_then(|href| href.strip_prefix('#'))
        {
            assert!(
                ids.contains(target),
                "a link to {target}, which is not there"
            );
        }
        for key in tag.attributes.keys() {
            assert!(
                !key.starts_with("on") && key != "src" && key != "style",
                "{tag:?}"
            );
        }
        assert!(
            !["script", "img", "iframe", "link", "object"].contains(&tag.name.as_str()),
            "{tag:?}"
        );
        let image = tag.name == "svg" && !tag.attributes.contains_key("aria-hidden");
        assert!(
            !image || tag.attributes.contains_key("aria-labelledby"),
            "a drawing without a name"
        );
    }
    tags
}

/// Cells of the table of one chart: step → exact values.
fn numbers(page: &str, chart: &str) -> BTreeMap<u64, Vec<f64>> {
    let from = page
        .find(&format!("id=\"{chart}\""))
        .unwrap_or_else(|| panic!("no {chart}"));
    let body = page[from..]
        .split("<tbody>")
        .nth(1)
        .and_then(|rest| rest.split("</tbody>").next());
    let rows = body.expect("a table").split("<tr>").skip(1);
    let row = |row: &str| {
        let step = row
            .split("<th scope=\"row\">")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        let values = row
            .split("<data value=\"")
            .skip(1)
            .map(|cell| cell.split('"').next().expect("a value"));
        let values = values
            .map(|value| value.parse().expect("a number"))
            .collect();
        (step.expect("a step").parse().expect("a number"), values)
    };
    rows.map(row).collect()
}

#[test]
fn the_page_of_a_run_is_sound_and_tells_its_numbers() {
    let page = page(aligned());
    sound(&page);
    assert!(!page.contains("http"), "the page refers to the network");
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let text = fs::read_to_string(aligned().join("metrics.jsonl")).expect("metrics");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for (chart, key) in [
        ("loss", "loss"),
        ("lr", "lr"),
        ("grad-norm", "grad_norm"),
        ("held-out-r1", "held_out_r1"),
    ] {
        let shown = numbers(&page, &format!("chart-align-molecule-{chart}"));
        let mut compared = 0;
        for line in &lines {
            if let (Some(step), Some(value)) = (line["step"].as_u64(), line[key].as_f64()) {
                assert_eq!(shown[&step][0], value, "{key} at step {step}");
                compared += 1;
            }
        }
        assert!(compared >= 2, "{key} was compared {compared} times");
    }
    for part in [
        "Retrieval",
        "Alignment maps",
        "t-SNE, after training",
        "align.batch_size",
        "sha256",
        "Do it again",
    ] {
        assert!(page.contains(part), "no {part}");
    }
}

#[test]
fn the_same_run_gives_the_same_page() {
    assert_eq!(page(aligned()), page(aligned()));
}

#[test]
fn names_and_texts_are_no_markup() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("a <script>alert(1)<");
    fs::create_dir_all(&dir).expect("a folder");
    let evil = "</title><script>alert('x')</script><img src=x onerror=alert(1)> \" onload=\"x";
    let line = serde_json::json!({"step": 1, "stage": evil, "loss": 1.0, evil: 2.0, "held_out_mrr": 0.5, "held_out_texts": 4});
    let second = serde_json::json!({"step": 2, "stage": evil, "loss": 1.0, evil: 3.0});
    fs::write(dir.join("metrics.jsonl"), format!("{line}\n{second}\n")).expect("metrics");
    let audit = serde_json::json!({"rows": 4, "conditions": {evil: {"loss": 1.0}}, "uses_records": false, "verdict": evil});
    fs::write(dir.join("audit.json"), audit.to_string()).expect("audit");
    fs::write(
        dir.join("split.json"),
        serde_json::json!({evil: [evil]}).to_string(),
    )
    .expect("split");
    let config = format!(
        "[data]\ntrain = {}\n[run]\ndir = 'x'\n",
        toml::Value::String(evil.into())
    );
    fs::write(dir.join("config.toml"), config).expect("configuration");
    let page = page(&dir);
    sound(&page);
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "markup got through"
    );
    assert!(page.contains("&lt;img src=x onerror"), "the names are gone");
    assert!(
        page.contains("&lt;&#x2f;TITLE&gt;") || page.contains("&lt;/TITLE&gt;"),
        "the verdict is in capitals"
    );
}

#[test]
fn runs_that_are_going_on_or_failed_or_hold_several_modalities_have_pages() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("run");
    fs::create_dir_all(&dir).expect("a folder");
    fs::write(dir.join("metrics.jsonl"), "").expect("metrics");
    let begun = page(&dir);
    sound(&begun);
    assert!(
        begun.contains("nothing was logged yet") && begun.contains("Not in this report"),
        "{begun}"
    );
    let lines: String = (0..7)
        .map(|step| {
            let stage = if step < 4 {
                "align cell"
            } else {
                "align molecule"
            };
            format!(
                "{{\"step\":{step},\"stage\":\"{stage}\",\"loss\":{}}}\n",
                8.0 - f64::from(step)
            )
        })
        .collect();
    fs::write(
        dir.join("metrics.jsonl"),
        format!("{lines}{{\"step\":7,\"st"),
    )
    .expect("metrics");
    fs::write(
        dir.join("config.toml"),
        "[align]\nsteps = 5\n[modality.cell]\n[modality.molecule]\n",
    )
    .expect("configuration");
    let going = page(&dir);
    sound(&going);
    assert!(going.contains("at step 6 of 10"), "{going}");
    assert!(
        going.contains("id=\"curves-align-cell\"")
            && going.contains("id=\"curves-align-molecule\"")
    );
}

#[test]
fn what_is_no_run_is_refused() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let ended = run(["report", &scratch.path().to_string_lossy()]);
    assert_eq!(ended.code, 2);
    assert!(ended.error().contains("holds no run"), "{ended:?}");
}
