//! The one writer: checks conditions, writes groups, syncs. Owns what is known about partitions and unsynced writes.
//!
//! Because nobody else writes, get-then-put is exact and needs neither locks nor transactions.

use std::{collections::HashSet, sync::Arc};

use super::{
    Address, Backend, Batch, Condition, Durability, Error, Instance, Partition, Row,
    upkeep::{Merging, Upkeep},
};

pub(super) struct Engine {
    backend: Arc<dyn Backend>,
    upkeep: Arc<Upkeep>,
    known: HashSet<(Instance, Partition)>,
    unsynced: [bool; 3],
    /// Set by the first failure of the medium; from then on nothing is read back, written or answered well.
    failed: bool,
}

impl Engine {
    /// Takes over `backend`; one that cannot list its partitions makes an engine that has failed.
    pub(super) fn new(backend: Arc<dyn Backend>, upkeep: Arc<Upkeep>) -> Self {
        let mut engine = Self { backend, upkeep, known: HashSet::new(), unsynced: [false; 3], failed: false };
        for instance in Instance::ALL {
            match engine.backend.list_partitions(instance) {
                Ok(partitions) => engine.known.extend(partitions.into_iter().map(|partition| (instance, partition))),
                Err(_) => engine.failed = true,
            }
        }
        // What earlier lives have left unmerged is unknown.
        for (instance, partition) in &engine.known {
            engine.upkeep.change(*instance, *partition);
        }
        engine
    }

    /// Writes a group: each batch is checked in its turn against what is stored and what stands before it in the
    /// group. Returns one answer per batch; a group with a [`Durability::Synced`] batch is synced before.
    pub(super) fn commit(&mut self, group: Vec<(Batch, Durability)>) -> Vec<Result<(), Error>> {
        if self.failed {
            return vec![Err(Error::Closed); group.len()];
        }
        let mut answers = Vec::with_capacity(group.len());
        let mut rows: Vec<Row> = Vec::new();
        let mut dead = Vec::new();
        let mut taken = HashSet::new();
        let mut synced = false;
        for (batch, durability) in group {
            let answer = self.check(&batch.rows, &mut taken);
            if answer.is_ok() {
                synced |= durability == Durability::Synced;
                rows.extend(batch.rows);
                dead.extend(batch.dead);
            }
            answers.push(answer);
        }
        let written = self.write(&rows).and_then(|()| if synced { self.sync() } else { Ok(()) });
        match written {
            Ok(()) => self.upkeep.retire(dead),
            Err(error) => answers.iter_mut().filter(|answer| answer.is_ok()).for_each(|answer| *answer = Err(error)),
        }
        answers
    }

    /// Syncs every instance that has been written to since its last sync.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.alive()?;
        for instance in Instance::ALL {
            if self.unsynced[instance.index()] {
                let done = self.backend.sync(instance);
                self.or_fail(done)?;
                self.unsynced[instance.index()] = false;
            }
        }
        Ok(())
    }

    /// Whether something was written that no sync covers yet.
    pub(super) fn is_unsynced(&self) -> bool {
        !self.failed && self.unsynced.contains(&true)
    }

    pub(super) fn create_partition(&mut self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.alive()?;
        if !self.known.contains(&(instance, partition)) {
            let done = self.backend.create_partition(instance, partition);
            self.or_fail(done)?;
            self.known.insert((instance, partition));
        }
        Ok(())
    }

    pub(super) fn drop_partition(&mut self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.alive()?;
        if partition == Partition::FOREVER {
            return Err(Error::Conflict);
        }
        if self.known.remove(&(instance, partition)) {
            let done = self.backend.drop_partition(instance, partition);
            self.or_fail(done)?;
            self.upkeep.forget(instance, partition);
        }
        Ok(())
    }

    /// Prepares a merge: what replaces the retired rows is on the medium before they are left out.
    ///
    /// Nothing when the partition has gone meanwhile.
    pub(super) fn begin_merge(&mut self, instance: Instance, partition: Partition) -> Result<Option<Merging>, Error> {
        self.sync()?;
        let there = self.known.contains(&(instance, partition));
        Ok(there.then(|| Arc::clone(&self.upkeep).begin(instance, partition)))
    }

    /// [`Error::Closed`] after the first failure of the medium.
    pub(super) fn alive(&self) -> Result<(), Error> {
        if self.failed { Err(Error::Closed) } else { Ok(()) }
    }

    fn or_fail<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.failed |= done.is_err();
        done
    }

    /// Whether `rows` can be written behind what is in `taken`, which then includes them.
    fn check(&mut self, rows: &[Row], taken: &mut HashSet<(Instance, Partition, Address)>) -> Result<(), Error> {
        self.alive()?;
        if rows.iter().any(|row| !self.known.contains(&(row.instance, row.partition))) {
            return Err(Error::UnknownPartition);
        }
        let mut own = HashSet::with_capacity(rows.len());
        for row in rows {
            let place = (row.instance, row.partition, row.address);
            if row.condition == Condition::Absent {
                if own.contains(&place) || taken.contains(&place) {
                    return Err(Error::Conflict);
                }
                let found = self.backend.get(row.instance, row.partition, &row.address);
                if self.or_fail(found)?.is_some() {
                    return Err(Error::Conflict);
                }
            }
            own.insert(place);
        }
        taken.extend(own);
        Ok(())
    }

    fn write(&mut self, rows: &[Row]) -> Result<(), Error> {
        self.alive()?;
        if rows.is_empty() {
            return Ok(());
        }
        self.upkeep.writing(rows);
        for row in rows {
            self.unsynced[row.instance.index()] = true;
        }
        let done = self.backend.write(rows);
        self.or_fail(done)
    }
}
