//! [`Notice`]: what one replica has to tell all others, in the order of the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fence::{Fate, Reach};
use crate::organization::Organization;

/// What every replica must know. It is sealed in the store's log; a replica that cannot read one invalidates everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// A write of this organization: nothing of it from before counts any more.
    Organization {
        /// Which.
        id: Uuid,
        /// Set where the write has changed this item alone, and every list: the rest counts on. A replica of a version that
        /// does not know this member reads the notice as that of a write which may have changed all of the organization: it
        /// drops more than it has to. So the member is left out where there is no item, and an older notice is read as what
        /// it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<Uuid>,
        /// What became of the write; it says for how long what is read has to settle.
        fate: Told,
    },
    /// A write by a credential of unknown organization: all lists of every organization, and the item if there is one.
    Everywhere {
        /// The item.
        item: Option<Uuid>,
        /// What became of the write.
        fate: Told,
    },
    /// A write by a credential of unknown organization, of which nobody knows what it changed. A replica of a version that does
    /// not know this notice drops everything, too.
    Everything {
        /// What became of the write.
        fate: Told,
    },
    /// An operator says that stored responses must go. Nothing was written.
    Purge {
        /// Of this organization alone.
        organization: Option<Uuid>,
        /// This item alone, and every list.
        label: Option<Uuid>,
        /// Of this resource alone, by its name. A replica that does not know this member, or the name, purges more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
    /// A 404: the item is gone.
    Gone {
        /// Name of its resource.
        resource: String,
        /// Whose it was.
        organization: Uuid,
        /// Which it was.
        item: Uuid,
    },
    /// An answer has shown who may see what is in this organization: its credentials share nothing any more.
    Grants {
        /// Which.
        organization: Uuid,
    },
    /// The API refused an `Authorization` value, or one credential of it.
    Refused {
        /// Under each secret that the teller knows.
        digests: Vec<Digests>,
        /// Which of the two digests says who it is.
        whom: Whom,
        /// Set where this resource alone refused a credential, by its name. A replica of a version that does not know this
        /// member ends more than it has to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
}

/// What a credential is called under one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Its `Authorization` value.
    pub authorization: [u8; 32],
    /// With its `x-as-workspace`.
    pub credential: [u8; 32],
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It was done.
    Known,
    /// It may have been done, or may yet be.
    Unknown,
}

/// Whom a refusal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// Every credential with the `Authorization` value.
    Authorization,
    /// One credential.
    Credential,
}

impl From<Fate> for Told {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Known => Self::Known,
            Fate::Unknown => Self::Unknown,
        }
    }
}

impl From<Told> for Fate {
    fn from(told: Told) -> Self {
        match told {
            Told::Known => Self::Known,
            Told::Unknown => Self::Unknown,
        }
    }
}

impl Notice {
    /// A write whose answer is awaited: all of its writer's organization, or this much of everybody's where nobody knows that.
    #[must_use]
    pub fn of_write(organization: Option<&Arc<Organization>>, reach: Reach, fate: Told) -> Self {
        match organization {
            Some(organization) => Self::Organization { id: organization.id().name().0, item: None, fate },
            None => Self::everywhere(reach, fate),
        }
    }

    /// A write that may have changed this much of every organization.
    #[must_use]
    pub const fn everywhere(reach: Reach, fate: Told) -> Self {
        match reach {
            Reach::Lists => Self::Everywhere { item: None, fate },
            Reach::Item(id) => Self::Everywhere { item: Some(id), fate },
            Reach::Everything => Self::Everything { fate },
        }
    }

    /// As bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a notice has no map and nothing that fails")
    }

    /// What was sealed; nothing if it is of a form that this version does not know.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_comes_back_as_it_was_said() {
        let id = Uuid::from_u128(7);
        for notice in [
            Notice::Organization { id, item: None, fate: Told::Known },
            Notice::Organization { id, item: Some(id), fate: Told::Known },
            Notice::Everywhere { item: Some(id), fate: Told::Unknown },
            Notice::Everything { fate: Told::Unknown },
            Notice::Everywhere { item: None, fate: Told::Known },
            Notice::Purge { organization: None, label: Some(id), resource: None },
            Notice::Purge { organization: None, label: None, resource: Some("lead_label".into()) },
            Notice::Gone { resource: "lead_label".into(), organization: id, item: id },
            Notice::Grants { organization: id },
            Notice::Refused {
                digests: vec![Digests { authorization: [1; 32], credential: [2; 32] }],
                whom: Whom::Credential,
                resource: None,
            },
            Notice::Refused { digests: vec![], whom: Whom::Credential, resource: Some("lead_label".into()) },
        ] {
            assert_eq!(Notice::from_bytes(&notice.to_bytes()), Some(notice));
        }
    }

    /// Two versions in one fleet: who does not know what a write changed drops more than it has to, never less.
    #[test]
    fn a_write_of_one_item_is_one_of_its_whole_organization_to_a_version_that_knows_no_other() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Older {
            Organization { id: Uuid, fate: Told },
        }
        let id = Uuid::from_u128(7);
        let written = Notice::Organization { id, item: Some(Uuid::from_u128(8)), fate: Told::Known };
        let read: Older = serde_json::from_slice(&written.to_bytes()).unwrap();
        assert_eq!(read, Older::Organization { id, fate: Told::Known });
        let older = format!(r#"{{"Organization":{{"id":"{id}","fate":"Known"}}}}"#);
        let whole = Notice::Organization { id, item: None, fate: Told::Known };
        assert_eq!(Notice::from_bytes(older.as_bytes()), Some(whole.clone()));
        assert_eq!(whole.to_bytes(), older.as_bytes(), "and says it as the older one does");
    }

    #[test]
    fn a_notice_of_a_later_version_is_not_half_read() {
        for later in [r#"{"Moved":{"id":1}}"#, r#"{"Purge":{"organization":1}}"#, "", "[]"] {
            assert_eq!(Notice::from_bytes(later.as_bytes()), None, "{later}");
        }
    }
}
