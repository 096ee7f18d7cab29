//! [`Credential`]: what identifies a caller, and the keyed digests that stand for it everywhere else.
//!
//! A digest is BLAKE3, keyed by random bytes of this process: an attacker chooses the input and the digest is looked up
//! instead of the token, so it must be a real keyed hash of full width. Tokens themselves are held only by the request
//! that brought them and by the upstream call made for it.

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::routes::{Routes, SEGMENTS, segments};
use crate::organization::OrganizationName;
use crate::semantics::owned;

/// The field that makes an admin key act for another workspace.
pub const AS_WORKSPACE: HeaderName = HeaderName::from_static("x-as-workspace");

/// Stands for an exact `Authorization` value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorizationDigest([u8; 32]);

/// Stands for an exact `Authorization` value and an exact `x-as-workspace` value or its absence.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialDigest([u8; 32]);

/// What stands for a credential, and for its `Authorization` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    pub(super) authorization: AuthorizationDigest,
    pub(super) credential: CredentialDigest,
}

impl Digests {
    /// Stands for the `Authorization` value.
    #[must_use]
    pub const fn authorization(&self) -> AuthorizationDigest {
        self.authorization
    }
}

/// Stands for a method and the first three segments of a path: what a scope is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteDigest([u8; 32]);

impl AuthorizationDigest {
    /// A number below `shards`, the same for the same digest.
    #[must_use]
    pub fn shard(self, shards: usize) -> usize {
        usize::from(self.0[0]) % shards
    }
}

impl AuthorizationDigest {
    /// Stands for the credential that is this value alone, without an `x-as-workspace`.
    #[must_use]
    pub const fn key_digest(self) -> CredentialDigest {
        CredentialDigest(self.0)
    }

    /// That which another replica made under the same key.
    #[must_use]
    pub const fn told(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl CredentialDigest {
    /// That which another replica made under the same key.
    #[must_use]
    pub const fn told(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

// A keyed digest tells nothing of the token without this process's key, but it has no place in a log line either.
macro_rules! redacted {
    ($($name:ident)+) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    )+ };
}

redacted!(AuthorizationDigest CredentialDigest RouteDigest);

/// Makes digests under one random key.
pub struct Digester {
    key: [u8; 32],
    routes: Routes<RouteDigest>,
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester(***)")
    }
}

impl Default for Digester {
    /// A digester with a fresh key from the system's random source (by way of two version 4 UUIDs).
    fn default() -> Self {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        seed[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        // A version 4 UUID has six fixed bits: hashing spreads the 244 random ones over the whole key.
        Self::keyed(*blake3::hash(&seed).as_bytes())
    }
}

impl Digester {
    /// A digester with this key, as all replicas of a fleet have: a refusal that one of them meets is told by its digest.
    #[must_use]
    pub fn keyed(key: [u8; 32]) -> Self {
        Self { key, routes: Routes::new() }
    }

    pub(super) fn authorization_of(&self, value: &HeaderValue) -> AuthorizationDigest {
        digest_of(&self.key, value.as_bytes())
    }

    /// What stands for the credential of an `Authorization` value and of an `x-as-workspace` value, if there is one, that make
    /// a credential: no copy of either is made.
    #[must_use]
    pub fn digests(&self, authorization: &[u8], workspace: Option<&[u8]>) -> Digests {
        let authorization = digest_of(&self.key, authorization);
        Digests { authorization, credential: credential_digest_of(&self.key, authorization, workspace) }
    }

    /// The credential of an `Authorization` value, and of an `x-as-workspace` value that is an organization's id.
    pub(super) fn credential_of(
        &self,
        authorization: &HeaderValue,
        workspace: Option<(&HeaderValue, Uuid)>,
    ) -> Credential {
        let authorization_digest = self.authorization_of(authorization);
        let digest = credential_digest_of(
            &self.key,
            authorization_digest,
            workspace.map(|(value, _)| value.as_bytes()),
        );
        let mut authorization = authorization.clone();
        authorization.set_sensitive(true);
        let workspace = workspace.map(|(value, id)| (value.clone(), id));
        Credential { digest, authorization_digest, authorization, workspace }
    }

    /// The route of a request, for telling refusals of scope from refusals of the key.
    #[must_use]
    pub fn route(&self, method: &http::Method, path: &str) -> RouteDigest {
        self.routes.known(method, segments(path), || self.route_of(method, path))
    }

    fn route_of(&self, method: &http::Method, path: &str) -> RouteDigest {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(method.as_str().as_bytes());
        for segment in path.split('/').skip(1).take(SEGMENTS) {
            hasher.update(b"/").update(segment.as_bytes());
        }
        RouteDigest(*hasher.finalize().as_bytes())
    }
}

fn digest_of(key: &[u8; 32], authorization: &[u8]) -> AuthorizationDigest {
    AuthorizationDigest(*blake3::keyed_hash(key, authorization).as_bytes())
}

fn credential_digest_of(
    key: &[u8; 32],
    authorization: AuthorizationDigest,
    workspace: Option<&[u8]>,
) -> CredentialDigest {
    let Some(workspace) = workspace else { return authorization.key_digest() };
    // No `Authorization` value can hold the leading zero byte, so the two kinds of input cannot meet.
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[0]).update(&authorization.0).update(workspace);
    CredentialDigest(*hasher.finalize().as_bytes())
}

/// What identifies a caller, with the field values that its own upstream calls carry.
#[derive(Clone)]
pub struct Credential {
    digest: CredentialDigest,
    authorization_digest: AuthorizationDigest,
    authorization: HeaderValue,
    workspace: Option<(HeaderValue, Uuid)>,
}

impl Credential {
    /// The same with field values in memory of their own: for what outlives the request that brought it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            authorization: owned::value(&self.authorization),
            workspace: self.workspace.as_ref().map(|(value, id)| (owned::value(value), *id)),
            ..*self
        }
    }

    /// What stands for it, and for its `Authorization` value.
    #[must_use]
    pub const fn digests(&self) -> Digests {
        Digests { authorization: self.authorization_digest, credential: self.digest }
    }

    /// Stands for it in every table.
    #[must_use]
    pub const fn digest(&self) -> CredentialDigest {
        self.digest
    }

    /// Stands for its `Authorization` value alone.
    #[must_use]
    pub const fn authorization_digest(&self) -> AuthorizationDigest {
        self.authorization_digest
    }

    /// Stands for the same key without `x-as-workspace`.
    #[must_use]
    pub const fn key_digest(&self) -> CredentialDigest {
        self.authorization_digest.key_digest()
    }

    /// The same digests under a key that other processes have as well.
    #[must_use]
    pub fn digests_under(&self, key: &[u8; 32]) -> (AuthorizationDigest, CredentialDigest) {
        let authorization = digest_of(key, self.authorization.as_bytes());
        let workspace = self.workspace.as_ref().map(|(value, _)| value.as_bytes());
        (authorization, credential_digest_of(key, authorization, workspace))
    }

    /// The organization that `x-as-workspace` asks for: the only one that a body may name to prove it.
    #[must_use]
    pub fn workspace(&self) -> Option<OrganizationName> {
        self.workspace.as_ref().map(|(_, id)| OrganizationName(*id))
    }

    /// Puts it into the fields of an upstream request, as it came.
    pub fn present(&self, fields: &mut HeaderMap) {
        fields.insert(AUTHORIZATION, self.authorization.clone());
        if let Some((value, _)) = &self.workspace {
            fields.insert(AS_WORKSPACE, value.clone());
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "018f2a00-0000-7000-8000-00000000000a";

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_credential_is_told_by_its_exact_authorization_and_workspace() {
        let digester = Digester::default();
        let all = [
            fields(&[("authorization", "Bearer a")]),
            fields(&[("authorization", "bearer a")]),
            fields(&[("authorization", "Bearer b")]),
            fields(&[("authorization", "Bearer a"), ("x-as-workspace", WORKSPACE)]),
            fields(&[
                ("authorization", "Bearer a"),
                ("x-as-workspace", "018F2A00-0000-7000-8000-00000000000A"),
            ]),
        ];
        for (i, left) in all.iter().enumerate() {
            for (j, right) in all.iter().enumerate() {
                let same = digester.credential(left).unwrap().digest()
                    == digester.credential(right).unwrap().digest();
                assert_eq!(same, i == j, "{i} against {j}");
            }
        }
        let (plain, acting) = (digester.credential(&all[0]).unwrap(), digester.credential(&all[3]).unwrap());
        assert_eq!(plain.authorization_digest(), acting.authorization_digest());
        assert_eq!(plain.workspace(), None);
        assert_eq!(acting.workspace().map(|name| name.0), Uuid::try_parse(WORKSPACE).ok());
    }

    #[test]
    fn doubled_or_malformed_fields_make_no_credential() {
        let digester = Digester::default();
        for bad in [
            fields(&[]),
            fields(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            fields(&[("authorization", "Bearer a"), ("x-as-workspace", "")]),
            fields(&[("authorization", "Bearer a"), ("x-as-workspace", "018f2a000000700080000000000000aa")]),
            fields(&[
                ("authorization", "Bearer a"),
                ("x-as-workspace", WORKSPACE),
                ("x-as-workspace", WORKSPACE),
            ]),
        ] {
            assert!(digester.credential(&bad).is_none(), "{} fields", bad.len());
        }
    }

    #[test]
    fn a_detached_credential_is_the_same_and_holds_nothing_of_its_request() {
        let head = bytes::Bytes::from([b"Bearer canary", WORKSPACE.as_bytes()].concat());
        let map = HeaderMap::from_iter([
            (AUTHORIZATION, HeaderValue::from_maybe_shared(head.slice(..13)).unwrap()),
            (AS_WORKSPACE, HeaderValue::from_maybe_shared(head.slice(13..)).unwrap()),
        ]);
        let detached = Digester::default().credential(&map).unwrap().detached();
        drop(map);
        assert!(head.is_unique());
        let mut presented = HeaderMap::new();
        detached.present(&mut presented);
        assert!(presented[AUTHORIZATION].is_sensitive());
        assert_eq!(
            (&presented[AUTHORIZATION], &presented[AS_WORKSPACE]),
            (&"Bearer canary".parse().unwrap(), &WORKSPACE.parse().unwrap())
        );
    }

    #[test]
    fn two_processes_digest_the_same_token_differently() {
        let token = fields(&[("authorization", "Bearer a")]);
        assert!(Digester::default().authorization(&token) != Digester::default().authorization(&token));
    }

    #[test]
    fn a_route_is_the_method_and_three_segments() {
        let digester = Digester::default();
        let route = |method, path| digester.route(&method, path);
        assert!(route(http::Method::GET, "/api/v2/leads/1") == route(http::Method::GET, "/api/v2/leads/2"));
        assert!(route(http::Method::GET, "/api/v2/leads") != route(http::Method::POST, "/api/v2/leads"));
        assert!(route(http::Method::GET, "/api/v2/leads") != route(http::Method::GET, "/api/v2/emails"));
    }

    #[test]
    fn a_route_that_is_known_is_the_one_that_would_be_made() {
        use http::Method;
        let digester = Digester::default();
        let long = format!("/api/v2/{}", "x".repeat(200));
        let paths = [
            "/",
            "",
            "//",
            "/a",
            "/a/",
            "/a//b/c",
            "/api/v2/leads",
            "/api/v2/leads/",
            "/api/v2/leads/1/2",
            "a/b",
            &long,
        ];
        for _ in 0..2 {
            for method in [Method::GET, Method::HEAD, Method::DELETE, Method::TRACE] {
                for path in paths {
                    assert!(
                        digester.route(&method, path) == digester.route_of(&method, path),
                        "{method} {path}"
                    );
                }
            }
        }
        for number in 0..2000 {
            let path = format!("/made/up/{number}");
            assert!(digester.route(&Method::GET, &path) == digester.route_of(&Method::GET, &path));
        }
        assert!(digester.route(&Method::GET, "/a/b/c") != digester.route(&Method::HEAD, "/a/b/c"));
        assert!(digester.route(&Method::GET, "/a") != digester.route(&Method::GET, "/a/"));
    }

    #[test]
    fn nothing_of_a_token_is_in_debug_output() {
        let digester = Digester::default();
        let credential = digester.credential(&fields(&[("authorization", "Bearer canary")])).unwrap();
        let text = format!("{credential:?} {:?} {digester:?}", credential.digest());
        assert!(!text.contains("canary"), "{text}");
    }
}
