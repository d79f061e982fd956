//! As the first process of a container, a server inherits what functions leave behind. One test in a process of its own, since it
//! asks the system for the same here.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use common::{Bench, is_dead_soon};

/// The numbers of two daemons that have ended: forked twice, so that their parent was gone before.
const LEAVES_ORPHANS: &str = r#"
import os
def handler(event, context):
    numbers = []
    for _ in range(2):
        read, write = os.pipe()
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                os.write(write, b"%d" % os.getpid())
                os._exit(0)
            os._exit(0)
        os.wait()
        numbers.append(int(os.read(read, 20)))
    return numbers
"#;

#[tokio::test]
async fn orphans_are_reaped_and_the_functions_own_processes_keep_their_status() {
    // SAFETY: it changes an attribute of this process.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
    let bench = Bench::new();
    bench.put(LEAVES_ORPHANS);
    let orphans: Vec<i32> = serde_json::from_str(&bench.result("{}").await).unwrap();
    for &pid in &orphans {
        assert!(is_dead_soon(pid).await, "they end by themselves");
    }
    let is_there = |pid: &i32| std::path::Path::new("/proc").join(pid.to_string()).exists();
    let mut looks = 0;
    while orphans.iter().any(is_there) {
        looks += 1;
        assert!(looks < 200, "{orphans:?} are zombies");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bench.put("import os, time\ndef handler(event, context):\n    time.sleep(1.5)\n    os._exit(7)\n");
    let (document, _, _) = bench.error("{}").await;
    assert!(document["errorMessage"].as_str().unwrap().ends_with("exit status 7"), "{document}");
    bench.stop().await;
}
