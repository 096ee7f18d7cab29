//! [`Octets`]: a set of bytes, asked by table: fields are looked through for each request, a byte at a time.

/// A set of bytes.
#[derive(Debug)]
pub(crate) struct Octets([bool; 256]);

impl Octets {
    /// ASCII letters, digits, and these.
    pub(crate) const fn letters_digits_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            set[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            set[others[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    /// Whether there is no other byte in `text`.
    pub(crate) fn have_all_of(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.0[usize::from(*byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_what_its_name_says() {
        static SET: Octets = Octets::letters_digits_and(b"-\xFF");
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | 0xFF);
            assert_eq!(SET.have_all_of(&[b'a', byte]), expected, "{byte}");
        }
        assert!(SET.have_all_of(b""));
    }
}
