//! The pure parts, with thousands of inputs that nobody would think of: what is accepted keeps the rules, what keeps the rules
//! is accepted, and nothing panics.

mod fields;
mod statements;
mod wire;
