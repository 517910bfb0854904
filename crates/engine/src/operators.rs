//! Operators: clients that do steps, are asked, and may be away.
//!
//! ```text
//! a step that an operator has to do with (step.rs)
//!   → a request of whoever holds the seat (desk.rs), which waits for its operator as long as the step may take
//!   → the operator's socket takes it (link.rs); its reply goes to the task of the step
//!   → what a later stage needs is durable (step_stages) before the step goes on
//! ```
//!
//! Nothing of a request is kept but the step that makes it: the next daemon performs the step again, and its request
//! has the same name. Who holds a seat is written by the run's owner alone (run.rs).

mod call;

mod desk;

mod directory;

mod handover;

mod link;

mod run;

mod spawn;

mod step;

mod worker;

pub use adjutant_rules::delivery::Claim;
pub use adjutant_rules::operator::{Ack, Acquired};
pub use call::{OperatorCall, OperatorReply, SpawnCall};
pub use directory::{JoinParams, OperatorInfo};
pub use handover::{Assignees, Handover, Material, SeatInfo, Unanswered};
pub use link::OperatorLink;
pub use worker::{Body, Delivery, SystemText, WorkerPrompt, claim};

pub(crate) use desk::Operators;
pub(crate) use directory::{get, join, leave, list, load, sweep};
pub(crate) use handover::{acquire, assignees, handover, material};
pub(crate) use link::attach;
pub(crate) use run::{AcquireQuestion, RunOperators, launch, resume};
pub(crate) use step::perform;
pub(crate) use worker::{deliver, prompt};
