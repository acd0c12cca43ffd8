//! The code signature of an image that is put together by hand.

use sha2::{Digest as _, Sha256};

/// What a signature is to be like.
#[derive(Debug, Clone)]
pub struct SignatureOptions {
    /// Flags of the code directory.
    pub flags: u32,
    /// What the program is called.
    pub identifier: String,
    /// Binary logarithm of the size of its pages.
    pub page_shift: u8,
    /// Slots and contents of the blobs that the code directory holds digests of.
    pub parts: Vec<(u32, Vec<u8>)>,
    /// Content of the blob with which somebody would vouch for it.
    pub identity: Option<Vec<u8>>,
}

impl Default for SignatureOptions {
    /// As linkers sign.
    fn default() -> Self {
        Self {
            flags: 0x20002,
            identifier: "encoderfile-runtime-test".to_owned(),
            page_shift: 12,
            parts: Vec::new(),
            identity: None,
        }
    }
}

impl SignatureOptions {
    /// Bytes that are set aside for the signature of an image that it stands at byte `limit` of.
    pub(super) fn length(&self, limit: usize) -> usize {
        self.blobs(&vec![0; limit], 0).len().next_multiple_of(16)
    }

    fn blobs(&self, signed: &[u8], text: usize) -> Vec<u8> {
        let blob = |magic: u32, content: &[u8]| {
            let length = u32::try_from(content.len() + 8).expect("small");
            [&magic.to_be_bytes(), &length.to_be_bytes(), content].concat()
        };
        let parts: Vec<_> =
            self.parts.iter().map(|(slot, content)| (*slot, blob(0xfade_7171, content))).collect();
        let identity = self.identity.as_ref().map(|content| blob(0xfade_0b01, content));

        let special = parts.iter().map(|(slot, _)| *slot).max().unwrap_or(0);
        let pages: Vec<_> = signed.chunks(1 << self.page_shift).map(Sha256::digest).collect();
        let before = 88 + self.identifier.len() + 1;
        let hashes = before + special as usize * 32;
        let length = hashes + pages.len() * 32;
        let word = |number: usize| u32::try_from(number).expect("small");
        let mut directory = [
            0xfade_0c02,
            word(length),
            0x20400,
            self.flags,
            word(hashes),
            88,
            special,
            word(pages.len()),
            word(signed.len()),
            u32::from_be_bytes([32, 2, 0, self.page_shift]),
            0,
            0,
            0,
            0,
            0,
            0,
        ]
        .map(u32::to_be_bytes)
        .concat();
        directory.extend([0, text as u64, 1].map(u64::to_be_bytes).concat());
        directory.extend(self.identifier.bytes());
        directory.push(0);
        for slot in (1..=special).rev() {
            let part = parts.iter().find(|(other, _)| *other == slot);
            directory.extend(part.map_or([0; 32], |(_, blob)| Sha256::digest(blob).into()));
        }
        directory.extend(pages.iter().flatten());

        let mut blobs = vec![(0, directory)];
        blobs.extend(parts);
        blobs.extend(identity.map(|identity| (0x10000, identity)));
        let mut index = Vec::new();
        let mut content = Vec::new();
        let start = 12 + 8 * blobs.len();
        for (slot, blob) in &blobs {
            index.extend([*slot, word(start + content.len())].map(u32::to_be_bytes).concat());
            content.extend(blob);
        }
        let head = [0xfade_0cc0, word(start + content.len()), word(blobs.len())].map(u32::to_be_bytes);
        [head.concat(), index, content].concat()
    }
}

/// Signs an image that is complete but for its signature.
pub(super) fn append(image: &mut Vec<u8>, options: &SignatureOptions, text: usize) {
    let blobs = options.blobs(image, text);
    let end = image.len() + options.length(image.len());
    image.extend(blobs);
    image.resize(end, 0);
}

/// Signs an image again, as Apple's tools do: at the place of the old signature. Where that is longer, its end stays.
///
/// # Panics
/// Where it is no image with a signature.
pub fn sign_again(image: &[u8], options: &SignatureOptions) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes")) as usize;
    let (mut at, mut linkedit, mut signature, mut text) = (32, None, None, 0);
    for _ in 0..word(16) {
        match word(at) {
            0x19 if image[at + 8..].starts_with(b"__LINKEDIT\0") => linkedit = Some(at),
            0x19 if image[at + 8..].starts_with(b"__TEXT\0") => text = word(at + 48),
            0x1d => signature = Some(at),
            _ => {}
        }
        at += word(at + 4);
    }
    let (linkedit, signature) = (linkedit.expect("a segment"), signature.expect("a signature"));
    let (offset, room) = (word(signature + 8), word(signature + 12));
    let length = options.length(offset).max(room);
    let mut again = image.to_vec();
    again.resize(offset + length, 0);
    let size = offset + length - word(linkedit + 40);
    again[signature + 12..signature + 16]
        .copy_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
    for (field, size) in [(32, size.next_multiple_of(0x4000)), (48, size)] {
        again[linkedit + field..linkedit + field + 8].copy_from_slice(&(size as u64).to_le_bytes());
    }
    let blobs = options.blobs(&again[..offset], text);
    again[offset..offset + blobs.len()].copy_from_slice(&blobs);
    again
}
