//! What happens to the cluster, one thing after the other, and what it meant for the people who worked meanwhile.

use std::time::{Duration, Instant};

use crate::clinic::{Clinic, wait_until};
use crate::people::{Notes, People};
use crate::tale::Tale;

/// How long a client waits at most to be refused: the 4 s of a lock, and its way.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// How long after a fault the last request is refused: the 20 s of the leader's key, and the election.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// How many registrations, changes and logins show that the clinic works again.
const ENOUGH: usize = 20;

pub struct Story {
    pub clinic: Clinic,
    people: People,
    /// What happened, and when.
    events: Vec<(&'static str, Instant)>,
}

impl Story {
    pub fn begin(clinic: Clinic, people: People) -> Story {
        let mut story = Story { clinic, people, events: Vec::new() };
        story.happens("nothing", |_| ());
        story
    }

    /// This happens, and the people work on.
    pub fn happens(&mut self, what: &'static str, act: impl FnOnce(&mut Clinic)) {
        println!("{what}");
        self.events.push((what, Instant::now()));
        act(&mut self.clinic);
        let done = Instant::now();
        wait_until("registrations, changes and logins", || self.people.served_since(done) >= ENOUGH);
    }

    /// The same, and then the cluster is whole again.
    pub fn heals(&mut self, what: &'static str, act: impl FnOnce(&mut Clinic)) {
        self.happens(what, act);
        self.clinic.until_whole();
    }

    /// Everybody stops. Prints what each event meant, and checks that nobody waited too long.
    pub fn end(self) -> (Clinic, Notes) {
        let end = Instant::now();
        let mut notes = self.people.stop();
        let tale = notes.tale();
        println!("| event | requests | refused | the longest wait for a refusal | the last refusal after |");
        println!("|---|---|---|---|---|");
        let ends = self.events.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let parts: Vec<(&str, Instant, Tale)> = self
            .events
            .iter()
            .zip(ends)
            .map(|((what, from), until)| (*what, *from, tale.between(*from, until)))
            .collect();
        for (what, from, part) in &parts {
            let (all, refused) = (part.told.len(), part.refused().count());
            let [longest, last] = [part.longest(), part.refused_until(*from)].map(|time| time.as_secs_f64());
            println!("| {what} | {all} | {refused} | {longest:.1} s | {last:.1} s |");
        }
        tale.expect_only_503(&[200, 201, 404, 409, 412], REFUSED_WITHIN);
        for (what, from, part) in &parts {
            let last = part.refused_until(*from);
            assert!(last < BACK_WITHIN, "{what}: a request was refused after {last:?}");
        }
        (self.clinic, notes)
    }
}

impl Tale {
    /// From this moment until the last refusal.
    pub fn refused_until(&self, fault: Instant) -> Duration {
        self.refused().map(|told| told.ended().saturating_duration_since(fault)).max().unwrap_or_default()
    }

    /// What was told between these moments.
    pub fn between(&self, from: Instant, until: Instant) -> Tale {
        let told = self.told.iter().filter(|told| told.ended() >= from && told.ended() < until);
        Tale { told: told.cloned().collect() }
    }
}
