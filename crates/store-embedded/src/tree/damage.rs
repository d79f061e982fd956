//! Damage in the tree's files: what an error of the tree means, which file it is about, and the offline check.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use tailrace_store::StoreError;

fn file_checksum(file: &Path) -> Result<u128, StoreError> {
    use std::io::Read;
    let failed = |error: std::io::Error| StoreError::Io(format!("cannot read {}: {error}", file.display()));
    let mut reader = std::fs::File::open(file).map_err(failed)?;
    let mut hash = Xxh3::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match reader.read(&mut piece).map_err(failed)? {
            0 => return Ok(hash.digest128()),
            read => hash.update(&piece[..read]),
        }
    }
}

/// What an error of the tree means to the caller. The tree does not say which file was damaged, so the table files are
/// compared with the checksums in their directory: slow, but damage ends the process anyway.
pub(super) fn explain(path: &Path, error: &lsm_tree::Error) -> StoreError {
    use std::io::ErrorKind;
    match error {
        lsm_tree::Error::Io(io) if crate::files::is_full(io) => StoreError::Full(format!("{}: {io}", path.display())),
        lsm_tree::Error::Io(io) if !matches!(io.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
            StoreError::Io(format!("{}: {io}", path.display()))
        }
        other => {
            let files = damaged_files(path);
            let named = if files.is_empty() { path.display().to_string() } else { files.join(", ") };
            StoreError::Corrupt(format!("{named}: {other}"))
        }
    }
}

/// One line for each damaged file of a tree. Changes nothing: the tree is not opened.
pub(crate) fn check(path: &Path) -> Vec<String> {
    let mut lines = damaged_files(path);
    for line in &mut lines {
        line.push_str(": differs from its checksum, or cannot be read");
    }
    lines
}

/// The files of a tree that differ from what their manifest says, read without opening the tree.
fn damaged_files(path: &Path) -> Vec<String> {
    let current = || std::fs::read(path.join("current")).unwrap_or_default();
    let mut seen = current();
    loop {
        let damaged = differing_files(path, &seen);
        // The tree may be open, and a flush or compaction may have replaced the manifest meanwhile.
        let now = current();
        if damaged.is_empty() || now == seen {
            return damaged;
        }
        seen = now;
    }
}

fn differing_files(path: &Path, current: &[u8]) -> Vec<String> {
    // The number of the manifest, and its checksum: the tables' checksums do not cover the manifest's own framing.
    let (Some(id), Some(checksum)) = (current.first_chunk::<8>(), current.get(8..24)) else {
        return vec![path.join("current").display().to_string()];
    };
    let manifest = path.join(format!("v{}", u64::from_le_bytes(*id)));
    if file_checksum(&manifest).ok().is_none_or(|found| found.to_le_bytes() != checksum) {
        return vec![manifest.display().to_string()];
    }
    match manifest_tables(&manifest) {
        None => vec![manifest.display().to_string()],
        Some(tables) => tables
            .into_iter()
            .map(|(id, checksum)| (path.join("tables").join(id.to_string()), checksum))
            .filter(|(file, checksum)| file_checksum(file).ok() != Some(*checksum))
            .map(|(file, _)| file.display().to_string())
            .collect(),
    }
}

/// Table numbers and checksums of a manifest. `None`: the manifest cannot be read.
fn manifest_tables(manifest: &Path) -> Option<Vec<(u64, u128)>> {
    let reader = sfa::Reader::new(manifest).ok()?;
    let section = reader.toc().section(b"tables")?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut section.buf_reader(manifest).ok()?, &mut bytes).ok()?;
    let mut rest = &bytes[..];
    let mut take = |count: usize| {
        let (head, tail) = rest.split_at_checked(count)?;
        rest = tail;
        Some(head)
    };
    let mut tables = Vec::new();
    let levels = take(1)?[0];
    for _ in 0..levels {
        let runs = take(1)?[0];
        for _ in 0..runs {
            let count = u32::from_le_bytes(take(4)?.try_into().ok()?);
            for _ in 0..count {
                let id = u64::from_le_bytes(take(8)?.try_into().ok()?);
                take(1)?;
                let checksum = u128::from_le_bytes(take(16)?.try_into().ok()?);
                take(8)?;
                tables.push((id, checksum));
            }
        }
    }
    Some(tables)
}
