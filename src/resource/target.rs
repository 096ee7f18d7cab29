//! [`Target`]: what a read asks for, and the one way in which it is written towards the upstream.
//!
//! A fetch is built from its key and never by copying the client's request, so that every client spelling of a target
//! sends the same bytes. Reading a client's query is left to [`classify`](crate::classify).

use uuid::Uuid;

use super::{Descriptor, percent};

/// One item, or one page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The item with this id.
    Item(Uuid),
    /// A page.
    List(ListQuery),
}

/// A list's query: known parameters, decoded, each at most once, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListQuery(pub Box<[(&'static str, Box<str>)]>);

/// Path and query of a target as the upstream gets them: `/api/v2/lead-labels/{id}`, or the collection with its
/// parameters by name, every byte that is not unreserved (RFC 3986 §2.3) percent-encoded.
#[must_use]
pub fn target_path(resource: &Descriptor, target: &Target) -> String {
    let mut path = resource.collection.to_owned();
    match target {
        Target::Item(id) => {
            path.push('/');
            path.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        Target::List(ListQuery(parameters)) => {
            let separators = std::iter::once('?').chain(std::iter::repeat('&'));
            for (separator, (name, value)) in separators.zip(parameters) {
                path.push(separator);
                percent::push(&mut path, name);
                path.push('=');
                percent::push(&mut path, value);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::LEAD_LABEL;

    #[test]
    fn an_item_is_written_in_lower_case() {
        let id = Uuid::from_u128(0xABCD);
        assert_eq!(
            target_path(&LEAD_LABEL, &Target::Item(id)),
            "/api/v2/lead-labels/00000000-0000-0000-0000-00000000abcd"
        );
    }

    #[test]
    fn a_list_without_parameters_has_no_question_mark() {
        assert_eq!(target_path(&LEAD_LABEL, &Target::List(ListQuery::default())), "/api/v2/lead-labels");
    }

    #[test]
    fn reserved_bytes_and_spaces_are_encoded() {
        let query = ListQuery(Box::new([
            ("limit", "".into()),
            ("search", "a b+c&d=é".into()),
            ("starting_after", "2025-03-07T00:00:00.000Z".into()),
        ]));
        assert_eq!(
            target_path(&LEAD_LABEL, &Target::List(query)),
            "/api/v2/lead-labels?limit=&search=a%20b%2Bc%26d%3D%C3%A9&starting_after=2025-03-07T00%3A00%3A00.000Z"
        );
    }
}
