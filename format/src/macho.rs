//! Mach-O, the container of macOS, and the code signature that macOS wants to see in it.
//!
//! macOS runs only what is signed, and data behind a signature is not covered by it. So a model does not stand behind a Mach-O
//! image but in it, as a segment of its own, and the whole is signed anew. Everything here is for thin 64-bit images.
//!
//! Sources: Apple's `mach-o/loader.h`, `mach-o/fixup-chains.h` and `kern/cs_blobs.h`; what the kernel, the loader and
//! `codesign` insist on is read out of xnu-11417, dyld-1378, Security-61901 and cctools-1035.

mod ad_hoc;
mod base;
mod bytes;
mod code_signature;
mod error;
mod fixups;
mod image;
mod offsets;
mod pages;
mod room;

pub use base::check_mach_o_base;
pub(crate) use base::{BaseImage, Insertion, Part};
pub use code_signature::{CodeSignature, code_signature, verify_code_signature};
pub use error::{CodeSignatureError, MachOError};
pub(crate) use image::{Image, ModelSegment, is_mach_o};
pub(crate) use pages::PageHashes;

pub use room::{HeaderRoom, header_room};
