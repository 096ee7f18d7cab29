//! The way of a request through the simulated API, on one screen.
//!
//! Order: who calls, count, budget, faults before, then route, key, budget, scope and endpoint, then faults after, the
//! edge, the cut. Everything is shared by handle; no lock is held across a wait.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::answer::Refusal;
use super::book::When;
use super::caller::Caller;
use super::campaigns::Campaigns;
use super::config::SimulatorConfig;
use super::counters::{Arrived, Counters};
use super::custom_tags::CustomTags;
use super::edge::{Client, Edge};
use super::faults::{Faults, Target};
use super::group_members::Group;
use super::hits::{Disconnected, Hits};
use super::labels::Labels;
use super::lead_lists::LeadLists;
use super::limits::OverLimit;
use super::operation::{Operation, Verb};
use super::organization::Organization;
use super::query::json_body;
use super::world::World;
use super::{accounts, leads, reference, transfers, workspaces};
use crate::body::Body;
use crate::clock::Clock;
use crate::received::Received;

/// Everything that requests share.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) world: World,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    edge: Edge,
    missing_scope: StatusCode,
}

impl Api {
    pub(super) fn new(config: &SimulatorConfig, clock: Clock) -> Self {
        let world = World::new(config);
        Self {
            counters: Counters::new(world.every_organization(), config.recent_requests),
            world,
            faults: Faults::default(),
            clock,
            edge: if config.edge { Edge::on(config.seed) } else { Edge::off() },
            missing_scope: config.missing_scope,
        }
    }

    /// Answers one request; the error is a connection that is to end without an answer.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        connection: u64,
    ) -> Result<Response<Body>, Disconnected> {
        let (head, body) = request.into_parts();
        let mut body = Received::request(body, head.version, &head.headers);
        let is_to_be_read = head.version < Version::HTTP_2 && !body.is_end_stream();
        let unread = is_to_be_read.then(|| body.unread_on_http1(&head.headers));
        let verb = Verb::of(&head.method);
        let operation = Operation::of(verb, head.uri.path());
        let client = Client::of(&head.method, &head.headers);
        let caller = Caller::identify(&self.world, &head.headers);
        let known = caller.as_ref().ok();
        let key = known.map(|caller| caller.key.index());
        let organization = known.map(|caller| caller.acting_for);
        let _under_way =
            self.counters.arrived(&Arrived { head: &head, connection, verb, operation, key, organization });
        let budget = known.map_or(Ok(()), |caller| spend(caller, self.clock.now().uptime()));
        let organization = organization.map(Organization::id);
        let hits = self.faults.hitting(Target { organization, key, operation });

        hits.before(&self.clock).await?;
        let answer = match hits.instead() {
            Some(answer) => {
                drop(body);
                answer
            }
            None => {
                let call = Call { caller, budget, operation, hits: &hits };
                self.act(call, head, body).await.unwrap_or_else(|refusal| refusal.response())
            }
        };
        let answer = hits.after(answer).await;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.counters.refused_as_unauthorized();
        }
        let mut answer = self.edge.finish(client, answer);
        if let Some(unread) = unread {
            unread.discard(&self.clock).await;
            // The connection ends behind an upload that nobody read: a client that is not told sends its next request on it.
            if unread.is_any() {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Ok(hits.cut(answer))
    }

    async fn act(&self, call: Call<'_>, head: Parts, body: Received) -> Result<Response<Body>, Refusal> {
        let caller = call.caller?;
        call.budget.map_err(Refusal::RateLimit)?;
        caller.require(call.operation.scope(), self.missing_scope)?;

        let organization = caller.acting_for;
        let uri = &head.uri;
        let labels = Labels {
            organization,
            key: caller.key,
            when: When { now: self.clock.now().uptime(), lag: call.hits.lag() },
            extra: call.hits.extra_member(),
        };
        let group = Group { world: &self.world, asker: organization };
        match call.operation {
            Operation::ListLabels => labels.list(uri),
            Operation::ReadLabel => labels.read(uri.path()),
            Operation::CreateLabel => labels.create(json_body(&head, body).await?),
            Operation::UpdateLabel => labels.update(uri.path(), json_body(&head, body).await?),
            Operation::DeleteLabel => labels.delete(uri.path(), json_body(&head, body).await?),
            Operation::ClassifyReply => labels.classify(&json_body(&head, body).await?),
            Operation::ListLeads => {
                json_body(&head, body).await?;
                Ok(leads::list(organization))
            }
            Operation::ListAccounts => accounts::list(organization, uri),
            Operation::ReadAccount => accounts::read(organization, uri.path()),
            Operation::ListGroupMembers => group.list(uri),
            Operation::ReadGroupMember => group.read(uri.path()),
            Operation::ReadGroupAdmin => group.admin(),
            Operation::Download => transfers::download(uri),
            Operation::Upload => transfers::upload(body, &self.counters.uploaded).await,
            Operation::NoContent => Ok(reference::no_content()),
            Operation::UnknownRoute => {
                let target = uri.path_and_query().map_or("/", |target| target.as_str());
                Err(Refusal::UnknownRoute(format!("{}:{target}", head.method)))
            }
            operation => self.act_on_shelves(operation, organization, head, body).await,
        }
    }

    /// What is kept on shelves: tags, lead lists, campaigns, and the workspace itself.
    async fn act_on_shelves(
        &self,
        operation: Operation,
        organization: &Organization,
        head: Parts,
        body: Received,
    ) -> Result<Response<Body>, Refusal> {
        let now = self.clock.now().uptime();
        let body = if matches!(head.method, Method::GET | Method::HEAD) {
            None
        } else {
            json_body(&head, body).await?
        };
        let (uri, body) = (&head.uri, body.as_ref());
        let (id, shelves) = (Operation::shelved_item(uri.path()), organization.shelves());
        let tags = CustomTags { organization, now };
        let lead_lists = LeadLists { organization, now };
        let campaigns = Campaigns { organization, now };
        match operation {
            Operation::ListTags => tags.list(uri),
            Operation::ReadTag => shelves.tags.read(id),
            Operation::CreateTag => tags.create(body),
            Operation::UpdateTag => tags.update(id, body),
            Operation::DeleteTag => shelves.tags.delete(id),
            Operation::ToggleTags => CustomTags::toggle(body),
            Operation::ListLeadLists => lead_lists.list(uri),
            Operation::ReadLeadList => shelves.lead_lists.read(id),
            Operation::CreateLeadList => lead_lists.create(body),
            Operation::UpdateLeadList => lead_lists.update(id, body),
            Operation::DeleteLeadList => shelves.lead_lists.delete(id),
            Operation::ListCampaigns => campaigns.list(uri, &head.headers).await,
            Operation::ReadCampaign => shelves.campaigns.read(id),
            Operation::CreateCampaign => campaigns.create(body),
            Operation::UpdateCampaign => campaigns.update(id, body),
            Operation::DeleteCampaign => shelves.campaigns.delete(id),
            Operation::ActivateCampaign => campaigns.activate(id),
            Operation::PauseCampaign => campaigns.pause(id),
            Operation::UpdateWorkspace => workspaces::update(organization, now, body),
            _ => Ok(workspaces::read(organization)),
        }
    }
}

/// A request whose way to its endpoint is known.
struct Call<'a> {
    caller: Result<Caller<'a>, Refusal>,
    budget: Result<(), OverLimit>,
    operation: Operation,
    hits: &'a Hits,
}

/// Counts a call against the workspace it acts for, and against the key's own where that is another: the vendor does not
/// say which, so both must have room.
fn spend(caller: &Caller<'_>, now: Duration) -> Result<(), OverLimit> {
    let own =
        if caller.home.id() == caller.acting_for.id() { Ok(()) } else { caller.home.account().call(now) };
    caller.acting_for.account().call(now).and(own)
}
