//! Descriptors: connections must not take those that the store and the functions need. A store that cannot create its
//! next file ends the server.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tailrace_core::limits;

/// How many connections there may be: `wanted`, or what the system's limit of open files leaves for them, with a line for
/// the operator. Raises this process's own limit first, as far as is needed and allowed; processes that it starts
/// inherit that.
pub fn connections_max(wanted: usize) -> (usize, Option<String>) {
    let needed = (wanted + limits::OPEN_FILES_RESERVED) as u64;
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let Some(soft) = limit.current.filter(|soft| *soft < needed) else { return (wanted, None) };
    let hard = limit.maximum.unwrap_or(needed);
    let raised = needed.min(hard);
    let raise = Rlimit { current: Some(raised), maximum: limit.maximum };
    let allowed = if setrlimit(Resource::Nofile, raise).is_ok() { raised } else { soft };
    let connections = share(usize::try_from(allowed).unwrap_or(usize::MAX), wanted);
    let line = (connections < wanted).then(|| {
        format!("the limit of open files is {allowed}, so there may be {connections} connections instead of {wanted}: raise it (ulimit -n) to {needed}")
    });
    (connections, line)
}

fn share(open_files: usize, wanted: usize) -> usize {
    let beside_the_rest = open_files.saturating_sub(limits::OPEN_FILES_RESERVED);
    beside_the_rest.max(open_files / limits::OPEN_FILES_CONNECTIONS_FRACTION).clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_and_the_functions_have_the_first_claim() {
        let check = |open_files, expect| assert_eq!(share(open_files, 4096), expect, "{open_files}");
        check(1_048_576, 4096);
        check(4096 + 1024, 4096);
        check(4096, 3072);
        check(1024, 256);
        check(256, 64);
        check(0, 1);
    }
}
