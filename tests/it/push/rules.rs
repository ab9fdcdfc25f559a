//! Push rules as clients set them.

use serde_json::{Value, json};

use crate::server::{Client, TestServer};

async fn own(client: &Client, kind: &str) -> Vec<String> {
    let rules = client.get("pushrules/").await.ok();
    let of_kind = rules["global"][kind].as_array().cloned().unwrap_or_default();
    let own = of_kind.iter().filter(|rule| rule["default"] == false);
    own.map(|rule| rule["rule_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn rules_stand_in_the_order_asked_for() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let put = async |rule: &str, query: &str| {
        al.put(&format!("pushrules/global/underride/{rule}{query}"), &json!({"actions": ["notify"]})).await
    };
    for (rule, query, order) in [
        ("a", "", "a"),
        ("b", "", "ba"),
        ("c", "?after=b", "bca"),
        ("d", "?before=b", "dbca"),
        ("d", "?after=a", "bcad"),
        ("b", "?after=c&before=a", "cbad"),
        ("a", "", "cbad"),
    ] {
        put(rule, query).await.ok();
        assert_eq!(own(&al, "underride").await.concat(), order);
    }
    for query in ["?before=x", "?after=x", "?before=.m.rule.message", "?after=d&before=c"] {
        put("e", query).await.refused(400, "M_UNKNOWN");
    }
    assert_eq!(own(&al, "underride").await.concat(), "cbad");
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let rule = json!({"actions": ["notify"]});
    let at = |path: &str| format!("pushrules/global/{path}");
    al.put(&at("override/.mine"), &rule).await.refused(400, "M_INVALID_PARAM");
    al.put(&at("override/a%2Fb"), &rule).await.refused(400, "M_INVALID_PARAM");
    al.put(&at("override/a%5Cb"), &rule).await.refused(400, "M_INVALID_PARAM");
    al.put(&at("content/word"), &rule).await.refused(400, "M_MISSING_PARAM");
    al.put(&at("sender/nobody"), &rule).await.refused(400, "M_INVALID_PARAM");
    al.put(&at("override/a"), &json!({"conditions": []})).await.refused(400, "M_MISSING_PARAM");
    al.put(&at("override/a"), &json!({"actions": "notify"})).await.refused(400, "M_BAD_JSON");
    al.put(&at("nonsense/a"), &rule).await.refused(400, "M_INVALID_PARAM");
    al.put(&at("content/word"), &json!({"actions": [], "pattern": "?".repeat(200)}))
        .await
        .refused(400, "M_INVALID_PARAM");
    for rest in ["", "/enabled", "/actions"] {
        al.get(&at(&format!("override/none{rest}"))).await.refused(404, "M_NOT_FOUND");
        al.get(&at(&format!("nonsense/none{rest}"))).await.refused(404, "M_NOT_FOUND");
    }
    al.put(&at("override/none/enabled"), &json!({"enabled": true})).await.refused(404, "M_NOT_FOUND");
    al.put(&at("override/none/actions"), &rule).await.refused(404, "M_NOT_FOUND");
    al.delete(&at("override/none"), &json!({})).await.refused(404, "M_NOT_FOUND");
    al.delete(&at("override/.m.rule.master"), &json!({})).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn what_a_server_does_not_know_is_kept() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let rule = json!({
        "actions": ["dont_notify", {"set_tweak": "org.test.colour", "value": [1]}, {"org.test": true}],
        "conditions": [{"kind": "org.test.moon", "phase": "full"}, {"kind": "room_member_count", "is": ">=3"}],
    });
    al.put("pushrules/global/override/mine", &rule).await.ok();
    let kept = al.get("pushrules/global/override/mine").await.ok();
    assert_eq!((&kept["actions"], &kept["conditions"]), (&rule["actions"], &rule["conditions"]));
    assert_eq!((&kept["enabled"], &kept["default"]), (&json!(true), &json!(false)));
    let all = al.get("pushrules/global/").await.ok();
    assert_eq!(all["override"][1], kept);
}

#[tokio::test]
async fn rules_for_threads_are_a_kind_of_their_own() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let path = "pushrules/global/postcontent/.io.element.msc4306.rule.unsubscribed_thread";
    assert_eq!(al.get(path).await.ok()["enabled"], false);
    al.put(&format!("{path}/enabled"), &json!({"enabled": true})).await.ok();
    assert_eq!(al.get(path).await.ok()["enabled"], true);
    let own = "pushrules/global/io.element.msc4306.postcontent/mine";
    al.put(own, &json!({"actions": ["notify"], "conditions": []})).await.ok();
    let all: Value = al.get("pushrules/").await.ok();
    assert_eq!(all["global"]["postcontent"][0]["rule_id"], "mine");
    al.delete(own, &json!({})).await.ok();
    al.get(own).await.refused(404, "M_NOT_FOUND");
}
