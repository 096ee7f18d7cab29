//! Lists in field values (RFC 9110 §5.6.1): their elements, without the white space around them.

/// The non-empty elements of a line of tokens, such as that of `Connection`: every comma separates.
pub(crate) fn tokens(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// What a double quote begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// A quoted string: a back-slash takes the next byte as it is (RFC 9110 §5.6.4).
    String,
    /// An entity tag: a back-slash is a byte like any other (RFC 9110 §8.8.3).
    EntityTag,
}

/// The non-empty elements of one field line. A comma between quotes separates nothing. A quote that is never closed is
/// a byte like any other, so that it cannot hide the elements that follow it.
pub(super) fn elements(line: &[u8], quoting: Quoting) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    let mut quotes_count = true;
    std::iter::from_fn(move || {
        let line = rest?;
        let end = element_end(line, quoting, &mut quotes_count);
        rest = line.get(end + 1..);
        line.get(..end)
    })
    .map(<[u8]>::trim_ascii)
    .filter(|element| !element.is_empty())
}

fn element_end(line: &[u8], quoting: Quoting, quotes_count: &mut bool) -> usize {
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += match byte {
            b',' => return at,
            b'"' if *quotes_count => quoted_length(&line[at..], quoting).unwrap_or_else(|| {
                // Found out once a line: looking for a closing quote from each of many would take quadratic time.
                *quotes_count = false;
                1
            }),
            _ => 1,
        };
    }
    at
}

/// The length of what stands between quotes, with the quotes.
fn quoted_length(text: &[u8], quoting: Quoting) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if quoting == Quoting::String => 2,
            _ => 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(line: &str, quoting: Quoting) -> Vec<&str> {
        elements(line.as_bytes(), quoting).map(|element| std::str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn elements_are_split_at_commas_outside_quotes() {
        for (line, quoting, expected) in [
            ("", Quoting::String, &[] as &[&str]),
            (" , ,\t", Quoting::String, &[]),
            ("a, b ,c", Quoting::String, &["a", "b", "c"]),
            (r#"a="x, y", b"#, Quoting::String, &[r#"a="x, y""#, "b"]),
            (r#"a="x\", y", b"#, Quoting::String, &[r#"a="x\", y""#, "b"]),
            (r#""x\", y"#, Quoting::EntityTag, &[r#""x\""#, "y"]),
            (r#""a,b","c""#, Quoting::EntityTag, &[r#""a,b""#, r#""c""#]),
            (r#"a="x, b, c"#, Quoting::String, &[r#"a="x"#, "b", "c"]),
            (r#"a="x\", b"#, Quoting::String, &[r#"a="x\""#, "b"]),
        ] {
            assert_eq!(of(line, quoting), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic_or_hides_an_unquoted_element(line in r#"[ab",\\ =]{0,40}"#) {
            for quoting in [Quoting::String, Quoting::EntityTag] {
                prop_assert!(of(&line, quoting).len() <= line.split(',').count());
            }
        }
    }
}
