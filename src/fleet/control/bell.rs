//! The bell: a notice that comes without being asked for.

use super::Control;
use super::parse::Bell;
use super::rules::Rule;
use super::types::Apply;

impl Control {
    /// Who has applied the one before applies it, and beats to confirm; who has not beats to fetch what is missing. What
    /// cannot be read has rung all the same.
    pub(super) fn ring(&mut self, message: &[u8], apply: &mut impl Apply) {
        let bell = Bell::read(message);
        if let Ok(bell) = &bell {
            let here = self.history.is_some_and(|history| history.id == bell.history);
            if here && bell.number <= self.applied {
                return;
            }
            let follows = bell.before == self.applied || !self.rules.keep(Rule::BellAfterPredecessor);
            if here && follows {
                self.apply_one(bell.number, bell.body, apply);
            }
        }
        self.beats.ask_at_once();
    }
}
