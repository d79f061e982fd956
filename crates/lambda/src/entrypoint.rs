//! Why a `bootstrap` cannot be run, in words that help: looked at only after the system has refused it, since what this machine
//! can run it knows best (another architecture's programs, under an emulator).

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// As much of a program as tells what it is for.
const HEAD_BYTES: usize = 256;

/// A `bootstrap` that is not there or does not run.
#[derive(Debug)]
pub(crate) struct BadEntrypoint {
    /// As AWS words it.
    pub(crate) error: String,
    /// What is wrong with the file, and what helps.
    pub(crate) why: String,
}

impl BadEntrypoint {
    /// It is no file that can be executed.
    pub(crate) fn not_found(bootstrap: &Path) -> BadEntrypoint {
        let error = format!("Couldn't find valid bootstrap(s): [{}]", bootstrap.display());
        BadEntrypoint { error, why: fault(bootstrap) }
    }

    /// The system refused to run it, for a reason that lies in the file; `None`: for another.
    pub(crate) fn refused(bootstrap: &Path, error: &std::io::Error) -> Option<BadEntrypoint> {
        let words = match error.raw_os_error()? {
            libc::ENOEXEC => "exec format error",
            libc::ENOENT => "no such file or directory",
            libc::EACCES => "permission denied",
            _ => return None,
        };
        let error = format!("fork/exec {}: {words}", bootstrap.display());
        Some(BadEntrypoint { error, why: fault(bootstrap) })
    }
}

/// What is wrong with the file, and what helps.
fn fault(bootstrap: &Path) -> String {
    let path = bootstrap.display();
    let Ok(metadata) = bootstrap.metadata() else {
        let how = bootstrap.parent().and_then(how_to_build).map(|how| format!(": {how}")).unwrap_or_default();
        return format!(
            "there is no {path}; a provided runtime runs a program of that name in the code directory{how}"
        );
    };
    if !metadata.is_file() {
        return format!("{path} is no file; a provided runtime runs a program of that name in the code directory");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return format!("{path} is not executable: chmod +x {path}");
    }
    let mut head = Vec::new();
    if let Ok(file) = std::fs::File::open(bootstrap) {
        // What cannot be read says nothing, like an empty file.
        let _ = file.take(HEAD_BYTES as u64).read_to_end(&mut head);
    }
    match Program::of(&head) {
        Program::Elf { machine } if machine != std::env::consts::ARCH => {
            let (here, go, rust) = targets();
            format!("{path} is built for {machine}, this machine is {here}: build it with {go}, or for {rust}")
        }
        Program::Elf { .. } => {
            format!(
                "{path} does not run here: the loader or a library that it is linked to is missing; link it statically"
            )
        }
        Program::Foreign(system) => {
            let (_, go, rust) = targets();
            format!("{path} is a program for {system}: build it with GOOS=linux {go}, or for {rust}")
        }
        Program::Script(interpreter) if !Path::new(&interpreter).exists() => {
            format!("{path} names {interpreter} in its first line, which is not there")
        }
        Program::Script(_) => format!("{path} does not run: its interpreter refuses it"),
        Program::Unknown => format!("{path} is no program: a script begins with #! and the path of its interpreter"),
    }
}

/// What makes the program of the sources that lie in its place.
fn how_to_build(code_dir: &Path) -> Option<String> {
    let dir = code_dir.display();
    if code_dir.join("go.mod").is_file() || code_dir.join("main.go").is_file() {
        return Some(format!(
            "`cd {dir} && CGO_ENABLED=0 GOOS=linux go build -o bootstrap .` builds it, or `sam build`"
        ));
    }
    if code_dir.join("Cargo.toml").is_file() {
        let how = "`sam build` builds it, or `cargo lambda build`, whose target/lambda/NAME CodeUri then names";
        return Some(how.to_owned());
    }
    None
}

/// This machine's architecture, and how Go and Rust are told of it.
fn targets() -> (&'static str, &'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("aarch64", "GOARCH=arm64", "aarch64-unknown-linux-musl"),
        "x86_64" => ("x86_64", "GOARCH=amd64", "x86_64-unknown-linux-musl"),
        other => (other, "its GOARCH", "its target"),
    }
}

/// What the first bytes say that a file is.
#[derive(Debug, PartialEq, Eq)]
enum Program {
    Elf { machine: &'static str },
    Foreign(&'static str),
    Script(String),
    Unknown,
}

impl Program {
    fn of(head: &[u8]) -> Program {
        match head {
            // Byte 5 is the order of bytes, 18 and 19 the machine: the little-endian ones are the ones that AWS has.
            [0x7f, b'E', b'L', b'F', _, 1, ..] if head.len() >= 20 => {
                let machine = match u16::from_le_bytes([head[18], head[19]]) {
                    0x3e => "x86_64",
                    0xb7 => "aarch64",
                    0x03 => "x86",
                    0x28 => "arm",
                    0xf3 => "riscv64",
                    _ => "another machine",
                };
                Program::Elf { machine }
            }
            [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => Program::Foreign("macOS"),
            [b'M', b'Z', ..] => Program::Foreign("Windows"),
            [b'#', b'!', rest @ ..] => {
                let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
                let words = String::from_utf8_lossy(line);
                Program::Script(words.split_whitespace().next().unwrap_or_default().to_owned())
            }
            _ => Program::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[18] = machine;
        bytes
    }

    /// docs/spec/lambda-runtime.md 7.4: each thing that may be wrong has its own words.
    #[test]
    fn a_bootstrap_that_does_not_run_is_told_with_what_helps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bootstrap");
        assert!(fault(&path).ends_with("of that name in the code directory"), "{}", fault(&path));
        for (source, words) in
            [("go.mod", "GOOS=linux go build -o bootstrap ."), ("Cargo.toml", "`cargo lambda build`")]
        {
            std::fs::write(dir.path().join(source), "").unwrap();
            assert!(fault(&path).contains(words), "{}", fault(&path));
            std::fs::remove_file(dir.path().join(source)).unwrap();
        }
        let foreign = if cfg!(target_arch = "aarch64") { (0x3e, "x86_64") } else { (0xb7, "aarch64") };
        let own = if cfg!(target_arch = "aarch64") { 0xb7 } else { 0x3e };
        let built_for = format!("is built for {}, this machine is", foreign.1);
        for (bytes, mode, words) in [
            (elf(own), 0o644, "is not executable: chmod +x"),
            (elf(foreign.0), 0o755, built_for.as_str()),
            (elf(own), 0o755, "link it statically"),
            (b"\xcf\xfa\xed\xfe\x07\x00\x00\x01".to_vec(), 0o755, "is a program for macOS: build it with GOOS=linux"),
            (b"MZ\x90\x00".to_vec(), 0o755, "is a program for Windows"),
            (b"#!/no/such/shell -e\nexit\n".to_vec(), 0o755, "names /no/such/shell in its first line"),
            (b"echo hello\n".to_vec(), 0o755, "is no program: a script begins with #!"),
            (Vec::new(), 0o755, "is no program"),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let told = fault(&path);
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
