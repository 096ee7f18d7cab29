//! [`Organization`]: one tenant, with its keys, its book of lead labels and its account of calls.

use std::fmt;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::book::{Book, Deletion, Interest, Label, When};
use super::config::SimulatorConfig;
use super::keys::{Key, SCOPES, random_uuid};
use super::limits::{Account, Peak};
use super::ownership::{Grants, Ownership};
use super::shelf::Shelves;
use super::sketch::{OPENING, Sketch, interest_number, label_id, label_sketches};
use crate::lock::{Mutex, MutexGuard};

/// An organization, which the vendor also calls a workspace.
pub struct Organization {
    index: usize,
    id: Uuid,
    name: String,
    owner: Uuid,
    canary: String,
    admin: bool,
    member: AtomicBool,
    keys: Vec<Key>,
    book: Mutex<Book>,
    account: Mutex<Account>,
    ownership: Ownership,
    shelves: Shelves,
    rng: Mutex<fastrand::Rng>,
}

impl Organization {
    /// The one at the place behind the last organization is the admin workspace. The last of several is in no group:
    /// somebody has to be refused.
    pub(super) fn new(
        index: usize,
        config: &SimulatorConfig,
        shared: Option<fastrand::Rng>,
        mut rng: fastrand::Rng,
    ) -> Self {
        let admin = index == config.organizations;
        let outside = config.organizations > 1 && index + 1 == config.organizations;
        let key_count = config.keys_per_organization.max(1);
        let id = random_uuid(&mut rng);
        let mut organization = Self {
            index,
            id,
            name: if admin { "Admin workspace".to_owned() } else { format!("Organization {}", index + 1) },
            owner: random_uuid(&mut rng),
            canary: format!("canary-{:08x}", rng.u32(..)),
            admin,
            member: AtomicBool::new(!admin && !outside),
            keys: (0..key_count)
                .map(|kind| Key::new(index * key_count + kind, SCOPES[kind % SCOPES.len()], &mut rng))
                .collect(),
            book: Mutex::new(Book::new(Vec::new())),
            account: Mutex::new(Account::new(config.limits)),
            ownership: Ownership::default(),
            // With shared ids, the same ones in every organization.
            shelves: Shelves::new(if config.shared_label_ids { config.seed } else { id.as_u64_pair().1 }),
            rng: Mutex::new(rng.fork()),
        };
        let sketches = label_sketches(config.labels_per_organization, shared.unwrap_or(rng));
        let labels = sketches.iter().enumerate().map(|(number, sketch)| organization.label(number, sketch));
        let book = Book::new(labels.collect());
        organization.book = Mutex::new(book);
        if index == 0
            && let Some(grants) = config.ownership
        {
            organization.own_from_the_start(grants);
        }
        organization
    }

    /// The tenant's UUID: `organization_id` of its labels, and the value of `x-as-workspace`.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// A name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user who owns the workspace and made its labels.
    #[must_use]
    pub const fn owner(&self) -> Uuid {
        self.owner
    }

    /// A text that only this organization's labels hold.
    #[must_use]
    pub fn canary(&self) -> &str {
        &self.canary
    }

    /// Its keys. By position: `all:all`; `lead-labels:read`; `campaigns:read` (no label scope); `lead-labels:all` with
    /// `workspaces:read`; `all:read`; and so on from the start.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Its lead labels as they are, the oldest first; replication lag hides nothing here.
    #[must_use]
    pub fn labels(&self) -> Vec<Label> {
        self.book().labels().cloned().collect()
    }

    /// The label with this id.
    #[must_use]
    pub fn label_with(&self, id: Uuid) -> Option<Label> {
        self.book().labels().find(|label| label.id == id).cloned()
    }

    /// The latest deletions through the API, at most a thousand, with what became of the leads.
    #[must_use]
    pub fn deletions(&self) -> Vec<Deletion> {
        self.book().deletions()
    }

    /// The most calls that arrived in any second and any minute.
    #[must_use]
    pub fn peak(&self) -> Peak {
        self.account().peak()
    }

    /// Whether a key of the admin workspace can act for it.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.member.load(Ordering::Acquire)
    }

    /// Leaves the admin workspace's group, as an owner can at any time.
    pub fn leave_group(&self) {
        self.member.store(false, Ordering::Release);
    }

    /// Switches resource ownership on or off, as an owner can at any time.
    pub fn set_ownership(&self, grants: Option<Grants>) {
        self.ownership.set(grants);
    }

    /// Hides a label from a key, for as long as ownership is on.
    pub fn hide(&self, key: &Key, label: Uuid) {
        self.ownership.hide(key, label);
    }

    /// Every third label is hidden from every key but those that may do everything.
    fn own_from_the_start(&self, grants: Grants) {
        for key in self.keys.iter().filter(|key| !key.scopes().contains(&"all:all")) {
            for label in self.labels().iter().step_by(3) {
                self.hide(key, label.id);
            }
        }
        self.set_ownership(Some(grants));
    }

    pub(super) const fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// What it has besides its labels.
    pub(super) const fn shelves(&self) -> &Shelves {
        &self.shelves
    }

    pub(super) const fn is_admin(&self) -> bool {
        self.admin
    }

    /// Position in the world; the admin workspace is the last.
    pub(super) const fn index(&self) -> usize {
        self.index
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }

    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock()
    }

    /// A label as somebody asks for it, before it is in the book; number and id are chosen here.
    pub(super) fn blank_label(&self, interest: Interest, now: Duration) -> Label {
        let made = OPENING.plus(now);
        let mut rng = self.rng.lock();
        Label {
            id: label_id(made, &mut rng),
            timestamp_created: made,
            // Only keys make labels here.
            created_by: None,
            organization_id: self.id,
            label: String::new(),
            interest_status_label: interest,
            interest_status: interest_number(interest, rng.usize(1000..29_000)),
            description: None,
            use_with_ai: None,
        }
    }

    fn label(&self, number: usize, sketch: &Sketch) -> Label {
        Label {
            id: sketch.id,
            timestamp_created: sketch.made,
            created_by: Some(self.owner),
            organization_id: self.id,
            label: format!("{} {}", sketch.phrase, self.canary),
            interest_status_label: sketch.interest,
            interest_status: interest_number(sketch.interest, number),
            description: (number % 3 != 2).then(|| format!("Used by {} ({})", self.name, self.canary)),
            use_with_ai: [Some(true), Some(false), None][number % 3],
        }
    }

    pub(super) fn edit_label(&self, id: Uuid, now: Duration, edit: impl FnOnce(&mut Label)) -> bool {
        self.book().edit(id, When { now, lag: Duration::ZERO }, edit).is_some()
    }

    pub(super) fn describe(&self, text: &mut String) -> fmt::Result {
        let role = match (self.admin, self.is_member()) {
            (true, _) => "acts for members with x-as-workspace",
            (false, true) => "member of the admin workspace's group",
            (false, false) => "in no group",
        };
        let labels = self.labels();
        writeln!(text, "{} {} ({} lead labels, {role})", self.name, self.id, labels.len())?;
        for key in &self.keys {
            writeln!(text, "  key {:<3} {} {}", key.index(), key.secret(), key.scopes().join(" "))?;
        }
        if let Some(label) = labels.first() {
            writeln!(text, "  lead label {} \"{}\"", label.id, label.label)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Organization")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
