//! Operators: what stands around a step, who holds which seat, how a step that an operator does ends.
//!
//! An operator is a client that may be away. So everything here is about requests and not about connections: a request
//! is named by its step and the generation of its seat, and a reply counts while that seat has not changed hands.

mod layer;

mod presence;

mod seat;

mod spawn;

pub use layer::{After, KindCascade, Performer, StepFacts, StepPlan, kind, plan};
pub use presence::{Presence, Standing, standing};
pub use seat::{Acquired, LaunchSeats, SeatError, acquire, launch};
pub use spawn::{Ack, SpawnEvent, SpawnState, reply_refused};
