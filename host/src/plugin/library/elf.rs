//! The facts in a plugin's ELF file, read before any of its code runs.
//!
//! `dlopen` runs constructors, and dies of SIGBUS on a file that is shorter than its headers say.
//! So everything that can be refused by reading is refused here. Knows bytes only: no files, no
//! loading.

use super::count::Count;
use super::database;
use crate::plugin::refusal::Refusal;
use hotcall_plugin::abi;
use object::LittleEndian;
use object::elf;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use std::mem::size_of;
use std::ops::Range;

type Header = elf::FileHeader64<LittleEndian>;
type Ranges = Vec<Range<u64>>;
const LE: LittleEndian = LittleEndian;

/// The size of `hotcall_plugin` in ABI 1.0, and so the least that a plugin of this major has.
pub(crate) const PLUGIN_SIZE_MIN: usize = 128;

/// The note's section.
const NOTE_SECTION: &[u8] = b".note.hotcall";
/// How many shared-between-generations symbols a warning names.
const UNIQUE_NAMED_MAX: usize = 3;

#[cfg(target_arch = "x86_64")]
const MACHINE: (elf::Machine, &str) = (elf::EM_X86_64, "x86-64");
#[cfg(target_arch = "aarch64")]
const MACHINE: (elf::Machine, &str) = (elf::EM_AARCH64, "aarch64");

/// What a file that may be loaded says of itself.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The ABI it was built with: major, minor.
    pub(crate) abi: (u32, u32),
    /// Where its table stands, relative to where the library is mapped.
    pub(crate) table_address: u64,
    /// What of it is mapped, relative to the same.
    pub(crate) segments: Ranges,
    /// Those of them that are written to, by the dynamic loader or the plugin. The others hold what
    /// the file holds.
    pub(crate) written: Ranges,
    /// How long the file is.
    pub(crate) file_bytes: u64,
    /// Where in the file the last byte of a segment ends. Symbols and debug information, which are
    /// not mapped, follow.
    pub(crate) loaded_bytes: u64,
    /// An embedded database of which it has a copy of its own.
    pub(crate) database: Option<&'static str>,
    /// What an operator should know though it is no reason to refuse.
    pub(crate) warnings: Vec<String>,
}

impl Facts {
    /// What it takes once mapped from a private copy.
    pub(crate) fn count(&self) -> Count {
        Count::one(self.mapped_bytes(), self.file_bytes)
    }

    /// The address space: the dynamic loader reserves all from the first segment to the end of the
    /// last.
    fn mapped_bytes(&self) -> u64 {
        let start = self.segments.iter().map(|segment| segment.start).min().unwrap_or_default();
        let end = self.segments.iter().map(|segment| segment.end).max().unwrap_or_default();
        end.saturating_sub(start)
    }
}

/// Checks the file's bounds, machine and note.
///
/// # Errors
/// The first thing that forbids loading it.
pub(crate) fn read(bytes: &[u8]) -> Result<Facts, Refusal> {
    let header = header(bytes)?;
    let Segments { all: segments, written, loaded_bytes } = segments(header, bytes)?;
    let sections = sections(header, bytes)?;
    let abi = note(&sections, bytes)?;
    let (table_address, warnings) = symbols(&sections, bytes)?;
    let file_bytes = bytes.len() as u64;
    let database = database_symbol(&sections, bytes).or_else(|| database::of_texts(bytes));
    Ok(Facts {
        abi,
        table_address,
        segments,
        written,
        file_bytes,
        loaded_bytes,
        database,
        warnings,
    })
}

fn header(bytes: &[u8]) -> Result<&Header, Refusal> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Refusal::NotElf("it does not begin as an ELF file"));
    }
    // e_ident: class 2 is 64 bits, data 1 is little-endian (System V ABI, "ELF Identification").
    if bytes.get(4).is_some_and(|class| *class != 2) {
        return Err(Refusal::Foreign("another word size than 64 bits".into()));
    }
    if bytes.get(5).is_some_and(|data| *data != 1) {
        return Err(Refusal::Foreign("a big-endian machine".into()));
    }
    let short = Refusal::Truncated { has: bytes.len() as u64, needs: size_of::<Header>() as u64 };
    if bytes.len() < size_of::<Header>() {
        return Err(short);
    }
    let header = Header::parse(bytes).map_err(|_| Refusal::NotElf("its ELF header is damaged"))?;
    let machine = header.e_machine(LE);
    if machine != MACHINE.0 {
        return Err(Refusal::Foreign(format!("ELF machine {}, not {}", machine.0, MACHINE.1)));
    }
    if header.e_type(LE) != elf::ET_DYN {
        return Err(Refusal::NotElf("its ELF type is not that of a shared object"));
    }
    Ok(header)
}

/// All that is mapped.
struct Segments {
    all: Ranges,
    written: Ranges,
    loaded_bytes: u64,
}

fn segments(header: &Header, bytes: &[u8]) -> Result<Segments, Refusal> {
    let table = (u64::from(header.e_phnum(LE))).saturating_mul(u64::from(header.e_phentsize(LE)));
    within(bytes, header.e_phoff(LE).saturating_add(table))?;
    let headers = header
        .program_headers(LE, bytes)
        .map_err(|_| Refusal::NotElf("its program headers are damaged"))?;
    let relocates_code = headers.iter().any(|header| relocates_code(header, bytes));
    let (mut all, mut written, mut loaded_bytes) = (Vec::new(), Vec::new(), 0);
    for segment in headers.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD) {
        let file_end = segment.p_offset(LE).saturating_add(segment.p_filesz(LE));
        within(bytes, file_end)?;
        loaded_bytes = file_end.max(loaded_bytes);
        if segment.p_filesz(LE) > segment.p_memsz(LE) {
            return Err(Refusal::NotElf("a segment is larger in the file than in memory"));
        }
        let start = segment.p_vaddr(LE);
        let end = start
            .checked_add(segment.p_memsz(LE))
            .ok_or(Refusal::NotElf("a segment wraps around"))?;
        all.push(start..end);
        if relocates_code || segment.p_flags(LE).contains(elf::PF_W) {
            written.push(start..end);
        }
    }
    if all.is_empty() {
        return Err(Refusal::NotElf("it has nothing to load"));
    }
    Ok(Segments { all, written, loaded_bytes })
}

/// Whether the dynamic loader writes into segments that are read-only later (System V ABI, "Dynamic
/// Section"). Said to be so when it cannot be told.
fn relocates_code(header: &elf::ProgramHeader64<LittleEndian>, bytes: &[u8]) -> bool {
    let has = |entries: &[elf::Dyn64<LittleEndian>]| {
        entries.iter().any(|entry| match entry.d_tag(LE) {
            elf::DT_TEXTREL => true,
            elf::DT_FLAGS => elf::DynamicFlags(entry.d_val(LE)).contains(elf::DF_TEXTREL),
            _ => false,
        })
    };
    header.dynamic(LE, bytes).map_or(true, |entries| entries.is_some_and(has))
}

fn sections<'data>(
    header: &Header,
    bytes: &'data [u8],
) -> Result<SectionTable<'data, Header>, Refusal> {
    if header.e_shoff(LE) == 0 {
        return Err(Refusal::NotElf("its section table was stripped"));
    }
    let table = u64::from(header.e_shnum(LE)).saturating_mul(u64::from(header.e_shentsize(LE)));
    within(bytes, header.e_shoff(LE).saturating_add(table))?;
    header.sections(LE, bytes).map_err(|_| Refusal::NotElf("its section table is damaged"))
}

fn within(bytes: &[u8], end: u64) -> Result<(), Refusal> {
    let has = bytes.len() as u64;
    if end > has { Err(Refusal::Truncated { has, needs: end }) } else { Ok(()) }
}

fn note(sections: &SectionTable<'_, Header>, bytes: &[u8]) -> Result<(u32, u32), Refusal> {
    let (_, section) = sections.section_by_name(LE, NOTE_SECTION).ok_or(Refusal::NoNote)?;
    let data = section.data(LE, bytes).map_err(|_| Refusal::BadNote)?;
    let (note, _) =
        data.split_first_chunk::<{ size_of::<abi::Note>() }>().ok_or(Refusal::BadNote)?;
    let mut words = note.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    let mut word = || words.next().unwrap_or_default();
    let lengths_and_type = (word(), word(), word());
    let owner = (word(), word());
    let (magic, major, minor) = (word(), word(), word());

    let ours = abi::Note::THIS;
    let [o0, o1, o2, o3, o4, o5, o6, o7] = ours.owner;
    let our_owner = (u32::from_le_bytes([o0, o1, o2, o3]), u32::from_le_bytes([o4, o5, o6, o7]));
    if lengths_and_type != (ours.owner_len, ours.descriptor_len, ours.note_type)
        || owner != our_owner
        || magic != ours.magic
    {
        return Err(Refusal::BadNote);
    }
    if major != ours.abi_major {
        return Err(Refusal::AbiMajor { found: major, ours: ours.abi_major });
    }
    Ok((major, minor))
}

/// Where the table stands, and warnings.
fn symbols(
    sections: &SectionTable<'_, Header>,
    bytes: &[u8],
) -> Result<(u64, Vec<String>), Refusal> {
    let damaged = |_| Refusal::NotElf("its dynamic symbols are damaged");
    let symbols = sections.symbols(LE, bytes, elf::SHT_DYNSYM).map_err(damaged)?;
    let mut table = None;
    let mut unique = Vec::new();
    for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(LE)) {
        let name = symbol.name(LE, symbols.strings()).map_err(damaged)?;
        if name == abi::SYMBOL.as_bytes() {
            table = Some(symbol);
        }
        if symbol.st_bind() == elf::STB_GNU_UNIQUE {
            unique.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    let table = table.ok_or(Refusal::NoSymbol)?;
    if table.st_size(LE) < PLUGIN_SIZE_MIN as u64 {
        let (size, needs) = (table.st_size(LE), PLUGIN_SIZE_MIN);
        return Err(Refusal::Table(format!("{} has {size} bytes and needs {needs}", abi::SYMBOL)));
    }
    Ok((table.st_value(LE), unique_warning(&unique).into_iter().collect()))
}

/// A database that a symbol shows, exported or not. Damaged symbols that are not loaded are no
/// reason to refuse.
fn database_symbol(sections: &SectionTable<'_, Header>, bytes: &[u8]) -> Option<&'static str> {
    [elf::SHT_DYNSYM, elf::SHT_SYMTAB].into_iter().find_map(|kind| {
        let symbols = sections.symbols(LE, bytes, kind).ok()?;
        let defined = symbols.iter().filter(|symbol| !symbol.is_undefined(LE));
        let mut names = defined.filter_map(|symbol| symbol.name(LE, symbols.strings()).ok());
        names.find_map(database::of_function)
    })
}

/// The dynamic loader keeps one copy of such a symbol in the process, whatever RTLD_LOCAL says.
fn unique_warning(unique: &[String]) -> Option<String> {
    let named = unique.iter().take(UNIQUE_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    (!unique.is_empty()).then(|| {
        format!(
            "{} of its variables are shared with its older and newer generations ({named}); \
             build C++ with -fno-gnu-unique",
            unique.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_a_library() {
        assert!(matches!(read(b"hello"), Err(Refusal::NotElf(_))));
        assert!(matches!(read(b""), Err(Refusal::NotElf(_))));
    }

    #[test]
    fn a_bare_magic_is_truncated_or_foreign() {
        assert!(matches!(read(b"\x7fELF"), Err(Refusal::Truncated { .. })));
        assert!(matches!(read(b"\x7fELF\x01\x01"), Err(Refusal::Foreign(_))));
        assert!(matches!(read(b"\x7fELF\x02\x02"), Err(Refusal::Foreign(_))));
    }
}
