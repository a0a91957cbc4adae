//! Tests of files and directories that are whole or absent. They know nothing of what is in them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_and_nothing_else_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    write_atomic(&path, b"old").unwrap();
    write_atomic(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(dir.path()), ["x.json"]);
}

#[test]
fn a_missing_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere/x.json");
    let error = write_atomic(&path, b"x").unwrap_err();
    assert!(error.to_string().contains("nowhere/x.json"), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn a_rename_that_fails_leaves_what_was_there_and_no_rubbish() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("precious"), "x").unwrap();
    write_atomic(&taken, b"x").unwrap_err();
    assert_eq!(names(dir.path()), ["taken"]);
    assert_eq!(names(&taken), ["precious"]);
}

#[test]
fn sha256_of_the_standard_example() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("abc");
    fs::write(&path, "abc").unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256(&path).unwrap(), expected);
    assert!(sha256(&dir.path().join("none")).is_err());
}

#[test]
fn a_directory_appears_at_once_and_replaces_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("run/bundle");
    for round in ["first", "second"] {
        let staged = StagedDir::new(&target).unwrap();
        fs::create_dir(staged.path().join("inner")).unwrap();
        fs::write(staged.path().join("inner").join(round), round).unwrap();
        assert!(!target.join("inner").join(round).exists());
        assert_eq!(staged.commit().unwrap(), target);
        assert_eq!(names(&target.join("inner")), [round]);
        assert_eq!(names(&dir.path().join("run")), ["bundle"]);
    }
}

#[test]
fn without_commit_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("bundle");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("old"), "x").unwrap();
    let staged = StagedDir::new(&target).unwrap();
    fs::write(staged.path().join("new"), "x").unwrap();
    drop(staged);
    assert_eq!(names(dir.path()), ["bundle"]);
    assert_eq!(names(&target), ["old"]);
}

#[test]
fn what_a_crash_left_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("bundle");
    fs::create_dir_all(dir.path().join(".bundle.new-7-0")).unwrap();
    fs::create_dir_all(dir.path().join(".bundle.old-7-1/kept")).unwrap();
    drop(StagedDir::new(&target).unwrap());
    assert_eq!(names(dir.path()), ["bundle"], "the old bundle is back");
    assert_eq!(names(&target), ["kept"]);
}

#[test]
fn a_file_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(
        StagedDir::new(&file)
            .unwrap_err()
            .to_string()
            .contains("is a file")
    );
    assert_eq!(
        StagedDir::new(&file.join("bundle"))
            .unwrap_err()
            .exit_code(),
        2
    );
    assert_eq!(fs::read(&file).unwrap(), b"x");
}
