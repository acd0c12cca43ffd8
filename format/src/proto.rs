//! The messages of `proto/`, as `prost` generates them. Nothing outside this crate sees them.

#[expect(unreachable_pub, reason = "generated")]
#[allow(clippy::pedantic, reason = "generated")]
pub(crate) mod manifest {
    include!(concat!(env!("OUT_DIR"), "/encoderfile.manifest.rs"));
}

#[expect(unreachable_pub, reason = "generated")]
#[allow(clippy::pedantic, reason = "generated")]
pub(crate) mod stamp {
    include!(concat!(env!("OUT_DIR"), "/encoderfile.stamp.rs"));
}

#[expect(unreachable_pub, reason = "generated")]
#[allow(clippy::pedantic, reason = "generated")]
pub(crate) mod transform {
    include!(concat!(env!("OUT_DIR"), "/encoderfile.transform.rs"));
}
