//! What RocksDB leaves of partitions that were dropped.

use super::*;

/// Also when its rows lie in sorted files, whose first and last addresses the list of files names, and beside many others.
#[test]
fn rocks_leaves_no_file_and_no_address_of_a_dropped_partition() {
    let canary = b"canary of a partition that is dropped";
    let directory = TempDir::new().unwrap();
    let store = Store::inline(Arc::new(RocksBackend::open(directory.path()).unwrap()));
    runtime().block_on(async {
        let partitions = (1..30).map(|serial| Partition { class: Class::Month, serial });
        for (number, partition) in (10..).zip([DAY, WEEK].into_iter().chain(partitions)) {
            store.create_partition(Instance::Soup, partition).await.unwrap();
            let mut batch = one(number, b"stays");
            batch.put(Instance::Soup, partition, at(2), canary.to_vec());
            store.commit(batch).await.unwrap();
            store.merge_all().await.unwrap();
        }
        let mut batch = Batch::new();
        batch.put(Instance::Soup, DAY, at(3), canary.to_vec());
        store.commit(batch).await.unwrap();
        for partition in store.list_partitions(Instance::Soup).await.unwrap() {
            if partition != Partition::FOREVER {
                store.drop_partition(Instance::Soup, partition).await.unwrap();
            }
        }
        assert_eq!(store.leftovers().await, Ok(0));
    });
    for (name, content) in bytes(directory.path()) {
        assert!(!contains(&content, canary), "the dropped row lies in {name}");
        assert!(!contains(&content, &at(2).0) && !contains(&content, &at(3).0), "the dropped address lies in {name}");
    }
    let forgotten = directory.path().join("soup").join("999999.sst");
    fs::write(&forgotten, b"left by a crash").unwrap();
    assert_eq!(runtime().block_on(store.leftovers()), Ok(1), "and one that lies there is seen");
}
