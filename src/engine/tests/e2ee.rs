//! Encryption: what power cuts leave. The endpoints are tested over HTTP.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedRoomId, owned_device_id};
use serde_json::{json, value::to_raw_value};

use crate::{
    accounts::{LoggedIn, Session},
    e2ee::{Claimed, Contents, RoomKeys, Upload},
    engine::{
        Engine,
        testing::{Machine, register},
    },
    journal::Position,
};

async fn reboot(machine: &Machine) -> Arc<Engine> {
    machine.backend.crash(machine.random.as_ref());
    machine.medium.crash(machine.random.as_ref());
    machine.backend.fuse().reset();
    machine.start().await
}

fn numbered(to: &LoggedIn, number: u64) -> Contents {
    let content = to_raw_value(&json!({ "n": number })).unwrap();
    BTreeMap::from([(to.user_id.clone(), vec![(Some(to.device.clone()), content)])])
}

fn waiting(session: &Session) -> Vec<u64> {
    let waiting = session.account.waiting(&session.device, Position::START, 100);
    let number = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["content"]["n"].as_u64();
    waiting.iter().filter_map(|(_, message)| number(message.get())).collect()
}

#[tokio::test]
async fn mail_is_folded_once_wherever_the_power_is_cut() {
    let mut cuts = 0;
    for steps in 0.. {
        let machine = Machine::new(steps);
        let engine = machine.start().await;
        let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
        let engine = reboot(&machine).await;
        let session = engine.accounts.session(al.access.expose()).await.unwrap();
        for number in 0..3 {
            let sender = (&*al.user_id, &session.device);
            engine.e2ee.send_to_devices(sender, "m.test", &number.to_string(), numbered(&bo, number)).await.unwrap();
        }
        let engine = reboot(&machine).await;
        machine.backend.fuse().cut_after(steps);
        let opened = engine.accounts.session(bo.access.expose()).await.is_ok();
        let cut = machine.backend.fuse().blown();
        for _ in 0..2 {
            let engine = reboot(&machine).await;
            let session = engine.accounts.session(bo.access.expose()).await.unwrap();
            assert_eq!(waiting(&session), [0, 1, 2], "cut after {steps} steps");
        }
        if !cut {
            assert!(opened);
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5, "the cut reaches every step of the folding");
}

#[tokio::test]
async fn a_claimed_key_is_gone_wherever_the_power_is_cut() {
    for steps in 0..4 {
        let machine = Machine::new(steps);
        let engine = machine.start().await;
        let al = register(&engine, "al").await;
        let body = json!({"one_time_keys": {"a:1": {"key": "1"}, "a:2": {"key": "2"}}}).to_string();
        let upload = Upload::parse(body.as_bytes()).unwrap();
        engine.e2ee.upload_keys(&al.session.account, &al.device, upload).await.unwrap();
        let wanted = || BTreeMap::from([(al.user_id.clone(), BTreeMap::from([(al.device.clone(), "a".to_owned())]))]);
        machine.backend.fuse().cut_after(steps);
        let first = engine.e2ee.claim(wanted()).await.ok();
        let engine = reboot(&machine).await;
        engine.accounts.session(al.access.expose()).await.unwrap();
        let second = engine.e2ee.claim(wanted()).await.unwrap();
        let id = |claimed: &Claimed| claimed.keys[&al.user_id][&al.device].0.clone();
        assert!(first.is_none_or(|first| id(&first) != id(&second)), "cut after {steps} steps");
    }
}

#[tokio::test]
async fn a_deleted_backup_takes_nothing_else_with_it() {
    let machine = Machine::new(1);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let account = &al.session.account;
    let room = OwnedRoomId::try_from("!room:localhost").unwrap();
    let keys = |count: u64| -> RoomKeys {
        let data = |at| json!({"first_message_index": at, "forwarded_count": 0, "is_verified": false});
        let sessions = (0..count).map(|at| (at.to_string(), to_raw_value(&data(at)).unwrap()));
        BTreeMap::from([(room.clone(), sessions.collect())])
    };
    let mut versions = Vec::new();
    for count in [3, 5] {
        let version = engine.e2ee.create_backup(account, "a".to_owned(), json!({})).await.unwrap().to_string();
        engine.e2ee.back_up(account, &version, keys(count)).await.unwrap();
        versions.push(version);
    }
    engine.e2ee.send_to_devices((&al.user_id, &owned_device_id!("X")), "m.test", "t", numbered(&al, 7)).await.unwrap();
    engine.e2ee.delete_backup(account, &versions[1]).await.unwrap();
    for engine in [Arc::clone(&engine), reboot(&machine).await] {
        let session = engine.accounts.session(al.access.expose()).await.unwrap();
        let read = engine.e2ee.backed_up(&session.account, &versions[0], None, None).await.unwrap();
        assert_eq!(read[&room].len(), 3);
        assert_eq!(engine.e2ee.backup(&session.account, None).unwrap().state.count, 3);
        assert_eq!(session.account.backed_up_count(2), 0);
        assert_eq!(waiting(&session), [7]);
        engine.e2ee.back_up(&session.account, &versions[0], keys(4)).await.unwrap();
        engine.e2ee.delete_keys(&session.account, &versions[0], None, Some("3")).await.unwrap();
    }
}
