//! Every limit in one place, each with its source: an AWS limit, or our reason. Units are last in the
//! names; lengths of time are durations.

use std::time::Duration;

use crate::time::EpochMs;

/// Largest request body, bytes. Source: docs/spec/dynamodb-api.md 1.
pub const REQUEST_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest item, bytes by the item size rule. Source: docs/spec/dynamodb-api.md 3.4.
pub const ITEM_BYTES_MAX: usize = 409_600;
/// Deepest nesting of an attribute value, the value itself counted; an empty list or map counts as if it held something.
/// Source: docs/spec/dynamodb-api.md 3.3.
pub const NESTING_LEVELS_MAX: usize = 32;
/// Longest name of an attribute, bytes. Source: docs/spec/dynamodb-api.md 3.5.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 65_535;
/// Shortest name of a table or an index, characters. Source: the service model.
pub const TABLE_NAME_CHARS_MIN: usize = 3;
/// Longest name of a table or an index, characters. Source: the service model.
pub const TABLE_NAME_CHARS_MAX: usize = 255;
/// Longest name of a key attribute, UTF-16 units. Source: the service model.
pub const KEY_NAME_CHARS_MAX: usize = 255;
/// Largest partition key value, bytes. Source: docs/spec/dynamodb-api.md 3.5.
pub const HASH_KEY_BYTES_MAX: usize = 2048;
/// Largest sort key value, bytes. Source: docs/spec/dynamodb-api.md 3.5.
pub const RANGE_KEY_BYTES_MAX: usize = 1024;
/// Largest expression, bytes. Source: docs/spec/dynamodb-api.md 4.1.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Most operators and functions in an expression. Source: docs/spec/dynamodb-api.md 4.1.
pub const EXPRESSION_OPERATORS_MAX: usize = 300;
/// Longest key of the placeholder maps, sigil included, bytes. Source: docs/spec/dynamodb-api.md 4.1.
pub const PLACEHOLDER_BYTES_MAX: usize = 255;
/// Most bytes of the two placeholder maps together. Source: docs/spec/dynamodb-api.md 4.1.
pub const PLACEHOLDER_MAPS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most operands of IN. Source: docs/spec/dynamodb-api.md 4.1.
pub const IN_OPERANDS_MAX: usize = 100;
/// Deepest nesting of a PartiQL statement: parentheses, lists, structs and operators in each other. Our reason: it is read by
/// functions that call each other, and twice as deep fits the stack of a thread.
pub const STATEMENT_NESTING_MAX: usize = 64;
/// Ranges that a PartiQL statement reads one after the other; what says more of the key is a filter, or a scan. Our reason: AWS has
/// no figure, and each range is a read.
pub const STATEMENT_RANGES_MAX: usize = 100;
/// Bytes of items after which a page of Query or Scan ends. Source: docs/spec/dynamodb-api.md 5.2.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of items up to which a page is filtered and projected on the runtime's own thread. Our reason: a usual filter is
/// done with them before another thread has begun, and one of 300 operators within a few milliseconds.
pub const PAGE_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Items of an index's entries that are fetched from the table at once. Our reason: so many of the largest items may be held
/// beyond what is answered; and most pages have fewer.
pub const INDEX_FETCH_STEP_ROWS: usize = 128;
/// Items up to which a page is filtered and projected on the runtime's own thread. Our reason: as above.
pub const PAGE_INLINE_ROWS_MAX: usize = 64;
/// Most keys of a BatchGetItem. Source: docs/spec/dynamodb-api.md 7.1.
pub const BATCH_GET_KEYS_MAX: usize = 100;
/// Bytes of items after which a BatchGetItem leaves keys unprocessed: AWS's 16 MB are decimal, since 52 items of 300 KB are
/// what fits. Source: docs/spec/dynamodb-api.md 7.1.
pub const BATCH_GET_BYTES_MAX: usize = 16_000_000;
/// Keys of a BatchGetItem that are read at once. Our reason: so many of the largest items may be held beyond what is answered;
/// and fewer would make a batch of small items slower than it need be.
pub const BATCH_GET_STEP_KEYS: usize = 16;
/// Bytes of items up to which an answer is made and written on the runtime's own thread. Our reason: it takes about half a
/// millisecond.
pub const ANSWER_INLINE_BYTES_MAX: usize = 128 * 1024;
/// Bytes of an item up to which a condition or an update looks into it under its latch, on the runtime's own thread. Our
/// reason: a usual one takes a tenth of a millisecond to be read, changed and written again, one of very many attributes about
/// one; and whoever changes a larger one has to wait for its change to be published twice.
pub const PLAN_INLINE_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of a transaction: its items, keys, expressions and their values, or the items that it reads. Source:
/// docs/spec/dynamodb-api.md 7.2.
pub const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes that a transaction writes: items, their stream records and whatever else follows from them. Our reason: a commit
/// is one frame of the log, at most 16 MiB; the transactions that come to more are those that delete or update many large
/// items, or put them into many indexes.
pub const TRANSACTION_COMMIT_BYTES_MAX: usize = 15 * 1024 * 1024;
/// Items up to which a transaction does not wait for its turn. Our reason: 10 MB of the largest, as a batch of writes may have.
pub const WIDE_KEYS_FREE: usize = 25;
/// Wider ones whose items are read at once. Our reason: 40 MB each of the largest items; of usual ones a read takes
/// microseconds, and a commit shares its sync.
pub const WIDE_AT_ONCE_MAX: usize = 16;
/// How long the token of a transaction counts, milliseconds. Source: docs/spec/dynamodb-api.md 7.2.
pub const REQUEST_TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);
/// Bytes of items up to which the conditions and updates of one transaction look into them under their latches. Our reason: as
/// for one item, in all.
pub const TRANSACTION_PLAN_INLINE_BYTES_MAX: usize = 128 * 1024;
/// From the end of a pass over the marks of what must not be done twice to the next one, milliseconds. Our reason: a mark that
/// no longer counts does no harm but take room.
pub const MARKS_INTERVAL: Duration = Duration::from_secs(10);
/// Marks that one tick of that pass looks at. Our reason: one commit of some milliseconds.
pub const MARKS_PER_TICK: usize = 512;
/// Most writes of a BatchWriteItem. Source: docs/spec/dynamodb-api.md 7.1.
pub const BATCH_WRITE_REQUESTS_MAX: usize = 25;
/// Most records of a GetRecords page. Source: docs/spec/streams.md 7.
pub const GET_RECORDS_MAX: usize = 1000;
/// Bytes after which a GetRecords page ends. Source: docs/spec/streams.md 7.
pub const GET_RECORDS_BYTES_MAX: usize = 1024 * 1024;
/// Life of a shard iterator. Source: docs/spec/streams.md 6.
pub const SHARD_ITERATOR_LIFE: Duration = Duration::from_secs(15 * 60);
/// How far the newest commit may be ahead of the clock at a start before the operator is told. Our reason:
/// clocks are set by seconds all the time, and that does no harm.
pub const STORE_AHEAD_OF_CLOCK_MAX: Duration = Duration::from_secs(60);
/// How far the Timestamp of AT_TIMESTAMP may lie ahead of our clock. Our reason: "now" is asked for by a
/// client whose clock is not ours; the spec's future (streams.md 6) is a mistake, not a difference of clocks.
pub const TIMESTAMP_AHEAD_MAX: Duration = Duration::from_secs(1);
/// Default life of a stream record. Source: docs/spec/streams.md 12.
pub const STREAM_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long a record is kept, at most, that a sink has not delivered yet. Our reason: a target may be down for a day and over a
/// weekend; one that is never mended must not fill the disk.
pub const PINNED_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Shortest and longest life of a stream record that an operator may choose. Our reason: a second is the step
/// of the background work, and a year of records is an archive, which is another thing.
pub const STREAM_RETENTION_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 60 * 60);
/// Largest event or response of a synchronous invocation, bytes. Source: docs/spec/event-source-mapping.md 5.1, 12.
pub const INVOKE_PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Largest event of an invocation that nobody waits for, bytes. Source: docs/spec/event-source-mapping.md 12.
pub const INVOKE_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Longest client context, bytes of base64. Source: docs/spec/event-source-mapping.md 12.
pub const INVOKE_CLIENT_CONTEXT_BYTES_MAX: usize = 3583;
/// Events of functions that are not done. Our reason: they are kept in memory.
pub const INVOKE_EVENTS_QUEUED_MAX: usize = 1000;
/// Bytes of those events. Our reason: as above.
pub const INVOKE_EVENTS_QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Waits before an event that failed is tried again; there are no more tries than that. Source: AWS's defaults.
pub const INVOKE_EVENT_RETRIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// How old an event may be that cannot be run. Source: AWS's default.
pub const INVOKE_EVENT_AGE_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// Longest wait before an event that could not be run is tried again. Source: AWS's default.
pub const INVOKE_EVENT_PAUSE_MAX: Duration = Duration::from_secs(5 * 60);
/// Functions on a page of ListFunctions. Source: AWS's.
pub const FUNCTIONS_PER_PAGE_MAX: usize = 50;

// Functions.

/// Default timeout of a function, seconds. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_TIMEOUT_DEFAULT_S: u32 = 3;
/// Longest timeout of a function, seconds. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_TIMEOUT_MAX_S: u32 = 900;
/// Default memory size of a function, MB. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_MEMORY_DEFAULT_MB: u32 = 128;
/// Smallest memory size of a function, MB. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_MEMORY_MIN_MB: u32 = 128;
/// Largest memory size of a function, MB. Source: AWS Lambda quotas.
pub const FUNCTION_MEMORY_MAX_MB: u32 = 10_240;
/// All names and values of a function's variables, bytes. Source: docs/spec/lambda-runtime.md 6.
pub const FUNCTION_VARIABLES_BYTES_MAX: usize = 4096;
/// Largest response that a function may post, bytes. Source: the text of docs/spec/lambda-runtime.md 4.
pub const FUNCTION_RESPONSE_BYTES_MAX: usize = 6_291_556;
/// Bytes of one post of a runtime after which reading stops and the connection is closed. Ours: a response over the
/// limit is read and thrown away up to here, so that the runtime survives its own mistake.
pub const FUNCTION_POST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Invocations at once, all functions together. Ours: each is an operating system process (AWS: 1,000).
pub const FUNCTION_CONCURRENCY_DEFAULT_MAX: usize = 64;
/// Longest start of a process. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_INIT_DEFAULT: Duration = Duration::from_secs(10);
/// A process without work for so long is stopped. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_IDLE_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// How long the start of a program waits that is open for writing: a build that is about to replace it. Ours: within a start's bound.
pub const FUNCTION_BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long until such a program is tried again. Ours.
pub const FUNCTION_BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long an invocation waits for a process that has answered the one before and has not asked for the next, before another one
/// is started for it, if the function may have one more. Ours: a runtime asks at once, and one that works on is not waited for.
pub const FUNCTION_AWAY_WAIT: Duration = Duration::from_millis(250);
/// So long a process has to ask for the next event once it has answered, also if the timeout of what it answered ends sooner. Ours:
/// an answer in the last moment is one.
pub const FUNCTION_AWAY_MIN: Duration = Duration::from_secs(1);
/// How long it is believed that an interpreter is not there, or does not run, before it is looked for again. Ours: short enough for
/// whoever has just installed it, and the look costs a start a few milliseconds.
pub const INTERPRETER_LOOK_AGAIN: Duration = Duration::from_secs(15);
/// From SIGTERM to SIGKILL at a timeout. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_TIMEOUT_GRACE: Duration = Duration::from_millis(300);
/// From SIGTERM to SIGKILL at a stop. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_STOP_GRACE: Duration = Duration::from_secs(2);
/// How long the end of a process that was sent SIGKILL is waited for. Ours: it ends at once, or hangs in the
/// kernel.
pub const FUNCTION_KILL_WAIT: Duration = Duration::from_secs(2);
/// How long the search for what a process left behind is waited for. Ours.
pub const FUNCTION_SWEEP_WAIT: Duration = Duration::from_secs(4);
/// How long a stop waits for all processes once it has told them to end. Ours: the bounds of each, one after
/// the other, and half a second.
pub const FUNCTION_STOP_MAX: Duration = FUNCTION_STOP_GRACE
    .saturating_add(FUNCTION_KILL_WAIT)
    .saturating_add(FUNCTION_SWEEP_WAIT)
    .saturating_add(FUNCTION_LOG_WAIT)
    .saturating_add(FUNCTION_LOG_WAIT)
    .saturating_add(Duration::from_millis(500));
/// First pause before a process is started again after a failed start. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_RESTART_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause. Source: docs/spec/lambda-runtime.md 5.
pub const FUNCTION_RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Between two looks at whether a function's code has changed, at least so many milliseconds. Ours: shorter than it takes to
/// save a file and to look at what became of it.
pub const FUNCTION_CODE_LOOK: Duration = Duration::from_millis(500);
/// How long such a look is waited for. Ours: a disk that does not answer holds up an invocation for no longer.
pub const FUNCTION_CODE_LOOK_WAIT: Duration = Duration::from_secs(1);
/// Between two changes of data beside the code that count. Ours: a function may write data behind the end of its invocations, and must not
/// be tried again without a pause for that.
pub const FUNCTION_DATA_CHANGE_PAUSE: Duration = Duration::from_secs(5);
/// Such looks at the same time. Ours: one that waits for a slow disk does not hold up all others.
pub const FUNCTION_CODE_LOOKS_MAX: usize = 2;
/// Entries of a code directory that such a look goes through. Ours: a look takes a few milliseconds.
pub const FUNCTION_CODE_ENTRIES_MAX: usize = 2000;
/// Changes of code that wait to be told. Ours: whoever lags hears of the newest.
pub const FUNCTION_CODE_CHANGES_QUEUED_MAX: usize = 64;
/// Bytes of a package once it is unzipped. Source: AWS Lambda quotas (250 MB, layers included; here each by itself).
pub const PACKAGE_BYTES_MAX: u64 = 250 * 1024 * 1024;
/// Files, directories and links in a zip archive. Ours: each costs an entry of the disk, however small it is.
pub const PACKAGE_ENTRIES_MAX: usize = 100_000;
/// Unpacked packages that no function uses and that are kept for the next change back, while a server runs. Ours.
pub const PACKAGES_UNUSED_MAX: usize = 16;
/// Layers of a function. Source: AWS Lambda quotas.
pub const FUNCTION_LAYERS_MAX: usize = 5;
/// Connections that one process may hold to its listener. Ours: a runtime needs one, at most two.
pub const FUNCTION_HOST_CONNECTIONS_MAX: usize = 8;
/// Longest line of a function's output, bytes; a longer one is split. Ours.
pub const FUNCTION_LOG_LINE_BYTES_MAX: usize = 64 * 1024;
/// End of what an invocation wrote that a caller may ask for, bytes. Source: docs/spec/lambda-runtime.md 10.
pub const FUNCTION_LOG_TAIL_BYTES_MAX: usize = 4 * 1024;
/// Processes and threads of one environment of a function. Source: AWS Lambda quotas (1,024).
pub const FUNCTION_PROCESSES_MAX: u32 = 1024;
/// How much lower than the server's own priority that of the processes of functions is, steps of nice(2). Ours: a function that
/// takes all of the processors is not to hold up the database, and other programs of the machine are not to hold up a function for
/// long: it still gets a tenth of what they do. Alone it runs as fast as ever.
pub const FUNCTION_NICENESS: i32 = 10;
/// The slice of a processor that the thread asks for which commits. Ours: the shortest that Linux gives.
pub const COMMIT_SLICE: Duration = Duration::from_micros(100);
/// The slice of a processor that the server's threads ask for. Ours: less than others get who ask for none (0.7 to 3 ms).
pub const SERVER_SLICE: Duration = Duration::from_micros(300);
/// How much lower than the priority of what clients wait for that of the sinks is, steps of nice(2). Ours: where writers take all of
/// the processors, a sink gets a tenth of what one of their threads does, and catches up behind.
pub const BACKGROUND_NICENESS: i32 = 10;
/// The slice of a processor that the threads of the sinks ask for.
pub const BACKGROUND_SLICE: Duration = Duration::from_millis(3);
/// The slice of a processor that the processes of functions ask for. Ours: several times what others get who ask for none, so that a
/// function gives way to those at once, too.
pub const FUNCTION_SLICE: Duration = Duration::from_millis(10);
/// Longest that a process which starts keeps another from starting. As many start at once as there are processors, and two at least:
/// fifty that load their modules together would hold up the database, and not one of them would be ready sooner. Ours: one that
/// waits for something does not load the processors.
pub const FUNCTION_START_TURN: Duration = Duration::from_millis(500);
/// Longest wait for a turn to start: what starts slowly holds up others for so long at most. Ours.
pub const FUNCTION_START_TURN_WAIT: Duration = Duration::from_secs(5);
/// What the data of a function's process may take above its memory where no control group limits that: libraries reserve more
/// than they use. Ours.
pub const FUNCTION_DATA_BYTES_SPARE: u64 = 256 * 1024 * 1024;
/// A line of output without an end is shown when nothing more of it came for so long. Ours.
pub const FUNCTION_LOG_PARTIAL_WAIT: Duration = Duration::from_millis(500);
/// And when its beginning came so long ago, as of dots that show progress. Ours.
pub const FUNCTION_LOG_PARTIAL_WAIT_MAX: Duration = Duration::from_secs(2);
/// Bytes of a process's output that are read and not yet taken by the log; then the pipe is left full. Ours.
pub const FUNCTION_OUTPUT_HELD_BYTES_MAX: usize = 1024 * 1024;
/// Lines of output that wait for the reader; make the channel of this size. Ours: with the line above, 16 MiB.
pub const FUNCTION_LOG_LINES_QUEUED_MAX: usize = 256;
/// Files of what a function wrote that are kept. Ours: with the size, 32 MiB a function.
pub const KEPT_LOG_FILES_MAX: u64 = 4;
/// Bytes of such a file, after which the next one is begun. Ours: as above.
pub const KEPT_LOG_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Such files that are open for writing. Ours: descriptors are few.
pub const KEPT_LOG_FILES_OPEN_MAX: usize = 64;
/// Bytes of lines on their way to the files, of all functions. Ours: a moment's output of as many as run at once, in little memory.
pub const KEPT_LOG_QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Those of them that one function has printed. Ours: tens of thousands of lines, and no function takes another one's place.
pub const KEPT_LOG_QUEUED_BYTES_OF_ONE_MAX: usize = 4 * 1024 * 1024;
/// Lines of a page of what is kept. Ours: bounds an answer.
pub const KEPT_LOG_PAGE_LINES_MAX: usize = 1000;
/// Bytes of the files that such a page looks at. Ours: as above, and the time that it takes.
pub const KEPT_LOG_PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest that such a page waits for a line to come. Ours: shorter than a client's patience.
pub const KEPT_LOG_WAIT: Duration = Duration::from_secs(5);
/// Longest that a full log channel holds up a function's output. Ours.
pub const FUNCTION_LOG_WAIT: Duration = Duration::from_millis(250);
/// Deepest nesting of a request's JSON. Source: docs/spec/dynamodb-api.md 1.4 (about 2,000 levels).
pub const JSON_NESTING_MAX: usize = 2000;
/// Most values in a request's JSON. Our reason: a tree costs memory by its values, not by its bytes. The densest request
/// that an operation can use is full of `{"L":[]},`, nine bytes for two values.
pub const JSON_VALUES_MAX: usize = REQUEST_BODY_BYTES_MAX / 4;
/// Size of a log segment, bytes. Ours: large enough that a new one is rare, small enough that retention frees room soon.
pub const LOG_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Size of the first log segment after a start without a spare, bytes. Ours: starting does not wait for 64 MiB of zeros.
pub const LOG_FIRST_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// A log frame is at most this fraction of a segment (16 MiB): the largest commit is a transaction, whose items are at
/// most 4 MiB together (docs/spec/dynamodb-api.md 9), so at most 8 MiB of images.
pub const LOG_FRAME_SEGMENT_FRACTION: u64 = 4;

// Wire.

/// Connections at once; for one more the longest idle one is closed, and where none is idle it is answered 503. Ours: far
/// above what SDK pools open, and each costs at most `HTTP_HEAD_BYTES_MAX` of buffer.
pub const HTTP_CONNECTIONS_DEFAULT_MAX: usize = 4096;
/// Connections that wait to be accepted. Ours: all that there is room for may come at once. Linux caps it at
/// `net.core.somaxconn`.
pub const HTTP_BACKLOG: u32 = 4096;
/// Longest that a new connection waits for the idle one that makes room for it. Ours: it only has to close.
pub const HTTP_EVICTION: Duration = Duration::from_millis(100);
/// Connections being told 503 at once; further ones are closed without a word. Ours: each holds a descriptor.
pub const HTTP_REFUSALS_MAX: usize = 64;
/// Longest that a client may take to read its 503. Ours.
pub const HTTP_REFUSAL: Duration = Duration::from_secs(1);
/// No connection is accepted for so long when the process has no descriptor left. Ours.
pub const HTTP_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Descriptors that connections leave to the rest: 256 tables and 64 segments that the store holds open, the 64 refusals
/// above, eight for each of 64 functions' processes (pipes, listener, connections), and 128 for everything else.
pub const OPEN_FILES_RESERVED: usize = 1024;
/// Where the system allows fewer descriptors than that, connections get this fraction of them.
pub const OPEN_FILES_CONNECTIONS_FRACTION: usize = 4;
/// Request line and headers, bytes; more is answered 431. Ours: AWS answers from about 8 KB of one header on.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request; more are answered 431. The library's own bound, which costs least where it is not set. SDKs send about 15.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Requests that are being worked on at once; further ones wait on their connections. Ours: one group of the committer.
pub const HTTP_REQUESTS_IN_FLIGHT_DEFAULT_MAX: usize = 1024;
/// Bytes of bodies that arrive in more than one piece, all connections together; more is answered 503. Ours: 16 of the
/// largest requests at once.
pub const HTTP_BODY_BYTES_BUFFERED_DEFAULT_MAX: usize = 256 * 1024 * 1024;
/// Bytes of answers of `HTTP_LARGE_BODY_BYTES` and more that are not written yet, all connections together; one more is answered
/// 503. Ours: a full page for each of the `HTTP_REQUESTS_IN_FLIGHT_DEFAULT_MAX`, where clients that read nothing could take 16 times that.
pub const HTTP_ANSWER_BYTES_BUFFERED_DEFAULT_MAX: usize = 1024 * 1024 * 1024;
/// A body from this size on is read away from the threads that serve connections, and takes its turn. Ours: to read it
/// takes about half a millisecond.
pub const HTTP_LARGE_BODY_BYTES: usize = 128 * 1024;
/// Bytes of large bodies that are being worked on at once; further ones wait. Ours: the largest request. Read, it takes
/// some twenty times its size.
pub const HTTP_LARGE_BODIES_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX;
/// After a body from this size on, memory that was freed is given back to the system. Ours: what smaller ones leave
/// behind is little, and soon used again.
pub const HTTP_TRIM_BODY_BYTES: usize = 2 * 1024 * 1024;
/// An answer from this size on is compressed for a client that asks for it. Ours: a shorter one fits a few packets as it is.
pub const GZIP_ANSWER_BYTES_MIN: usize = 8 * 1024;
/// Bytes of an answer up to which it is compressed on the thread that serves the connection. Ours: it takes about a third of
/// a millisecond.
pub const GZIP_INLINE_BYTES_MAX: usize = 32 * 1024;
/// A declared body up to this size over the limit is read and thrown away, so that the client sees its 413. Ours.
pub const HTTP_BODY_BYTES_DRAINED_MAX: usize = 64 * 1024 * 1024;
/// From a connection's start, or a request's first byte, to the end of its headers. Ours.
pub const HTTP_HEAD_DEFAULT: Duration = Duration::from_secs(15);
/// A body has this long, plus what its bytes take at `HTTP_BODY_BYTES_PER_S_MIN`. Ours.
pub const HTTP_BODY_DEFAULT: Duration = Duration::from_secs(15);
/// The slowest rate at which a body may arrive, bytes a second. Ours.
pub const HTTP_BODY_BYTES_PER_S_MIN: u64 = 16 * 1024;
/// A connection between two requests is closed after this long. Ours: longer than the pools of the SDKs.
pub const HTTP_IDLE_DEFAULT: Duration = Duration::from_secs(2 * 60);
/// A client that takes no byte of its answer for so long is cut off. Ours.
pub const HTTP_WRITE_DEFAULT: Duration = Duration::from_secs(30);
/// A shutdown waits so long for the answers of requests that have begun. Ours.
pub const HTTP_SHUTDOWN_DEFAULT: Duration = Duration::from_secs(10);
/// How long a server that is told to stop goes on delivering what waits for functions. Ours: with the
/// shutdown behind it still below the patience of a container's supervisor with its default doubled.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Largest template, bytes. Source: CloudFormation's limit of a template in a bucket.
pub const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;
/// Largest document of `terraform show -json`, bytes. Our reason: a plan tells each resource three or four times, and has no limit of its
/// own; one of a thousand resources is some 10 MB.
pub const TERRAFORM_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Maps and lists inside of each other in a template, at most. Ours.
pub const TEMPLATE_DEPTH_MAX: usize = 128;
/// Values in a template with its aliases replaced by what they name, at most. Ours: many times the largest template without
/// aliases that creates 500 resources.
pub const TEMPLATE_NODES_MAX: usize = 500_000;
/// Between two looks at the template of a server that runs. Ours.
pub const TEMPLATE_LOOK: Duration = Duration::from_secs(1);
/// Output of the command line that waits for its reader, bytes. Ours: what a busy server says in some seconds.
pub const OUTPUT_QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long output waits for room before it is dropped. Ours, as for the lines of functions.
pub const OUTPUT_WAIT: Duration = Duration::from_millis(250);
/// How long the end of a process waits for its last words to be read. Ours.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// A call of the command line to a server, from its connection to the end of the answer. Ours: what
/// answers at all answers well within it, and a health check is not held up by a listener that says nothing.
pub const CLIENT_CALL: Duration = Duration::from_secs(5);
/// Largest answer that the command line takes, bytes. Ours: many times the largest page of records.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most shards of a new stream. Our reason: each shard is an index and a reader; 256 is far above what one machine uses.
pub const SHARDS_PER_STREAM_MAX: usize = 256;
/// Shards of a stream, the sealed ones too, above which its open ones are not sealed on request: those of a stream that goes on are kept
/// as rows. Ours.
pub const SHARDS_KNOWN_PER_STREAM_MAX: usize = 16_384;
/// Most decoded table descriptors kept in memory. Our reason: a descriptor takes about 1 KB; AWS allows 2,500 tables.
pub const DESCRIPTOR_CACHE_MAX: usize = 4096;
/// Most errors listed in one `N validation errors detected` text. Source: docs/spec/dynamodb-api.md 1.5.
pub const VALIDATION_ERRORS_MAX: usize = 10;
/// Most bytes of a request's value that an error repeats. Our reason: an answer must not be as large as the request.
pub const ECHOED_VALUE_BYTES_MAX: usize = 4096;
/// Most bytes of a text that breaks a constraint which an error repeats. Our reason: the longest that the service takes, a NextToken of 32,768
/// characters, is repeated whole.
pub const ECHOED_TEXT_BYTES_MAX: usize = 33 * 1024;

/// Most commits in a group that is synced at once. Our reason: bounds how long the first of them waits.
pub const GROUP_COMMITS_MAX: usize = 1024;
/// Commits of a group that the committer applies itself, at most. Our reason: handing the groups of 64 connections over took as
/// much processor time as applying them (a profile of `tailrace-bench load --operation put --connections 64`).
pub const APPLIED_BY_THE_COMMITTER_MAX: usize = 64;
/// Most bytes in a group that is synced at once. Our reason: bounds how long the first of them waits.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Unit in which commits in flight are counted, bytes. Our reason: nearly every commit fits one unit.
pub const COMMIT_QUEUE_UNIT_BYTES: usize = 8 * 1024;
/// Units of commits in flight: 64 MiB. Our reason: bounds queue and overlay; above it commits wait.
pub const COMMIT_QUEUE_UNITS_MAX: u32 = 8 * 1024;
/// How long the store remembers the id of a commit. Our reason: far longer than anybody tries to find out what became of
/// one, the clocks of several machines included.
pub const COMMIT_ID_LIFE: Duration = Duration::from_secs(60 * 60);
/// Size at which a memtable is sealed, bytes. Our reason: small enough to replay within a second.
pub const MEMTABLE_BYTES: u64 = 28 * 1024 * 1024;
/// Sealed memtables that may wait for their flush. Our reason: bounds memory and replay; above it commits wait.
pub const SEALED_MEMTABLES_MAX: usize = 4;
/// Runs of tables in level 0 above which commits wait for compaction. Our reason: a read looks through each of them.
pub const YOUNG_RUNS_MAX: usize = 24;
/// Size of the tree's block cache, bytes. Our reason: the memory budget after a small load.
pub const BLOCK_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Steps that a read of the store may take on a thread of the runtime, about a fifth of a microsecond each; a longer one goes
/// on elsewhere. Our reason: nothing holds such a thread for 0.5 ms, and half of that is enough for what is in memory.
pub const READ_INLINE_STEPS_MAX: u64 = 1024;
/// Steps that a read takes on a reader thread before the next one has its turn. Our reason: some milliseconds, so that a
/// long one does not hold up many short ones.
pub const READ_TURN_STEPS_MAX: u64 = 32 * 1024;
/// Bytes of records that a read of the log takes on a thread of the runtime. Our reason: as above.
pub const LOG_READ_INLINE_BYTES_MAX: usize = 64 * 1024;
/// Threads for reads that are long or wait for the disk. Our reason: disks serve some requests at once.
pub const READER_THREADS: usize = 8;
/// Reads that wait for a reader thread at once; further ones wait to be let in. Ours: requests in flight, by default.
pub const READS_QUEUED_MAX: usize = 1024;
/// Most parked records of a mapping's shard. Our reason: a function that is broken for a day must not fill the disk.
pub const PARKED_RECORDS_MAX: u64 = 10_000;
/// Most bytes of parked records of a mapping's shard. Our reason: as above.
pub const PARKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most bytes of the rows that one commit parks, beside its first. Our reason: a commit is one frame of the log, at most
/// 16 MiB, and ten lanes of 6 MiB may be given up at once.
pub const PARKED_COMMIT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Wait before the first retry of a failing batch. Source: docs/spec/event-source-mapping.md 7.2.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait before a retry of a failing batch. Source: docs/spec/event-source-mapping.md 7.2.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Bytes of records (in the target's measure) that a consumer's shard reads ahead beyond one batch, at most: it reads two batches
/// ahead if they are smaller. Our reason: the next batch is ready when the last one ends, and a flush of a sink may be large.
pub const READ_AHEAD_BESIDE_A_BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Stored bytes of records that all consumers of a process read ahead together, at most; beyond that each shard has its
/// [`READ_AHEAD_SHARE_BYTES`]. Our reason: four flushes of 64 MiB, as a table's four shards gather them for objects.
pub const READ_AHEAD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Stored bytes that a shard may read ahead whatever others hold. Our reason: a target that does not answer holds up no other, and a
/// thousand such shards are as much as there is for all.
pub const READ_AHEAD_SHARE_BYTES: usize = 256 * 1024;
/// Between two looks at the log while a batch is gathered, at most; of a short window half of it. Our reason: thousands of looks a second
/// cost writers beside them more than the records do.
pub const READ_PAUSE_MAX: Duration = Duration::from_millis(50);
/// Stored bytes after which a mapping's read of the log ends. Our reason: a page's size bounds what one read copies.
pub const MAPPING_FETCH_BYTES_MAX: usize = 1024 * 1024;
/// Longest error text that a checkpoint or a parked record keeps, bytes. Our reason: checkpoints are written often.
pub const MAPPING_ERROR_BYTES_MAX: usize = 2048;
/// BatchSize where nothing is said. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_BATCH_RECORDS: u32 = 100;
/// Largest BatchSize. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_BATCH_RECORDS_MAX: i64 = 10_000;
/// Largest MaximumBatchingWindowInSeconds. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_WINDOW_S_MAX: i64 = 300;
/// Largest ParallelizationFactor. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_LANES_MAX: i64 = 10;
/// Least MaximumRecordAgeInSeconds, but for -1: for ever. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_RECORD_AGE_S_MIN: i64 = 60;
/// Largest MaximumRecordAgeInSeconds. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_RECORD_AGE_S_MAX: i64 = 604_800;
/// Largest MaximumRetryAttempts. Source: docs/spec/event-source-mapping.md 2.
pub const MAPPING_RETRIES_MAX: i64 = 10_000;
/// Messages that the throttle of a sink lets through at once. Our reason: it remembers when each was sent.
pub const THROTTLE_MESSAGES_MAX: usize = 10_000;
/// Patterns of a FilterCriteria. Source: docs/spec/event-source-mapping.md 2; the ten that AWS allows on request.
pub const FILTER_PATTERNS_MAX: usize = 10;
/// Characters of an event pattern. Source: docs/spec/event-source-mapping.md 2.
pub const PATTERN_CHARS_MAX: usize = 4096;
/// Ways to read the `$or`s of an event pattern. Our reason: each is tried by itself; EventBridge has the same bound.
pub const PATTERN_COMBINATIONS_MAX: usize = 1000;
/// Largest bound of `numeric` in an event pattern, and smallest with the other sign. Source: docs/spec/event-source-mapping.md 8.2.
pub const PATTERN_NUMBER_MAX: f64 = 5e9;
/// Records that a mapping's filter left out, in a row, after which its checkpoint is to cover them. Our reason: they come in any
/// number, and a commit for each page of them would cost more than to read them.
pub const PASSED_OVER_COMMIT_RECORDS: usize = 100_000;
/// How long a checkpoint may lag behind records that were left out. Our reason: as above, for the few.
pub const PASSED_OVER_COMMIT_DELAY: Duration = Duration::from_secs(1);
/// Largest TumblingWindowInSeconds. Source: docs/spec/event-source-mapping.md 2.
pub const TUMBLING_WINDOW_S_MAX: i64 = 900;
/// State of a tumbling window above which it ends early, bytes of JSON. Source: docs/spec/event-source-mapping.md 9.
pub const WINDOW_STATE_BYTES_MAX: usize = 1024 * 1024;
/// How long after its end a tumbling window without newer records is closed. Our reason: a record has its time before it can be
/// read. Source: docs/spec/event-source-mapping.md 9.
pub const TUMBLING_WINDOW_GRACE: Duration = Duration::from_secs(1);
/// Most event source mappings. Our reason: each holds a task and a read-ahead buffer for every shard.
pub const MAPPINGS_MAX: usize = 1000;
/// Mappings on a page of ListEventSourceMappings. Source: docs/spec/event-source-mapping.md 3.
pub const MAPPINGS_PER_PAGE_MAX: usize = 100;
/// Rows that one page of mappings, checkpoints or parked records holds. Our reason: bounds what a listing copies.
pub const MAPPING_ROWS_PER_PAGE: usize = 1000;
/// Local secondary indexes of a table. Source: docs/spec/dynamodb-api.md 2.1 row 30.
pub const LOCAL_INDEXES_MAX: usize = 5;
/// Global secondary indexes of a table. Source: docs/spec/dynamodb-api.md 2.1 row 31.
pub const GLOBAL_INDEXES_MAX: usize = 20;
/// Attributes of the partition key of a global secondary index, and of its sort key. Source: docs/spec/dynamodb-api.md 2.1 row 34.
pub const INDEX_KEY_ATTRIBUTES_MAX: usize = 4;
/// Attributes that all indexes of a table hold beside their keys. Source: docs/spec/dynamodb-api.md 2.1 row 28.
pub const NON_KEY_ATTRIBUTES_MAX: usize = 100;
/// So often an UpdateTable is worked out again because the table changed meanwhile. Our reason: each of the others was done.
pub const TABLE_UPDATE_ROUNDS_MAX: usize = 64;
/// Kinesis destinations of a table that are neither off nor failed. Source: docs/spec/sinks.md 5.
pub const KINESIS_DESTINATIONS_MAX: usize = 1;
/// Kinesis destinations of a table that are remembered, those that are off or failed with them. Our reason: AWS forgets none, and a row has to end.
pub const KINESIS_DESTINATIONS_KEPT_MAX: usize = 10;

// States that show with `--aws-like-states`. Our reason: long enough to be seen by who polls, short enough for tests. AWS
// takes from 2 s to a minute. Source: docs/spec/dynamodb-api.md 2.2, 8.1.

/// A new table is CREATING.
pub const AWS_LIKE_CREATING: Duration = Duration::from_millis(1_000);
/// A table whose throughput, billing, stream or class was changed is UPDATING, and so is an index.
pub const AWS_LIKE_UPDATING: Duration = Duration::from_millis(500);
/// A deleted table is DELETING.
pub const AWS_LIKE_DELETING: Duration = Duration::from_millis(1_000);
/// A table with a new index is UPDATING, and its index not yet being filled.
pub const AWS_LIKE_ALLOCATION: Duration = Duration::from_millis(1_000);
/// A new index is being filled, at least.
pub const AWS_LIKE_BACKFILL: Duration = Duration::from_millis(500);
/// A deleted index is DELETING.
pub const AWS_LIKE_INDEX_DELETING: Duration = Duration::from_millis(500);
/// From one look at what is under way to the next.
pub const AWS_LIKE_LOOK: Duration = Duration::from_millis(100);

/// Rows of a page when a range is counted. Our reason: some 200 us of a reader thread that others wait for.
pub const TALLY_PAGE_ROWS: usize = 1_000;
/// Bytes of a page when a range is counted. Our reason: a page is held in memory; one row may pass the bound.
pub const TALLY_PAGE_BYTES: usize = 1024 * 1024;
/// Provisioned units at which a request is nonsense. Source: docs/spec/dynamodb-api.md 2.1 row 5.
pub const CAPACITY_UNITS_MAX: i64 = 1_000_000_000_000;
/// Read units per second that an on-demand table can take at once, as AWS tells. Source: docs/spec/dynamodb-api.md 2.2.
pub const WARM_READ_UNITS: i64 = 12_000;
/// Write units per second that an on-demand table can take at once. Source: docs/spec/dynamodb-api.md 2.2.
pub const WARM_WRITE_UNITS: i64 = 4_000;
/// Default and largest page of ListTables, ListStreams and DescribeStream. Source: docs/spec/dynamodb-api.md 2.4, streams.md 13.
pub const LIST_PAGE_MAX: usize = 100;
/// From the end of a pass of the retention to the next one. Our reason: a minute is little beside a day.
pub const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// The same where the retention itself is shorter than that, at least. Our reason: a pass reads every stream.
pub const RETENTION_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Shards that one tick of the retention looks at. Our reason: their positions are found and their commits share a sync
/// within some milliseconds, so that 10,000 shards are a few hundred short ticks.
pub const RETENTION_SHARDS_PER_TICK: usize = 32;
/// Streams that one tick of the retention looks at. Our reason: as above.
pub const RETENTION_STREAMS_PER_TICK: usize = 32;
/// From the end of a pass over the deleted tables to the next one. Our reason: a pass finds only what a crash
/// or a full disk left over.
pub const RECLAIM_INTERVAL: Duration = Duration::from_secs(60);
/// From the end of a pass over the indexes that are being filled to the next one. Our reason: a new index wakes
/// it; a pass finds only what failed.
pub const BACKFILL_INTERVAL: Duration = Duration::from_secs(10);
/// Items of a page that the backfill enters in one commit. Our reason: clients' commits that are synced with a page wait until
/// it is applied, about a microsecond an item; with pages of 512 writers kept a sixth of their rate, with these a half.
pub const BACKFILL_PAGE_ITEMS: usize = 64;
/// Bytes of stored items with which such a page ends. Our reason: a commit is a frame of the log, at most 16 MiB.
pub const BACKFILL_PAGE_BYTES: usize = 1024 * 1024;
/// Pages that are entered at once. Our reason: one is read and worked out while the other one is synced; with more the writers
/// of clients keep less of their rate.
pub const BACKFILL_PAGES_AT_ONCE: usize = 2;
/// Pages of a tick, after which its progress is kept. Our reason: the work of some tens of milliseconds is done again after
/// a crash.
pub const BACKFILL_PAGES_PER_TICK: usize = 256;
/// From the end of a pass over the tables that are to go to the next one. Our reason: without
/// `--aws-like-states` a pass finds only what a server with it left over.
pub const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);
/// How long after its instant an item still expires; one that is older stays. Source: docs/spec/dynamodb-api.md 8.2.
pub const TTL_AGE_MAX: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);
/// Longest name of the attribute of a time to live, bytes. Source: the service model.
pub const TTL_ATTRIBUTE_BYTES_MAX: usize = 255;
/// Above this an instant is none, and an item that names it never expires: the year 10000. Our reason: what looks like such a
/// time is mostly one in milliseconds, and needs no row.
pub const TTL_INSTANT_MAX: EpochMs = EpochMs(253_402_300_800_000);
/// How long an expired item may be told to stay, at most. Our reason: AWS deletes within days; more is a slip.
pub const TTL_DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// From the end of a pass over the expired items to the next one. Our reason: items go within seconds.
pub const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Expired items that are deleted in one commit. Our reason: with their old images they are some 10 MiB at most, and a frame of
/// the log is at most 16 MiB.
pub const EXPIRED_PER_COMMIT: usize = 25;
/// Expired items that one tick deletes, in commits that share a sync. Our reason: other writes go between the ticks.
pub const EXPIRED_PER_TICK: usize = 400;
/// Tables that one tick of the sweep looks at. Our reason: each is a look at the tree.
pub const EXPIRE_TABLES_PER_TICK: usize = 64;
/// From the end of a pass over the tables whose items are still to be entered by their expiry to the next one.
/// Our reason: an UpdateTimeToLive is followed within a second.
pub const EXPIRY_FILL_INTERVAL: Duration = Duration::from_secs(1);
/// Items that one tick enters by their expiry. Our reason: they are latched while they are read again.
pub const EXPIRY_FILL_ROWS_PER_TICK: usize = 256;
/// Bytes of items after which such a tick ends. Our reason: as above.
pub const EXPIRY_FILL_BYTES_PER_TICK: usize = 1024 * 1024;
/// How long a table's throughput is saved up, for a burst. Source: AWS's burst capacity.
pub const THROTTLE_BURST: Duration = Duration::from_secs(300);
/// Buckets of units from which on those that are full, which is as good as none, are dropped for a new one. Our reason: memory; those that
/// are not full belong to tables and indexes in use.
pub const THROTTLE_BUCKETS_MAX: usize = 10_000;
/// Failures of a pass in the background that are told in words; the others are counted. Our reason: a log line's length.
pub const BACKGROUND_FAILURES_TOLD_MAX: usize = 8;
/// Most tags of a table, and most that one request sets or takes away. Source: docs/spec/dynamodb-api.md 8.3.
pub const TAGS_MAX: usize = 50;
/// Longest key of a tag, UTF-16 units. Source: docs/spec/dynamodb-api.md 8.3.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Longest value of a tag, UTF-16 units. Source: docs/spec/dynamodb-api.md 8.3.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Tags on a page of ListTagsOfResource. Source: docs/spec/dynamodb-api.md 8.3.
pub const TAGS_PAGE_MAX: usize = 10;
/// Largest document of a resource policy, bytes. Source: docs/spec/dynamodb-api.md 8.6.
pub const POLICY_BYTES_MAX: usize = 20_480;
/// Days that point-in-time recovery goes back, if nothing else is asked for. Source: docs/spec/dynamodb-api.md 8.4.
pub const RECOVERY_PERIOD_DAYS: u32 = 35;
/// How far the end of the window of point-in-time recovery is behind. Source: docs/spec/dynamodb-api.md 8.4.
pub const RECOVERY_LAG: Duration = Duration::from_secs(300);
/// What a stream's record keeps of the name of the operation that asked for a change, bytes. Our reason: a byte holds the length,
/// and the longest name of the API has less than half of it.
pub const OPERATION_BYTES_MAX: usize = 64;
/// What a stream's record keeps of the id of an access key, bytes. Source: the service model of IAM, which has at most 128.
pub const ACCESS_KEY_BYTES_MAX: usize = 128;
/// What a stream's record keeps of the id of a request, bytes. Our reason: those that we give have 52.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
