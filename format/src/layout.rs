//! Where the parts of a file that is to be written lie.

use crate::{ArtifactKind, Footer};

/// The weights start at a multiple of this many bytes of the whole file: pages of any of today's machines.
pub const WEIGHTS_ALIGNMENT: u64 = 65536;
/// Every other artifact starts at a multiple of this many bytes of the whole file.
pub const ALIGNMENT: u64 = 64;

/// The places of manifest, artifacts and footer, all from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The manifest's first byte: right behind the base binary.
    pub manifest_offset: u64,
    /// Kind and first byte of each artifact, in the order in which they are written.
    pub artifacts: Vec<(ArtifactKind, u64)>,
    /// The footer's first byte.
    pub footer_offset: u64,
}

impl Layout {
    /// Places artifacts of the given kinds and lengths behind a base binary and a manifest of the given lengths. The
    /// small ones stand first, beside the manifest that is read with them.
    ///
    /// None where the file would have more than 2⁶⁴ bytes.
    pub fn new(base_length: u64, manifest_length: u64, artifacts: &[(ArtifactKind, u64)]) -> Option<Self> {
        let mut order = artifacts.to_vec();
        order.sort_by_key(|&(kind, _)| (kind == ArtifactKind::Weights, kind.number()));
        let mut end = base_length.checked_add(manifest_length)?;
        let mut places = Vec::with_capacity(order.len());
        for (kind, length) in order {
            let alignment = if kind == ArtifactKind::Weights { WEIGHTS_ALIGNMENT } else { ALIGNMENT };
            let offset = end.checked_next_multiple_of(alignment)?;
            places.push((kind, offset));
            end = offset.checked_add(length)?;
        }
        end.checked_add(Footer::LENGTH)?;
        Some(Self { manifest_offset: base_length, artifacts: places, footer_offset: end })
    }

    /// Length of the whole file in bytes.
    pub const fn file_length(&self) -> u64 {
        self.footer_offset + Footer::LENGTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_artifacts_stand_first_and_all_are_aligned() {
        let lengths =
            [(ArtifactKind::Weights, 10), (ArtifactKind::Tokenizer, 1), (ArtifactKind::ModelConfig, 65)];
        let layout = Layout::new(1000, 30, &lengths).unwrap();
        let places = [
            (ArtifactKind::ModelConfig, 1088),
            (ArtifactKind::Tokenizer, 1216),
            (ArtifactKind::Weights, 65536),
        ];
        assert_eq!(layout.artifacts, places);
        assert_eq!(layout.footer_offset, 65546);
        assert_eq!(layout.file_length(), 65578);
    }

    #[test]
    fn what_overflows_has_no_layout() {
        assert_eq!(Layout::new(u64::MAX, 1, &[]), None);
        assert_eq!(Layout::new(1, 1, &[(ArtifactKind::Weights, u64::MAX)]), None);
        assert_eq!(Layout::new(u64::MAX - 20, 1, &[]), None);
    }
}
