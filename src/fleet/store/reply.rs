//! [`Reply`]: what the store answered, and how it is taken apart.

use super::error::StoreError;

/// What the store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: a missing key, or a script's `false`.
    Nil,
    /// A whole number.
    Int(i64),
    /// Bytes; a status such as `OK` as well.
    Bytes(Vec<u8>),
    /// Several replies; a map as keys and values in turn.
    List(Vec<Self>),
}

impl Reply {
    /// A whole number, also one that is written as text, as members and scores are.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn int(&self) -> Result<i64, StoreError> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
            Self::Nil | Self::List(_) => None,
        }
        .ok_or_else(|| StoreError::unreadable("a whole number"))
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn count(&self) -> Result<u64, StoreError> {
        u64::try_from(self.int()?).map_err(|_| StoreError::unreadable("a number from 0 on"))
    }

    /// Bytes.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn bytes(self) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Nil | Self::Int(_) | Self::List(_) => Err(StoreError::unreadable("bytes")),
        }
    }

    /// Bytes, or `None` for nothing.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn bytes_if_any(self) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Nil => Ok(None),
            other => other.bytes().map(Some),
        }
    }

    /// Several replies.
    ///
    /// # Errors
    ///
    /// If it is a single one.
    pub fn list(self) -> Result<Vec<Self>, StoreError> {
        match self {
            Self::List(list) => Ok(list),
            Self::Nil | Self::Int(_) | Self::Bytes(_) => Err(StoreError::unreadable("a list")),
        }
    }

    /// So many replies.
    ///
    /// # Errors
    ///
    /// If there are more or fewer.
    pub fn exactly<const N: usize>(self) -> Result<[Self; N], StoreError> {
        self.list()?.try_into().map_err(|_| StoreError::unreadable(&format!("a list of {N}")))
    }

    /// UTF-8 text.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn text(self) -> Result<String, StoreError> {
        String::from_utf8(self.bytes()?).map_err(|_| StoreError::unreadable("text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_apart_or_refused() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        assert_eq!(Reply::Int(-3).int().unwrap(), -3);
        assert_eq!(bytes("1764306000123456").count().unwrap(), 1_764_306_000_123_456);
        assert!(Reply::Int(-3).count().is_err());
        assert!(bytes("1.7e15").int().is_err());
        assert_eq!(Reply::Nil.bytes_if_any().unwrap(), None);
        assert!(Reply::Nil.bytes().is_err());
        let [first, second] = Reply::List(vec![Reply::Int(1), Reply::Nil]).exactly().unwrap();
        assert_eq!((first, second), (Reply::Int(1), Reply::Nil));
        assert!(Reply::List(vec![Reply::Nil]).exactly::<2>().is_err());
        assert!(Reply::Bytes(vec![0xff]).text().is_err());
    }
}
