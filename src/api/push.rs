//! Push rules and pushers ([spec](https://spec.matrix.org/latest/client-server-api/#push-notifications)).

use std::sync::Arc;

use axum::http::{Method, Request};
use ruma::{
    api::client::push::{
        PusherKind, delete_pushrule::v3 as delete, get_pushers::v3 as pushers, get_pushrule::v3 as one,
        get_pushrule_actions::v3 as actions, get_pushrule_enabled::v3 as enabled, get_pushrules_all::v3 as all,
        get_pushrules_global_scope::v3 as global, set_pusher::v3 as pusher, set_pushrule::v3 as set,
        set_pushrule_actions::v3 as set_actions, set_pushrule_enabled::v3 as set_enabled,
    },
    api::{IncomingRequest, Metadata, error::DeserializationError},
    push::{AnyPushRuleRef, NewConditionalPushRule, NewPushRule, RuleKind, Ruleset},
};
use serde::de::Error as _;
use serde_json::{Map, Value, json};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json},
    error::Error,
    push,
};

/// The longest push key in bytes (spec: `POST /pushers/set`).
const LONGEST_KEY: usize = 512;
/// The longest app id in characters (spec: `POST /pushers/set`).
const LONGEST_APP: usize = 64;
/// The stable name of the kind of rules that follow those for content (MSC4306).
const POST_CONTENT: &str = "postcontent";

pub(super) fn routes(router: Routes) -> Routes {
    let router = router.ruma(rules).ruma(global_rules).ruma(rule).ruma(set_rule).ruma(delete_rule);
    let router = router.ruma(is_enabled).ruma(enable).ruma(rule_actions).ruma(set_rule_actions);
    router.ruma(pushers_of).ruma(set_pusher)
}

/// `GET /_matrix/client/v3/pushrules/`
async fn rules(_services: Arc<Services>, request: Ruma<all::Request>) -> Result<all::Response, Error> {
    Ok(all::Response::new(ruleset(&request.session)))
}

/// `GET /_matrix/client/v3/pushrules/global/`
async fn global_rules(_services: Arc<Services>, request: Ruma<global::Request>) -> Result<global::Response, Error> {
    Ok(global::Response::new(ruleset(&request.session)))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn rule(_services: Arc<Services>, request: Ruma<one::Request>) -> Result<Json, Error> {
    let rules = ruleset(&request.session);
    let shown = match find(&rules, request.body.kind, &request.body.rule_id)? {
        AnyPushRuleRef::Override(rule) | AnyPushRuleRef::PostContent(rule) | AnyPushRuleRef::Underride(rule) => {
            serde_json::to_value(rule)
        }
        AnyPushRuleRef::Content(rule) => serde_json::to_value(rule),
        AnyPushRuleRef::Room(rule) => serde_json::to_value(rule),
        AnyPushRuleRef::Sender(rule) => serde_json::to_value(rule),
        _ => return Err(push::Error::Unknown.into()),
    };
    Ok(Json(shown.map_err(|_| Error::internal())?))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn set_rule(services: Arc<Services>, request: Ruma<SetRule>) -> Result<set::Response, Error> {
    let set::Request { rule, before, after, .. } = request.body.0;
    let put = move |rules: &mut Ruleset| push::put_rule(rules, rule, after.as_deref(), before.as_deref());
    change(&services, &request.session, put).await?;
    Ok(set::Response::new())
}

/// `DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn delete_rule(services: Arc<Services>, request: Ruma<delete::Request>) -> Result<delete::Response, Error> {
    let delete::Request { kind, rule_id, .. } = request.body;
    change(&services, &request.session, move |rules| push::remove_rule(rules, known(kind), &rule_id)).await?;
    Ok(delete::Response::new())
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
async fn is_enabled(_services: Arc<Services>, request: Ruma<enabled::Request>) -> Result<enabled::Response, Error> {
    let rules = ruleset(&request.session);
    let rule = find(&rules, request.body.kind, &request.body.rule_id)?;
    Ok(enabled::Response::new(rule.enabled()))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
async fn enable(services: Arc<Services>, request: Ruma<set_enabled::Request>) -> Result<set_enabled::Response, Error> {
    let set_enabled::Request { kind, rule_id, enabled, .. } = request.body;
    change(&services, &request.session, move |rules| {
        rules.set_enabled(known(kind), rule_id, enabled).map_err(|_| push::Error::Unknown)
    })
    .await?;
    Ok(set_enabled::Response::new())
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
async fn rule_actions(_services: Arc<Services>, request: Ruma<actions::Request>) -> Result<actions::Response, Error> {
    let rules = ruleset(&request.session);
    let rule = find(&rules, request.body.kind, &request.body.rule_id)?;
    Ok(actions::Response::new(rule.actions().to_owned()))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
async fn set_rule_actions(
    services: Arc<Services>,
    request: Ruma<set_actions::Request>,
) -> Result<set_actions::Response, Error> {
    let set_actions::Request { kind, rule_id, actions, .. } = request.body;
    change(&services, &request.session, move |rules| {
        rules.set_actions(known(kind), rule_id, actions).map_err(|_| push::Error::Unknown)
    })
    .await?;
    Ok(set_actions::Response::new())
}

/// `GET /_matrix/client/v3/pushers`
async fn pushers_of(_services: Arc<Services>, request: Ruma<pushers::Request>) -> Result<Json, Error> {
    Ok(Json(json!({ "pushers": push::list_pushers(&request.session.account().view()) })))
}

/// `POST /_matrix/client/v3/pushers/set`
async fn set_pusher(services: Arc<Services>, request: Ruma<pusher::Request>) -> Result<pusher::Response, Error> {
    let account = request.session.account();
    // ruma takes a kind that is absent for one that is null.
    let asked: Map<String, Value> = serde_json::from_slice(&request.raw)?;
    if !asked.contains_key("kind") {
        return Err(Error::missing_param("A pusher needs a kind"));
    }
    let (journals, pushing) = (&services.engine.journals, &services.engine.pushing);
    match request.body.action {
        pusher::PusherAction::Delete(ids) => {
            push::remove_pusher(account, journals, ids.app_id, ids.pushkey).await?;
        }
        pusher::PusherAction::Post(post) => {
            let PusherKind::Http(data) = &post.pusher.kind else {
                return Err(Error::invalid_param("Only pushers of kind http are known"));
            };
            let plain = !services.config.push.allow.is_empty();
            push::check_address(&data.url, plain)
                .map_err(|_| Error::invalid_param("The gateway's address is not one"))?;
            let ids = &post.pusher.ids;
            if ids.pushkey.len() > LONGEST_KEY || ids.app_id.chars().count() > LONGEST_APP {
                return Err(Error::invalid_param("The push key or the app id is too long"));
            }
            let name = (post.pusher.ids.app_id.clone(), post.pusher.ids.pushkey.clone());
            let value = serde_json::to_value(&post.pusher).map_err(|_| Error::internal())?;
            push::set_pusher(account, journals, &request.session.device_id, name, value).await?;
            if !post.append {
                pushing.take_over(account, &ids.app_id, &ids.pushkey).await;
            }
        }
        _ => return Err(Error::bad_json("The pusher is neither set nor deleted")),
    }
    pushing.changed(account);
    Ok(pusher::Response::new())
}

fn ruleset(session: &Session) -> Ruleset {
    push::ruleset_of(&session.account().view(), &session.user_id)
}

fn find<'a>(rules: &'a Ruleset, kind: RuleKind, id: &str) -> Result<AnyPushRuleRef<'a>, Error> {
    Ok(rules.get(known(kind), id).ok_or(push::Error::Unknown)?)
}

/// The kind a path names: rules after those for content (MSC4306) have a stable name too.
fn known(kind: RuleKind) -> RuleKind {
    if kind.as_str() == POST_CONTENT { RuleKind::PostContent } else { kind }
}

async fn change(
    services: &Services,
    session: &Session,
    edit: impl FnOnce(&mut Ruleset) -> Result<(), push::Error> + Send,
) -> Result<(), Error> {
    push::change_rules(session.account(), &services.engine.journals, edit).await?;
    services.engine.pushing.changed(session.account());
    Ok(())
}

/// A rule to set, whose conditions may be left out: without any it applies always.
struct SetRule(set::Request);

impl Metadata for SetRule {
    const METHOD: Method = set::Request::METHOD;
    const RATE_LIMITED: bool = set::Request::RATE_LIMITED;
    type Authentication = <set::Request as Metadata>::Authentication;
    type PathBuilder = <set::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = set::Request::PATH_BUILDER;
}

impl IncomingRequest for SetRule {
    type EndpointError = <set::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = set::Response;

    fn try_from_http_request_inner(request: Request<&[u8]>, path: &[&str]) -> Result<Self, DeserializationError> {
        let (parts, body) = request.into_parts();
        let mut object: Map<String, Value> = serde_json::from_slice(body)?;
        object.entry("conditions").or_insert_with(|| json!([]));
        let body = serde_json::to_vec(&object)?;
        let [kind, id] = path else { return Err(serde_json::Error::custom("two parameters").into()) };
        let post_content = known(RuleKind::from(*kind)) == RuleKind::PostContent;
        // ruma's type does not know that rules of this kind can be set.
        let shape = if post_content { RuleKind::Override.as_str() } else { kind };
        let request = Request::from_parts(parts, &*body);
        let mut asked = set::Request::try_from_http_request_inner(request, &[shape, id])?;
        if post_content
            && let NewPushRule::Override(NewConditionalPushRule { rule_id, conditions, actions, .. }) = asked.rule
        {
            asked.rule = NewPushRule::PostContent(NewConditionalPushRule::new(rule_id, conditions, actions));
        }
        Ok(Self(asked))
    }
}
