//! Who a certificate is: the conformance vectors, the reasons for refusals, what
//! a map of users refuses, and what no input may do.

mod certificates;
mod craft;
mod directory;
mod extraction;
mod gates;
mod lines;
mod make;
mod mapping;
mod matching;
mod names;
mod properties;
mod recognition;
mod roles;
mod vectors;
mod ways;
