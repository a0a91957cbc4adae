//! Libraries that panic on damaged files: what they read is read under guard, so that the file is at fault and not the
//! program.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use crate::{Error, Result};

thread_local! {
    static ACTIVE: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic on this thread would be caught and told as a damaged file. A panic hook asks it before it reports.
pub fn active() -> bool {
    ACTIVE.with(|active| active.get() > 0)
}

/// Runs `read`; a panic in it is an error of the file. What `read` was working on must not be used afterwards: an error of a
/// file ends its rows.
///
/// # Errors
/// `read` panicked.
pub(crate) fn guarded<T>(path: &Path, read: impl FnOnce() -> T) -> Result<T> {
    ACTIVE.with(|active| active.set(active.get() + 1));
    let done = catch_unwind(AssertUnwindSafe(read));
    ACTIVE.with(|active| active.set(active.get() - 1));
    done.map_err(|_| Error::file(path, "is damaged; fetch or write it again"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_the_file() {
        let path = Path::new("x.parquet");
        assert_eq!(guarded(path, || 1).unwrap(), 1);
        let error = guarded(path, || assert!(!active())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.parquet: is damaged; fetch or write it again"
        );
        assert!(!active());
    }
}
