//! The campaigns of an organization: `/api/v2/campaigns`. What a campaign sends is not simulated.
//! <https://developer.instantly.ai/api-reference/schemas/campaign>

use std::time::Duration;

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use serde_json::json as members;

use super::answer::{Refusal, json};
use super::organization::Organization;
use super::query::parameter;
use super::shelf::{Members, required, stamp};
use super::sketch::OPENING;
use crate::body::Body;

/// `status` of a campaign that sends.
const ACTIVE: u8 = 1;
/// And of one that does not.
const PAUSED: u8 = 2;

/// One organization's campaigns, as one request finds them.
#[derive(Clone, Copy)]
pub(super) struct Campaigns<'a> {
    pub(super) organization: &'a Organization,
    pub(super) now: Duration,
}

impl Campaigns<'_> {
    /// `GET /campaigns`, with an entity tag: 304 to an `If-None-Match` that knows it.
    pub(super) async fn list(self, uri: &Uri, fields: &HeaderMap) -> Result<Response<Body>, Refusal> {
        let search = parameter(uri, "search").unwrap_or_default();
        let status = parameter(uri, "status");
        let answer = self.organization.shelves().campaigns.page(uri, |campaign| {
            campaign["name"].as_str().is_some_and(|name| name.contains(&search))
                && status.as_ref().is_none_or(|wanted| campaign["status"].as_i64() == wanted.parse().ok())
        })?;
        Ok(with_entity_tag(answer, fields).await)
    }

    /// `POST /campaigns`
    pub(super) fn create(self, body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        let campaign = self.campaign(&required(body, "name")?, PAUSED);
        self.organization.shelves().campaigns.create(campaign, None)
    }

    /// `PATCH /campaigns/{id}`: its name.
    pub(super) fn update(self, id: &str, body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        let name = required(body, "name")?;
        self.organization.shelves().campaigns.edit(id, |campaign| {
            campaign.insert("name".to_owned(), name.into());
            campaign.insert("timestamp_updated".to_owned(), stamp(self.now));
        })
    }

    /// `POST /campaigns/{id}/activate`
    pub(super) fn activate(self, id: &str) -> Result<Response<Body>, Refusal> {
        self.set_status(id, ACTIVE)
    }

    /// `POST /campaigns/{id}/pause`
    pub(super) fn pause(self, id: &str) -> Result<Response<Body>, Refusal> {
        self.set_status(id, PAUSED)
    }

    fn set_status(self, id: &str, status: u8) -> Result<Response<Body>, Refusal> {
        self.organization.shelves().campaigns.edit(id, |campaign| {
            campaign.insert("status".to_owned(), status.into());
            campaign.insert("timestamp_updated".to_owned(), stamp(self.now));
        })
    }

    /// The two that an organization has from the start.
    pub(super) fn from_the_start(organization: &Organization) -> impl Iterator<Item = Members> {
        (1..=2_u8).map(move |number| {
            let id = uuid::Uuid::from_u128(organization.id().as_u128() ^ u128::from(number));
            let name = format!("Campaign {number} {}", organization.canary());
            made(&id.to_string(), &name, number, organization)
        })
    }

    fn campaign(self, name: &str, status: u8) -> Members {
        let id = self.organization.shelves().new_id(self.now).to_string();
        let mut campaign = made(&id, name, status, self.organization);
        for stamped in ["timestamp_created", "timestamp_updated"] {
            campaign.insert(stamped.to_owned(), stamp(self.now));
        }
        campaign
    }
}

fn made(id: &str, name: &str, status: u8, organization: &Organization) -> Members {
    let schedule = members!({"schedules": [{
        "name": "Office hours",
        "timing": {"from": "09:00", "to": "17:00"},
        "days": {"1": true, "2": true},
        "timezone": "Etc/GMT+12",
    }]});
    let campaign = members!({
        "id": id,
        "name": name,
        "status": status,
        "campaign_schedule": schedule,
        "timestamp_created": OPENING,
        "timestamp_updated": OPENING,
        "organization": organization.id(),
    });
    campaign.as_object().cloned().unwrap_or_default()
}

async fn with_entity_tag(answer: Response<Body>, fields: &HeaderMap) -> Response<Body> {
    use http_body_util::BodyExt;
    let Ok(body) = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes) else {
        return json(StatusCode::INTERNAL_SERVER_ERROR, "{}".into());
    };
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..16]);
    let mut answer = if knows(fields, &tag) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        json(StatusCode::OK, body)
    };
    answer.headers_mut().insert(ETAG, HeaderValue::try_from(tag).expect("quoted hexadecimal digits"));
    answer
}

/// RFC 9110 §13.1.2, by weak comparison: any tag of the list, or `*`.
fn knows(fields: &HeaderMap, tag: &str) -> bool {
    fields
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_compared_weakly_with_each_of_the_list() {
        for (known, matches) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let fields = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(known))]);
            assert_eq!(knows(&fields, "\"a\""), matches, "{known}");
        }
        assert!(!knows(&HeaderMap::new(), "\"a\""));
    }
}
