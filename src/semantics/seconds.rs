//! [`Seconds`]: field values that hold a number of seconds, kept for the next answer that needs the same.
//!
//! Within a second many answers have the same `Age` and the same `ttl`: a kept value costs a hit no allocation.

use std::cell::RefCell;

use http::HeaderValue;

/// More than the seconds of a usual lifetime, so that the values of one second seldom take each other's place.
const SLOTS: usize = 1024;

/// Values that one thread has made of late.
#[derive(Debug)]
pub struct Seconds {
    kept: RefCell<Vec<Option<(u64, HeaderValue)>>>,
    before: &'static str,
}

impl Seconds {
    /// Values of `before` and a number. Takes no room until it is used.
    ///
    /// # Panics
    ///
    /// [`Seconds::value`] does if `before` holds what a field value cannot.
    #[must_use]
    pub const fn after(before: &'static str) -> Self {
        Self { kept: RefCell::new(Vec::new()), before }
    }

    /// The value with this number.
    pub fn value(&self, seconds: u64) -> HeaderValue {
        let mut kept = self.kept.borrow_mut();
        if kept.is_empty() {
            kept.resize(SLOTS, None);
        }
        // Fits: the remainder is below a thousand.
        #[expect(clippy::cast_possible_truncation)]
        let slot = &mut kept[(seconds % SLOTS as u64) as usize];
        match slot {
            Some((known, value)) if *known == seconds => value.clone(),
            _ => {
                let value = HeaderValue::try_from(format!("{}{seconds}", self.before))
                    .expect("a number makes a field value");
                *slot = Some((seconds, value.clone()));
                value
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_its_number_whatever_is_kept() {
        let seconds = Seconds::after("ttl=");
        for number in [0, 1, 1024, 0, 1, 2048, u64::MAX, 1024] {
            for _ in 0..2 {
                assert_eq!(seconds.value(number), format!("ttl={number}"));
            }
        }
    }
}
