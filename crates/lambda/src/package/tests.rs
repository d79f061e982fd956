//! Sources and what becomes of them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

/// An entry of an archive.
enum Entry<'a> {
    File(&'a str, &'a [u8], u32),
    Link(&'a str, &'a str),
}

struct Bench {
    dir: tempfile::TempDir,
    packages: Packages,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let packages = Packages::open(&dir.path().join("packages"), &dir.path().join("compiled")).unwrap();
        Bench { dir, packages }
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn archive(&self, name: &str, entries: &[Entry<'_>]) -> PathBuf {
        let path = self.dir.path().join(name);
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for entry in entries {
            match entry {
                Entry::File(name, content, mode) => {
                    writer.start_file(*name, options.unix_permissions(*mode)).unwrap();
                    writer.write_all(content).unwrap();
                }
                Entry::Link(name, target) => writer.add_symlink(*name, *target, options).unwrap(),
            }
        }
        writer.finish().unwrap();
        path
    }

    fn directory(&self, path: &Path) -> Result<PathBuf, String> {
        self.packages.directory(&CodeSource::Path(path.to_owned())).map_err(|error| error.to_string())
    }

    /// Names in the directory of what was unpacked.
    fn unpacked(&self) -> usize {
        fs::read_dir(self.dir.path().join("packages")).unwrap().count()
    }
}

#[test]
fn an_archive_is_unpacked_once_with_its_modes_and_links() {
    let bench = Bench::new();
    let archive = bench.archive(
        "code.zip",
        &[
            Entry::File("bootstrap", b"#!/bin/sh", 0o755),
            Entry::File("lib/part.py", b"x = 1", 0o600),
            Entry::Link("current", "lib/part.py"),
        ],
    );
    let dir = bench.directory(&archive).unwrap();
    assert_eq!(fs::read(dir.join("lib/part.py")).unwrap(), b"x = 1");
    assert_eq!(fs::read(dir.join("current")).unwrap(), b"x = 1");
    let mode = |name: &str| dir.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bootstrap"), mode("lib/part.py")), (0o755, 0o644));
    assert_eq!(bench.directory(&archive), Ok(dir.clone()));
    // Under whatever name: it is the content that counts.
    fs::rename(&archive, bench.dir.path().join("app.jar")).unwrap();
    assert_eq!(bench.directory(&bench.dir.path().join("app.jar")), Ok(dir.clone()));
    let changed = bench.archive("code.zip", &[Entry::File("bootstrap", b"#!/bin/bash", 0o755)]);
    assert_ne!(bench.directory(&changed), Ok(dir));
    assert_eq!(bench.unpacked(), 2);
}

#[test]
fn what_leads_out_of_an_archive_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    for entry in [
        Entry::File("../out.py", b"", 0o644),
        Entry::File("a/../../out.py", b"", 0o644),
        Entry::File("/abs.py", b"", 0o644),
        Entry::File("..\\out.py", b"", 0o644),
        Entry::Link("link", "/etc/passwd"),
        Entry::Link("a/link", "../../packages"),
    ] {
        let archive = bench.archive("bad.zip", &[entry]);
        let error = bench.directory(&archive).unwrap_err();
        assert!(error.contains("bad.zip: the entry ") && error.ends_with("leads out of it"), "{error}");
        assert_eq!(bench.unpacked(), 0);
    }
    let behind = [Entry::Link("up/a", ".."), Entry::Link("up/a/up/b", "x")];
    let dir = bench.directory(&bench.archive("links.zip", &behind)).unwrap();
    assert!(dir.join("up/b").is_symlink(), "a link behind a link inside stays inside");
    assert!(!bench.dir.path().join("out.py").exists());
}

#[test]
fn an_archive_that_is_damaged_or_inflates_beyond_the_limit_is_told() {
    let bench = Bench::new();
    let error = bench.directory(&bench.write("damaged.zip", b"no archive")).unwrap_err();
    assert!(error.contains("damaged.zip: the zip archive cannot be read: "), "{error}");
    let zeros = vec![0; 26 * 1024 * 1024];
    let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let entries: Vec<_> = names.iter().map(|name| Entry::File(name, &zeros, 0o644)).collect();
    let error = bench.directory(&bench.archive("bomb.zip", &entries)).unwrap_err();
    assert!(error.ends_with("bomb.zip: it unzips to more than 250 MB"), "{error}");
    assert_eq!(bench.unpacked(), 0);
}

#[test]
fn one_file_is_all_of_the_code_and_a_directory_is_used_in_place() {
    let bench = Bench::new();
    let file = bench.write("worker.py", b"a = 1");
    bench.write("beside.py", b"");
    let dir = bench.directory(&file).unwrap();
    let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["worker.py"]);
    bench.write("worker.py", b"a = 2");
    let changed = bench.directory(&file).unwrap();
    assert_ne!(changed, dir);
    assert_eq!(fs::read(changed.join("worker.py")).unwrap(), b"a = 2");
    assert_eq!(bench.directory(bench.dir.path()), Ok(bench.dir.path().to_owned()));
    let inline = CodeSource::Inline { file_name: "index.py".into(), text: "b = 1".into() };
    let dir = bench.packages.directory(&inline).unwrap();
    assert_eq!(fs::read(dir.join("index.py")).unwrap(), b"b = 1");
    let error = bench.directory(&bench.dir.path().join("nothing")).unwrap_err();
    assert!(error.ends_with("nothing: No such file or directory (os error 2)"), "{error}");
}

#[test]
fn the_module_that_answers_a_custom_resource_is_beside_code_in_a_template_that_names_it() {
    let bench = Bench::new();
    let directory = |file_name: &str, text: &str| {
        bench.packages.directory(&CodeSource::Inline { file_name: file_name.into(), text: text.into() }).unwrap()
    };
    let run = |command: &str, dir: &Path, code: &str| {
        let flag = if command == "node" { "-e" } else { "-c" };
        let output = std::process::Command::new(command).args([flag, code]).current_dir(dir).output().unwrap();
        (
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    // Nothing answers at the port, which is told and no error of the function.
    let python = "import cfnresponse\ndef handler(e, c):\n    cfnresponse.send(e, c, cfnresponse.SUCCESS, {'a': 1})";
    let event = "{'StackId': 's', 'RequestId': 'r', 'LogicalResourceId': 'l', 'ResponseURL': 'http://127.0.0.1:1/'}";
    let call = format!("import index, types; index.handler({event}, types.SimpleNamespace(log_stream_name='stream'))");
    let (told, error) = run("python3", &directory("index.py", python), &call);
    assert!(told.contains(r#""Status": "SUCCESS""#) && told.contains("failed executing"), "{told} {error}");
    let node = "exports.handler = (e, c) => { const r = require('cfn-response'); return r.send(e, c, r.FAILED, {}); };";
    let call =
        format!("require('./index').handler({event}, {{logStreamName: 'stream', done: () => console.log('done')}})");
    let (told, error) = run("node", &directory("index.js", node), &call);
    assert!(told.contains(r#""Status":"FAILED""#) && told.ends_with("done"), "{told} {error}");
    let other = directory("index.py", "a = 1");
    assert_eq!(fs::read_dir(other).unwrap().count(), 1, "it is beside no other code");
}

#[test]
fn what_nobody_uses_is_swept_but_for_the_newest() {
    let bench = Bench::new();
    let dirs: Vec<PathBuf> = (0..3_u8)
        .map(|n| {
            let dir = bench.directory(&bench.write("a.py", &[n])).unwrap();
            let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(n) + 1);
            File::open(&dir).unwrap().set_modified(made).unwrap();
            dir
        })
        .collect();
    fs::create_dir(bench.dir.path().join("packages/filling-7")).unwrap();
    let compiled = bench.dir.path().join("compiled").join(dirs[1].strip_prefix("/").unwrap());
    fs::create_dir_all(&compiled).unwrap();
    bench.packages.sweep(&BTreeSet::from([dirs[0].clone()]), 2);
    assert!(dirs[0].exists() && !dirs[1].exists(), "the oldest goes, unless it is used");
    assert!(!compiled.exists(), "what was compiled of it goes with it");
    bench.packages.sweep(&BTreeSet::from([dirs[0].clone()]), 0);
    assert_eq!(bench.unpacked(), 1);
}

#[test]
fn a_device_or_a_pipe_is_no_package_and_is_not_opened() {
    let bench = Bench::new();
    let error = bench.directory(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error, "/dev/zero: it is no directory and no regular file");
}
