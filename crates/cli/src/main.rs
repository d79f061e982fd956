//! The program `tailrace`. All of it is in the library: that is compiled while the crates below it still are, and a program is not.

use std::process::ExitCode;

fn main() -> ExitCode {
    tailrace::main()
}
