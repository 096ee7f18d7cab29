//! The world that is simulated: organizations with their keys and lead labels, all made from one seed.
//!
//! The same seed gives the same names, ids, keys and texts, and more organizations change none of the first ones. Every
//! text of an organization holds its canary, so that a byte of it can be told wherever it turns up.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::campaigns::Campaigns;
use super::config::SimulatorConfig;
use super::custom_tags::CustomTags;
use super::keys::Key;
use super::lead_lists::LeadLists;
use super::organization::Organization;

/// Every organization, and one admin workspace that can act for most of them.
pub struct World {
    /// The admin workspace is the last.
    organizations: Box<[Organization]>,
    keys: HashMap<Box<str>, KeyPlace>,
}

#[derive(Clone, Copy, Debug)]
struct KeyPlace {
    organization: usize,
    key: usize,
}

impl World {
    pub(super) fn new(config: &SimulatorConfig) -> Self {
        let mut seeds = fastrand::Rng::with_seed(config.seed);
        let shared = config.shared_label_ids.then(|| seeds.fork());
        // Before the others, so that the admin workspace stays the same whatever their number.
        let admin = seeds.fork();
        let mut rngs: Vec<_> = (0..config.organizations).map(|_| seeds.fork()).collect();
        rngs.push(admin);
        let organizations: Box<[_]> = rngs
            .into_iter()
            .enumerate()
            .map(|(index, rng)| Organization::new(index, config, shared.clone(), rng))
            .collect();
        organizations.iter().for_each(fill_shelves);
        let mut keys = HashMap::new();
        for (organization, found) in organizations.iter().enumerate() {
            for (key, of_it) in found.keys().iter().enumerate() {
                keys.insert(of_it.secret().into(), KeyPlace { organization, key });
            }
        }
        Self { organizations, keys }
    }

    /// The organizations, without the admin workspace.
    #[must_use]
    pub fn organizations(&self) -> &[Organization] {
        &self.organizations[..self.organizations.len() - 1]
    }

    /// The admin workspace, whose keys act for a member with `x-as-workspace`. It has lead labels of its own.
    #[must_use]
    pub fn admin(&self) -> &Organization {
        &self.organizations[self.organizations.len() - 1]
    }

    /// The organization with this id, the admin workspace included.
    #[must_use]
    pub fn organization(&self, id: Uuid) -> Option<&Organization> {
        self.organizations.iter().find(|organization| organization.id() == id)
    }

    /// Lines for people: each organization with its keys and one label id. The one place that shows keys.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for organization in &self.organizations {
            organization.describe(&mut text).expect("a String takes all that is written");
        }
        text
    }

    pub(super) fn every_organization(&self) -> &[Organization] {
        &self.organizations
    }

    pub(super) fn key(&self, secret: &str) -> Option<(&Organization, &Key)> {
        let place = self.keys.get(secret)?;
        let organization = &self.organizations[place.organization];
        Some((organization, &organization.keys()[place.key]))
    }
}

/// A few tags, lead lists and campaigns.
fn fill_shelves(organization: &Organization) {
    let (shelves, now) = (organization.shelves(), Duration::ZERO);
    for phrase in ["Important", "Paused", "Second domain"] {
        let name = format!("{phrase} {}", organization.canary());
        shelves.tags.put(CustomTags { organization, now }.tag(&name, None));
        shelves.lead_lists.put(LeadLists { organization, now }.lead_list(&name));
    }
    for campaign in Campaigns::from_the_start(organization) {
        shelves.campaigns.put(campaign);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("organizations", &self.organizations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(change: impl FnOnce(&mut SimulatorConfig)) -> World {
        let mut config = SimulatorConfig::default();
        change(&mut config);
        World::new(&config)
    }

    #[test]
    fn the_same_seed_makes_the_same_world() {
        assert_eq!(world(|_| ()).describe(), world(|_| ()).describe());
        assert_ne!(world(|_| ()).describe(), world(|config| config.seed += 1).describe());
    }

    #[test]
    fn more_organizations_leave_the_first_ones_and_the_admin_workspace_as_they_were() {
        let (few, many) = (world(|_| ()), world(|config| config.organizations = 9));
        assert_eq!(few.organizations()[2].labels(), many.organizations()[2].labels());
        assert_eq!(few.organizations()[2].keys()[0].secret(), many.organizations()[2].keys()[0].secret());
        assert_eq!(few.admin().id(), many.admin().id());
    }

    #[test]
    fn label_ids_differ_between_organizations_unless_they_are_shared() {
        let ids = |world: &World, at: usize| -> Vec<Uuid> {
            world.organizations()[at].labels().iter().map(|label| label.id).collect()
        };
        let apart = world(|_| ());
        assert!(ids(&apart, 0).iter().all(|id| !ids(&apart, 1).contains(id)));
        let shared = world(|config| config.shared_label_ids = true);
        assert_eq!(ids(&shared, 0), ids(&shared, 1));
        assert_eq!(ids(&shared, 0).len(), 12);
    }

    #[test]
    fn every_label_holds_the_canary_of_its_organization_alone() {
        let world = world(|config| config.shared_label_ids = true);
        for organization in world.every_organization() {
            for other in world.every_organization() {
                let holds = other.labels().iter().all(|label| label.label.contains(organization.canary()));
                assert_eq!(holds, organization.id() == other.id());
            }
        }
    }

    #[test]
    fn label_numbers_are_unique_in_an_organization_and_texts_too() {
        let labels = world(|config| config.labels_per_organization = 60).organizations()[0].labels();
        let mut numbers: Vec<_> = labels.iter().map(|label| (label.interest_status, &label.label)).collect();
        numbers.sort_unstable();
        numbers.dedup_by(|a, b| a.0 == b.0 || a.1 == b.1);
        assert_eq!(numbers.len(), 60);
    }

    #[test]
    fn debug_output_shows_no_key() {
        let world = world(|_| ());
        let debug = format!("{world:?}");
        assert!(world.organizations()[0].keys().iter().all(|key| !debug.contains(key.secret())));
    }
}
