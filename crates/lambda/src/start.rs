//! The start of a process, in the way of posix_spawn: the child borrows this process's memory until it becomes its program, and
//! the thread that starts it waits for that.
//!
//! A fork would copy the tables of all memory, with that memory locked: for as long as it takes (milliseconds, more the more data
//! there is) every thread that touches a new page waits, requests with it. The standard library forks as soon as anything is to be
//! done in the child, and something is: the parent-death signal, the priority, the control group, the limit of data.
//!
//! Invariants
//! - What runs in the child allocates nothing, takes no lock and calls only what is safe in a signal handler: its memory is ours.
//! - No signal is handled in the child: all are blocked from before it is there until none has a handler of ours.
//! - The calling thread stands still until the child has become its program or has ended; whichever, the outcome is known then.

use std::ffi::{CString, c_int, c_void};
use std::io::Error;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::ptr;

use rustix::process::{Pid, Resource, Rlimit, WaitOptions, waitpid};

/// The stack of the child until it becomes its program, bytes.
const STACK_BYTES: usize = 64 * 1024;

/// What its exit code is if it does not become its program; nobody sees it.
const NOT_STARTED: c_int = 127;

/// What a process is held by from its first instruction on; beside it, each has a lower priority than this process.
pub(crate) struct Confinement {
    /// Where a process writes `0` to join its control group.
    pub(crate) entrance: Option<OwnedFd>,
    /// The most that its data may take, bytes: RLIMIT_DATA.
    pub(crate) data_bytes: Option<u64>,
}

impl Confinement {
    /// Goes in. It runs in the child: it makes system calls and nothing else.
    fn enter(&self) {
        // A process that cannot go in runs without.
        if let Some(entrance) = &self.entrance {
            let _ = rustix::io::write(entrance, b"0");
        }
        if let Some(bytes) = self.data_bytes {
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            let _ = rustix::process::setrlimit(Resource::Data, limit);
        }
        // Last: the thread that waits for the program waits for a process of this priority.
        tailrace_priority::of_functions();
    }
}

/// A program with all that it is started with.
pub(crate) struct Start {
    image: Image,
    confinement: Confinement,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Start {
    /// The command's program, a path, with its arguments, its directory and its environment, which is built from nothing; what the
    /// command says of its standard streams does not count.
    pub(crate) fn new(
        command: &Command,
        confinement: Confinement,
        (stdout, stderr): (OwnedFd, OwnedFd),
    ) -> std::io::Result<Start> {
        let stdin = OwnedFd::from(std::fs::File::open("/dev/null")?);
        Ok(Start { image: Image::of(command)?, confinement, stdin, stdout, stderr })
    }

    /// Starts it as the leader of a new group that dies with the calling thread. Blocks until it is the program.
    ///
    /// # Errors
    /// What the system said; there is no process then.
    pub(crate) fn run(&self) -> std::io::Result<Pid> {
        let mut stack = vec![MaybeUninit::<u128>::uninit(); STACK_BYTES / size_of::<u128>()];
        let mut child = Child { start: self, parent: rustix::process::getpid(), errno: 0 };
        let blocked = Blocked::all()?;
        // SAFETY: the stack is ours alone, aligned, and large enough for what `Child::run` calls; it grows down from its end. The
        // child uses it, `child` and all that this points to only until it becomes its program or ends, and this thread
        // does not go on before (CLONE_VFORK). No handler of a signal runs in the child: all are blocked.
        let pid = unsafe {
            let end = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            libc::clone(Child::run, end, flags, ptr::from_mut(&mut child).cast())
        };
        let refused = (pid < 0).then(Error::last_os_error);
        drop(blocked);
        // SAFETY: as `Child::run` has written it; read again, since the compiler does not see that write.
        let errno = unsafe { ptr::read_volatile(&raw const child.errno) };
        match (refused, Pid::from_raw(pid)) {
            (None, Some(pid)) if errno == 0 => Ok(pid),
            (None, pid) => {
                // It has ended: this only takes its status.
                let _ = waitpid(pid, WaitOptions::empty());
                Err(Error::from_raw_os_error(errno))
            }
            (Some(error), _) => Err(error),
        }
    }
}

/// What the child knows; in the memory of both.
struct Child<'a> {
    start: &'a Start,
    parent: Pid,
    /// Why it did not become its program; 0: it did.
    errno: c_int,
}

impl Child<'_> {
    /// The child's life. `this` points to a `Child`.
    extern "C" fn run(this: *mut c_void) -> c_int {
        // SAFETY: see `Start::run`; nobody else looks at it meanwhile.
        let this = unsafe { &mut *this.cast::<Child<'_>>() };
        let error = this.become_program();
        // SAFETY: as above.
        unsafe { ptr::write_volatile(&raw mut this.errno, error.raw_os_error().unwrap_or(libc::EINVAL)) };
        // SAFETY: it ends the child, and runs nothing of what waits for the end of this process.
        unsafe { libc::_exit(NOT_STARTED) }
    }

    /// Comes back only if that fails.
    fn become_program(&self) -> Error {
        let Start { image, confinement, stdin, stdout, stderr } = self.start;
        // SAFETY: calls that are safe in a signal handler, with descriptors and strings that outlive the child's use.
        unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Error::last_os_error();
            }
            // The parent may have died before the signal was asked for.
            if libc::getppid() != self.parent.as_raw_nonzero().get() {
                return Error::from_raw_os_error(libc::ESRCH);
            }
            if libc::setpgid(0, 0) != 0 {
                return Error::last_os_error();
            }
            // None of them has the number of a standard stream: those are open since this process began.
            for (own, number) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
                if libc::dup2(own.as_raw_fd(), number) < 0 {
                    return Error::last_os_error();
                }
            }
            if let Some(directory) = &image.directory
                && libc::chdir(directory.as_ptr()) != 0
            {
                return Error::last_os_error();
            }
        }
        confinement.enter();
        if let Err(error) = forget_handlers() {
            return error;
        }
        image.execute()
    }
}

/// Sets the signals that this process handles, and the one that it ignores, to what a program expects, and lets them come.
fn forget_handlers() -> std::io::Result<()> {
    // SAFETY: zeroed is the default action without flags and with nothing masked; the calls are safe in a signal handler, and the
    // child's actions and mask are its own.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        let mut action: libc::sigaction = std::mem::zeroed();
        for signal in 1..=libc::SIGRTMAX() {
            // Those that the C library keeps for itself are refused; nobody sends them to the child.
            if libc::sigaction(signal, ptr::null(), &raw mut action) != 0 || action.sa_sigaction == libc::SIG_DFL {
                continue;
            }
            // An ignored signal stays ignored behind exec; SIGPIPE is the runtime's doing, others are the user's (nohup).
            if action.sa_sigaction != libc::SIG_IGN || signal == libc::SIGPIPE {
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) {
            0 => Ok(()),
            errno => Err(Error::from_raw_os_error(errno)),
        }
    }
}

/// All signals are blocked for this thread, until this goes.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn all() -> std::io::Result<Blocked> {
        // SAFETY: both sets are written before they are read.
        unsafe {
            let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut all);
            match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
                0 => Ok(Blocked { before }),
                errno => Err(Error::from_raw_os_error(errno)),
            }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is that which was there.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// A program with its arguments and variables, ready for the moment in the child.
///
/// What the standard library calls (execvp) hands whatever the system does not know to a shell: a program for another machine would
/// be read as a script.
struct Image {
    // Declared with what they point into: the strings do not move when the vectors that hold them do.
    arguments: Vec<*const libc::c_char>,
    variables: Vec<*const libc::c_char>,
    directory: Option<CString>,
    _strings: Vec<CString>,
}

// SAFETY: the pointers are into the strings beside them, which nobody changes.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    fn of(command: &Command) -> std::io::Result<Image> {
        let words =
            std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.as_bytes().to_vec());
        let pairs = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let pairs = pairs.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        let (words, pairs): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (words.collect(), pairs.collect());
        let count = words.len();
        let strings = words.into_iter().chain(pairs).map(CString::new).collect::<Result<Vec<CString>, _>>()?;
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
        };
        let (arguments, variables) = (pointers(&strings[..count]), pointers(&strings[count..]));
        let directory = command.get_current_dir().map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
        Ok(Image { arguments, variables, directory, _strings: strings })
    }

    /// Becomes the program; comes back only if that fails.
    fn execute(&self) -> Error {
        // SAFETY: the arrays end with null and point to strings that live as long as `self`; the first is the program.
        unsafe { libc::execve(self.arguments[0], self.arguments.as_ptr(), self.variables.as_ptr()) };
        Error::last_os_error()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What the program prints.
    fn printed(program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("A", "b").current_dir("/usr");
        let (mut reader, writer) = std::io::pipe().unwrap();
        let output = (writer.try_clone().unwrap().into(), writer.into());
        let start = Start::new(&command, Confinement { entrance: None, data_bytes: None }, output).unwrap();
        let pid = start.run().unwrap();
        drop(start);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        waitpid(Some(pid), WaitOptions::empty()).unwrap();
        text
    }

    #[test]
    fn a_program_starts_where_and_with_what_it_was_told_and_leads_a_group() {
        let text = printed("/bin/sh", &["-c", "pwd; echo $A; echo $$; cut -d' ' -f1,5 /proc/$$/stat; cat"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["/usr", "b"]);
        assert_eq!(lines[3], format!("{0} {0}", lines[2]));
    }

    #[test]
    fn no_signal_is_blocked_or_ignored_in_a_program_and_none_is_blocked_here_afterwards() {
        let masks = |status: &str| -> Vec<u64> {
            let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
            ["SigBlk:", "SigIgn:"].map(|name| u64::from_str_radix(&of(name), 16).unwrap()).to_vec()
        };
        let before = masks(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
        let pipe = 1 << (libc::SIGPIPE - 1);
        assert_eq!(before[1] & pipe, pipe, "the runtime ignores it, so that the program has to be helped");
        let of_program = masks(&printed("/bin/cat", &["/proc/self/status"]));
        assert_eq!(of_program, [0, before[1] & !pipe]);
        assert_eq!(masks(&std::fs::read_to_string("/proc/thread-self/status").unwrap()), before);
    }

    #[test]
    fn what_does_not_start_is_an_error_and_leaves_no_process() {
        let (_, writer) = std::io::pipe().unwrap();
        let output = (writer.try_clone().unwrap().into(), writer.into());
        let command = Command::new("/there/is/no/such/program");
        let start = Start::new(&command, Confinement { entrance: None, data_bytes: None }, output).unwrap();
        assert_eq!(start.run().unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
