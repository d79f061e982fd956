//! A table's reader: point reads and walks over the library's blocks.
//!
//! Why not the library's own: it reads from the disk wherever it is called, and copies each key that it looks at. Here a
//! block comes from the cache, or without waiting from the system's memory, or the read stops and goes on where it may
//! wait (`effort`). Filters and indexes that are in one piece stay in memory, and the tops of those that are in pieces.
//!
//! Invariant: a table holds one version of a key at most.

use std::fs::File;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use lsm_tree::file_accessor::FileAccessor;
use lsm_tree::table::block::BlockType;
use lsm_tree::table::block::decoder::ParsedItem;
use lsm_tree::table::filter::block::FilterBlock;
use lsm_tree::table::util::load_block;
use lsm_tree::table::{Block, BlockHandle, DataBlock, IndexBlock};
use lsm_tree::{CompressionType, GlobalTableId, Table};
use rustix::io::{IoSliceMut, ReadWriteFlags};

use super::effort::{CACHED_BLOCK_STEPS, Effort, FILTER_STEPS, LOOK_STEPS, READ_BYTES_PER_STEP, Stop};
use super::merge::Bounds;

pub(super) struct TableReader {
    table: Table,
    id: GlobalTableId,
    files: FileAccessor,
    index: Index,
    filter: Filter,
    #[cfg(test)]
    disk: Arc<super::tests::Disk>,
}

/// Leads from a key to the block that may hold it.
enum Index {
    Whole(IndexBlock),
    /// The index of the pieces.
    Pieces(IndexBlock),
}

enum Filter {
    None,
    Whole(FilterBlock),
    /// The index of the pieces.
    Pieces(IndexBlock),
}

impl TableReader {
    /// Reads what stays in memory of a table.
    pub fn open(
        table: &Table,
        tree: lsm_tree::TreeId,
        files: &FileAccessor,
        #[cfg(test)] disk: &Arc<super::tests::Disk>,
    ) -> lsm_tree::Result<TableReader> {
        let file = File::open(&**table.path)?;
        let read = |handle, kind, compression| kind_checked(Block::from_file(&file, handle, compression)?, kind);
        let regions = &table.regions;
        let compression = table.metadata.index_block_compression;
        let top = IndexBlock::new(read(regions.tli, BlockType::Index, compression)?);
        let index = if regions.index.is_some() { Index::Pieces(top) } else { Index::Whole(top) };
        let filter = match (&table.pinned_filter_block, regions.filter_tli, regions.filter) {
            (Some(filter), _, _) => Filter::Whole(filter.clone()),
            (None, Some(top), _) => Filter::Pieces(IndexBlock::new(read(top, BlockType::Index, compression)?)),
            // Filters are never compressed.
            (None, None, Some(filter)) => {
                Filter::Whole(FilterBlock::new(read(filter, BlockType::Filter, CompressionType::None)?))
            }
            (None, None, None) => Filter::None,
        };
        let id = (tree, table.id()).into();
        Ok(TableReader {
            table: table.clone(),
            id,
            files: files.clone(),
            index,
            filter,
            #[cfg(test)]
            disk: disk.clone(),
        })
    }

    pub fn id(&self) -> lsm_tree::TableId {
        self.table.id()
    }

    pub fn first_key(&self) -> &[u8] {
        self.table.metadata.key_range.min()
    }

    pub fn last_key(&self) -> &[u8] {
        self.table.metadata.key_range.max()
    }

    /// The value of the key with this hash; `Some(None)` if the table says that it is deleted, `None` if it does not know
    /// the key.
    pub fn get(&self, key: &[u8], hash: u64, effort: &mut Effort) -> Result<Option<Option<Bytes>>, Stop> {
        effort.take(FILTER_STEPS)?;
        let may_hold = match &self.filter {
            Filter::None => true,
            Filter::Whole(filter) => filter.maybe_contains_hash(hash)?,
            Filter::Pieces(top) => match block_of(top, key) {
                Some(piece) => {
                    let piece = self.block(piece, BlockType::Filter, CompressionType::None, effort)?;
                    FilterBlock::new(piece).maybe_contains_hash(hash)?
                }
                None => true,
            },
        };
        if !may_hold {
            return Ok(None);
        }
        effort.take(LOOK_STEPS)?;
        let Some(handle) = self.find(|index| block_of(index, key), |top| block_of(top, key), effort)? else {
            return Ok(None);
        };
        let block = self.data_block(handle, effort)?;
        let mut rows = block.iter();
        if !rows.seek(key) {
            return Ok(None);
        }
        let Some(row) = rows.next() else { return Ok(None) };
        let value = (!row.value_type.is_tombstone()).then(|| {
            let Range { start, end } = row.value.map_or(0..0, |at| at.0..at.1);
            Bytes::from(block.inner.data.slice(start..end))
        });
        Ok(Some(value))
    }

    /// A handle in the index, by way of the piece that `piece` names.
    fn find(
        &self,
        find: impl Fn(&IndexBlock) -> Option<BlockHandle>,
        piece: impl Fn(&IndexBlock) -> Option<BlockHandle>,
        effort: &mut Effort,
    ) -> Result<Option<BlockHandle>, Stop> {
        match &self.index {
            Index::Whole(index) => Ok(find(index)),
            Index::Pieces(top) => match piece(top) {
                Some(piece) => Ok(find(&self.index_piece(piece, effort)?)),
                None => Ok(None),
            },
        }
    }

    /// The first block that may hold a key within the bounds, in the given direction.
    fn first_block(&self, bounds: &Bounds, reverse: bool, effort: &mut Effort) -> Result<Option<BlockHandle>, Stop> {
        let edge = if reverse { &bounds.end } else { &bounds.start };
        let first = |index: &IndexBlock| match (edge, reverse) {
            (Bound::Unbounded, false) => index.iter().next().map(|item| BlockHandle::new(item.offset, item.size)),
            (Bound::Unbounded, true) => last(index),
            (Bound::Included(key) | Bound::Excluded(key), false) => block_of(index, key),
            // The last block holds what lies before a key that is behind all of it.
            (Bound::Included(key) | Bound::Excluded(key), true) => block_of(index, key).or_else(|| last(index)),
        };
        self.find(first, first, effort)
    }

    /// The block behind the one whose last key (in the given direction) is `edge`.
    fn next_block(&self, edge: &[u8], reverse: bool, effort: &mut Effort) -> Result<Option<BlockHandle>, Stop> {
        if !reverse {
            return self.find(|index| block_behind(index, edge), |top| block_behind(top, edge), effort);
        }
        match &self.index {
            Index::Whole(index) => Ok(blocks_before(index, edge).next()),
            Index::Pieces(top) => {
                // The piece that holds `edge` itself, and if the block is its first one, the piece before.
                let pieces: Vec<BlockHandle> =
                    block_of(top, edge).into_iter().chain(blocks_before(top, edge)).collect();
                for piece in pieces {
                    if let Some(found) = blocks_before(&self.index_piece(piece, effort)?, edge).next() {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }

    fn index_piece(&self, handle: BlockHandle, effort: &mut Effort) -> Result<IndexBlock, Stop> {
        let compression = self.table.metadata.index_block_compression;
        Ok(IndexBlock::new(self.block(handle, BlockType::Index, compression, effort)?))
    }

    fn data_block(&self, handle: BlockHandle, effort: &mut Effort) -> Result<DataBlock, Stop> {
        let compression = self.table.metadata.data_block_compression;
        Ok(DataBlock::new(self.block(handle, BlockType::Data, compression, effort)?))
    }

    /// A block: from the cache, else from the system's memory, else from the disk if this read may wait for it.
    fn block(
        &self,
        handle: BlockHandle,
        kind: BlockType,
        compression: CompressionType,
        effort: &mut Effort,
    ) -> Result<Block, Stop> {
        effort.take(CACHED_BLOCK_STEPS)?;
        let cache = &self.table.cache;
        if let Some(block) = cache.get_block(self.id, handle.offset()) {
            return Ok(block);
        }
        effort.take(u64::from(handle.size()) / READ_BYTES_PER_STEP)?;
        if effort.disk {
            #[cfg(test)]
            super::tests::on_runtime(|| self.disk.waits.fetch_add(1, Ordering::Relaxed));
            return Ok(load_block(self.id, &self.table.path, &self.files, cache, &handle, kind, compression)?);
        }
        #[cfg(test)]
        if self.disk.cold.load(Ordering::Relaxed) {
            return Err(Stop::Aside);
        }
        let file = self.files.access_for_table(&self.id).ok_or(Stop::Aside)?;
        let bytes = read_without_waiting(&file, handle).ok_or(Stop::Aside)?;
        let block = kind_checked(Block::from_reader(&mut &bytes[..], compression)?, kind)?;
        cache.insert_block(self.id, handle.offset(), block.clone());
        Ok(block)
    }
}

fn kind_checked(block: Block, kind: BlockType) -> lsm_tree::Result<Block> {
    if block.header.block_type != kind {
        return Err(lsm_tree::Error::InvalidTag(("BlockType", block.header.block_type.into())));
    }
    Ok(block)
}

/// Reads a block if the system has it in memory. `None`: it has not, or cannot say.
fn read_without_waiting(file: &File, handle: BlockHandle) -> Option<Vec<u8>> {
    static CANNOT_SAY: AtomicBool = AtomicBool::new(false);
    if CANNOT_SAY.load(Ordering::Relaxed) {
        return None;
    }
    let mut bytes = vec![0; handle.size() as usize];
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut bytes)], *handle.offset(), ReadWriteFlags::NOWAIT) {
        // What is only partly in memory is cut short.
        Ok(read) => (read == bytes.len()).then_some(bytes),
        Err(rustix::io::Errno::AGAIN) => None,
        Err(_) => {
            CANNOT_SAY.store(true, Ordering::Relaxed);
            None
        }
    }
}

/// The block that holds `key` if one does: the first one that does not end before it.
fn block_of(index: &IndexBlock, key: &[u8]) -> Option<BlockHandle> {
    seek(index, key, u64::MAX)
}

/// The first block that ends behind `key`.
fn block_behind(index: &IndexBlock, key: &[u8]) -> Option<BlockHandle> {
    seek(index, key, 0)
}

/// The first block that does not end before the version `seqno` of `key`: higher ones come first.
fn seek(index: &IndexBlock, key: &[u8], seqno: u64) -> Option<BlockHandle> {
    let mut blocks = index.iter();
    if !blocks.seek(key, seqno) {
        return None;
    }
    blocks.next().map(|item| BlockHandle::new(item.offset, item.size))
}

fn last(index: &IndexBlock) -> Option<BlockHandle> {
    index.iter().next_back().map(|item| BlockHandle::new(item.offset, item.size))
}

/// The blocks that end before `key`, from the last one on.
fn blocks_before<'a>(index: &'a IndexBlock, key: &'a [u8]) -> impl Iterator<Item = BlockHandle> + 'a {
    let mut blocks = index.iter();
    let any = blocks.seek_upper(key, u64::MAX);
    blocks
        .rev()
        .take_while(move |_| any)
        .skip_while(move |item| item.compare_key(key, &index.inner.data).is_ge())
        .map(|item| BlockHandle::new(item.offset, item.size))
}

/// Where a row's parts lie in its block. A key is the beginning of another one, and a rest.
struct Row {
    prefix: Range<u32>,
    rest: Range<u32>,
    value: Option<Range<u32>>,
}

/// The rows of a block, and which of them are still to come.
#[derive(Default)]
struct Rows {
    data: Bytes,
    rows: Vec<Row>,
    left: Range<usize>,
}

impl Rows {
    /// Takes the rows of a block that are within the bounds.
    fn load(&mut self, block: DataBlock, bounds: &Bounds) {
        let part = |from: usize, to: usize| from as u32..to as u32;
        let place = |item: lsm_tree::table::data_block::DataBlockParsedItem| Row {
            prefix: item.prefix.map_or(0..0, |at| part(at.0, at.1)),
            rest: part(item.key.0, item.key.1),
            value: (!item.value_type.is_tombstone()).then(|| item.value.map_or(0..0, |at| part(at.0, at.1))),
        };
        self.rows.clear();
        self.rows.reserve(block.len());
        self.rows.extend(block.iter().map(place));
        self.data = Bytes::from(block.inner.data);
        let mut key = Vec::new();
        let mut first = |pass: &dyn Fn(&[u8]) -> bool| {
            self.rows.partition_point(|row| {
                spell(&self.data, row, &mut key);
                pass(&key)
            })
        };
        self.left = first(&|key| bounds.is_below(key))..first(&|key| !bounds.is_above(key));
    }

    /// Whether the rows of the block reach out of the bounds at their far end.
    fn reach_out(&self, reverse: bool) -> bool {
        if reverse { self.left.start > 0 } else { self.left.end < self.rows.len() }
    }
}

/// Writes a row's key.
fn spell(data: &Bytes, row: &Row, key: &mut Vec<u8>) {
    key.clear();
    for part in [&row.prefix, &row.rest] {
        key.extend_from_slice(&data[part.start as usize..part.end as usize]);
    }
}

/// Walks over the rows of a run of tables.
pub(super) struct RunCursor<'a> {
    /// Those that overlap the bounds and are not walked over, the present one included.
    tables: &'a [Arc<TableReader>],
    bounds: &'a Bounds,
    reverse: bool,
    rows: Rows,
    /// A block of the present table is loaded.
    entered: bool,
    /// The place in `rows`.
    at: Option<usize>,
    key: Vec<u8>,
}

impl<'a> RunCursor<'a> {
    /// At the first row of the bounds.
    pub fn new(
        run: &'a [Arc<TableReader>],
        bounds: &'a Bounds,
        reverse: bool,
        effort: &mut Effort,
    ) -> Result<RunCursor<'a>, Stop> {
        let first = run.partition_point(|table| bounds.is_below(table.last_key()));
        let behind = run.partition_point(|table| !bounds.is_above(table.first_key()));
        let tables = run.get(first..behind).unwrap_or_default();
        let (rows, key) = (Rows::default(), Vec::new());
        let mut cursor = RunCursor { tables, bounds, reverse, rows, entered: false, at: None, key };
        cursor.advance(effort)?;
        Ok(cursor)
    }

    /// The key that the cursor is at; `None` behind the last one.
    pub fn key(&self) -> Option<&[u8]> {
        self.at.map(|_| &self.key[..])
    }

    /// The value there; `None` if the key is deleted.
    pub fn value(&self) -> Option<Bytes> {
        let value = self.rows.rows[self.at?].value.as_ref()?;
        Some(self.rows.data.slice(value.start as usize..value.end as usize))
    }

    /// Whether the row there is alive.
    pub fn is_alive(&self) -> bool {
        self.at.is_some_and(|at| self.rows.rows[at].value.is_some())
    }

    /// On to the next row.
    pub fn advance(&mut self, effort: &mut Effort) -> Result<(), Stop> {
        loop {
            effort.take(1)?;
            self.at = if self.reverse { self.rows.left.next_back() } else { self.rows.left.next() };
            if let Some(at) = self.at {
                spell(&self.rows.data, &self.rows.rows[at], &mut self.key);
                return Ok(());
            }
            if !self.enter_block(effort)? {
                return Ok(());
            }
        }
    }

    /// Loads the next block. False: there is none.
    fn enter_block(&mut self, effort: &mut Effort) -> Result<bool, Stop> {
        loop {
            let table = if self.reverse { self.tables.last() } else { self.tables.first() };
            let Some(table) = table else { return Ok(false) };
            let handle = if self.entered {
                let edge = if self.reverse { self.rows.rows.first() } else { self.rows.rows.last() };
                match edge.filter(|_| !self.rows.reach_out(self.reverse)) {
                    Some(edge) => {
                        spell(&self.rows.data, edge, &mut self.key);
                        table.next_block(&self.key, self.reverse, effort)?
                    }
                    None => {
                        self.tables = &[];
                        None
                    }
                }
            } else {
                effort.take(LOOK_STEPS)?;
                table.first_block(self.bounds, self.reverse, effort)?
            };
            if let Some(handle) = handle {
                self.rows.load(table.data_block(handle, effort)?, self.bounds);
                self.entered = true;
                return Ok(true);
            }
            self.entered = false;
            self.tables = match self.reverse {
                false => self.tables.get(1..).unwrap_or_default(),
                true => self.tables.split_last().map_or(&[], |(_, rest)| rest),
            };
        }
    }
}
