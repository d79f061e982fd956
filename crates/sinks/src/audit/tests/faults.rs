//! What is done to a trail is found, and named: docs/spec/sinks.md 7 and 9.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::audit::sign::{PublicKey, Signer};
use crate::audit::verify::{Fault, KnownHead};

type Files = BTreeMap<(String, u64), Vec<u8>>;

const SEED: [u8; 32] = [7; 32];

/// A small trail: two chains, each of some segments, two in a file; every head is signed.
async fn trail() -> (Files, [PublicKey; 1]) {
    let bench = Bench::new().await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, sign::private_pem(&SEED)).unwrap();
    let config = Config { sign: Some(SignConfig { key, seconds: 0, entries: 0 }), ..Config::default() };
    for n in 0..6 {
        bench.put(&format!("k{}", n % 2), &format!("\"v\"{n}")).await;
    }
    bench.delete("k1").await;
    let memory = MemoryPlace { file_bytes_max: 2500, ..MemoryPlace::default() };
    let place: Arc<dyn Place> = Arc::new(memory.clone());
    bench.deliver(&config, &place, &bench.flushes(2).await).await;
    bench.deliver(&config, &place, &[bench.control_flush().await]).await;
    let files = memory.files.lock().clone();
    (files, [PublicKey::of(&Signer::of_seed(&SEED))])
}

async fn faults(files: &Files, keys: &[PublicKey]) -> Vec<Fault> {
    verify(&MemoryPlace::of(files.clone()), &Trusted { keys: keys.to_vec(), ..Trusted::default() }, |_, _| {})
        .await
        .unwrap()
        .faults
}

/// The number of the first entry that a byte of a file can make wrong: its own line's, or that of the head's first entry.
fn entry_at(bytes: &[u8], at: usize) -> u64 {
    let before = &bytes[..at];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |line_feed| line_feed + 1);
    let line = bytes[start..].split(|byte| *byte == b'\n').next().unwrap();
    serde_json::from_slice::<Value>(line).unwrap()["seq"].as_u64().unwrap()
}

/// Every byte, and every bit of it. docs/spec/sinks.md 9: flip one byte anywhere, and the verifier fails at that entry.
#[tokio::test]
async fn one_bit_that_is_flipped_anywhere_is_found_at_its_entry() {
    let (files, keys) = trail().await;
    assert_eq!(faults(&files, &keys).await, []);
    let mut flips = 0;
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let found = faults(&changed, &keys).await;
            let [fault] = &found[..] else { panic!("byte {at} of {name:?}: {found:?}") };
            let expected = entry_at(bytes, at);
            // A line feed that is none any more joins two lines.
            let is_named = fault.entry == expected || bytes[at] == b'\n' && fault.entry == expected + 1;
            assert!(is_named && fault.chain == name.0, "byte {at} of {name:?}, entry {expected}: {fault}");
            flips += 1;
        }
    }
    assert!(flips > 4000, "{flips}");
}

/// Without the key nothing but the signatures themselves is taken on trust.
#[tokio::test]
async fn without_the_key_all_but_the_signatures_is_verified() {
    let (files, _) = trail().await;
    for (name, bytes) in &files {
        let mut start = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_signature = line.starts_with(br#"{"event_name":"SIGNATURE""#);
            for at in (0..line.len()).step_by(7) {
                let mut changed = files.clone();
                changed.get_mut(name).unwrap()[start + at] ^= 1;
                let found = faults(&changed, &[]).await;
                assert!(is_signature || found.len() == 1, "byte {} of {name:?}", start + at);
            }
            start += line.len();
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Where a file may end: behind a segment, with its signature or, where that is taken away as well, without.
fn is_end_of_segment(lines: &[Vec<u8>], kept: usize) -> bool {
    lines
        .get(kept)
        .is_none_or(|next| next.starts_with(br#"{"chain""#) || next.starts_with(br#"{"event_name":"SIGNATURE""#))
}

#[tokio::test]
async fn a_line_that_is_missing_doubled_or_in_another_place_is_found() {
    let (files, keys) = trail().await;
    for (name, bytes) in &files {
        let lines = lines(bytes);
        for at in 0..lines.len() {
            let (mut dropped, mut doubled, mut swapped) = (lines.clone(), lines.clone(), lines.clone());
            dropped.remove(at);
            doubled.insert(at, lines[at].clone());
            let mut changed = vec![("doubled", doubled)];
            let is_signature = lines[at].starts_with(br#"{"event_name":"SIGNATURE""#);
            // A signature that is taken away leaves a chain that is signed less often, but the last one's.
            if !is_signature {
                changed.push(("dropped", dropped));
            }
            if at + 1 < lines.len() {
                swapped.swap(at, at + 1);
                changed.push(("swapped", swapped));
            }
            for (what, lines) in changed {
                let mut files = files.clone();
                files.insert(name.clone(), lines.concat());
                let found = faults(&files, &keys).await;
                assert!(!found.is_empty(), "line {at} of {name:?} {what}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_found_but_at_the_end_of_the_chain_behind_a_segment() {
    let (files, keys) = trail().await;
    let last_of = |chain: &str| files.keys().rfind(|(known, _)| known == chain).unwrap().clone();
    let mut unseen = 0;
    for (name, bytes) in &files {
        let all = lines(bytes);
        for kept in 0..bytes.len() {
            let mut changed = files.clone();
            changed.insert(name.clone(), bytes[..kept].to_vec());
            let found = faults(&changed, &keys).await;
            let whole = bytes[..kept].split_inclusive(|byte| *byte == b'\n').count();
            let is_behind_line = kept > 0 && bytes[kept - 1] == b'\n';
            // A signature is no entry: without one of several every entry is still bound by the next.
            let is_signature = |line: &Vec<u8>| line.starts_with(br#"{"event_name":"SIGNATURE""#);
            let lacks_signature_alone = all[whole..].iter().all(is_signature);
            let is_behind_segment = is_behind_line
                && (last_of(&name.0) == *name && is_end_of_segment(&all, whole) || lacks_signature_alone);
            assert_eq!(
                found.is_empty(),
                is_behind_segment && !found_unsigned(&found),
                "{kept} bytes of {name:?}: {found:?}"
            );
            unseen += usize::from(found.is_empty());
        }
    }
    // Those that only a comparison with the stream, or with heads that are kept elsewhere, can find.
    assert!((1..8).contains(&unseen), "{unseen}");
}

fn found_unsigned(found: &[Fault]) -> bool {
    found.iter().any(|fault| fault.what.contains("no head of the chain is signed"))
}

#[tokio::test]
async fn a_file_that_is_missing_or_renamed_is_found_and_what_is_missing_is_named() {
    let (files, keys) = trail().await;
    let orders: Vec<_> = files.keys().filter(|(chain, _)| chain.starts_with("tables/")).cloned().collect();
    assert!(orders.len() >= 2);
    for order in &orders[..orders.len() - 1] {
        let mut changed = files.clone();
        changed.remove(order);
        let found = faults(&changed, &keys).await;
        let [fault] = &found[..] else { panic!("{found:?}") };
        assert_eq!((fault.entry, &fault.chain), (order.1, &order.0), "{fault}");
        assert!(fault.what.starts_with("it is missing"), "{fault}");

        let mut renamed = files.clone();
        let bytes = renamed.remove(order).unwrap();
        renamed.insert((order.0.clone(), order.1 + 1), bytes);
        assert!(!faults(&renamed, &keys).await.is_empty());
    }
    // A chain in the folder of another one.
    let mut moved = Files::new();
    for ((chain, file), bytes) in &files {
        moved.insert((format!("{chain}x"), *file), bytes.clone());
    }
    assert_eq!(faults(&moved, &keys).await.len(), 2);
}

/// Whoever writes the rest of a chain anew, with hashes that are right, lacks the key.
#[tokio::test]
async fn a_rest_that_was_written_anew_is_found_by_its_signature() {
    let (files, keys) = trail().await;
    let bench = Bench::new().await;
    // The same trail, with one value that is another one, by somebody without the key.
    for n in 0..6 {
        bench.put(&format!("k{}", n % 2), if n == 3 { "forged" } else { "v" }).await;
    }
    let forged = MemoryPlace::default();
    let place: Arc<dyn Place> = Arc::new(forged.clone());
    bench.deliver(&Config::default(), &place, &bench.flushes(2).await).await;
    sound(place.as_ref()).await;
    let forged_files = forged.files.lock().clone();
    let found = faults(&forged_files, &keys).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].what, "no head of the chain is signed with the key");
    // Signed with another key.
    let other = [PublicKey::of(&Signer::of_seed(&[8; 32]))];
    assert!(faults(&files, &other).await.iter().all(|fault| fault.what.contains("which is not known")));
}

/// Heads that were kept elsewhere show what neither hashes nor signatures do: an end that is missing, and a chain written anew.
#[tokio::test]
async fn heads_that_were_kept_elsewhere_show_a_cut_or_rewritten_chain() {
    let (files, _) = trail().await;
    let report = verify(&MemoryPlace::of(files.clone()), &Trusted::default(), |_, _| {}).await.unwrap();
    let known = |report: &Report| Trusted {
        heads: report
            .chains
            .iter()
            .map(|chain| KnownHead::read(&json!({ "chain": chain })).unwrap())
            .map(|(chain, head)| (chain, vec![head]))
            .collect(),
        ..Trusted::default()
    };
    let trusted = known(&report);
    let faults = async |files: Files| {
        let found = verify(&MemoryPlace::of(files), &trusted, |_, _| {}).await.unwrap().faults;
        found.into_iter().map(|fault| (fault.entry, fault.what)).collect::<Vec<_>>()
    };
    assert_eq!(faults(files.clone()).await, []);
    let orders = files.keys().rfind(|(chain, _)| chain.starts_with("tables/")).unwrap().clone();
    let mut cut = files.clone();
    cut.remove(&orders);
    let missing = "it is missing: the chain had 7 entries, and was cut off".to_owned();
    assert_eq!(faults(cut).await, [(orders.1, missing)]);
    let mut gone = files.clone();
    gone.retain(|(chain, _), _| *chain != orders.0);
    assert_eq!(faults(gone).await, [(0, "it is missing: the chain had 7 entries, and is not there".to_owned())]);

    // Written anew from its third entry on, behind the head that the control chain tells of, with hashes that are right.
    let bench = Bench::new().await;
    for n in 0..8 {
        bench.put(&format!("k{}", n % 2), &if n == 3 { "forged".to_owned() } else { format!("\"v\"{n}") }).await;
        if n > 1 {
            bench.put("other", &format!("{n}")).await;
        }
    }
    let forged = MemoryPlace::default();
    let place: Arc<dyn Place> = Arc::new(forged.clone());
    bench.deliver(&Config::default(), &place, &bench.flushes(2).await).await;
    let mut anew = files.clone();
    anew.retain(|(chain, _), _| *chain != orders.0);
    anew.extend(forged.files.lock().clone());
    let [(entry, what)] = &faults(anew).await[..] else { panic!("one fault") };
    assert_eq!((*entry, what.as_str()), (8, "the chain is not the one that had 7 entries: it was written anew"));
}

/// The control chain names every other one, so that none can be taken away as a whole.
#[tokio::test]
async fn a_chain_that_was_taken_away_as_a_whole_is_missed_without_anything_kept_elsewhere() {
    let (files, keys) = trail().await;
    assert_eq!(faults(&files, &keys).await, []);
    let orders = files.keys().rfind(|(chain, _)| chain.starts_with("tables/")).unwrap().0.clone();
    let mut gone = files.clone();
    gone.retain(|(chain, _), _| *chain != orders);
    let found = faults(&gone, &keys).await;
    let [Fault { chain, what, .. }] = &found[..] else { panic!("one fault: {found:?}") };
    let missing = "it is missing: the chain had 2 entries, and is not there";
    assert_eq!((chain, what.as_str()), (&orders, missing));

    // One that was written anew from its first entry on, with a signature that is right, is not the one that was begun.
    let bench = Bench::new().await;
    bench.put("k0", "forged").await;
    for n in 1..3 {
        bench.put("k1", &format!("{n}")).await;
    }
    let forged = MemoryPlace::default();
    let place: Arc<dyn Place> = Arc::new(forged.clone());
    bench.deliver(&Config::default(), &place, &bench.flushes(2).await).await;
    gone.extend(forged.files.lock().clone());
    let found = faults(&gone, &[]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].what, "the chain is not the one that had 2 entries: it was written anew");
}

/// A chain is told of once in each place, in the commit of its first head there; those that lie where the trail was before are not missed.
#[tokio::test]
async fn chains_are_told_of_once_in_a_place_and_missed_in_that_one_alone() {
    let bench = Bench::new().await;
    for n in 0..6 {
        bench.put("k", &format!("{n}")).await;
    }
    let begun = async || {
        let records = bench.control_flush().await.records;
        let keys = records.iter().map(|record| record.keys().unwrap());
        keys.filter(|keys| keys["action"] == tailrace_core::AttributeValue::S("BeginChain".to_owned())).count()
    };
    let flushes = bench.flushes(2).await;
    let here: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &here, &flushes[..2]).await;
    bench.deliver(&Config::default(), &here, &flushes[..2]).await;
    assert_eq!(begun().await, 1);
    // The control chain begins here as well, and goes on from here.
    bench.deliver(&Config::default(), &here, &[bench.control_flush().await]).await;
    assert_eq!(begun().await, 2);
    sound(here.as_ref()).await;
    let dir = tempfile::tempdir().unwrap();
    let there: Arc<dyn Place> = Arc::new(directory::Directory::new(dir.path().join("there")));
    bench.deliver(&Config::default(), &there, &[bench.control_flush().await]).await;
    // Nothing of the table is there yet: what the control chain tells of its own beginning here, and of this, is no reason to miss it.
    sound(there.as_ref()).await;
    bench.deliver(&Config::default(), &there, &[bench.control_flush().await]).await;
    sound(there.as_ref()).await;
    bench.deliver(&Config::default(), &there, &flushes[2..]).await;
    bench.deliver(&Config::default(), &there, &[bench.control_flush().await]).await;
    assert_eq!(begun().await, 4);
    sound(there.as_ref()).await;
    std::fs::remove_dir_all(dir.path().join("there/tables")).unwrap();
    let found = verify(there.as_ref(), &Trusted::default(), |_, _| {}).await.unwrap().faults;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].what, "it is missing: the chain had 6 entries, and is not there");
}

/// The row of a chain that an older version wrote does not say that it was told of: it is, with the next segment.
#[tokio::test]
async fn a_chain_that_an_older_version_began_is_told_of_when_it_goes_on() {
    let bench = Bench::new().await;
    for n in 0..4 {
        bench.put("k", &format!("{n}")).await;
    }
    let (flushes, memory) = (bench.flushes(2).await, MemoryPlace::default());
    let place: Arc<dyn Place> = Arc::new(memory.clone());
    bench.deliver(&Config::default(), &place, &flushes[..1]).await;
    assert_eq!(sound(place.as_ref()).await.named, 0, "the control chain is not there yet");
    let (store, key) = (bench.store.as_ref(), chain_key(&flushes[0]));
    let row = head::read(store, &key).await.unwrap().unwrap();
    let mut older = serde_json::from_slice::<Value>(&row).unwrap();
    older.as_object_mut().unwrap().remove("told").unwrap();
    let older = serde_json::to_vec(&older).unwrap().into();
    tailrace_store::compare_and_set(store, &key.encode(), Some(&row), Some(older)).await.unwrap();
    bench.deliver(&Config::default(), &place, &flushes[1..]).await;
    bench.deliver(&Config::default(), &place, &[bench.control_flush().await]).await;
    assert!(sound(place.as_ref()).await.named > 0);
    memory.files.lock().retain(|(chain, _), _| chain.starts_with("control/"));
    let found = verify(place.as_ref(), &Trusted::default(), |_, _| {}).await.unwrap().faults;
    assert_eq!(found[0].what, "it is missing: the chain had 4 entries, and is not there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bytes of chance in place of some of the trail's.
    #[test]
    fn no_bytes_end_the_verifier_early(seed in any::<u64>(), cut in 0_usize..4000, junk in proptest::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut files, keys) = trail().await;
            let at = (seed % files.len() as u64) as usize;
            let bytes = files.values_mut().nth(at).unwrap();
            let cut = cut.min(bytes.len());
            let end = (cut + junk.len()).min(bytes.len());
            let before = bytes.clone();
            bytes.splice(cut..end, junk.iter().copied());
            let is_same = *bytes == before;
            let found = faults(&files, &keys).await;
            assert_eq!(found.is_empty(), is_same);
        });
    }
}
