//! The bounds of views, each with its reason.

use std::time::Duration;

/// Keys that a view groups by. Our reason: those behind the first one or two are composed into one sort key of 1,024 bytes.
pub const GROUP_KEYS_MAX: usize = 8;
/// Aggregates of a view. Our reason: each is looked up in both images of each record.
pub const AGGREGATES_MAX: usize = 32;
/// Members of a `top(n, path)`. Our reason: a group is an item of 400 KB at most, and is written again with each of its changes.
pub const TOP_MAX: usize = 100;
/// Bytes of a string or a binary above which min, max and top pass it over. Our reason: it is part of a key, as sort keys are.
pub const ORDERED_VALUE_BYTES_MAX: usize = 1024;
/// Bytes of a value from which on count(distinct) keeps its SHA-256 in its place. Our reason: as above.
pub const DISTINCT_VALUE_BYTES_MAX: usize = 256;
/// Between two flushes of a shard's changes into a view without a time of its own, unless one is full. Our reason: each is a commit with a
/// row for every group that it changes, which at the pace of the log's commits is more than the writers' own.
pub const PACE: Duration = Duration::from_millis(100);
/// Longest time that changes are gathered. Our reason: what is gathered is in memory.
pub const WINDOW_MAX: Duration = Duration::from_secs(900);
/// Records of a flush. Our reason: with 1,000 groups each is written once for eight changes of it.
pub const FLUSH_RECORDS_MAX: usize = 8192;
/// Bytes of images of a flush. Our reason: it is held in memory.
pub const FLUSH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Groups of one commit, after which a flush is split. Our reason: the latches of its rows are held for some milliseconds.
pub const COMMIT_GROUPS_MAX: usize = 1024;
/// About how many bytes one commit writes, after which a flush is split. Our reason: a frame of the log is at most 16 MiB, and the
/// items' stream records and index entries come on top.
pub const COMMIT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// So often a commit is worked out again because what it is about was changed meanwhile. Our reason: each of the others was done;
/// the runtime tries again later.
pub const ROUNDS_MAX: usize = 16;
/// Groups that one commit publishes when a version takes the place of another. Our reason: clients' commits that are synced with it
/// wait until it is applied.
pub const PUBLISH_GROUPS_PER_COMMIT: usize = 256;
/// Bytes of rows of groups with which such a commit ends. Our reason: as above.
pub const PUBLISH_BYTES_PER_COMMIT: usize = 1024 * 1024;
/// Groups, of both versions together, up to which a version takes the place of another in one commit. Our reason: as above.
pub const SWAP_AT_ONCE_GROUPS_MAX: usize = 512;
/// Views of a server. Our reason: they are looked through when one is made.
pub const VIEWS_MAX: usize = 1000;
/// Members of a side structure that one read brings. Our reason: a page is held in memory.
pub const MEMBERS_PER_PAGE: usize = 256;
