//! Looking for what brought an error about.

use std::error::Error;
use std::io;

/// Whether this error, or one that brought it about, is such a one.
pub(super) fn is_among(
    error: &(dyn Error + 'static),
    is_one: &dyn Fn(&(dyn Error + 'static)) -> bool,
) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An io::Error hides what it carries from `source`.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if is_one(error) || carried.is_some_and(|inner| is_among(inner, is_one)) {
            return true;
        }
        cause = error.source();
    }
    false
}
