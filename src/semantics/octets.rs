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
        // Eight looks for each question whether to go on: nearly always all are there.
        let have = |bytes: &[u8]| bytes.iter().fold(true, |all, byte| all & self.0[usize::from(*byte)]);
        let (eights, rest) = text.as_chunks::<8>();
        eights.iter().all(|eight| have(eight)) && have(rest)
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
        for length in 1..20 {
            for at in 0..length {
                let mut text = vec![b'a'; length];
                assert!(SET.have_all_of(&text));
                text[at] = b'+';
                assert!(!SET.have_all_of(&text), "{length}, {at}");
            }
        }
    }
}
