//! The rules as a whole: the acceptance vectors of the flow language and the properties of its machine.

mod documents;

mod driver;

mod flow_machine;

mod flow_properties;

mod flow_vectors;
