//! [`Operation`]: what a request asks of the API, by method and path, and the scope that it needs.
//!
//! Paths are compared as they come: another case, a trailing slash or an escape is an unknown route, as with the
//! vendor's router.

use http::Method;

use super::keys::Scope;
use crate::closed_enum::closed_enum;

closed_enum! {
    /// What a request asks for. HEAD asks for what GET does.
    pub enum Operation {
        /// `GET /api/v2/lead-labels`
        ListLabels = "list_labels",
        /// `GET /api/v2/lead-labels/{id}`
        ReadLabel = "read_label",
        /// `POST /api/v2/lead-labels`
        CreateLabel = "create_label",
        /// `PATCH /api/v2/lead-labels/{id}`
        UpdateLabel = "update_label",
        /// `DELETE /api/v2/lead-labels/{id}`
        DeleteLabel = "delete_label",
        /// `POST /api/v2/lead-labels/ai-reply-label`
        ClassifyReply = "classify_reply",
        /// `GET /api/v2/workspaces/current`
        CurrentWorkspace = "current_workspace",
        /// `GET /api/v2/campaigns`, with a validator: answers 304 to a matching `If-None-Match`
        ListCampaigns = "list_campaigns",
        /// `GET /api/v2/custom-tags`
        ListTags = "list_custom_tags",
        /// `GET /api/v2/custom-tags/{id}`
        ReadTag = "read_custom_tag",
        /// `POST /api/v2/custom-tags`
        CreateTag = "create_custom_tag",
        /// `PATCH /api/v2/custom-tags/{id}`
        UpdateTag = "update_custom_tag",
        /// `DELETE /api/v2/custom-tags/{id}`
        DeleteTag = "delete_custom_tag",
        /// `GET /api/v2/lead-lists`
        ListLeadLists = "list_lead_lists",
        /// `GET /api/v2/lead-lists/{id}`
        ReadLeadList = "read_lead_list",
        /// `POST /api/v2/lead-lists`
        CreateLeadList = "create_lead_list",
        /// `PATCH /api/v2/lead-lists/{id}`
        UpdateLeadList = "update_lead_list",
        /// `DELETE /api/v2/lead-lists/{id}`
        DeleteLeadList = "delete_lead_list",
        /// `GET /api/v2/campaigns/{id}`
        ReadCampaign = "read_campaign",
        /// `POST /api/v2/campaigns`
        CreateCampaign = "create_campaign",
        /// `PATCH /api/v2/campaigns/{id}`
        UpdateCampaign = "update_campaign",
        /// `DELETE /api/v2/campaigns/{id}`
        DeleteCampaign = "delete_campaign",
        /// `POST /api/v2/campaigns/{id}/activate`
        ActivateCampaign = "activate_campaign",
        /// `POST /api/v2/campaigns/{id}/pause`
        PauseCampaign = "pause_campaign",
        /// `POST /api/v2/custom-tags/toggle-resource`
        ToggleTags = "toggle_custom_tags",
        /// `PATCH /api/v2/workspaces/current`
        UpdateWorkspace = "update_workspace",
        /// `POST /api/v2/leads/list`
        ListLeads = "list_leads",
        /// `GET /api/v2/accounts`
        ListAccounts = "list_accounts",
        /// `GET /api/v2/accounts/{email}`
        ReadAccount = "read_account",
        /// `GET /api/v2/workspace-group-members`
        ListGroupMembers = "list_group_members",
        /// `GET /api/v2/workspace-group-members/{id}`
        ReadGroupMember = "read_group_member",
        /// `GET /api/v2/workspace-group-members/admin`
        ReadGroupAdmin = "read_group_admin",
        /// `GET /api/v2/sim/download?bytes=N&chunked=BOOL`
        Download = "download",
        /// `POST` or `PUT /api/v2/sim/upload`
        Upload = "upload",
        /// `GET`, `POST` or `DELETE /api/v2/sim/no-content`: 204
        NoContent = "no_content",
        /// Anything else: 404.
        UnknownRoute = "unknown_route",
    }
}

closed_enum! {
    /// A method, for counting.
    pub enum Verb {
        /// GET
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// POST
        Post = "POST",
        /// PUT
        Put = "PUT",
        /// PATCH
        Patch = "PATCH",
        /// DELETE
        Delete = "DELETE",
        /// Any other.
        Other = "other",
    }
}

impl Verb {
    pub(super) fn of(method: &Method) -> Self {
        Self::ALL.iter().copied().find(|verb| verb.as_str() == method.as_str()).unwrap_or(Self::Other)
    }
}

impl Operation {
    pub(super) fn of(verb: Verb, path: &str) -> Self {
        let Some(path) = path.strip_prefix("/api/v2/") else { return Self::UnknownRoute };
        let verb = if verb == Verb::Head { Verb::Get } else { verb };
        match (verb, path) {
            (Verb::Get, "lead-labels") => Self::ListLabels,
            (Verb::Post, "lead-labels") => Self::CreateLabel,
            (Verb::Post, "lead-labels/ai-reply-label") => Self::ClassifyReply,
            (Verb::Get, "workspaces/current") => Self::CurrentWorkspace,
            (Verb::Get, "campaigns") => Self::ListCampaigns,
            (Verb::Post, "leads/list") => Self::ListLeads,
            (Verb::Get, "accounts") => Self::ListAccounts,
            (Verb::Get, path) if Resource::Accounts.item(path).is_some() => Self::ReadAccount,
            (Verb::Get, "workspace-group-members") => Self::ListGroupMembers,
            (Verb::Get, "workspace-group-members/admin") => Self::ReadGroupAdmin,
            (Verb::Get, path) if Resource::GroupMembers.item(path).is_some() => Self::ReadGroupMember,
            (Verb::Get, "sim/download") => Self::Download,
            (Verb::Post | Verb::Put, "sim/upload") => Self::Upload,
            (Verb::Get | Verb::Post | Verb::Delete, "sim/no-content") => Self::NoContent,
            (Verb::Patch, "workspaces/current") => Self::UpdateWorkspace,
            (Verb::Post, "custom-tags/toggle-resource") => Self::ToggleTags,
            (_, path) if Resource::Labels.item(path).is_none() => Self::of_shelf(verb, path),
            (Verb::Get, _) => Self::ReadLabel,
            (Verb::Patch, _) => Self::UpdateLabel,
            (Verb::Delete, _) => Self::DeleteLabel,
            _ => Self::UnknownRoute,
        }
    }

    /// Of the resources that are kept on shelves.
    fn of_shelf(verb: Verb, path: &str) -> Self {
        let (collection, below) = match path.split_once('/') {
            Some((collection, below)) => (collection, Some(below)),
            None => (path, None),
        };
        let [list, create, read, update, delete] = match collection {
            "custom-tags" => {
                [Self::ListTags, Self::CreateTag, Self::ReadTag, Self::UpdateTag, Self::DeleteTag]
            }
            "lead-lists" => [
                Self::ListLeadLists,
                Self::CreateLeadList,
                Self::ReadLeadList,
                Self::UpdateLeadList,
                Self::DeleteLeadList,
            ],
            "campaigns" => [
                Self::ListCampaigns,
                Self::CreateCampaign,
                Self::ReadCampaign,
                Self::UpdateCampaign,
                Self::DeleteCampaign,
            ],
            _ => return Self::UnknownRoute,
        };
        match (verb, below.map(|below| below.split_once('/').unwrap_or((below, "")))) {
            (Verb::Get, None) => list,
            (Verb::Post, None) => create,
            (_, Some(("", _))) => Self::UnknownRoute,
            (Verb::Post, Some((_, "activate"))) if collection == "campaigns" => Self::ActivateCampaign,
            (Verb::Post, Some((_, "pause"))) if collection == "campaigns" => Self::PauseCampaign,
            // With a slash behind it, too.
            _ if below.is_some_and(|below| below.contains('/')) => Self::UnknownRoute,
            (Verb::Get, Some(_)) => read,
            (Verb::Patch, Some(_)) => update,
            (Verb::Delete, Some(_)) => delete,
            _ => Self::UnknownRoute,
        }
    }

    /// The segment behind a collection on a shelf.
    pub(super) fn shelved_item(path: &str) -> &str {
        path.split('/').nth(4).unwrap_or_default()
    }

    /// The last segment of the path of a resource's item, whatever it looks like.
    pub(super) fn item(resource: Resource, path: &str) -> &str {
        path.strip_prefix("/api/v2/").and_then(|path| resource.item(path)).unwrap_or_default()
    }

    /// `None`: any valid key will do.
    pub(super) const fn scope(self) -> Option<Scope> {
        let (resource, action) = match self {
            Self::ListLabels | Self::ReadLabel | Self::ClassifyReply => ("lead-labels", "read"),
            Self::CreateLabel => ("lead-labels", "create"),
            Self::UpdateLabel => ("lead-labels", "update"),
            Self::DeleteLabel => ("lead-labels", "delete"),
            Self::CurrentWorkspace => ("workspaces", "read"),
            Self::UpdateWorkspace => ("workspaces", "update"),
            Self::ListCampaigns | Self::ReadCampaign => ("campaigns", "read"),
            Self::CreateCampaign => ("campaigns", "create"),
            Self::UpdateCampaign | Self::ActivateCampaign | Self::PauseCampaign => ("campaigns", "update"),
            Self::DeleteCampaign => ("campaigns", "delete"),
            Self::ListTags | Self::ReadTag => ("custom_tags", "read"),
            Self::CreateTag => ("custom_tags", "create"),
            Self::UpdateTag | Self::ToggleTags => ("custom_tags", "update"),
            Self::DeleteTag => ("custom_tags", "delete"),
            Self::ListLeadLists | Self::ReadLeadList => ("lead_lists", "read"),
            Self::CreateLeadList => ("lead_lists", "create"),
            Self::UpdateLeadList => ("lead_lists", "update"),
            Self::DeleteLeadList => ("lead_lists", "delete"),
            Self::ListLeads => ("leads", "read"),
            Self::ListAccounts | Self::ReadAccount => ("accounts", "read"),
            Self::ListGroupMembers | Self::ReadGroupMember | Self::ReadGroupAdmin => {
                ("workspace-group-members", "read")
            }
            Self::Download | Self::Upload | Self::NoContent | Self::UnknownRoute => return None,
        };
        Some(Scope { resource, action })
    }
}

/// What has items with a path each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Labels,
    Accounts,
    GroupMembers,
}

impl Resource {
    /// The item that a path behind `/api/v2/` names.
    fn item(self, path: &str) -> Option<&str> {
        let collection = match self {
            Self::Labels => "lead-labels",
            Self::Accounts => "accounts",
            Self::GroupMembers => "workspace-group-members",
        };
        let segment = path.strip_prefix(collection)?.strip_prefix('/')?;
        (!segment.is_empty() && !segment.contains('/')).then_some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_path_decide_what_is_asked() {
        for (method, path, operation) in [
            ("GET", "/api/v2/lead-labels", Operation::ListLabels),
            ("HEAD", "/api/v2/lead-labels", Operation::ListLabels),
            ("POST", "/api/v2/lead-labels", Operation::CreateLabel),
            ("GET", "/api/v2/lead-labels/abc", Operation::ReadLabel),
            ("PATCH", "/api/v2/lead-labels/abc", Operation::UpdateLabel),
            ("DELETE", "/api/v2/lead-labels/abc", Operation::DeleteLabel),
            ("POST", "/api/v2/lead-labels/ai-reply-label", Operation::ClassifyReply),
            ("PUT", "/api/v2/sim/upload", Operation::Upload),
            ("GET", "/api/v2/custom-tags", Operation::ListTags),
            ("POST", "/api/v2/custom-tags/toggle-resource", Operation::ToggleTags),
            ("PATCH", "/api/v2/lead-lists/abc", Operation::UpdateLeadList),
            ("GET", "/api/v2/campaigns/abc", Operation::ReadCampaign),
            ("POST", "/api/v2/campaigns/abc/pause", Operation::PauseCampaign),
            ("GET", "/api/v2/campaigns/abc/", Operation::UnknownRoute),
            ("GET", "/api/v2/custom-tags/abc/activate", Operation::UnknownRoute),
            ("PATCH", "/api/v2/workspaces/current", Operation::UpdateWorkspace),
            ("GET", "/api/v2/accounts", Operation::ListAccounts),
            ("GET", "/api/v2/accounts/a@b.example", Operation::ReadAccount),
            ("PATCH", "/api/v2/accounts/a@b.example", Operation::UnknownRoute),
            ("GET", "/api/v2/accounts/a/pause", Operation::UnknownRoute),
            ("GET", "/api/v2/workspace-group-members/admin", Operation::ReadGroupAdmin),
            ("GET", "/api/v2/workspace-group-members/abc", Operation::ReadGroupMember),
            ("PUT", "/api/v2/lead-labels/abc", Operation::UnknownRoute),
            ("GET", "/api/v2/lead-labels/", Operation::UnknownRoute),
            ("GET", "/api/v2/lead-labels/abc/", Operation::UnknownRoute),
            ("GET", "/api/v2/Lead-Labels", Operation::UnknownRoute),
            ("OPTIONS", "/api/v2/lead-labels", Operation::UnknownRoute),
            ("GET", "/api/v1/lead-labels", Operation::UnknownRoute),
        ] {
            let verb = Verb::of(&Method::from_bytes(method.as_bytes()).unwrap());
            assert_eq!(Operation::of(verb, path), operation, "{method} {path}");
        }
    }
}
