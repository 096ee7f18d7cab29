//! Names of callers: 1 to 64 characters of a closed alphabet, so that none of them can be anything else in a log, a metric or a
//! page. SPIFFE ids and DNS names are made of it.

/// The longest name, in characters.
pub const LONGEST: usize = 64;
/// Stands for all callers that are not told apart: nobody is called so.
pub const OTHER: &str = "other";

/// Whether these bytes are a name.
#[must_use]
pub fn is_sound(name: &[u8]) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
    (1..=LONGEST).contains(&name.len()) && name.iter().all(|byte| known(*byte))
}

/// The name that these bytes are.
#[must_use]
pub fn of(name: &[u8]) -> Option<&str> {
    if is_sound(name) { std::str::from_utf8(name).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_looks_like_wherever_it_is_shown() {
        let longest = "n".repeat(LONGEST);
        for name in ["billing", "spiffe://cluster.local/ns/prod/sa/sync", "a.example.com", "b@c", &longest] {
            assert_eq!(of(name.as_bytes()), Some(name));
        }
        let too_long = "n".repeat(LONGEST + 1);
        for bytes in [
            &b""[..],
            b"a b",
            b"a\"b",
            b"a\nb",
            b"a\x1b[31m",
            "\u{fc}".as_bytes(),
            b"a,b",
            too_long.as_bytes(),
        ] {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
    }
}
