//! One strict pass over a JSON body: what it names, and whether two parsers could read it differently.
//!
//! Nothing is built from the body: its exact bytes are what is stored. The pass refuses duplicate keys at any depth
//! (parsers differ on which one counts) and nesting beyond [`MAX_DEPTH`].

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

use crate::organization::OrganizationId;
use crate::reason::GateReason;
use crate::resource::{Descriptor, Kind};

/// Levels of arrays and objects that are followed.
const MAX_DEPTH: u8 = 64;

/// What a body says of itself.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The top level's id, where it is a string.
    pub(super) id: Option<String>,
    /// Number of items of a page, where there is such an array.
    pub(super) items: Option<usize>,
    /// Whether it may name another item: something inside it has an id, or a UUID is neither its id, nor its organization's,
    /// nor a user's.
    pub(super) may_name_another: bool,
    /// Whether it has the member of a page's items, whatever that is.
    pub(super) has_items: bool,
    /// How many of a singleton's members it has, each once.
    pub(super) members: usize,
    /// Whether something in it says who may see it.
    pub(super) grants: bool,
    /// The top level's member names as a hash, whatever their order.
    pub(super) shape: u64,
    organization: Option<OrganizationId>,
    organization_doubt: Option<GateReason>,
    fault: Option<GateReason>,
}

impl Scan {
    /// Reads `body` to its end.
    ///
    /// # Errors
    ///
    /// [`GateReason::NotJson`], [`GateReason::DuplicateKey`] or [`GateReason::TooDeep`].
    pub(super) fn of(resource: &'static Descriptor, body: &[u8]) -> Result<Self, GateReason> {
        let (scan, sound) = Self::as_far_as_sound(resource, body);
        sound.map(|()| scan)
    }

    /// What was read of `body` up to its end or its first fault, and that fault.
    pub(super) fn as_far_as_sound(
        resource: &'static Descriptor,
        body: &[u8],
    ) -> (Self, Result<(), GateReason>) {
        let mut scan = Self::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let walk = Walk { scan: &mut scan, resource, place: Place::Top, depth: 0 };
        let read = walk.deserialize(&mut json).and_then(|node| json.end().map(|()| node));
        let sound = match read {
            Ok(Node::Object) => scan.fault.map_or(Ok(()), Err),
            Ok(_) => Err(GateReason::NotJson),
            Err(_) => Err(scan.fault.unwrap_or(GateReason::NotJson)),
        };
        (scan, sound)
    }

    /// The one organization that the body names.
    ///
    /// # Errors
    ///
    /// [`GateReason::NoOrganization`] or [`GateReason::MixedOrganizations`].
    pub(super) fn organization(&self) -> Result<OrganizationId, GateReason> {
        match (self.organization_doubt, self.organization) {
            (Some(doubt), _) => Err(doubt),
            (None, None) => Err(GateReason::NoOrganization),
            (None, Some(organization)) => Ok(organization),
        }
    }

    fn name_organization(&mut self, value: &Node<'_>) {
        let named = match value {
            Node::Text(text) => OrganizationId::in_body(text),
            _ => None,
        };
        match (named, self.organization) {
            (None, _) => self.organization_doubt = Some(GateReason::NoOrganization),
            (Some(named), None) => self.organization = Some(named),
            (Some(named), Some(earlier)) if named != earlier => {
                self.organization_doubt = Some(GateReason::MixedOrganizations);
            }
            (Some(_), Some(_)) => {}
        }
    }
}

/// Where in the document a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Deeper,
}

/// What a value is, as far as anybody asks.
enum Node<'de> {
    Null,
    Text(Cow<'de, str>),
    Array(usize),
    Object,
    Other,
}

impl Node<'_> {
    /// Whether it is a text that is a UUID, in any of its spellings.
    fn is_uuid(&self) -> bool {
        // The shortest has 32 digits, the longest begins with `urn:uuid:`.
        matches!(self, Self::Text(text) if (32..=45).contains(&text.len()) && Uuid::try_parse(text).is_ok())
    }
}

struct Walk<'a> {
    scan: &'a mut Scan,
    resource: &'static Descriptor,
    place: Place,
    depth: u8,
}

impl Walk<'_> {
    fn inside(&mut self) -> Walk<'_> {
        Walk { scan: self.scan, resource: self.resource, place: Place::Deeper, depth: self.depth + 1 }
    }

    fn fail<E: Error>(&mut self, fault: GateReason) -> E {
        self.scan.fault.get_or_insert(fault);
        E::custom(fault)
    }

    fn check_depth<E: Error>(&mut self) -> Result<(), E> {
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(self.fail(GateReason::TooDeep)) }
    }

    fn note_member(&mut self, name: &str, value: Node<'_>) {
        // What stands inside a singleton may have ids of its own.
        let names_organization = name == self.resource.organization_member
            && (self.place == Place::Top || !self.resource.is_singleton());
        if names_organization {
            self.scan.name_organization(&value);
        }
        // At any depth: whatever it stands in, it speaks of the whole organization.
        if name == self.resource.grants_member && !matches!(value, Node::Null) {
            self.scan.grants = true;
        }
        let is_own_id = self.place == Place::Top && name == self.resource.id_member;
        let is_known = is_own_id
            || name == self.resource.organization_member
            || self.resource.user_members.contains(&name);
        let is_id_inside = self.place == Place::Deeper && name == self.resource.id_member;
        self.scan.may_name_another |= is_id_inside || (!is_known && value.is_uuid());
        if self.place == Place::Top {
            if let Kind::Singleton { members } = self.resource.kind {
                self.scan.members += usize::from(members.contains(&name));
            }
            self.scan.has_items |= name == self.resource.items_member;
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            self.scan.shape = self.scan.shape.wrapping_add(hasher.finish());
            match value {
                Node::Array(length) if name == self.resource.items_member => self.scan.items = Some(length),
                Node::Text(text) if name == self.resource.id_member => self.scan.id = Some(text.into_owned()),
                _ => {}
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Node<'de>, A::Error> {
        self.check_depth()?;
        let mut length = 0;
        while let Some(item) = items.next_element_seed(self.inside())? {
            self.scan.may_name_another |= item.is_uuid();
            length += 1;
        }
        Ok(Node::Array(length))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Node<'de>, A::Error> {
        self.check_depth()?;
        let mut names: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Name(name)) = members.next_key()? {
            let value = members.next_value_seed(self.inside())?;
            self.note_member(&name, value);
            if !names.insert(name) {
                // The rest is read on: it may show grants.
                self.scan.fault.get_or_insert(GateReason::DuplicateKey);
            }
        }
        Ok(Node::Object)
    }
}

/// A member's name, borrowed from the body unless it is written with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}
