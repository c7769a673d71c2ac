//! A request on its way through the threads, and whether a long read may begin.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::audit::Entry;
use crate::auth::User;
use crate::db::Question;
use crate::dispatch::{Step, Target};
use crate::envelope::Response;
use crate::error::Result;
use crate::exchange::Exchange;
use crate::memory::{NO_ROOM, Share, Wait};
use crate::network;
use crate::request::Request;
use crate::routes::Lane;

/// How long a request may wait for a thread. After that it is refused: its client has probably given up.
pub const QUEUE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a long read may wait for room before it is refused.
const ROOM_PATIENCE: Duration = Duration::from_secs(3);

/// A request that is being handled.
pub struct Job {
    /// Everything that is needed to answer it.
    pub exchange: Exchange,
    pub request: Request,
    /// The route that its path and method lead to.
    pub target: Target,
    /// The user, once the token has been checked.
    pub user: Option<User>,
    /// How far it has come.
    pub stage: Stage,
    /// The memory of its rows and its body, if they are long.
    pub share: Option<Share>,
    /// Since when there has been no room for it.
    no_room_since: Option<Instant>,
}

/// How far a request has come.
pub enum Stage {
    /// Its route is known.
    Found,
    /// Its handler has returned this step.
    Begun(Step),
    /// Its answer is ready, but the audit trail must have this entry before anyone sees it.
    Answered(Result<Response>, Entry),
}

/// Whether a long read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Begins,
    Waits,
    /// It is refused, for this reason.
    Refused(&'static str),
}

impl Job {
    /// A request whose route has been found.
    pub fn new(exchange: Exchange, request: Request, target: Target) -> Job {
        Job { exchange, request, target, user: None, stage: Stage::Found, share: None, no_room_since: None }
    }

    /// A request whose handler has returned this step.
    pub fn begun(exchange: Exchange, request: Request, target: Target, user: Option<User>, step: Step) -> Job {
        Job { user, stage: Stage::Begun(step), ..Job::new(exchange, request, target) }
    }

    /// The client's network, which gets one turn in the queues.
    pub fn network(&self) -> IpAddr {
        network::client_site(self.exchange.client)
    }

    /// The id of the user, if it is known.
    pub fn user_id(&self) -> Option<i64> {
        self.user.as_ref().map(|user| user.id)
    }

    /// Its question, if that may share a round trip.
    pub fn question(&self) -> Option<&Question> {
        match &self.stage {
            Stage::Begun(Step::Ask(ask)) => ask.batched(),
            _ => None,
        }
    }

    /// The number of the statement that makes its record; 0 for everything else.
    pub fn kind(&self) -> usize {
        match &self.stage {
            Stage::Begun(Step::Create(creation)) => creation.question.query.index,
            _ => 0,
        }
    }

    /// The lane of a thread that may wait for it.
    pub fn lane(&self) -> Lane {
        match &self.stage {
            Stage::Begun(Step::Ask(ask)) if ask.is_long() => Lane::LongReading,
            Stage::Begun(Step::Create(creation)) if creation.is_batched() => Lane::Gathering,
            _ => Lane::Waiting,
        }
    }

    /// Lets a long read begin, if it is its turn and there is room.
    pub fn admit(&mut self, app: &App) -> Admission {
        if app.pulse.is_frozen() {
            return Admission::Refused("the database does not answer");
        }
        if self.exchange.started.elapsed() >= QUEUE_PATIENCE {
            return Admission::Refused("it waited too long in the queue");
        }
        match app.memory.begin_read(self.user_id()) {
            Ok(share) => {
                self.share = Some(share);
                Admission::Begins
            }
            Err(Wait::OwnReads) => Admission::Waits,
            Err(Wait::Room(last_begin)) => {
                // As long as other long reads begin, the queue moves, and this one waits its turn.
                let since = *self.no_room_since.get_or_insert_with(Instant::now);
                let waited = last_begin.map_or(since, |last_begin| last_begin.max(since)).elapsed();
                if waited < ROOM_PATIENCE { Admission::Waits } else { Admission::Refused(NO_ROOM) }
            }
        }
    }
}
