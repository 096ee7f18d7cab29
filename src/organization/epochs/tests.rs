use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::resource::ListQuery;

fn list() -> Target {
    Target::List(ListQuery::default())
}

/// Ids that share no place.
fn ids() -> Vec<Uuid> {
    let mut places = std::collections::HashSet::new();
    let ids: Vec<Uuid> = (1..=8).map(Uuid::from_u128).collect();
    assert!(ids.iter().all(|id| places.insert(place_of(*id))));
    ids
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Something is fetched, with the next tick.
    Fetch,
    /// A write, or a purge of the organization.
    Invalidate(Extent),
    /// A purge of everything, whose tick was taken so many events before.
    InvalidateTo(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Fetch),
        4 => (0..8_usize).prop_map(|item| Event::Invalidate(Extent::Item(ids()[item]))),
        1 => Just(Event::Invalidate(Extent::Organization)),
        1 => (0..6_usize).prop_map(Event::InvalidateTo),
    ]
}

/// What a plain reader of the rule would keep: the last tick of each extent.
#[derive(Default)]
struct Model {
    all: u64,
    lists: u64,
    items: HashMap<Uuid, u64>,
}

impl Model {
    fn invalidate(&mut self, extent: Extent, tick: u64) {
        match extent {
            Extent::Organization => self.all = self.all.max(tick),
            Extent::Item(id) => {
                self.lists = self.lists.max(tick);
                self.items.insert(id, tick);
            }
        }
    }

    fn counts(&self, target: &Target, begun: u64) -> bool {
        begun >= self.all
            && match target {
                Target::List(_) => begun >= self.lists,
                Target::Item(id) => begun >= self.items.get(id).copied().unwrap_or_default(),
            }
    }

    fn latest(&self, extent: Extent) -> u64 {
        match extent {
            Extent::Organization => self.items.values().copied().max().unwrap_or_default().max(self.all),
            Extent::Item(id) => self.items.get(&id).copied().unwrap_or_default().max(self.all),
        }
    }
}

proptest! {
    #[test]
    fn what_counts_of_an_organization_is_what_was_begun_after_the_last_invalidation_that_concerns_it(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let (sequence, epochs, mut model) = (Sequence::default(), Epochs::default(), Model::default());
        let mut ticks = vec![sequence.current()];
        for event in events {
            match event {
                Event::Fetch => ticks.push(sequence.advance()),
                Event::Invalidate(extent) => {
                    let (tick, before) = epochs.invalidate(extent, &sequence);
                    prop_assert_eq!(before.0, model.latest(extent));
                    model.invalidate(extent, tick.0);
                    prop_assert_eq!(epochs.latest_by(tick, extent), Some(tick));
                    ticks.push(tick);
                }
                Event::InvalidateTo(back) => {
                    let tick = ticks[ticks.len().saturating_sub(1 + back)];
                    epochs.invalidate_to(tick);
                    model.invalidate(Extent::Organization, tick.0);
                }
            }
            for begun in &ticks {
                for target in ids().into_iter().map(Target::Item).chain([list()]) {
                    let counts = model.counts(&target, begun.0);
                    prop_assert_eq!(epochs.admit(&target, *begun), counts, "{:?} of {:?}", target, begun);
                }
            }
        }
    }

    #[test]
    fn an_item_that_shares_its_place_is_shut_out_rather_than_forgotten(ids in prop::collection::vec(any::<u128>(), 1..600)) {
        let (sequence, epochs) = (Sequence::default(), Epochs::default());
        let before = sequence.advance();
        for id in &ids {
            let _ = epochs.invalidate(Extent::Item(Uuid::from_u128(*id)), &sequence);
        }
        let admitted = ids.iter().filter(|id| epochs.admit(&Target::Item(Uuid::from_u128(**id)), before));
        prop_assert_eq!(admitted.count(), 0);
        prop_assert_eq!(epochs.of_all(), Tick::default(), "and the organization counts on");
    }
}

#[test]
fn ids_that_differ_in_a_few_bits_have_places_of_their_own() {
    // As a vendor makes them: numbered, by time (version 7), or by time with a node that stays (version 1).
    for shift in [0, 16, 64, 80, 96] {
        let mut places = [0_u32; PLACES];
        for number in 0..256_u128 {
            let id = Uuid::from_u128(0x0193_5c4b_0000_7abc_9def_0000_0000_0000 ^ (number << shift));
            places[place_of(id)] += 1;
        }
        let fullest = places.iter().max().copied().unwrap_or_default();
        assert!(fullest <= 4, "{fullest} of 256 ids share a place when shifted by {shift}");
    }
}

#[test]
fn a_write_is_told_from_another_of_its_label_and_not_from_one_of_another_label() {
    let (sequence, epochs) = (Sequence::default(), Epochs::default());
    let [one, other] = [1, 2].map(|number| Extent::Item(Uuid::from_u128(number)));
    let (own, _) = epochs.invalidate(one, &sequence);
    let _ = epochs.invalidate(other, &sequence);
    assert_eq!(epochs.latest_by(own, one), Some(own), "what another label's write changed is not this one's");
    let (_, before) = epochs.invalidate(one, &sequence);
    assert_eq!((before, epochs.latest_by(own, one)), (own, None), "it is not the last that wrote it");
    let (all, _) = epochs.invalidate(Extent::Organization, &sequence);
    assert_eq!(epochs.latest_by(all, Extent::Organization), Some(all));
    let _ = epochs.invalidate(other, &sequence);
    assert_eq!(epochs.latest_by(all, Extent::Organization), None, "which label that was is not asked");
}

#[test]
fn a_write_that_was_said_once_more_is_known_by_its_first_tick() {
    for extent in [Extent::Organization, Extent::Item(Uuid::from_u128(1))] {
        let (sequence, epochs) = (Sequence::default(), Epochs::default());
        let (own, _) = epochs.invalidate(extent, &sequence);
        let (again, before) = epochs.invalidate(extent, &sequence);
        assert_eq!(epochs.latest_by(own, extent), None, "it could be anybody's");
        epochs.note_again(again, before);
        assert_eq!(epochs.latest_by(own, extent), Some(again));
    }
}
