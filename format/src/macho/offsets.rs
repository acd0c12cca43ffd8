//! Which fields of load commands point into `__LINKEDIT`.

use object::macho;

use super::MachOError;
use super::image::{Command, Image};

/// The places in the header of all 32-bit fields that hold an offset into `__LINKEDIT`, but for those of the segment itself and
/// of the code signature.
///
/// # Errors
/// [`MachOError::UnknownCommand`]: what is not known could hold one.
pub(super) fn of(image: &Image) -> Result<Vec<usize>, MachOError> {
    let mut places = Vec::new();
    for command in &image.commands {
        let fields = fields(command)
            .ok_or(MachOError::UnknownCommand { kind: command.kind.0, offset: command.at as u64 })?;
        places.extend(fields.iter().map(|field| command.at + field));
    }
    Ok(places)
}

/// The fields of one load command. None where it is not known.
const fn fields(command: &Command) -> Option<&'static [usize]> {
    Some(match command.kind {
        macho::LC_SYMTAB => &[8, 16],
        macho::LC_DYSYMTAB => &[32, 40, 48, 56, 64, 72],
        macho::LC_DYLD_INFO | macho::LC_DYLD_INFO_ONLY => &[8, 16, 24, 32, 40],
        macho::LC_SEGMENT_SPLIT_INFO
        | macho::LC_FUNCTION_STARTS
        | macho::LC_DATA_IN_CODE
        | macho::LC_DYLIB_CODE_SIGN_DRS
        | macho::LC_LINKER_OPTIMIZATION_HINT
        | macho::LC_ATOM_INFO
        | macho::LC_FUNCTION_VARIANTS
        | macho::LC_FUNCTION_VARIANT_FIXUPS
        | macho::LC_DYLD_EXPORTS_TRIE
        | macho::LC_DYLD_CHAINED_FIXUPS => &[8],
        macho::LC_SEGMENT_64
        | macho::LC_CODE_SIGNATURE
        | macho::LC_LOAD_DYLIB
        | macho::LC_LOAD_WEAK_DYLIB
        | macho::LC_REEXPORT_DYLIB
        | macho::LC_LOAD_UPWARD_DYLIB
        | macho::LC_LAZY_LOAD_DYLIB
        | macho::LC_LOAD_DYLINKER
        | macho::LC_DYLD_ENVIRONMENT
        | macho::LC_RPATH
        | macho::LC_UUID
        | macho::LC_MAIN
        | macho::LC_SOURCE_VERSION
        | macho::LC_BUILD_VERSION
        | macho::LC_VERSION_MIN_MACOSX
        | macho::LC_LINKER_OPTION
        | macho::LC_TARGET_TRIPLE => &[],
        _ => return None,
    })
}
