//! [`Caller`]: who a request comes from, and for which workspace it acts.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use super::answer::Refusal;
use super::keys::{Key, Scope};
use super::organization::Organization;
use super::query::uuid;
use super::world::World;

/// A valid key, and the workspace whose data it asks for.
#[derive(Clone, Copy)]
pub(super) struct Caller<'w> {
    pub(super) key: &'w Key,
    /// The workspace of the key.
    pub(super) home: &'w Organization,
    /// The workspace that `x-as-workspace` names, else the key's own.
    pub(super) acting_for: &'w Organization,
}

impl<'w> Caller<'w> {
    /// Reads `Authorization` and `x-as-workspace`.
    pub(super) fn identify(world: &'w World, fields: &HeaderMap) -> Result<Self, Refusal> {
        let value = fields.get(AUTHORIZATION).ok_or(Refusal::MissingAuthorization)?;
        let secret = value.to_str().ok().and_then(bearer).ok_or(Refusal::InvalidKey)?;
        let (home, key) = world.key(secret).ok_or(Refusal::InvalidKey)?;
        if key.is_revoked() {
            return Err(Refusal::InvalidKey);
        }
        let acting_for = workspace(world, home, fields)?;
        Ok(Self { key, home, acting_for })
    }

    /// `lacking` is the status for a key without the scope.
    pub(super) fn require(&self, scope: Option<Scope>, lacking: StatusCode) -> Result<(), Refusal> {
        if scope.is_none_or(|scope| self.key.allows(scope)) {
            return Ok(());
        }
        Err(Refusal::MissingScope(lacking))
    }
}

/// RFC 9110 §11.1: the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// Absent: the key's own. Anything else has to be the UUID of the key's own workspace or of a member of its group;
/// several fields are one list to the vendor's framework, and so no UUID.
fn workspace<'w>(
    world: &'w World,
    home: &'w Organization,
    fields: &HeaderMap,
) -> Result<&'w Organization, Refusal> {
    let mut values = fields.get_all("x-as-workspace").iter();
    let Some(value) = values.next() else { return Ok(home) };
    if values.next().is_some() {
        return Err(Refusal::NotMember);
    }
    let id = value.to_str().ok().and_then(uuid).ok_or(Refusal::NotMember)?;
    if id == home.id() {
        return Ok(home);
    }
    let sub = world.organization(id).ok_or(Refusal::NotMember)?;
    if home.is_admin() && sub.is_member() { Ok(sub) } else { Err(Refusal::NotMember) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use uuid::Uuid;

    use super::*;
    use crate::simulator::SimulatorConfig;

    fn world() -> World {
        World::new(&SimulatorConfig::default())
    }

    fn fields(key: &Key, workspaces: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(AUTHORIZATION, key.bearer());
        for workspace in workspaces {
            fields.append("x-as-workspace", HeaderValue::from_str(workspace).unwrap());
        }
        fields
    }

    #[test]
    fn x_as_workspace_chooses_whose_data_an_admin_key_sees() {
        let world = world();
        let [first, second, outside] = world.organizations() else { panic!("three by default") };
        let (admin, own) = (&world.admin().keys()[0], &first.keys()[0]);
        let id = |organization: &Organization| organization.id().to_string();
        for (key, workspaces, expected) in [
            (admin, vec![], Ok(world.admin().id())),
            (admin, vec![id(first)], Ok(first.id())),
            (admin, vec![id(second).to_uppercase()], Ok(second.id())),
            (admin, vec![id(outside)], Err(Refusal::NotMember)),
            (admin, vec![Uuid::nil().to_string()], Err(Refusal::NotMember)),
            (admin, vec![String::new()], Err(Refusal::NotMember)),
            (admin, vec![id(first), id(first)], Err(Refusal::NotMember)),
            (own, vec![id(first)], Ok(first.id())),
            (own, vec![id(second)], Err(Refusal::NotMember)),
        ] {
            let values: Vec<&str> = workspaces.iter().map(String::as_str).collect();
            let caller = Caller::identify(&world, &fields(key, &values));
            assert_eq!(caller.map(|caller| caller.acting_for.id()), expected, "{workspaces:?}");
        }
    }

    #[test]
    fn only_a_known_and_valid_key_behind_bearer_is_a_caller() {
        let world = world();
        let key = &world.organizations()[0].keys()[0];
        let with = |value: &str| {
            let fields = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            Caller::identify(&world, &fields).map(|caller| caller.key.index())
        };
        assert_eq!(with(&format!("Bearer {}", key.secret())), Ok(0));
        assert_eq!(with(&format!("bEARER {}", key.secret())), Ok(0));
        assert_eq!(with(&format!("Basic {}", key.secret())), Err(Refusal::InvalidKey));
        assert_eq!(with(key.secret()), Err(Refusal::InvalidKey));
        assert_eq!(with("Bearer unknown"), Err(Refusal::InvalidKey));
        assert!(
            Caller::identify(&world, &HeaderMap::new()).is_err_and(|r| r == Refusal::MissingAuthorization)
        );
        key.revoke();
        assert_eq!(with(&format!("Bearer {}", key.secret())), Err(Refusal::InvalidKey));
    }
}
