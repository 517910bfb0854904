//! The rules as a whole: the acceptance vectors of the flow language, and the machines of flows and proposals.

mod documents;

mod driver;

mod flow_ask;

mod flow_call;

mod flow_machine;

mod flow_properties;

mod flow_vectors;

mod proposal_driver;

mod proposal_machine;

mod proposal_properties;
