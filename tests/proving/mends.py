"""Mends that can be taken back: what each promises, the edits that take it back, and the tests that must find it missing.

An edit is a file, what stands there exactly once, and what stands in its place. `finds` are the tests that must fail then;
`looks` are broader ones that are run with it, and told.
"""

SIMULATION = "proving::simulation::tests::no_answer_breaks_a_rule_whatever_callers_upstream_and_time_do"
FLEET = "proving::simulation::tests::no_answer_of_a_fleet_breaks_a_promise_whatever_befalls_its_store"
CALM = "proving::simulation::tests::while_all_is_well_no_more_is_asked_of_the_api_than_one_process_needs"
SEEDS = "proving::corpora::every_seed_of_every_corpus_keeps_the_promises_of_its_target"


class Mend:
    """One mend, by a name for the command line."""

    def __init__(self, name, promise, edits, finds, looks=()):
        self.name, self.promise, self.edits = name, promise, edits
        self.finds, self.looks = [tuple(test.split(" ")) for test in finds], [tuple(test.split(" ")) for test in looks]


MENDS = [
    Mend(
        "half_a_body",
        "a body of which only a part came is not taken for a whole one",
        [
            ("src/received.rs", "None if !this.is_whole() => {", "None if false => {"),
            ("src/received.rs", "self.is_at_its_end() && self.is_whole()", "self.is_at_its_end()"),
        ],
        [f"lib {SIMULATION}", "it whole_bodies::a_label_write_that_is_left_inside_its_body_is_not_sent"],
    ),
    Mend(
        "pinned_buffers",
        "what is remembered of an answer holds nothing of the connection's read buffer",
        [
            ("src/shield/refusals.rs", "content_type: content_type.map(owned::value) }", "content_type: content_type.cloned() }"),
            (
                "src/origin/whole.rs",
                "let fields = owned::fields(fields::forwardable_response(head.headers));",
                "let fields = fields::forwardable_response(head.headers);",
            ),
        ],
        [
            "lib shield::refusals::tests::what_is_kept_of_an_answer_shares_no_memory_with_it",
            "lib origin::whole::tests::an_answer_that_is_kept_holds_nothing_of_the_head_that_it_came_with",
        ],
    ),
    Mend(
        "first_proof_of_another",
        "a connection carries calls of one credential, so that no first proof comes from a body that was another caller's",
        [
            (
                "src/upstream/pool.rs",
                "let number = self.places.get_mut(&place)?.pop()?;",
                "let mut lane = self.places.iter_mut().filter(|(known, numbers)| known.lane == place.lane && !numbers.is_empty());\n"
                "        let number = lane.next()?.1.pop()?;",
            ),
        ],
        [f"lib {SEEDS}", "it connections::a_connection_belongs_to_one_credential_to_its_end"],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "fence_not_raised",
        "a write shuts out what was fetched before it",
        [
            (
                "src/fence.rs",
                "let (tick, before) = organization.invalidate(extent, &self.sequence);",
                "let _ = extent;\n        let (tick, before) = (self.sequence.advance(), organization.invalidated());",
            ),
        ],
        [f"lib {SIMULATION}", "lib fence::tests::a_raise_shuts_out_what_began_before_it_and_admits_what_began_after"],
    ),
    Mend(
        "lease_not_asked",
        "a replica serves as one of a fleet only while its lease holds",
        [
            (
                "src/fleet/lease.rs",
                "micros(read_at.uptime()) < self.uptime.load(Ordering::SeqCst)",
                "micros(read_at.uptime()) < u64::MAX",
            ),
            (
                "src/fleet/lease.rs",
                "&& micros(read_at.unix()) < self.unix.load(Ordering::SeqCst)",
                "&& micros(read_at.unix()) < u64::MAX",
            ),
        ],
        ["lib fleet::lease::tests::it_holds_until_its_end_on_either_clock"],
        ["lib fleet::control::simulation::no_read_shows_what_was_before_an_answered_write"],
    ),
    Mend(
        "proof_of_any_resource",
        "a proof by one resource gives no right to another",
        [
            (
                "src/caller/shard.rs",
                "        if self.first.resource == resource {\n            return Some(&self.first);",
                "        if true {\n            return Some(&self.first);",
            )
        ],
        ["it proofs_by_resource::a_key_without_the_scope_of_a_resource_never_gets_it_from_memory"],
        ["lib caller::bindings::tests"],
    ),
    Mend(
        "late_proof",
        "a 200 that was sent before a refusal came proves nothing",
        [
            (
                "src/caller/bindings.rs",
                "            return ProofResult::Late;\n        }\n        let digest = credential.digest();\n        let is_ended = shard.has_ended(organization, begun);\n        let Some(binding) = shard.bindings.peek_mut(&digest) else {\n            if is_ended {\n                return ProofResult::Late;\n            }\n            shard.bind(credential, organization, Proof::of_read(resource, begun, sent));",
                "        }\n        let digest = credential.digest();\n        let is_ended = shard.has_ended(organization, begun);\n        let Some(binding) = shard.bindings.peek_mut(&digest) else {\n            if is_ended {\n                return ProofResult::Late;\n            }\n            shard.bind(credential, organization, Proof::of_read(resource, begun, sent));",
            ),
        ],
        ["lib caller::bindings::tests::a_200_sent_before_a_refusal_arrived_proves_nothing"],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "written_before_a_purge",
        "what a write answers that was under way when its resource was purged is not stored",
        [
            (
                "src/proxy/settle.rs",
                "            && !self.cache.is_purged_since(write.subject.resource, begun.tick)\n",
                "",
            )
        ],
        ["it purge::what_a_write_answers_that_was_under_way_during_a_purge_is_not_stored"],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "moved_unnoticed",
        "an answer of another organization binds nobody to it",
        [
            (
                "src/caller/bindings.rs",
                "        if binding.organization.id() != organization.id() {\n            shard.unbind(digest, begun);",
                "        if false {\n            shard.unbind(digest, begun);",
            )
        ],
        ["lib caller::bindings::tests::a_key_that_moved_to_another_organization_is_unbound"],
        [f"lib {SIMULATION}"],
    ),
]

# The rules of the design, each taken out by itself. Those that the simulation has found missing are to be found again; of the
# others it is told.
MENDS += [
    Mend(
        "r1_age",
        "R1: a proof counts for proof.max_age",
        [
            (
                "src/caller/bindings.rs",
                "if age <= rules.max_age && !rules.max_age.is_zero() =>",
                "if age <= rules.max_age * 4 && !rules.max_age.is_zero() =>",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r1_refusal",
        "R1: a 401 ends the proofs of its Authorization",
        [
            (
                "src/caller/shard.rs",
                "credentials.map(|credential| self.bindings.peek_mut(credential).map_or(0, Binding::end_all));",
                "credentials.map(|credential| self.bindings.peek_mut(credential).map_or(0, |_| 0));",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r1_402",
        "R1: a 402 ends the proofs of its credential",
        [
            (
                "src/caller/shard.rs",
                "Ended::of(self.bindings.peek_mut(&credential).map_or(0, Binding::end_all))\n    }\n\n    pub(super) fn refuse_by(",
                "Ended::of(self.bindings.peek_mut(&credential).map_or(0, |_| 0))\n    }\n\n    pub(super) fn refuse_by(",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r1_403",
        "R1: a 403 on a label path ends the proof of its credential for labels",
        [
            (
                "src/caller/shard.rs",
                "Ended::of(usize::from(proof.is_some_and(Proof::end)))",
                "Ended::of(usize::from(proof.is_some_and(|proof| proof.sent.is_some())))",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r1_delivery",
        "R1 and R6: whoever waited for another's fetch is proven at the moment of delivery",
        [
            (
                "src/fetch/deliver.rs",
                "        (owner.is_some() || self.cache.is_shared(read.resource, response, rules))\n            && self.bindings",
                "        (owner.is_some() || self.cache.is_shared(read.resource, response, rules))\n            || self.bindings",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r2_workspace",
        "R2: who acts for a workspace is proven by that workspace alone",
        [
            (
                "src/cache/gate.rs",
                "    if expected.workspace.is_some_and(|workspace| workspace != organization.name()) {\n        return Err(GateReason::OtherWorkspace);\n    }\n    Ok(Identity",
                "    Ok(Identity",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r3_key",
        "R3: a key has its organization",
        [
            (
                "src/cache/key.rs",
                "#[derive(Clone, Debug, PartialEq, Eq, Hash)]\nenum Form {",
                "impl PartialEq for Form {\n    fn eq(&self, other: &Self) -> bool {\n        match (self, other) {\n            (Self::Item { id, .. }, Self::Item { id: other, .. }) => id == other,\n            (Self::Any(one), Self::Any(other)) => one == other,\n            _ => false,\n        }\n    }\n}\n\nimpl std::hash::Hash for Form {\n    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {\n        match self {\n            Self::Item { id, .. } => id.hash(state),\n            Self::Any(key) => key.hash(state),\n        }\n    }\n}\n\n#[derive(Clone, Debug, Eq)]\nenum Form {",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r4_organization",
        "R4: a body of another organization is nobody's",
        [
            (
                "src/cache/gate.rs",
                "if expected.organization.is_some_and(|bound| bound != organization) {",
                "if false {",
            ),
            (
                "src/caller/bindings.rs",
                "        if binding.organization.id() != organization.id() {\n            shard.unbind(digest, begun);",
                "        if false {\n            shard.unbind(digest, begun);",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r4_id",
        "R4: a body of another label is nobody's",
        [
            (
                "src/cache/gate.rs",
                "Target::Item(id) => check_id(&scan, *id)?,",
                "Target::Item(_) => {}",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r4a_grants",
        "R4a: an answer that shows who may see a label ends all sharing",
        [
            (
                "src/organization/sharing.rs",
                "        if shown.grants {\n            // First",
                "        if false {\n            // First",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r4a_witness",
        "R4a: nothing is shared before a list was seen",
        [
            (
                "src/rules.rs",
                "if self.cache.list_fill { Witness::Required } else { Witness::NotRequired }",
                "Witness::NotRequired",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r5_join",
        "R5: nobody joins a flight that began before a write",
        [
            (
                "src/fetch/deliver.rs",
                "        unwritten\n            && !self.cache",
                "        (unwritten || true)\n            && !self.cache",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r5_purge",
        "R5: nothing from before a purge is served",
        [
            (
                "src/cache/purge.rs",
                "        self.purged.is_since(resource, begun)",
                "        let _ = (resource, begun);\n        false",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r7_deadline",
        "R7: a read has a deadline",
        [
            (
                "src/fetch/deliver.rs",
                "arrived_at.plus(waited).plus(asker.reader.rules.timeouts.fill_timeout);",
                "arrived_at.plus(waited).plus(asker.reader.rules.timeouts.fill_timeout * 6);",
            ),
            (
                "src/fetch/task.rs",
                "let deadline = begun.sent.plus(fetch.rules.timeouts.fill_timeout);",
                "let deadline = begun.sent.plus(fetch.rules.timeouts.fill_timeout * 6);",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r7_stuck",
        "R7: a flight that ended leaves no key behind",
        [
            (
                "src/fetch/flight.rs",
                "if under_way.get(&self.key).is_some_and(|flight| flight.begun == self.begun) {",
                "if false {",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r8_query",
        "R8: a query that nobody knows is not answered from memory",
        [
            (
                "src/classify/mod.rs",
                "Place::Item(resource, id) if query.is_empty() =>",
                "Place::Item(resource, id) =>",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r9_twice",
        "R9: a write is sent once",
        [
            (
                "src/proxy/written.rs",
                "            retries: Retries::Never,",
                "            retries: Retries::Once,",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "r9_reset",
        "R9: of a stream that was reset, only one that says that it was refused is sent again",
        [
            (
                "src/upstream/failure.rs",
                "error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)",
                "error.is_reset()",
            ),
        ],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "p3_renewal",
        "R6, P3: a proof is renewed once three quarters of its life are over, and no earlier",
        [
            (
                "src/caller/bindings.rs",
                "renew: age >= rules.max_age * 3 / 4",
                "renew: age >= rules.max_age / 2",
            ),
        ],
        [f"lib {CALM}"],
    ),
    Mend(
        "p1_wait",
        "P1: the answer to a write waits until every replica has heard of it",
        [
            (
                "src/proxy/settle.rs",
                "            Some(open) => open.announce(self.notices()).await,",
                "            Some(open) => {\n                drop(open.announce(self.notices()).await);\n                Announced::Nobody\n            }",
            ),
        ],
        [],
        [f"lib {FLEET}"],
    ),
    Mend(
        "p4_refused",
        "P4: a refusal is told to all",
        [
            (
                "src/fleet/mod.rs",
                "            Ended::Proofs => self.tell(notice.clone()),",
                "            Ended::Proofs => {}",
            ),
        ],
        [],
        [f"lib {FLEET}"],
    ),
]
