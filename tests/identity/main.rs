//! Who a certificate is: the conformance vectors, the reasons for refusals, what
//! a map of users refuses, and what no input may do.

mod certificates;
mod directory;
mod lines;
mod make;
mod mapping;
mod properties;
mod roles;
mod vectors;
