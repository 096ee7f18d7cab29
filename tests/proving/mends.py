"""Mends that can be taken back: what each promises, the edits that take it back, and the tests that must find it missing.

An edit is a file, what stands there exactly once, and what stands in its place. `finds` are the tests that must fail then;
`looks` are broader ones that are run with it, and told.
"""

SIMULATION = "proving::simulation::tests::no_answer_breaks_a_rule_whatever_callers_upstream_and_time_do"
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
            ("src/received.rs", "self.body.is_end_stream() && self.is_whole()", "self.body.is_end_stream()"),
        ],
        ["it whole_bodies::a_label_write_that_is_left_inside_its_body_is_not_sent"],
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
                "            return ProofResult::Late;\n        }\n        let digest = credential.digest();\n        let is_ended = begun <= shard.ended;\n        let Some(binding) = shard.bindings.peek_mut(&digest) else {\n            if is_ended {\n                return ProofResult::Late;\n            }\n            shard.bind(credential, organization, Proof::of_read(resource, begun, sent));",
                "        }\n        let digest = credential.digest();\n        let is_ended = begun <= shard.ended;\n        let Some(binding) = shard.bindings.peek_mut(&digest) else {\n            if is_ended {\n                return ProofResult::Late;\n            }\n            shard.bind(credential, organization, Proof::of_read(resource, begun, sent));",
            ),
        ],
        ["lib caller::bindings::tests::a_200_sent_before_a_refusal_arrived_proves_nothing"],
        [f"lib {SIMULATION}"],
    ),
    Mend(
        "moved_unnoticed",
        "an answer of another organization binds nobody to it",
        [
            (
                "src/caller/bindings.rs",
                "        if binding.organization.id() != organization.id() {\n            // What a younger read",
                "        if false {\n            // What a younger read",
            )
        ],
        ["lib caller::bindings::tests::a_key_that_moved_to_another_organization_is_unbound"],
        [f"lib {SIMULATION}"],
    ),
]
