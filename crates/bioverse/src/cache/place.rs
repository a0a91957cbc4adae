//! Where the cache is. What is in it is unknown here.

use std::path::PathBuf;

/// Names another place than the user's cache folder.
pub const VARIABLE: &str = "BIOVERSE_CACHE";

/// `$BIOVERSE_CACHE`, else `$XDG_CACHE_HOME/bioverse`, else `~/.cache/bioverse`; `None` where the environment names no home.
pub fn root() -> Option<PathBuf> {
    resolve(|name| std::env::var_os(name).map(PathBuf::from))
}

fn resolve(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    let home = || set("HOME").or_else(|| set("USERPROFILE"));
    set(VARIABLE).or_else(|| {
        let caches = set("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")));
        Some(caches?.join("bioverse"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_cache_folder_before_home() {
        let all = [
            ("BIOVERSE_CACHE", "/b"),
            ("XDG_CACHE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        let expected = [Some("/b"), Some("/x/bioverse"), Some("/h/.cache/bioverse")];
        for (skipped, expected) in expected.into_iter().enumerate() {
            let given = &all[skipped..];
            let variable = |name: &str| {
                let found = given.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| PathBuf::from(value))
            };
            assert_eq!(resolve(variable), expected.map(PathBuf::from));
        }
        assert_eq!(resolve(|_| None), None);
        assert_eq!(resolve(|_| Some(PathBuf::new())), None, "empty is not set");
    }
}
