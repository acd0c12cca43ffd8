//! Where the parts of a file that is to be written lie.

use crate::{ArtifactKind, Footer};

/// Weights and external data start at a multiple of this many bytes of the whole file: pages of any of today's machines.
pub const WEIGHTS_ALIGNMENT: u64 = 65536;
/// Every other artifact starts at a multiple of this many bytes of the whole file.
pub const ALIGNMENT: u64 = 64;
/// The segment of a Mach-O image that holds all of them has a multiple of this many bytes: pages of any Mac.
const SEGMENT_ALIGNMENT: u64 = 16 << 10;

/// The places of manifest, artifacts and footer, all from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The manifest's first byte: right behind the base binary, or what comes first of it.
    pub manifest_offset: u64,
    /// Which artifact, as it was counted when they were given, and its first byte; in the order in which they are written.
    pub artifacts: Vec<(usize, u64)>,
    /// The footer's first byte.
    pub footer_offset: u64,
}

impl Layout {
    /// Places artifacts of the given kinds and lengths behind a manifest that starts at a byte and has a length. The
    /// small ones stand first, beside the manifest that is read with them; those of one kind keep their order.
    ///
    /// None where the file would have more than 2⁶⁴ bytes.
    pub fn new(
        manifest_offset: u64,
        manifest_length: u64,
        artifacts: &[(ArtifactKind, u64)],
    ) -> Option<Self> {
        let mut order: Vec<_> = artifacts.iter().enumerate().collect();
        order.sort_by_key(|(_, (kind, _))| (kind.is_mapped(), kind.number()));
        let mut end = manifest_offset.checked_add(manifest_length)?;
        let mut places = Vec::with_capacity(order.len());
        for (index, &(kind, length)) in order {
            let alignment = if kind.is_mapped() { WEIGHTS_ALIGNMENT } else { ALIGNMENT };
            let offset = end.checked_next_multiple_of(alignment)?;
            places.push((index, offset));
            end = offset.checked_add(length)?;
        }
        end.checked_add(Footer::LENGTH)?;
        Some(Self { manifest_offset, artifacts: places, footer_offset: end })
    }

    /// The same within a segment of a Mach-O image, which starts with the manifest, ends with the footer and has a multiple of
    /// 16 KiB. None where that would have more than 2⁶⁴ bytes.
    #[must_use]
    pub fn in_segment(self) -> Option<Self> {
        let length = self.payload_end() - self.manifest_offset;
        let length = length.checked_next_multiple_of(SEGMENT_ALIGNMENT)?;
        let end = self.manifest_offset.checked_add(length)?;
        Some(Self { footer_offset: end - Footer::LENGTH, ..self })
    }

    /// One past the footer: length of the whole file in bytes, unless more of a Mach-O image follows.
    pub const fn payload_end(&self) -> u64 {
        self.footer_offset + Footer::LENGTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_artifacts_stand_first_and_all_are_aligned() {
        let lengths = [
            (ArtifactKind::Weights, 10),
            (ArtifactKind::Source, 3),
            (ArtifactKind::ExternalData, 5),
            (ArtifactKind::Tokenizer, 1),
            (ArtifactKind::ModelConfig, 65),
            (ArtifactKind::Source, 2),
        ];
        let layout = Layout::new(1000, 30, &lengths).unwrap();
        let places = [(4, 1088), (3, 1216), (1, 1280), (5, 1344), (0, 65536), (2, 131_072)];
        assert_eq!(layout.artifacts, places);
        assert_eq!(layout.footer_offset, 131_077);
        assert_eq!(layout.payload_end(), 131_109);
    }

    #[test]
    fn a_segment_has_whole_pages() {
        let layout = |length| Layout::new(0x5000, 30, &[(ArtifactKind::Tokenizer, length)]).unwrap();
        // The tokenizer starts 64 bytes behind the manifest.
        let end = |length| layout(length).in_segment().unwrap().payload_end();
        assert_eq!(end(1), 0x9000);
        assert_eq!(end(0x4000 - 64 - 32), 0x9000);
        assert_eq!(end(0x4000 - 64 - 31), 0xd000);
        let (plain, segment) = (layout(1), layout(1).in_segment().unwrap());
        assert_eq!((plain.manifest_offset, plain.artifacts), (segment.manifest_offset, segment.artifacts));
    }

    #[test]
    fn what_overflows_has_no_layout() {
        assert_eq!(Layout::new(u64::MAX, 1, &[]), None);
        assert_eq!(Layout::new(1, 1, &[(ArtifactKind::Weights, u64::MAX)]), None);
        assert_eq!(Layout::new(u64::MAX - 20, 1, &[]), None);
    }
}
