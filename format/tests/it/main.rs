//! The crate as its users see it: real files on a real file system.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod base;
mod damage;
mod hostile;
mod mach_o;
mod malformed;
mod memory;
mod onnx;
mod protobuf;
mod round_trip;
mod sample;
mod seventh;
mod specification;
mod writer;
