//! Members of the admin workspace's group: who may be acted for with `x-as-workspace`.
//!
//! The admin workspace lists all of them, a member reads its own membership and finds its admin; any other workspace finds nothing.

use http::{Response, StatusCode, Uri};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Refusal, json};
use super::operation::{Operation, Resource};
use super::organization::Organization;
use super::query::{item_id, limit, parameter, uuid};
use super::sketch::OPENING;
use super::world::World;
use crate::body::Body;

/// Members a page where the request names no `limit`.
const DEFAULT_LIMIT: usize = 10;

/// The group, as one workspace sees it.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) world: &'a World,
    /// Who is acted for.
    pub(super) asker: &'a Organization,
}

impl<'a> Group<'a> {
    /// `GET /api/v2/workspace-group-members`. A cursor is the last id of the page.
    pub(super) fn list(self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let limit = limit(uri, DEFAULT_LIMIT)?;
        let members: Vec<_> = if self.asker.is_admin() { self.members().collect() } else { Vec::new() };
        let after = parameter(uri, "starting_after").and_then(|text| uuid(&text));
        let begin = after.and_then(|after| members.iter().position(|member| self.id_of(member) == after));
        let page: Vec<_> = members.into_iter().skip(begin.map_or(0, |at| at + 1)).take(limit).collect();
        let items: Vec<_> = page.iter().map(|member| self.membership(member)).collect();
        let mut answer = json!({ "items": items });
        if let Some(last) = page.last().filter(|_| page.len() == limit) {
            answer["next_starting_after"] = self.id_of(last).to_string().into();
        }
        Ok(json(StatusCode::OK, answer.to_string().into()))
    }

    /// `GET /api/v2/workspace-group-members/{id}`.
    pub(super) fn read(self, path: &str) -> Result<Response<Body>, Refusal> {
        let id = item_id(Operation::item(Resource::GroupMembers, path))?;
        let sees = |member: &&Organization| self.asker.is_admin() || member.id() == self.asker.id();
        self.found(self.members().filter(sees).find(|member| self.id_of(member) == id))
    }

    /// `GET /api/v2/workspace-group-members/admin`: the asker's own membership, with its admin's name.
    pub(super) fn admin(self) -> Result<Response<Body>, Refusal> {
        self.found(self.members().find(|member| member.id() == self.asker.id()))
    }

    fn members(self) -> impl Iterator<Item = &'a Organization> {
        self.world.organizations().iter().filter(|organization| organization.is_member())
    }

    fn found(self, member: Option<&Organization>) -> Result<Response<Body>, Refusal> {
        let member = self.membership(member.ok_or(Refusal::NotFound)?);
        Ok(json(StatusCode::OK, member.to_string().into()))
    }

    /// One of its own for every pair of workspaces.
    fn id_of(self, member: &Organization) -> Uuid {
        let mixed = self.world.admin().id().as_u128() ^ member.id().as_u128();
        uuid::Builder::from_random_bytes(mixed.to_be_bytes()).into_uuid()
    }

    fn membership(self, member: &Organization) -> Value {
        let admin = self.world.admin();
        json!({
            "id": self.id_of(member),
            "admin_workspace_id": admin.id(),
            "sub_workspace_id": member.id(),
            "status": "accepted",
            "timestamp_created": OPENING,
            "timestamp_updated": OPENING,
            "sub_workspace_name": member.name(),
            "admin_workspace_name": admin.name(),
        })
    }
}
