//! [`Names`]: what everything of the fleet is called in the store.
//!
//! Every name begins with the namespace and a colon, which is what the store's user may touch, and bears the version of its
//! format: two releases that differ in it do not read, nor overwrite, what the other has. Names of one thing that one script
//! needs together share a hash tag, and so a slot of a Cluster: the control state, an organization's entries and account,
//! the proofs of one `Authorization`.
//!
//! Organizations and items are named by an unkeyed hash: their ids have more random bits than can be guessed, and a secret
//! that is changed must not split a budget or a log. Credentials are named by a digest under a secret: a token may be weak,
//! and who holds the store must not be able to try one. What is put there is named under the first secret and looked up
//! under each.

use std::fmt;

use zeroize::Zeroizing;

use super::seal::Secret;
use crate::caller::credential::{AuthorizationDigest, Credential, CredentialDigest, Digester};
use crate::organization::{OrganizationId, OrganizationName};

/// Version of the control state: log, members, open writes.
const CONTROL: u8 = 1;
/// Version of accounts.
const ACCOUNT: u8 = 1;
/// Version of stored responses.
const ENTRY: u8 = 1;
/// Version of proofs.
const PROOF: u8 = 1;
/// Bytes of a hash that a name bears; what is found under a name says itself what it is.
const SHORT: usize = 16;
/// Longest namespace, in bytes.
pub const LONGEST_NAMESPACE: usize = 64;

/// Whether names can begin so: letters, digits, `-`, `_` and `.` only, which mean nothing to patterns and hash tags.
#[must_use]
pub fn is_namespace(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST_NAMESPACE).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The names of one fleet.
pub struct Names {
    namespace: Box<str>,
    /// One for each secret, under which credentials are digested.
    keys: Box<[Zeroizing<[u8; 32]>]>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names({}, *** of {})", self.namespace, self.keys.len())
    }
}

/// The names of the control state: one slot, and the channel of the bell.
#[derive(Clone, Copy, Debug)]
pub struct ControlNames<'a>(&'a str);

/// Whose calls count together over all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountName {
    /// An organization's.
    Organization(OrganizationName),
    /// That of an `Authorization` whose organization is not known; every replica digests it alike.
    Authorization(AuthorizationDigest),
    /// Everybody's, where there is one workspace.
    Everybody,
}

/// What one credential is called, under one secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SharedCredential {
    /// Its `Authorization` alone, under which all of its proofs lie.
    pub authorization: AuthorizationDigest,
    /// With its `x-as-workspace`.
    pub credential: CredentialDigest,
}

impl fmt::Debug for SharedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedCredential(***)")
    }
}

impl Names {
    /// Of this fleet; the first secret names credentials, each finds them.
    #[must_use]
    pub fn new(namespace: &str, secrets: &[Secret]) -> Self {
        let keys = secrets.iter().map(|secret| secret.key_for("name credentials", namespace)).collect();
        Self { namespace: namespace.into(), keys }
    }

    /// Digests credentials as all replicas with this first secret do, so that what one of them tells of a digest means
    /// something to the others.
    #[must_use]
    pub fn digester(&self) -> Digester {
        self.keys.first().map_or_else(Digester::default, |key| Digester::keyed(**key))
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The names of the control state.
    #[must_use]
    pub fn control(&self) -> ControlNames<'_> {
        ControlNames(&self.namespace)
    }

    /// An account.
    #[must_use]
    pub fn account(&self, of: AccountName) -> Vec<u8> {
        let tag = match of {
            AccountName::Organization(organization) => self.of_name(organization),
            AccountName::Authorization(authorization) => {
                let mut hasher = self.hasher(b"authorization");
                hasher.update(authorization.bytes());
                short(&hasher)
            }
            AccountName::Everybody => "everybody".to_owned(),
        };
        format!("{}:a{ACCOUNT}:{{{tag}}}", self.namespace).into_bytes()
    }

    /// What lies beside an account, in its slot.
    #[must_use]
    pub fn beside_account(&self, of: AccountName, what: &'static str) -> Vec<u8> {
        beside(&self.account(of), what)
    }

    /// A stored response, by the path and query that it answers; one for this credential alone has an owner.
    #[must_use]
    pub fn entry(
        &self,
        organization: OrganizationId,
        path: &str,
        owner: Option<&SharedCredential>,
    ) -> Vec<u8> {
        let mut hasher = self.hasher(b"entry");
        hasher.update(organization.name().0.as_bytes()).update(path.as_bytes());
        if let Some(owner) = owner {
            // No path has a zero byte.
            hasher.update(&[0]).update(owner.credential.bytes());
        }
        let (tag, hash) = (self.of_organization(organization), short(&hasher));
        format!("{}:e{ENTRY}:{{{tag}}}:{hash}", self.namespace).into_bytes()
    }

    /// The lock of who fills what has this name, in its slot.
    #[must_use]
    pub fn lock(&self, of: &[u8]) -> Vec<u8> {
        beside(of, "lock")
    }

    /// All proofs of one `Authorization`.
    #[must_use]
    pub fn proofs(&self, of: &SharedCredential) -> Vec<u8> {
        let mut hasher = self.hasher(b"proof");
        hasher.update(of.authorization.bytes());
        format!("{}:p{PROOF}:{{{}}}", self.namespace, short(&hasher)).into_bytes()
    }

    /// The proof of one credential by a resource, by its collection, among those of its `Authorization`.
    #[must_use]
    pub fn proof(&self, of: &SharedCredential, collection: &str) -> Vec<u8> {
        let mut hasher = self.hasher(b"proof");
        hasher.update(of.credential.bytes()).update(collection.as_bytes());
        short(&hasher).into_bytes()
    }

    /// What a credential is called when something of it is put into the store; nothing where there is no secret.
    #[must_use]
    pub fn credential(&self, credential: &Credential) -> Option<SharedCredential> {
        self.keys.first().map(|key| shared(credential, key))
    }

    /// What a credential may be called by those who put something of it into the store, the likeliest first.
    pub fn credentials(&self, credential: &Credential) -> impl Iterator<Item = SharedCredential> {
        self.keys.iter().map(|key| shared(credential, key))
    }

    fn of_organization(&self, organization: OrganizationId) -> String {
        self.of_name(organization.name())
    }

    fn of_name(&self, organization: OrganizationName) -> String {
        let mut hasher = self.hasher(b"organization");
        hasher.update(organization.0.as_bytes());
        short(&hasher)
    }

    fn hasher(&self, of: &[u8]) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_derive_key("instantly-proxy fleet names");
        // No namespace and no word has a zero byte.
        hasher.update(self.namespace.as_bytes()).update(&[0]).update(of).update(&[0]);
        hasher
    }
}

impl ControlNames<'_> {
    /// The part of the control state that is called so.
    #[must_use]
    pub fn part(self, what: &'static str) -> Vec<u8> {
        let Self(namespace) = self;
        format!("{namespace}:{{{namespace}.{CONTROL}}}:{what}").into_bytes()
    }
}

fn shared(credential: &Credential, key: &[u8; 32]) -> SharedCredential {
    let (authorization, credential) = credential.digests_under(key);
    SharedCredential { authorization, credential }
}

fn beside(name: &[u8], what: &str) -> Vec<u8> {
    [name, b":", what.as_bytes()].concat()
}

fn short(hasher: &blake3::Hasher) -> String {
    use fmt::Write;
    let mut bytes = [0; SHORT];
    hasher.finalize_xof().fill(&mut bytes);
    bytes.iter().fold(String::with_capacity(2 * SHORT), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::caller::credential::Digester;

    const ONE: OrganizationId = OrganizationId::example(1);
    const OTHER: OrganizationId = OrganizationId::example(2);
    const WORKSPACE: &str = "018f2a00-0000-7000-8000-00000000000a";

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; 32]).unwrap()
    }

    fn credential(token: &str, workspace: Option<&'static str>) -> Credential {
        let mut fields = HeaderMap::new();
        fields.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        if let Some(workspace) = workspace {
            fields.insert("x-as-workspace", HeaderValue::from_static(workspace));
        }
        Digester::default().credential(&fields).unwrap()
    }

    /// The part of a name by which a Cluster knows its slot.
    fn slot(name: &[u8]) -> String {
        let name = std::str::from_utf8(name).unwrap();
        let (_, rest) = name.split_once('{').unwrap();
        rest.split_once('}').unwrap().0.to_owned()
    }

    #[test]
    fn every_name_begins_with_the_namespace_and_differs_from_all_others() {
        let names = Names::new("fleet", &[secret(1), secret(2)]);
        let (plain, acting) = (credential("a", None), credential("a", Some(WORKSPACE)));
        let (plain, acting) = (names.credential(&plain).unwrap(), names.credential(&acting).unwrap());
        let item = names.entry(ONE, "/labels/1", None);
        let all = [
            names.control().part("log"),
            names.control().part("members"),
            names.account(AccountName::Organization(ONE.name())),
            names.account(AccountName::Organization(OTHER.name())),
            names.account(AccountName::Everybody),
            names.beside_account(AccountName::Organization(ONE.name()), "hold"),
            names.lock(&item),
            item,
            names.entry(ONE, "/labels/2", None),
            names.entry(OTHER, "/labels/1", None),
            names.entry(ONE, "/labels/1", Some(&plain)),
            names.entry(ONE, "/labels/1", Some(&acting)),
            names.proofs(&plain),
            Names::new("fleet-2", &[]).account(AccountName::Organization(ONE.name())),
        ];
        assert!(all[..13].iter().all(|name| name.starts_with(b"fleet:")));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn what_one_script_needs_lies_in_one_slot() {
        let names = Names::new("fleet", &[secret(1)]);
        let (plain, acting) = (credential("a", None), credential("a", Some(WORKSPACE)));
        let (plain, acting) = (names.credential(&plain).unwrap(), names.credential(&acting).unwrap());
        let account = AccountName::Organization(ONE.name());
        let slot_of_one = slot(&names.account(account));
        let item = names.entry(ONE, "/labels/1", None);
        for name in [
            &names.beside_account(account, "hold"),
            &item,
            &names.lock(&item),
            &names.entry(ONE, "/labels", Some(&plain)),
        ] {
            assert_eq!(slot(name), slot_of_one);
        }
        assert_ne!(slot(&names.account(AccountName::Organization(OTHER.name()))), slot_of_one);
        assert_eq!(slot(&names.control().part("log")), slot(&names.control().part("bell")));
        assert_eq!(names.proofs(&plain), names.proofs(&acting), "all of one key");
        assert_ne!(names.proof(&plain, "/labels"), names.proof(&acting, "/labels"));
        assert_ne!(names.proof(&plain, "/labels"), names.proof(&plain, "/lists"));
    }

    #[test]
    fn every_process_with_the_secret_has_the_same_names_and_nobody_else() {
        let names = |bytes: &[u8]| {
            let secrets: Vec<_> = bytes.iter().map(|byte| secret(*byte)).collect();
            Names::new("fleet", &secrets)
        };
        let (here, there) = (credential("a", Some(WORKSPACE)), credential("a", Some(WORKSPACE)));
        assert!(here.digest() != there.digest(), "of two processes");
        let (old, both, new) = (names(&[1]), names(&[2, 1]), names(&[2]));
        assert_eq!(old.credential(&here), names(&[1]).credential(&there));
        assert_ne!(old.credential(&here), new.credential(&here));
        assert_eq!(both.credential(&here), new.credential(&here), "written under the first");
        let found: Vec<_> = both.credentials(&here).collect();
        assert_eq!(found, [new.credential(&there).unwrap(), old.credential(&there).unwrap()]);
        let account = AccountName::Organization(ONE.name());
        assert_eq!(old.account(account), new.account(account), "a rotation splits no budget");
        assert_eq!(old.entry(ONE, "/labels", None), new.entry(ONE, "/labels", None));
        assert_ne!(Names::new("other", &[secret(1)]).credential(&here), old.credential(&here));
        assert_eq!(names(&[]).credential(&here), None);
    }

    #[test]
    fn a_namespace_means_nothing_to_patterns_and_hash_tags() {
        for good in ["instantly-proxy", "a", "A.b_c-9", &"x".repeat(LONGEST_NAMESPACE)] {
            assert!(is_namespace(good), "{good}");
        }
        for bad in ["", "a b", "a:b", "{a}", "a*", "a?", "[a]", "ä", &"x".repeat(LONGEST_NAMESPACE + 1)] {
            assert!(!is_namespace(bad), "{bad}");
        }
    }

    #[test]
    fn nothing_of_a_token_or_a_secret_is_in_names_or_debug_output() {
        let secret = Secret::new(b"secret-canary-secret-canary-secret-canary").unwrap();
        let names = Names::new("fleet", &[secret]);
        let shared = names.credential(&credential("token-canary", None)).unwrap();
        let shown = [names.proofs(&shared), names.proof(&shared, "/labels")].concat();
        let text = format!("{names:?} {shared:?} {}", String::from_utf8(shown).unwrap());
        assert!(!text.contains("canary"), "{text}");
    }
}
