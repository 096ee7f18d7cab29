//! [`Lines`]: how often a field came, and its value where that was once.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The lines of one field of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lines<'a> {
    /// There is none.
    #[default]
    None,
    /// There is one.
    One(&'a HeaderValue),
    /// There are more.
    More,
}

impl<'a> Lines<'a> {
    /// Those of this name.
    #[must_use]
    pub fn of(fields: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut lines = Self::None;
        fields.get_all(name).iter().for_each(|value| lines.add(value));
        lines
    }

    /// One more.
    pub fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::None => Self::One(value),
            Self::One(_) | Self::More => Self::More,
        };
    }

    /// The one, if there is just one.
    #[must_use]
    pub const fn one(self) -> Option<&'a HeaderValue> {
        match self {
            Self::One(value) => Some(value),
            Self::None | Self::More => None,
        }
    }
}
